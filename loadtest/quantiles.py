"""Percentiles: exact ones of samples, and estimates from a Prometheus histogram."""

import math
from collections.abc import Sequence


def nearest_rank(ordered: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least `percent` % of the ascending samples do not exceed; None without samples."""
    if not 0 < percent <= 100:
        raise ValueError("a percentile lies above 0 and at most at 100")
    if not ordered:
        return None
    # The epsilon keeps 99 % of 1,000 at rank 990, which floating point puts a hair above.
    return ordered[max(math.ceil(percent * len(ordered) / 100 - 1e-9), 1) - 1]


def from_buckets(cumulative: Sequence[tuple[float, float]], percent: float) -> float | None:
    """The percentile of a histogram given as ascending (upper edge, count up to it), as histogram_quantile() does.

    Inside the bucket the samples are taken as evenly spread; in the last, open one its lower edge is all that is known.
    """
    if not cumulative or cumulative[-1][1] <= 0:
        return None
    wanted = cumulative[-1][1] * percent / 100
    lower, below = 0.0, 0.0
    for edge, count in cumulative:
        if count >= wanted and count > below:
            if math.isinf(edge):
                return lower
            return lower + (edge - lower) * (wanted - below) / (count - below)
        lower, below = edge, count
    return lower
