"""Redundant audio on its way: to who takes it, to who calls Opus otherwise, and to who takes only Opus."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media.codec import OPUS, RED
from media.forward import Sender
from media.tally import Tally
from tests.media.test_forward import Network, Subscriber, forward, source
from tests.media.test_payloads import redundant


def viewer(ssrc: int, **payload_types: int) -> Subscriber:
    found = Subscriber("audio", ssrc)
    found.outlet.payload_types = {key: (number, 0) for key, number in payload_types.items()}
    return found


@given(st.lists(st.sampled_from([b"", b"one", b"another"]), min_size=1, max_size=20), st.booleans())
def test_everybody_hears_every_packet(sounds: list[bytes], batched: bool) -> None:
    alike, otherwise, plain = viewer(10, opus=111, red=63), viewer(20, opus=96, red=97), viewer(30, opus=109)
    viewers = (alike, otherwise, plain)
    stream = source(1, RED)
    for subscriber in viewers:
        subscriber.outlet.attach(stream.track)
    tally = Tally()
    sender = Sender(Network(*viewers), tally, True)
    payloads = [redundant(b"\x78" + sound, *sounds[max(0, n - 2) : n]) for n, sound in enumerate(sounds)]
    for n, payload in enumerate(payloads):
        if batched:
            stream.queue.append((n, n * 960, 0, payload, None, 1.0))
        else:
            forward(stream, n, n * 960, payload, sender)
    if batched:
        sender.forward(stream, 1.0)
    assert [g[4] for g in alike.got] == payloads
    assert {g[1] for g in alike.got} == {63}
    assert [g[4] for g in otherwise.got] == [
        redundant(b"\x78" + sound, *sounds[max(0, n - 2) : n], kind=96) for n, sound in enumerate(sounds)
    ]
    assert {g[1] for g in otherwise.got} == {97}
    assert [(g[1], g[4]) for g in plain.got] == [(109, b"\x78" + sound) for sound in sounds]
    for subscriber in viewers:
        first = subscriber.got[0]
        assert [(g[2] - first[2] & 0xFFFF, g[3] - first[3]) for g in subscriber.got] == [
            (n, n * 960) for n in range(len(sounds))
        ]
    assert tally.drops == {}


def test_what_is_no_redundant_audio_leaves_no_hole() -> None:
    plain = viewer(30, opus=109)
    stream = source(1, RED)
    plain.outlet.attach(stream.track)
    tally = Tally()
    sender = Sender(Network(plain), tally, True)
    for n, payload in enumerate([redundant(b"a"), b"\xef\0\0\x30\x6f", redundant(b"b")]):
        forward(stream, n, n * 960, payload, sender)
    assert [g[4] for g in plain.got] == [b"a", b"b"]
    assert plain.got[1][2] - plain.got[0][2] & 0xFFFF == 1
    assert tally.drops == {"red_malformed": 1}


def test_plain_opus_goes_to_who_would_take_redundant_audio() -> None:
    both = viewer(10, opus=111, red=63)
    stream = source(1, OPUS)
    both.outlet.attach(stream.track)
    forward(stream, 1, 960, b"sound", Sender(Network(both), Tally(), True))
    assert [(g[1], g[4]) for g in both.got] == [(111, b"sound")]
