"""Any frame whatsoever has a verdict, and limits are exact."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.messages import INBOUND, BadMessage, Close, Error, Offer, Say, parse, serialise
from signaling.receive import HangUp, Perform, Refuse, Talk, receive

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from([kind.TYPE for kind in INBOUND])
NAMES = st.sampled_from(
    ["room_token", "resume", "id", "sdp", "audio", "video", "client_id", "text", "before", "t"]
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
