"""The packet ring against a dictionary that forgets nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.replay import Opening
from media.ring import PacketRing
from media.stream import Packet
from tests.media.test_forward import Subscriber, source


def packet(number: int, arrival: float = 0.0, size: int = 0) -> Packet:
    return number, 0, 0, b"%d" % number if not size else bytes(size), None, arrival


@given(st.lists(st.integers(0, 200), max_size=200))
def test_ring_keeps_the_newest_of_each_place(numbers: list[int]) -> None:
    ring = PacketRing(16)
    model: dict[int, int] = {}  # place -> number
    for number in numbers:
        fresh = number > model.get(number % 16, -1)
        assert ring.store(packet(number)) == fresh
        if fresh:
            model[number % 16] = number
    for number in range(201):
        kept = model.get(number % 16) == number
        assert ring.has(number) == kept
        assert ring.get(number) == (packet(number) if kept else None)


PASSED = st.sampled_from([0.0, 0.01, 0.03, 0.2, 1.0])


@given(st.lists(st.tuples(st.integers(1, 3), PASSED, st.integers(1, 60)), max_size=200))
def test_what_is_too_old_or_too_much_is_let_go(steps: list[tuple[int, float, int]]) -> None:
    """In the order of the frames, each a packet here: the oldest first, and never the newest."""
    ring = PacketRing(64, seconds=0.1, max_octets=300)
    held: list[Packet] = []
    number, now = 1000, 0.0
    for step, passed, size in steps:
        number += step
        now += passed
        ring.trim(number, now)
        while held and (held[0][5] < now - 0.1 or sum(len(p[3]) for p in held) > 300):
            del held[0]
        one = packet(number, now, size)
        assert ring.store(one)
        held = [p for p in [*held, one] if p[0] > number - 64]
        assert [p for p in (ring.get(n) for n in range(number - 70, number + 5)) if p is not None] == held


@given(st.lists(st.tuples(st.integers(-100, 300), PASSED), max_size=100))
def test_a_duplicate_of_what_was_let_go_is_recognised(steps: list[tuple[int, float]]) -> None:
    ring = PacketRing(64, seconds=0.1)
    number = highest = 1000
    now = 0.0
    for step, passed in steps:
        # What is a lap late never gets here (receive.LATE_LIMIT).
        number, now = max(highest - 63, number + step), now + passed
        highest = max(highest, number)
        ring.trim(number, now)
        ring.store(packet(number, now))
        assert not ring.store(packet(number, now))
    end = highest + 600
    for later in range(highest + 1, end):  # some laps later only what is young is held
        now += 0.01
        ring.trim(later, now)
        ring.store(packet(later, now))
    held = [n for n in range(end) if ring.get(n) is not None]
    assert (
        held == list(range(end - len(held), end)) and 10 <= len(held) <= 12
    )  # 0.1 s, give or take a rounding


@pytest.mark.parametrize("size", [0, -4, 3, 100])
def test_size_must_be_a_power_of_two(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        PacketRing(size)


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 3.0)), max_size=4), st.floats(0, 50e6))
def test_packets_are_kept_as_long_as_the_farthest_subscriber_may_ask(
    trips: list[float | None], rate: float
) -> None:
    stream = source(1)
    for number, rtt in enumerate(trips):
        viewer = Subscriber(ssrc=100 + 10 * number)
        viewer.outlet.rtt = rtt
        viewer.outlet.attach(stream.track)
    stream.opening = Opening(0, 100.0)
    stream.bitrate.bits_per_second = rate
    stream.settle(10.0, 0.8, 400_000, 109.0)
    assert stream.ring is not None and stream.opening is not None
    for rtt in trips:
        assert stream.ring.seconds >= min(0.8, 2 * (rtt or 0.05) + 0.1)
    assert 0.1 < stream.ring.seconds <= 0.8
    assert min(400_000, rate / 8 * stream.ring.seconds) - 1 <= stream.ring.max_octets <= 400_000
    stream.settle(10.0, 0.8, 400_000, 110.5)
    assert stream.opening is None  # too old to be shown: a still from long ago is not kept
