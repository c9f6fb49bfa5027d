"""From rules in wall time to bookable slots in instants: integers throughout, sorted once, swept once; pure.

A window is the set of instants at which the wall clock shows a time inside it. So an hour that a zone skips is
never offered, one that it repeats is offered once per instant, and "09:00 weekly" stays at 09:00 on the wall. Each
unbroken run of such instants is cut, from its beginning, into slots that lie wholly inside it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from server.availability.closed import closed_days
from server.availability.model import Absence, Availability, Slot, Window
from server.people.zones import zone

MINUTE: Final = 60
DAY: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY: Final = 3  # 1 January 1970 was a Thursday


Busy = tuple[int, int]  # [start, end) in Unix seconds


class _Piece(NamedTuple):
    """From ``start`` on (Unix seconds), until the next piece, the wall clock is ``offset`` seconds ahead of UTC."""

    start: int
    offset: int


def expand(
    rules: Availability,
    frm: int,
    to: int,
    busy: Sequence[Busy],
    now: int,
    *,
    blocked: Sequence[Busy] = (),
    joinable: Sequence[Busy] = (),
    length: int | None = None,
) -> list[Slot]:
    """The open slots that start in [frm, to), in order; all in Unix seconds.

    ``busy`` are the mentor's booked times [start, end) in any order, from `margin` days before ``frm`` to as many after
    ``to``: a slot keeps the buffers' distance from each, and they count towards the limits. ``blocked`` are other
    appointments: they keep their distance and count nowhere. ``joinable`` are group sessions with seats left: one stays
    open as it is and is busy for everything else; they are not in ``busy``. Slots start no sooner than the minimum
    notice after ``now`` and no later than the booking window, and are ``length`` minutes long (None: the usual).
    """
    first = max(frm, now + rules.min_notice_minutes * MINUTE)
    last = min(to - 1, now + rules.booking_window_days * DAY)
    if last < first or not (rules.weekly or any(windows for _, windows in rules.overrides)):
        return []
    seconds = (rules.slot_minutes if length is None else length) * MINUTE
    around = margin(rules) * DAY
    pieces = {
        zone: _pieces(zone, first - around, last + around)
        for zone in {rules.timezone, *(span.timezone for span in rules.travel)}
    }
    home = pieces[rules.timezone]
    starts = sorted(set(_offered(rules, pieces, first, last, seconds)))
    pad = max(rules.buffer_before_minutes, rules.buffer_after_minutes) * MINUTE
    starts = _sweep(starts, seconds, [*busy, *blocked], pad)
    if rules.absences:
        away = [run for absence in rules.absences for run in _away(home, absence, first, last)]
        starts = _sweep(starts, seconds, away, 0)
    joined = {start for start, end in joinable if end - start == seconds}
    starts = _within_limits(rules, starts, [*busy, *joinable], home, seconds, joined)
    if joinable:
        free = set(_sweep(starts, seconds, joinable, pad)) | joined
        starts = [start for start in starts if start in free]
    return [Slot(start, start + seconds) for start in starts]


def next_slot(
    rules: Availability,
    busy: Sequence[Busy],
    now: int,
    until: int,
    *,
    blocked: Sequence[Busy] = (),
    joinable: Sequence[Busy] = (),
    length: int | None = None,
) -> Slot | None:
    """The first open slot that starts before ``until``; looks a day ahead, then twice as far, and so on."""
    end = min(until, now + rules.booking_window_days * DAY + 1)
    frm, step = now + rules.min_notice_minutes * MINUTE, DAY
    while frm < end:
        found = expand(
            rules, frm, min(frm + step, end), busy, now, blocked=blocked, joinable=joinable, length=length
        )
        if found:
            return found[0]
        frm, step = frm + step, step * 2
    return None


def margin(rules: Availability) -> int:
    """So many days around a question bookings may matter to it: in any zone, a limit counts its whole day or month."""
    return 33 if rules.counts_beyond_the_day else 4


def _offered(
    rules: Availability, pieces: Mapping[str, Sequence[_Piece]], first: int, last: int, length: int
) -> Iterator[int]:
    """Where slots of the rules start in [first, last], booked or not; those of two zones may come twice."""
    overrides = {day.toordinal() - _EPOCH_DAY: windows for day, windows in rules.overrides}
    weekly: list[list[Window]] = [[] for _ in range(7)]
    for weekday, window in rules.weekly:
        weekly[weekday].append(window)
    closed = _holidays(rules, first, last)
    travel = [
        (span.first.toordinal() - _EPOCH_DAY, span.last.toordinal() - _EPOCH_DAY, pieces[span.timezone])
        for span in rules.travel
    ]
    home = pieces[rules.timezone]
    step = length if rules.start_increment_minutes is None else rules.start_increment_minutes * MINUTE
    # A window that began on the wall's yesterday may end today, and the wall is up to 14 hours from UTC.
    for day in range(first // DAY - 3, last // DAY + 2):
        usual = () if day in closed else weekly[(day + _EPOCH_WEEKDAY) % 7]
        windows: Sequence[Window] = overrides.get(day, usual)
        if not windows:
            continue
        there = next((zone for begin, end, zone in travel if begin <= day <= end), home)
        for window in windows:
            begin, end = day * DAY + window.start * MINUTE, day * DAY + window.end * MINUTE
            for run_start, run_end in _runs(there, begin, end):
                if run_start < first:  # the cuts lie as if from the run's beginning
                    run_start += -((run_start - first) // step) * step
                yield from range(run_start, min(run_end - length, last) + 1, step)


def _holidays(rules: Availability, first: int, last: int) -> frozenset[int]:
    if rules.holidays is None:
        return frozenset()
    years = {date.fromordinal(at // DAY + _EPOCH_DAY).year for at in (first - 3 * DAY, last + 2 * DAY)}
    return frozenset[int]().union(*(closed_days(*rules.holidays, year) for year in years))


def _away(home: Sequence[_Piece], absence: Absence, first: int, last: int) -> list[tuple[int, int]]:
    """The instants around [first, last] at which the wall clock shows a time inside the absence."""
    begin, end = (int(wall.replace(tzinfo=UTC).timestamp()) for wall in (absence.start, absence.end))
    return _runs(home, max(begin, first - 2 * DAY), min(end, last + 2 * DAY))


def _runs(pieces: Sequence[_Piece], begin: int, end: int) -> list[tuple[int, int]]:
    """The unbroken stretches of instants at which the wall clock shows [begin, end).

    ``begin`` and ``end`` are wall times, counted in seconds since the wall clock showed 1970.
    """
    runs: list[tuple[int, int]] = []
    # No zone is more than a day from UTC: only these pieces can show that wall time.
    index = max(0, bisect_right(pieces, (begin - DAY, DAY)) - 1)
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


def _within_limits(
    rules: Availability,
    starts: Sequence[int],
    counted: Sequence[Busy],
    home: Sequence[_Piece],
    length: int,
    exempt: Set[int],
) -> list[int]:
    """The starts (sorted) with which the mentor's day, ISO week and month in her own zone stay within the limits.

    A session that is joined is there already, whatever the limits say.
    """
    limits = [
        (period, most, None if minutes is None else minutes * MINUTE - length)
        for period, most, minutes in (
            (_same_day, rules.max_per_day, rules.max_minutes_per_day),
            (_week, rules.max_per_week, rules.max_minutes_per_week),
            (_month, rules.max_per_month, rules.max_minutes_per_month),
        )
        if most is not None or minutes is not None
    ]
    if not limits:
        return list(starts)
    full: set[tuple[int, int]] = set()  # (number of the limit, period)
    for number, (period, most, seconds) in enumerate(limits):
        sessions: dict[int, int] = {}
        used: dict[int, int] = {}
        for start, end in counted:
            key = period(_day(home, start))
            sessions[key] = sessions.get(key, 0) + 1
            used[key] = used.get(key, 0) + end - start
        full |= {(number, key) for key in sessions if most is not None and sessions[key] >= most}
        full |= {(number, key) for key in used if seconds is not None and used[key] > seconds}
        if seconds is not None and seconds < 0:  # not even one fits
            return [start for start in starts if start in exempt]
    if not full:
        return list(starts)
    open_days: dict[int, bool] = {}
    left = []
    for start in starts:
        day = _day(home, start)
        if day not in open_days:
            open_days[day] = not any((n, period(day)) in full for n, (period, _, _) in enumerate(limits))
        if open_days[day] or start in exempt:
            left.append(start)
    return left


def _day(pieces: Sequence[_Piece], instant: int) -> int:
    """The wall's day (since 1970) of an instant."""
    index = bisect_right(pieces, (instant, DAY)) - 1  # an offset is less than a day
    return (instant + pieces[max(index, 0)].offset) // DAY


def _same_day(day: int) -> int:
    return day


def _week(day: int) -> int:
    """ISO weeks begin on Mondays."""
    return (day + _EPOCH_WEEKDAY) // 7


def _month(day: int) -> int:
    at = date.fromordinal(day + _EPOCH_DAY)
    return at.year * 12 + at.month


def _sweep(starts: Sequence[int], length: int, busy: Sequence[Busy], pad: int) -> list[int]:
    """The starts (sorted) of slots of ``length`` that keep ``pad`` seconds from everything busy.

    Between two sessions lies the buffer after the one and the buffer before the other; they may be the same minutes, so
    the longer of both is the distance, whichever session comes first.
    """
    blocked: list[tuple[int, int]] = []
    for start, end in sorted((start - pad, end + pad) for start, end in busy):
        if blocked and start <= blocked[-1][1]:
            blocked[-1] = (blocked[-1][0], max(end, blocked[-1][1]))
        else:
            blocked.append((start, end))
    free: list[int] = []
    index = 0
    for start in starts:
        while index < len(blocked) and blocked[index][1] <= start:
            index += 1
        if index == len(blocked) or start + length <= blocked[index][0]:
            free.append(start)
    return free


def _pieces(timezone: str, frm: int, to: int) -> tuple[_Piece, ...]:
    """The zone's offsets over [frm, to], the first piece starting before it."""
    return _years(timezone, datetime.fromtimestamp(frm, UTC).year, datetime.fromtimestamp(to, UTC).year)


@lru_cache(maxsize=2048)
def _years(timezone: str, first: int, last: int) -> tuple[_Piece, ...]:
    pieces: list[_Piece] = []
    for year in range(first, last + 1):
        for piece in _year(timezone, year):
            if not pieces or pieces[-1].offset != piece.offset:
                pieces.append(piece)
    return tuple(pieces)


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
