"""A booking every week: all of them or none, with a report of the dates that collide."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from server.availability import store as availability
from server.base.context import Context
from server.base.db import Conn, in_transaction, no_more
from server.base.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, Refusal
from server.base.ids import new_id
from server.booking import actions as booking
from server.booking import store as bookings
from server.booking.model import Booking, Status, instant
from server.people.store import lock_people
from server.people.zones import zone
from server.sessions.actions import at_once, cancel_one, publish

MOST: Final = 26  # half a year of weeks
_PER_DATE: Final = frozenset(
    {"booking_conflict", "day_full", "week_full", "month_full", "group_full", "invalid_input"}
)


async def book(
    ctx: Context,
    mentee_id: UUID,
    *,
    mentor_id: UUID,
    start: datetime,
    end: datetime,
    weeks: int,
    topic: str = "",
    note: str = "",
    then: Callable[[Conn, list[Booking]], Awaitable[None]] = no_more,
) -> list[Booking]:
    """Ask for [start, end) and the same time on the mentor's wall in each of the following weeks, ``weeks`` in all;
    ``then`` joins the transaction.

    Raises ``Invalid`` for ``weeks``, ``Conflict("series_conflict")`` with ``dates``: [{start, end, code, detail,
    conflicts}] of every date that cannot be booked, and what a single booking raises whatever its date.
    """
    if not 2 <= weeks <= MOST:
        raise Invalid([FieldError("weeks", "out_of_range", f"From 2 to {MOST}.")])

    async def work(conn: Conn) -> list[Booking]:
        now, series_id = ctx.clock.now(), new_id()
        rules = (await availability.rules_of(conn, [mentor_id])).get(mentor_id)
        dates = weekly(start, end, weeks, "UTC" if rules is None else rules.timezone)
        made: list[Booking] = []
        collisions: list[dict[str, Any]] = []
        for begin, until in dates:
            try:
                async with conn.transaction():  # a savepoint: one date that fails does not hide the others
                    one = await booking.book_in(
                        conn, mentee_id, mentor_id=mentor_id, start=begin, end=until, topic=topic, note=note,
                        now=now, series_id=series_id,
                    )  # fmt: skip
                    made.append(await at_once(conn, one, now))
            except (Conflict, Invalid) as refusal:
                if refusal.code not in _PER_DATE or (isinstance(refusal, Invalid) and not _of_time(refusal)):
                    raise
                collisions.append(_report(begin, until, refusal))
        if collisions:
            raise Conflict(
                "series_conflict",
                f"{len(collisions)} of {weeks} dates cannot be booked; none was.",
                dates=collisions,
            )
        await then(conn, made)
        return made

    made = await in_transaction(ctx.pool, work)
    ctx.wake()
    return made


def weekly(start: datetime, end: datetime, weeks: int, timezone: str) -> list[tuple[datetime, datetime]]:
    """[start, end) and the same wall time in the zone in the weeks after it; where the clocks repeat an hour the first
    one, where they skip it the instant that the old offset gives (which no mentor offers)."""
    wall = start.astimezone(zone(timezone)).replace(tzinfo=None, fold=0)
    first = start.astimezone(UTC)
    dates = [(first, first + (end - start))]
    for week in range(1, weeks):
        begin = (wall + timedelta(weeks=week)).replace(tzinfo=zone(timezone)).astimezone(UTC)
        dates.append((begin, begin + (end - start)))
    return dates


async def approve(ctx: Context, mentor_id: UUID, series_id: UUID) -> list[Booking]:
    """Agree to every request of a series that still waits. Raises what approving one raises; then none is."""

    async def work(conn: Conn) -> list[Booking]:
        now = ctx.clock.now()
        waiting = [it for it in await _of(conn, mentor_id, series_id) if it.status is Status.REQUESTED]
        if not waiting:
            raise Conflict("illegal_transition", "Nothing of this series waits for an answer.")
        return [
            await publish(conn, await booking.approve_in(conn, mentor_id, it.id, now), now) for it in waiting
        ]

    approved = await in_transaction(ctx.pool, work)
    ctx.wake()
    return approved


async def cancel(ctx: Context, actor_id: UUID, series_id: UUID, reason: str = "") -> list[Booking]:
    """Call off whatever of a series has not begun. Raises what cancelling one raises; then nothing is."""

    async def work(conn: Conn) -> list[Booking]:
        now = ctx.clock.now()
        coming = [
            it
            for it in await _of(conn, actor_id, series_id)
            if it.status in (Status.REQUESTED, Status.APPROVED) and it.start > now
        ]
        if not coming:
            raise Conflict("illegal_transition", "Nothing of this series is still to come.")
        return [await cancel_one(conn, ctx, actor_id, it.id, reason, now) for it in coming]

    cancelled = await in_transaction(ctx.pool, work)
    ctx.wake()
    return cancelled


async def _of(conn: Conn, actor_id: UUID, series_id: UUID) -> list[Booking]:
    """The bookings of a series, its people locked. Raises ``NotFound`` and ``Forbidden``."""
    found = await bookings.of_series(conn, series_id)
    if not found:
        raise NotFound("series_not_found", "There is no such series.")
    if actor_id not in (found[0].mentor_id, found[0].mentee_id):
        raise Forbidden("not_a_participant", "This series is somebody else's.")
    await lock_people(conn, (found[0].mentor_id, found[0].mentee_id))
    return await bookings.of_series(conn, series_id)


def _of_time(refusal: Invalid) -> bool:
    return all(error.field in ("start", "end") for error in refusal.errors)


def _report(start: datetime, end: datetime, refusal: Refusal) -> dict[str, Any]:
    fault = refusal.errors[0] if isinstance(refusal, Invalid) else None
    return {
        "start": instant(start),
        "end": instant(end),
        "code": fault.code if fault else refusal.code,
        "detail": fault.message if fault else refusal.detail,
        "conflicts": refusal.extra.get("conflicts", []),
    }
