"""What open slots cost grows with what there is and no faster: counted in instructions, which no clock can bend."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from server.availability import expansion
from server.availability.expansion import DAY, expand
from server.availability.model import Availability, Window

BEGIN = 1_772_442_000  # 2 March 2026, 09:00 UTC
RULES = Availability(
    "Europe/Berlin",
    weekly=tuple((day, Window(480, 1320)) for day in range(7)),
    slot_minutes=30,
    buffer_after_minutes=10,
    booking_window_days=365,
    max_per_day=20,
)


def instructions(work: Callable[[], object]) -> int:
    """How many bytecodes of the sweep's module the work executes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != expansion.__file__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def blocks(number: int) -> list[tuple[int, int]]:
    """So many short appointments, spread over 80 days."""
    chance = random.Random(number)
    starts = [BEGIN + 60 * chance.randrange(80 * 1440) for _ in range(number)]
    return [(start, start + 600) for start in starts]


def cost(days: int, booked: int, busy: int) -> int:
    taken, blocked = blocks(booked), blocks(busy)
    return instructions(lambda: expand(RULES, BEGIN, BEGIN + days * DAY, taken, BEGIN, blocked=blocked))


@pytest.mark.parametrize(
    "costs",
    [
        pytest.param(lambda n: cost(n, 100, 100), id="days"),
        pytest.param(lambda n: cost(20, 25 * n, 100), id="bookings"),
        pytest.param(lambda n: cost(20, 100, 50 * n), id="busy blocks"),
    ],
)
def test_twice_as_much_costs_at_most_twice_as_much(costs: Callable[[int], int]) -> None:
    """One more costs about the same at any size; with a sweep that compared each with each it would cost four times as
    much between the two largest as between the two smallest."""
    cost(80, 0, 0)  # the zone's offsets are kept from here on
    measured: Sequence[int] = [costs(size) for size in (10, 20, 40, 80)]
    assert all(later <= 2.1 * earlier for earlier, later in itertools.pairwise(measured)), measured
    slopes = [
        (later - earlier) / (larger - smaller)
        for earlier, later, smaller, larger in zip(
            measured, measured[1:], (10, 20, 40), (20, 40, 80), strict=False
        )
    ]
    assert max(slopes) <= 1.6 * min(slopes), slopes


def test_the_counter_counts() -> None:
    """Something quadratic would be seen."""
    assert cost(1, 0, 0) > 100
    assert cost(20, 0, 0) > 1.5 * cost(10, 0, 0)
