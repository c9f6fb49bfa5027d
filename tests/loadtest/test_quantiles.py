"""Percentile maths."""

import math
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.quantiles import from_buckets, nearest_rank


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 500), (90, 900), (99, 990), (99.9, 999), (100, 1000), (0.01, 1)]
)
def test_nearest_rank_of_a_thousand(percent: float, expected: int) -> None:
    assert nearest_rank(range(1, 1001), percent) == expected


@given(st.lists(st.integers(0, 50), min_size=1), st.floats(0.1, 100))
def test_enough_samples_are_at_or_below_it_and_not_fewer_would_do(samples: list[int], percent: float) -> None:
    samples.sort()
    value = nearest_rank(samples, percent)
    assert value is not None
    needed = percent * len(samples) / 100 - 1e-6
    assert bisect_right(samples, value) >= needed
    assert value == samples[0] or samples.index(int(value)) < needed


def test_nothing_has_no_percentile() -> None:
    assert nearest_rank([], 50) is None
    assert from_buckets([], 99) is None
    assert from_buckets([(0.1, 0), (math.inf, 0)], 99) is None


@pytest.mark.parametrize("percent", [0, -1, 100.5])
def test_a_percentile_out_of_range_is_a_mistake(percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        nearest_rank([1], percent)


BUCKETS = [(0.001, 0.0), (0.002, 50.0), (0.004, 90.0), (0.008, 100.0), (math.inf, 100.0)]


@pytest.mark.parametrize(
    ("percent", "expected"), [(25, 0.0015), (50, 0.002), (70, 0.003), (99, 0.0076), (100, 0.008)]
)
def test_a_histogram_is_read_as_prometheus_does(percent: float, expected: float) -> None:
    assert from_buckets(BUCKETS, percent) == pytest.approx(expected)


def test_of_the_open_bucket_only_the_edge_is_known() -> None:
    assert from_buckets([(0.25, 10.0), (math.inf, 100.0)], 99) == 0.25
