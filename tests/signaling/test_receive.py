"""Any frame whatsoever has a verdict, and limits are exact."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.messages import INBOUND, BadMessage, Close, Error, Offer, Say, Source, Want
from signaling.receive import HangUp, Perform, Refuse, Talk, receive
from signaling.text import parse, serialise

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from([kind.TYPE for kind in INBOUND])
NAMES = st.sampled_from(
    [
        "room_token",
        "resume",
        "id",
        "sdp",
        "sources",
        "slots",
        "audio",
        "video",
        "screen",
        "client_id",
        "text",
        "before",
        "t",
    ]
)
ALMOST = st.builds(lambda type, rest: {**rest, "type": type}, TYPES, st.dictionaries(NAMES, JSON, max_size=5))


@given(st.one_of(st.text(), st.none(), JSON.map(json.dumps), ALMOST.map(json.dumps)))
def test_no_frame_crashes_and_every_answer_can_be_sent(frame: str | None) -> None:
    _, verdict = receive(Talk(greeted=True), frame, 0.0)
    match verdict:
        case Refuse(error) | HangUp(error, _):
            serialise(error).encode()
        case Perform(message):
            assert type(message) in INBOUND
            if isinstance(message, Say):
                assert message.text.strip() and len(message.text) <= 4000 and "\x00" not in message.text
                message.text.encode()


@pytest.mark.parametrize(
    "frame", ["[" * 100_000, "1" * 5000, '{"type":"ping","t":1e999}', '{"type":"ping","t":NaN}']
)
def test_frames_that_hurt_parsers(frame: str) -> None:
    with pytest.raises(BadMessage):
        parse(frame)


def test_half_a_surrogate_is_not_text() -> None:
    with pytest.raises(BadMessage):
        parse('{"type": "chat", "client_id": "a", "text": "\\ud800"}')
    assert parse('{"type": "chat", "client_id": "a", "text": "\\ud83d\\ude00"}') == Say("a", "\U0001f600")


@given(st.lists(st.floats(min_value=0, max_value=60), max_size=60))
def test_no_burst_and_no_patience_beats_the_limit(arrivals: list[float]) -> None:
    """In any stretch of time no more offers pass than the bucket holds plus what flowed in."""
    talk, passed = Talk(greeted=True), []
    frame = json.dumps({"type": "offer", "id": "x", "sdp": "v=0"})
    for at in sorted(arrivals):
        talk, verdict = receive(talk, frame, at)
        if isinstance(verdict, Perform):
            passed.append(at)
    for i, first in enumerate(passed):
        for j, last in enumerate(passed[i:], 1):
            assert j <= Offer.RATE.burst + (last - first) * Offer.RATE.per_second + 1e-6


def test_the_third_strike_closes_whatever_lies_between() -> None:
    talk = Talk()
    frames: list[tuple[Any, type]] = [
        ("{", Refuse),
        (json.dumps({"type": "hello", "room_token": "t"}), Perform),
        ("[]", Refuse),
        (json.dumps({"type": "ping", "t": 1}), Perform),
        (json.dumps({"type": "hello", "room_token": "t"}), HangUp),
    ]
    for frame, kind in frames:
        talk, verdict = receive(talk, frame, 0.0)
        assert type(verdict) is kind
    assert verdict == HangUp(Error("unexpected_message", "You have said hello already."), Close.STRIKES)


def test_what_is_wanted_and_what_is_sent_have_bounds() -> None:
    def frame(**message: Any) -> str:
        return json.dumps(message)

    slots = [{"mid": "3", "height": 240}, {"mid": "4", "height": None}, {"mid": "5", "height": 0}]
    assert parse(frame(type="want", slots=slots)) == Want((("3", 240), ("4", None), ("5", 0)))
    sources = {"0": "microphone", "2": "screen"}
    offer = parse(frame(type="offer", id="a", sdp="v=0", sources=sources))
    assert offer == Offer("a", "v=0", (("0", Source.MICROPHONE), ("2", Source.SCREEN)))
    assert parse(frame(type="offer", id="a", sdp="v=0")) == Offer("a", "v=0")
    for bad in (
        [{"mid": "3", "height": True}],
        [{"mid": "3", "height": -1}],
        [{"mid": "3", "height": 8193}],
        [{"mid": "3", "height": 1.5}],
        [{"mid": "3"}],
        [{"mid": "x" * 17, "height": 1}],
        [{"mid": "a b", "height": 1}],
        [["3", 1]],
        [{"mid": "3", "height": 1}] * 129,
        {"3": 240},
    ):
        with pytest.raises(BadMessage):
            parse(frame(type="want", slots=bad))
    for bad_sources in (["screen"], {"0": "window"}, {"": "camera"}, {"0": ["camera"]}):
        with pytest.raises(BadMessage) as refused:
            parse(frame(type="offer", id="a", sdp="v=0", sources=bad_sources))
        assert refused.value.id == "a"
