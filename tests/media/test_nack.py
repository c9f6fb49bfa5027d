"""The schedule on which a publisher is asked for what is missing."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from media.nack import MissingPackets


def asked(missing: MissingPackets, rtt: float, until: float = 5.0) -> list[tuple[float, int]]:
    """(time, number) of every request, looking every 5 ms."""
    result = []
    for step in range(int(until / 0.005)):
        now = step * 0.005
        result += [(now, number) for number in missing.take_due(now, rtt)[0]]
    return result


def test_five_requests_with_growing_distance() -> None:
    missing = MissingPackets()
    assert missing.gap(7, 8, 0.0)
    times = [now for now, _ in asked(missing, 0.1)]
    assert len(times) == 5
    assert 0.02 <= times[0] <= 0.03
    distances = [round(b - a, 3) for a, b in pairwise(times)]
    assert distances == sorted(distances) and 0.1 <= distances[0] <= 0.11 and distances[-1] <= 0.2
    assert not missing  # given up


@given(st.floats(0, 10))
def test_any_round_trip_is_bounded(rtt: float) -> None:
    missing = MissingPackets()
    missing.gap(1, 2, 0.0)
    times = [now for now, _ in asked(missing, rtt)]
    assert len(times) == 5
    assert all(0.015 <= b - a <= 0.41 for a, b in pairwise(times))


def test_what_arrives_is_not_asked_for() -> None:
    missing = MissingPackets()
    missing.gap(10, 14, 0.0)
    missing.arrived(11)
    assert missing.take_due(0.03, 0.1)[0] == [10, 12, 13]
    for number in (10, 12, 13, 99):
        missing.arrived(number)
    assert asked(missing, 0.1) == []


def test_a_large_gap_is_not_mended() -> None:
    missing = MissingPackets()
    missing.gap(1, 5, 0.0)
    assert not missing.gap(100, 100 + MissingPackets.MAX_GAP + 1, 0.0)
    assert len(missing) == 0


@given(st.lists(st.integers(1, 128), max_size=20))
def test_the_list_is_bounded(gaps: list[int]) -> None:
    missing = MissingPackets()
    at = 0
    for gap in gaps:
        missing.gap(at, at + gap, 0.0)
        at += gap + 1
        assert len(missing) <= MissingPackets.MAX_MISSING
