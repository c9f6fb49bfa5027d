"""Whether a time can be booked: the mentor's rules and everybody's other bookings, seen inside the transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.availability import store as availability
from server.availability.model import Availability, Slot
from server.availability.slots import Calendar, calendars, ceil
from server.base.db import Conn
from server.base.errors import Conflict, FieldError, Forbidden, Invalid
from server.booking import store
from server.booking.model import Clash, Seat, instant, next_seat
from server.booking.store import Taken
from server.conduct import store as conduct

_BUSY: Final = "Busy"
_FURTHEST: Final = timedelta(days=400)  # beyond every booking window; keeps dates inside the calendar
_NOTHING: Final = timedelta()


def time_faults(start: datetime, end: datetime, now: datetime) -> list[FieldError]:
    """What is wrong with a time whoever the mentor is."""
    faults = []
    if end <= start:
        faults.append(FieldError("end", "end_before_start", "The end must lie after the start."))
    if start <= now:
        faults.append(FieldError("start", "in_the_past", "This time has passed."))
    elif start > now + _FURTHEST:
        faults.append(FieldError("start", "beyond_booking_window", "This is too far ahead."))
    return faults


async def must_be_allowed(conn: Conn, mentor_id: UUID, mentee_id: UUID, now: datetime) -> None:
    """Pass unless one of them is restricted after repeated no-shows. Of a mentor who is, nothing is offered, and why is
    nobody else's business.

    Raises ``Forbidden("booking_restricted")`` and ``Invalid``.
    """
    held = await conduct.restricted(conn, [mentor_id, mentee_id], now)
    if (until := held.get(mentee_id)) is not None:
        raise restricted(until)
    if mentor_id in held:
        raise Invalid([FieldError("start", "not_a_slot", "The mentor does not offer this time.")])


async def must_be_allowed_to_accept(conn: Conn, mentor_id: UUID, now: datetime) -> None:
    """Raises ``Forbidden("booking_restricted")``."""
    if (until := (await conduct.restricted(conn, [mentor_id], now)).get(mentor_id)) is not None:
        raise restricted(until)


def restricted(until: datetime) -> Forbidden:
    return Forbidden(
        "booking_restricted",
        f"After several missed sessions you cannot do this until {until:%d %B %Y, %H:%M} UTC."
        " Your page of missed sessions (/standing) says why, and there you can appeal.",
        until=instant(until),
        appeal="/standing",
    )


async def seat(
    conn: Conn,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    alone: UUID,
    except_booking: UUID | None = None,
) -> Seat:
    """The place that a booking of [start, end) takes: the next free seat of the mentor's group session at that very
    time, or the first one of a group of its own, ``alone``. Counts only once the mentor is locked.

    Raises ``Conflict("group_full")``.
    """
    group = await store.group_at(conn, mentor_id, start, end, except_booking, now)
    if group is None or mentee_id in group.mentees:
        return Seat(alone, 1)
    capacity = await availability.capacity_of(conn, mentor_id)
    if capacity == 1:
        return Seat(alone, 1)  # `must_be_free` says what is in the way
    number = next_seat(group.seats, capacity)
    if number is None:
        raise Conflict("group_full", f"All {capacity} seats of this session are taken.")
    return Seat(group.id, number)


async def must_be_open(
    conn: Conn,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    asker: UUID,
    joining: UUID | None = None,
    except_booking: UUID | None = None,
    notice: bool = True,
) -> Availability:
    """The mentor's rules, if [start, end) is an open slot of the mentor's, and the mentee is free; both must be locked.
    Others of the group ``joining`` share it. Without ``notice`` it may be sooner than she usually wants: she has agreed
    to this one.

    Raises ``Invalid`` when the mentor never offered it, ``Conflict("booking_conflict")`` when something is in the way,
    ``Conflict("day_full")``, ``week_full`` or ``month_full`` when a limit of the mentor's is reached.
    """
    rules = (await availability.rules_of(conn, [mentor_id])).get(mentor_id)
    if rules is not None and not notice:
        rules = replace(rules, min_notice_minutes=0)
    if rules is None or not _open(Calendar(rules), start, end, now):
        raise Invalid([_not_offered(rules, start, end, now)])
    pad = timedelta(minutes=max(rules.buffer_before_minutes, rules.buffer_after_minutes))
    await must_be_free(
        conn, mentor_id, mentee_id, start, end, now, asker=asker, joining=joining, pad=pad,
        except_booking=except_booking,
    )  # fmt: skip
    await _no_appointment(conn, mentor_id, mentee_id, start, end, asker, pad)
    span = (int(start.timestamp()), int(end.timestamp()))
    calendar = (await calendars(conn, {mentor_id: rules}, *span, except_booking))[mentor_id]
    if not _open(calendar, start, end, now):
        raise _full(calendar, start, end, now)
    return rules


async def must_be_free(
    conn: Conn,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    asker: UUID,
    joining: UUID | None = None,
    pad: timedelta = _NOTHING,
    except_booking: UUID | None = None,
) -> None:
    """Pass if nothing of either person is in [start, end), nor of the mentor's nearer than ``pad``, but others of the
    group ``joining``.

    Raises ``Conflict("booking_conflict")``.
    """
    taken = await store.in_the_way(
        conn, (mentor_id, mentee_id), mentor_id, start, end, pad, except_booking, now, joining
    )
    if taken:
        raise _conflict(taken, asker)


async def look(
    conn: Conn,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    asker: UUID,
    alone: UUID,
) -> None:
    """A first look that takes no lock: `must_be_free`, with whatever group there is to join.

    Two questions are two moments: a group that began between them is in nobody's way, so the seat is asked for again.
    """
    when = (mentor_id, mentee_id, start, end, now)
    group = (await seat(conn, *when, alone=alone)).group
    try:
        await must_be_free(conn, *when, asker=asker, joining=group)
    except Conflict:
        if (await seat(conn, *when, alone=alone)).group == group:
            raise


async def conflict(
    conn: Conn,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    asker: UUID,
    except_booking: UUID | None = None,
) -> Conflict:
    """What to raise when a constraint refused a time that had looked free."""
    taken = await store.in_the_way(
        conn, (mentor_id, mentee_id), mentor_id, start, end, _NOTHING, except_booking, now
    )
    return _conflict(taken, asker)


def _conflict(taken: list[Taken], asker: UUID) -> Conflict:
    """People see the titles of their own bookings; of others', that there is one and when."""
    shown = []
    for each in taken:
        document = each.clash.document()
        document["title"] = (each.clash.title or "Session") if asker in each.people else _BUSY
        shown.append(document)
    return Conflict("booking_conflict", "Something else is at that time.", conflicts=shown)


async def _no_appointment(
    conn: Conn, mentor_id: UUID, mentee_id: UUID, start: datetime, end: datetime, asker: UUID, pad: timedelta
) -> None:
    """The second layer: neither person's other calendars say busy, and the mentor keeps her distance there, too."""
    found = await availability.appointments(conn, [mentor_id], start - pad, end + pad)
    found += await availability.appointments(conn, [mentee_id], start, end)
    if found:
        raise _conflict(
            [
                Taken(
                    Clash("calendar", each.id, each.start, each.end, each.title), frozenset((each.user_id,))
                )
                for each in found
            ],
            asker,
        )


def _open(calendar: Calendar, start: datetime, end: datetime, now: datetime) -> bool:
    """Whether [start, end) is among the open slots of its length."""
    length, rest = divmod(int((end - start).total_seconds()), 60)
    if start.microsecond or end.microsecond or rest or length not in calendar.rules.lengths:
        return False
    begin = int(start.timestamp())
    return Slot(begin, int(end.timestamp())) in calendar.open(begin, begin + 1, ceil(now), length)


def _full(calendar: Calendar, start: datetime, end: datetime, now: datetime) -> Conflict:
    """The narrowest limit that is reached; only limits are left to refuse a time that is offered and free."""
    monthly = replace(
        calendar.rules,
        max_per_day=None,
        max_minutes_per_day=None,
        max_per_week=None,
        max_minutes_per_week=None,
    )
    weekly = replace(calendar.rules, max_per_day=None, max_minutes_per_day=None)
    for period, rules in (("month", monthly), ("week", weekly)):
        if not _open(replace(calendar, rules=rules), start, end, now):
            return Conflict(f"{period}_full", f"The mentor takes no more sessions in that {period}.")
    return Conflict("day_full", "The mentor takes no more sessions on that day.")


def _not_offered(rules: Availability | None, start: datetime, end: datetime, now: datetime) -> FieldError:
    """The nearest reason."""
    if rules is not None:
        if start < now + timedelta(minutes=rules.min_notice_minutes):
            return FieldError("start", "too_short_notice", "The mentor wants more notice than that.")
        if start > now + timedelta(days=rules.booking_window_days):
            return FieldError("start", "beyond_booking_window", "The mentor cannot be booked that far ahead.")
        if end - start not in {timedelta(minutes=length) for length in rules.lengths}:
            offered = " or ".join(map(str, rules.lengths))
            return FieldError("end", "length_not_offered", f"The mentor meets for {offered} minutes.")
    return FieldError("start", "not_a_slot", "The mentor does not offer this time.")
