"""Sequence arithmetic and the map from a publisher's numbers to a subscriber's, against plain models."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media.sequence import SequenceMap, extend, newer


@given(highest=st.integers(0, 1 << 40), distance=st.integers(-32768, 32767))
def test_extend_finds_the_nearest_number(highest: int, distance: int) -> None:
    assert extend(highest + distance & 0xFFFF, highest) == highest + distance


@given(a=st.integers(0, 65535), distance=st.integers(1, 32767))
def test_newer_looks_half_way_round(a: int, distance: int) -> None:
    later = a + distance & 0xFFFF
    assert newer(later, a) and not newer(a, later) and not newer(a, a)


# What a source does: a packet, one that is only padding, one the network loses, or another source starts.
STEPS = st.lists(st.sampled_from(["packet", "packet", "packet", "padding", "loss", "switch"]), max_size=120)


@given(first=st.integers(0, 0x7FFF), start=st.integers(0, 1 << 20), steps=STEPS, jump=st.integers(0, 50000))
def test_output_has_no_holes_but_real_losses(first: int, start: int, steps: list[str], jump: int) -> None:
    numbers = SequenceMap(first)
    source = start
    numbers.rebase(source)
    expected = first  # the next output number, by a model that counts instead of computing
    lost_since = 0
    sent: list[tuple[int, int]] = []
    for step in steps:
        if step == "switch":
            source += jump
            numbers.rebase(source)
            sent.clear()
            # What was lost just before the switch is never seen by anybody, so it leaves no hole.
            expected -= lost_since
            lost_since = 0
            continue
        if step == "packet":
            assert source >= numbers.floor
            out = source + numbers.offset
            assert out == expected
            numbers.highest = max(numbers.highest, out)
            sent.append((source, out))
            expected += 1
            lost_since = 0
        elif step == "padding":
            assert numbers.swallow(source)
            assert numbers.lookup(source) is None
        else:
            expected += 1
            lost_since += 1
        source += 1
    # Retransmissions find the way back, as far as the segments reach (32 swallowed packets).
    if steps.count("padding") < SequenceMap.MAX_SEGMENTS - 1:
        for source, out in sent:
            assert numbers.source_of(out & 0xFFFF) == source
            assert numbers.lookup(source) == out


def test_padding_that_comes_too_late_cannot_be_left_out() -> None:
    numbers = SequenceMap(10)
    numbers.rebase(100)
    numbers.highest = 102 + numbers.offset
    assert not numbers.swallow(101)
    assert numbers.source_of(13) is None  # not sent yet


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_segments_stay_bounded(paddings: list[bool]) -> None:
    numbers = SequenceMap(0)
    numbers.rebase(0)
    for source, padding in enumerate(paddings * 10):
        if padding:
            numbers.swallow(source)
        else:
            numbers.highest = max(numbers.highest, source + numbers.offset)
    assert len(numbers._segments) <= SequenceMap.MAX_SEGMENTS
