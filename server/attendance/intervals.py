"""Stretches of time as sets of instants: union, intersection, what is left of one without another; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A stretch of time, ``start`` <= ``end``, both ends included."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start


def union(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same instants as disjoint intervals in order: a second tab or a quick reload adds nobody."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start <= merged[-1].end:
            if interval.end > merged[-1].end:
                merged[-1] = Interval(merged[-1].start, interval.end)
        else:
            merged.append(interval)
    return tuple(merged)


def clip(intervals: Iterable[Interval], start: datetime, end: datetime) -> tuple[Interval, ...]:
    """The parts inside [start, end]; what only touches a border from outside is dropped."""
    parts = (
        Interval(max(i.start, start), min(i.end, end)) for i in intervals if i.start < end and i.end > start
    )
    return tuple(part for part in parts if part.start <= part.end)


def intersection(some: Iterable[Interval], others: Iterable[Interval]) -> tuple[Interval, ...]:
    """The stretches that lie in both."""
    ours, theirs = union(some), union(others)
    common: list[Interval] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        start, end = max(ours[i].start, theirs[j].start), min(ours[i].end, theirs[j].end)
        if start < end:
            common.append(Interval(start, end))
        if ours[i].end < theirs[j].end:
            i += 1
        else:
            j += 1
    return tuple(common)


def without(some: Iterable[Interval], others: Iterable[Interval]) -> tuple[Interval, ...]:
    """What is left of the first when the second are cut out; nothing of no length is left."""
    left: list[Interval] = []
    cuts = union(others)
    for interval in union(some):
        at = interval.start
        for cut in cuts:
            if cut.end <= at:
                continue
            if cut.start >= interval.end:
                break
            if cut.start > at:
                left.append(Interval(at, cut.start))
            at = max(at, cut.end)
        if at < interval.end:
            left.append(Interval(at, interval.end))
    return union(left)


def total(intervals: Iterable[Interval]) -> timedelta:
    """The length of the union."""
    return sum((i.length for i in union(intervals)), timedelta())
