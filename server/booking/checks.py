"""Whether a time can be booked: the mentor's rules and everybody's other bookings, seen inside the transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.availability import store as availability
from server.availability.actions import MARGIN
from server.availability.expansion import expand
from server.availability.model import Availability, Slot
from server.base.db import Conn
from server.base.errors import Conflict, FieldError, Invalid
from server.booking import store
from server.booking.store import Taken

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


async def must_be_open(
    conn: Conn,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    asker: UUID,
    except_booking: UUID | None = None,
) -> None:
    """Pass if [start, end) is an open slot of the mentor's, and the mentee is free; both must be locked.

    Raises ``Invalid`` when the mentor never offered it, ``Conflict("booking_conflict")`` when something is in the way,
    ``Conflict("day_full")`` when the mentor's limit for the day is reached.
    """
    rules = (await availability.rules_of(conn, [mentor_id])).get(mentor_id)
    if rules is None or not _offered(rules, start, end, now, busy=[]):
        raise Invalid([_not_offered(rules, start, now)])
    pad = timedelta(minutes=max(rules.buffer_before_minutes, rules.buffer_after_minutes))
    await must_be_free(
        conn, mentor_id, mentee_id, start, end, asker=asker, pad=pad, except_booking=except_booking
    )
    busy = await availability.busy_of(conn, [mentor_id], start - MARGIN, end + MARGIN, except_booking)
    if not _offered(rules, start, end, now, busy.get(mentor_id, [])):
        raise Conflict("day_full", "The mentor takes no more sessions on that day.")


async def must_be_free(
    conn: Conn,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    *,
    asker: UUID,
    pad: timedelta = _NOTHING,
    except_booking: UUID | None = None,
) -> None:
    """Pass if nothing of either person is in [start, end), nor of the mentor's nearer than ``pad``.

    Raises ``Conflict("booking_conflict")``.
    """
    taken = await store.in_the_way(conn, (mentor_id, mentee_id), mentor_id, start, end, pad, except_booking)
    if taken:
        raise _conflict(taken, asker)


async def conflict(
    conn: Conn,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    *,
    asker: UUID,
    except_booking: UUID | None = None,
) -> Conflict:
    """What to raise when a constraint refused a time that had looked free."""
    taken = await store.in_the_way(
        conn, (mentor_id, mentee_id), mentor_id, start, end, _NOTHING, except_booking
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


def _offered(
    rules: Availability, start: datetime, end: datetime, now: datetime, busy: list[tuple[int, int]]
) -> bool:
    if start.microsecond or end.microsecond:
        return False
    begin = int(start.timestamp())
    return Slot(begin, int(end.timestamp())) in expand(rules, begin, begin + 1, busy, _ceil(now))


def _ceil(now: datetime) -> int:
    return int(now.timestamp()) + (now.microsecond > 0)


def _not_offered(rules: Availability | None, start: datetime, now: datetime) -> FieldError:
    """The nearest reason."""
    if rules is not None:
        if start < now + timedelta(minutes=rules.min_notice_minutes):
            return FieldError("start", "too_short_notice", "The mentor wants more notice than that.")
        if start > now + timedelta(days=rules.booking_window_days):
            return FieldError("start", "beyond_booking_window", "The mentor cannot be booked that far ahead.")
    return FieldError("start", "not_a_slot", "The mentor does not offer this time.")
