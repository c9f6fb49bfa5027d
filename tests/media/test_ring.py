"""The packet ring against a dictionary that forgets nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.ring import PacketRing


@given(st.lists(st.integers(0, 200), max_size=200))
def test_ring_keeps_the_newest_of_each_place(numbers: list[int]) -> None:
    ring = PacketRing(16)
    model: dict[int, int] = {}  # place -> number
    for number in numbers:
        fresh = number > model.get(number % 16, -1)
        assert ring.store(number, b"%d" % number) == fresh
        if fresh:
            model[number % 16] = number
    for number in range(201):
        kept = model.get(number % 16) == number
        assert ring.has(number) == kept
        assert ring.get(number) == (b"%d" % number if kept else None)


@pytest.mark.parametrize("size", [0, -4, 3, 100])
def test_size_must_be_a_power_of_two(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        PacketRing(size)
