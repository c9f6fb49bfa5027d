"""Open slots as computed from the database, and kept by week until something changes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from server.availability import store
from server.availability.expansion import DAY, MINUTE, Busy, expand, margin, next_slot
from server.availability.model import Availability, Slot
from server.base.cache import Cache
from server.base.db import Conn

WEEK: Final = 7 * DAY
KEPT: Final = 3600  # seconds; a value carries the version it was computed from, so this only bounds memory
_FORM: Final = 2  # of the cached values


@dataclass(frozen=True, slots=True)
class Calendar:
    """One mentor's rules and everything in their way around a span; ``joinable`` are sessions with seats left, and
    ``seats`` says how many are taken of each group session."""

    rules: Availability
    busy: Sequence[Busy] = ()
    blocked: Sequence[Busy] = ()
    joinable: Sequence[Busy] = ()
    seats: Mapping[Busy, int] = field(default_factory=dict)

    def open(self, frm: int, to: int, now: int, length: int | None) -> list[Slot]:
        return expand(
            self.rules, frm, to, self.busy, now, blocked=self.blocked, joinable=self.joinable, length=length
        )

    def next(self, now: int, until: int) -> Slot | None:
        return next_slot(self.rules, self.busy, now, until, blocked=self.blocked, joinable=self.joinable)


async def calendars(
    conn: Conn, rules: Mapping[UUID, Availability], frm: int, to: int, except_booking: UUID | None = None
) -> dict[UUID, Calendar]:
    """What is needed to answer questions about [frm, to), in Unix seconds, for these mentors."""
    mentors = list(rules)
    around = timedelta(days=max((margin(each) for each in rules.values()), default=0))
    begin, end = instant(frm) - around, instant(to) + around
    booked = await store.busy_of(conn, mentors, begin, end, except_booking)
    blocked = await store.external_of(conn, mentors, begin, end)
    return {
        mentor: _calendar(each, booked.get(mentor, ()), blocked.get(mentor, ()))
        for mentor, each in rules.items()
    }


def _calendar(rules: Availability, booked: Sequence[store.Booked], blocked: Sequence[Busy]) -> Calendar:
    busy: list[Busy] = []
    joinable: list[Busy] = []
    taken: dict[Busy, int] = {}
    for start, end, seats in booked:
        open_seats = rules.capacity > 1 and seats is not None and seats < rules.capacity
        (joinable if open_seats else busy).append((start, end))
        if rules.capacity > 1 and seats is not None:
            taken[start, end] = seats
    return Calendar(rules, busy, blocked, joinable, taken)


@dataclass(frozen=True, slots=True)
class Offered:
    """Open slots of one length; of a mentor with more than one seat also how many are ``taken``, by start, and the
    times whose seats all are."""

    slots: list[Slot]
    capacity: int = 1
    taken: Mapping[int, int] = field(default_factory=dict)
    sold_out: Sequence[Slot] = ()


async def open_slots(
    conn: Conn, cache: Cache, mentor_id: UUID, frm: int, to: int, now: int, length: int | None
) -> list[Slot]:
    """The slots of `offered`."""
    return (await offered(conn, cache, mentor_id, frm, to, now, length)).slots


async def offered(
    conn: Conn, cache: Cache, mentor_id: UUID, frm: int, to: int, now: int, length: int | None
) -> Offered:
    """The mentor's open slots that start in [frm, to). ``conn`` must be in a snapshot: what is cached is then what
    belongs to the version."""
    version = (await store.versions(conn, [mentor_id])).get(mentor_id, 0)
    weeks = range(frm // WEEK, (to - 1) // WEEK + 1)
    keys = [_key(mentor_id, version, length, week) for week in weeks]
    kept = [_read(value) for value in await cache.get(keys)]
    if any(each is None for each in kept):
        rules = (await store.rules_of(conn, [mentor_id])).get(mentor_id)
        if rules is None:
            return Offered([])
        calendar = (await calendars(conn, {mentor_id: rules}, frm // WEEK * WEEK, weeks.stop * WEEK))[
            mentor_id
        ]
        made = {
            place: _week_of(calendar, week, length)
            for place, (week, each) in enumerate(zip(weeks, kept, strict=True))
            if each is None
        }
        kept = [made.get(place, each) for place, each in enumerate(kept)]
        await cache.put({keys[place]: _written(week) for place, week in made.items()}, KEPT)
    whole = [week for week in kept if week is not None]
    taken = {start: seats for week in whole for start, seats in week.taken}
    capacity = max((week.capacity for week in whole), default=1)
    return Offered(
        [slot for week in whole for slot in week.within(week.starts, frm, to, now)],
        capacity,
        taken,
        [
            slot
            for week in whole
            for slot in week.within([start for start, n in week.taken if n >= capacity], frm, to, now)
        ],
    )


async def next_slots(
    conn: Conn, cache: Cache, mentors: Sequence[UUID], now: int, until: int
) -> dict[UUID, Slot]:
    """Each mentor's first open slot that starts before ``until``; absent for whom there is none. ``conn`` must be in a
    snapshot, as for `open_slots`."""
    versions = await store.versions(conn, mentors)
    keys = [f"next:{_FORM}:{mentor}:{versions.get(mentor, 0)}" for mentor in mentors]
    known: dict[UUID, _Next] = {}
    unknown: dict[UUID, str] = {}
    for mentor, key, value in zip(mentors, keys, await cache.get(keys), strict=True):
        kept = _next_read(value)
        if kept is not None and kept.still(now):
            known[mentor] = kept
        else:
            unknown[mentor] = key
    if unknown:
        rules = await store.rules_of(conn, list(unknown))
        ahead = DAY * (1 + max((each.booking_window_days for each in rules.values()), default=0))
        made = {
            mentor: _next_of(calendar, now)
            for mentor, calendar in (await calendars(conn, rules, now, now + ahead)).items()
        }
        await cache.put(
            {unknown[mentor]: b" ".join(b"%d" % it for it in each) for mentor, each in made.items()}, KEPT
        )
        known |= made
    return {
        mentor: Slot(it.start, it.end)
        for mentor, it in known.items()
        if it.start and it.visible <= now and it.start < until
    }


class _Next(NamedTuple):
    """The first open slot as seen at ``seen``, looking a day beyond the booking window: bookable from ``visible`` on,
    and the first one until ``last``. Without one (``start`` 0) there is none until ``last``."""

    seen: int
    visible: int
    last: int
    start: int
    end: int

    def still(self, now: int) -> bool:
        return self.seen <= now <= self.last


def _next_of(calendar: Calendar, now: int) -> _Next:
    rules = calendar.rules
    further = replace(calendar, rules=replace(rules, booking_window_days=rules.booking_window_days + 1))
    slot = further.next(now, now + (rules.booking_window_days + 1) * DAY + 1)
    if slot is None:
        return _Next(now, 0, now + DAY, 0, 0)
    return _Next(
        now,
        slot.start - rules.booking_window_days * DAY,
        slot.start - rules.min_notice_minutes * MINUTE,
        *slot,
    )


def _next_read(value: bytes | None) -> _Next | None:
    """None for nothing, and for what somebody else has written there."""
    try:
        return None if value is None else _Next(*map(int, value.split()))
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class _Week:
    """The starts of one week whatever the time is, with what the time decides."""

    notice: int  # seconds
    window: int
    length: int
    starts: tuple[int, ...]
    capacity: int
    taken: tuple[tuple[int, int], ...]  # (start, seats) of group sessions of this length

    def within(self, starts: Iterable[int], frm: int, to: int, now: int) -> Iterable[Slot]:
        """Those of the starts that can be asked for now."""
        first, last = max(frm, now + self.notice), min(to - 1, now + self.window)
        return (Slot(start, start + self.length) for start in starts if first <= start <= last)


def _week_of(calendar: Calendar, week: int, length: int | None) -> _Week:
    rules = calendar.rules
    timeless = replace(calendar, rules=replace(rules, min_notice_minutes=0, booking_window_days=365))
    begin, end = week * WEEK, (week + 1) * WEEK
    slots = timeless.open(begin, end, begin, length)
    seconds = (length or rules.slot_minutes) * MINUTE
    return _Week(
        notice=rules.min_notice_minutes * MINUTE,
        window=rules.booking_window_days * DAY,
        length=seconds,
        starts=tuple(slot.start for slot in slots),
        capacity=rules.capacity,
        taken=tuple(
            (start, seats)
            for (start, stop), seats in sorted(calendar.seats.items())
            if begin <= start < end and stop - start == seconds
        ),
    )


def _key(mentor_id: UUID, version: int, length: int | None, week: int) -> str:
    return f"slots:{_FORM}:{mentor_id}:{version}:{length or 0}:{week}"


def _written(week: _Week) -> bytes:
    kept = [week.notice, week.window, week.length, week.starts, week.capacity, week.taken]
    return json.dumps(kept, separators=(",", ":")).encode()


def _read(value: bytes | None) -> _Week | None:
    """None for nothing, and for what somebody else has written there."""
    if value is None:
        return None
    try:
        notice, window, length, starts, capacity, taken = json.loads(value)
        return _Week(
            int(notice),
            int(window),
            int(length),
            tuple(map(int, starts)),
            int(capacity),
            tuple((int(start), int(seats)) for start, seats in taken),
        )
    except (ValueError, TypeError):
        return None


def ceil(at: datetime) -> int:
    """Unix seconds, rounded up: a slot that starts at 09:00:00 is over for somebody who asks half a second later."""
    whole = int(at.astimezone(UTC).timestamp())
    return whole + (at.microsecond > 0)


def instant(seconds: int) -> datetime:
    """The other way; what lies beyond the calendar is brought back into it."""
    return datetime.fromtimestamp(min(max(seconds, 0), 253_402_300_799), UTC)
