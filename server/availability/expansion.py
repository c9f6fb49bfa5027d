"""From rules in wall time to bookable slots in instants: integers throughout, sorted once, swept once; pure.

A window is the set of instants at which the wall clock shows a time inside it. So an hour that a zone skips is
never offered, one that it repeats is offered once per instant, and "09:00 weekly" stays at 09:00 on the wall. Each
unbroken run of such instants is cut, from its beginning, into slots that lie wholly inside it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from server.availability.model import Availability, Slot, Window
from server.people.zones import zone

MINUTE: Final = 60
DAY: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY: Final = 3  # 1 January 1970 was a Thursday


class _Piece(NamedTuple):
    """From ``start`` on (Unix seconds), until the next piece, the wall clock is ``offset`` seconds ahead of UTC."""

    start: int
    offset: int


def expand(rules: Availability, frm: int, to: int, busy: Sequence[tuple[int, int]], now: int) -> list[Slot]:
    """The open slots that start in [frm, to), in order; all in Unix seconds.

    ``busy`` are the mentor's booked times [start, end) in any order, from two days before ``frm`` to two after ``to``:
    a slot keeps the buffers' distance from each, and a day on which ``max_per_day`` of them start is full. Slots start
    no sooner than the minimum notice after ``now`` and no later than the booking window.
    """
    first = max(frm, now + rules.min_notice_minutes * MINUTE)
    last = min(to - 1, now + rules.booking_window_days * DAY)
    if last < first or not (rules.weekly or any(windows for _, windows in rules.overrides)):
        return []
    # Two days of margin: a window that began on the wall's yesterday, in a zone far from UTC.
    pieces = _pieces(rules.timezone, first - 2 * DAY, last + 2 * DAY)
    full = _full_days(rules.max_per_day, busy, pieces)
    slots = [
        slot
        for slot, day in _offered(rules, pieces, first, last)
        if first <= slot.start <= last and day not in full
    ]
    slots.sort()
    return _sweep(slots, busy, max(rules.buffer_before_minutes, rules.buffer_after_minutes) * MINUTE)


def next_slot(rules: Availability, busy: Sequence[tuple[int, int]], now: int, until: int) -> Slot | None:
    """The first open slot that starts before ``until``; looks a week ahead, then twice as far, and so on."""
    end = min(until, now + rules.booking_window_days * DAY + 1)
    frm, step = now, 7 * DAY
    while frm < end:
        if found := expand(rules, frm, min(frm + step, end), busy, now):
            return found[0]
        frm, step = frm + step, step * 2
    return None


def _offered(
    rules: Availability, pieces: Sequence[_Piece], first: int, last: int
) -> Iterator[tuple[Slot, int]]:
    """Every slot of the rules around [first, last] with its day (days since 1970 on the wall), booked or not."""
    overrides = {day.toordinal() - _EPOCH_DAY: windows for day, windows in rules.overrides}
    weekly: list[list[Window]] = [[] for _ in range(7)]
    for weekday, window in rules.weekly:
        weekly[weekday].append(window)
    length = rules.slot_minutes * MINUTE
    for day in range(first // DAY - 1, last // DAY + 2):
        for window in overrides.get(day, weekly[(day + _EPOCH_WEEKDAY) % 7]):
            begin, end = day * DAY + window.start * MINUTE, day * DAY + window.end * MINUTE
            for run_start, run_end in _runs(pieces, begin, end):
                for start in range(run_start, run_end - length + 1, length):
                    yield Slot(start, start + length), day


def _runs(pieces: Sequence[_Piece], begin: int, end: int) -> list[tuple[int, int]]:
    """The unbroken stretches of instants at which the wall clock shows [begin, end).

    ``begin`` and ``end`` are wall times, counted in seconds since the wall clock showed 1970.
    """
    runs: list[tuple[int, int]] = []
    # No zone is more than a day from UTC: only these pieces can show that wall time.
    index = max(0, bisect_right(pieces, begin - DAY, key=lambda piece: piece.start) - 1)
    for number in range(index, len(pieces)):
        piece = pieces[number]
        if piece.start > end + DAY:
            break
        until = pieces[number + 1].start if number + 1 < len(pieces) else end + DAY
        start, stop = max(piece.start, begin - piece.offset), min(until, end - piece.offset)
        if start < stop:
            if runs and runs[-1][1] == start:
                runs[-1] = (runs[-1][0], stop)
            else:
                runs.append((start, stop))
    return runs


def _full_days(limit: int | None, busy: Sequence[tuple[int, int]], pieces: Sequence[_Piece]) -> set[int]:
    """The wall's days (since 1970) on which ``limit`` bookings start."""
    if limit is None:
        return set()
    count: dict[int, int] = {}
    for start, _ in busy:
        index = bisect_right(pieces, start, key=lambda piece: piece.start) - 1
        day = (start + pieces[max(index, 0)].offset) // DAY
        count[day] = count.get(day, 0) + 1
    return {day for day, number in count.items() if number >= limit}


def _sweep(slots: Sequence[Slot], busy: Sequence[tuple[int, int]], pad: int) -> list[Slot]:
    """The slots (sorted, of one length) that keep ``pad`` seconds from everything busy.

    Between two sessions lies the buffer after the one and the buffer before the other; they may be the same minutes, so
    the longer of both is the distance, whichever session comes first.
    """
    blocked: list[tuple[int, int]] = []
    for start, end in sorted((start - pad, end + pad) for start, end in busy):
        if blocked and start <= blocked[-1][1]:
            blocked[-1] = (blocked[-1][0], max(end, blocked[-1][1]))
        else:
            blocked.append((start, end))
    free: list[Slot] = []
    index = 0
    for slot in slots:
        while index < len(blocked) and blocked[index][1] <= slot.start:
            index += 1
        if index == len(blocked) or slot.end <= blocked[index][0]:
            free.append(slot)
    return free


def _pieces(timezone: str, frm: int, to: int) -> list[_Piece]:
    """The zone's offsets over [frm, to], the first piece starting before it."""
    years = range(datetime.fromtimestamp(frm, UTC).year, datetime.fromtimestamp(to, UTC).year + 1)
    pieces: list[_Piece] = []
    for year in years:
        for piece in _year(timezone, year):
            if not pieces or pieces[-1].offset != piece.offset:
                pieces.append(piece)
    return pieces


@lru_cache(maxsize=2048)  # a few years of all 600 zones; an entry has one to five pieces
def _year(timezone: str, year: int) -> tuple[_Piece, ...]:
    """The offsets within a year of UTC.

    Asked of the zone at every midnight, always from UTC to the wall, which is never ambiguous; where two midnights
    differ, the change is found by bisection. (No zone has ever changed twice between two midnights.)
    """
    tz = zone(timezone)

    def offset(instant: int) -> int:
        ahead = datetime.fromtimestamp(instant, tz).utcoffset()
        assert ahead is not None  # noqa: S101 - tz is a ZoneInfo
        return int(ahead.total_seconds())

    begin = (date(year, 1, 1).toordinal() - _EPOCH_DAY) * DAY
    end = (date(year + 1, 1, 1).toordinal() - _EPOCH_DAY) * DAY
    pieces = [_Piece(begin, offset(begin))]
    for midnight in range(begin, end, DAY):
        later = min(midnight + DAY, end - 1)
        if offset(later) == pieces[-1].offset:
            continue
        low, high = midnight, later  # the change is in (low, high]
        while high - low > 1:
            middle = (low + high) // 2
            if offset(middle) == pieces[-1].offset:
                low = middle
            else:
                high = middle
        pieces.append(_Piece(high, offset(high)))
    return tuple(pieces)
