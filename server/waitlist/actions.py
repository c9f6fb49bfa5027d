"""Stand in line, leave it, and offer what becomes free to the first one whom it suits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from server.availability import actions as availability
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction, no_more
from server.base.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, Refusal
from server.base.ids import new_id
from server.base.store import record
from server.booking import actions as booking
from server.booking.model import Booking
from server.people import actions as people
from server.people.model import Role
from server.waitlist import store
from server.waitlist.model import LONGEST, MOST, OFFER_FOR, Place, SlotOffered, WaitStatus


async def join(
    ctx: Context,
    mentee_id: UUID,
    mentor_id: UUID,
    earliest: datetime,
    latest: datetime,
    then: Callable[[Conn, Place], Awaitable[None]] = no_more,
) -> Place:
    """Wait for any time of the mentor's in [earliest, latest); ``then`` joins the transaction.

    Raises ``Invalid``, ``NotFound("mentor_not_found")``, ``Forbidden("mentees_only")``, and ``Conflict`` with
    ``slots_open`` (there is time: book it), ``already_waiting`` or ``too_many_places``.
    """
    now = ctx.clock.now()
    faults = []
    if latest <= max(earliest, now):
        faults.append(
            FieldError("latest", "end_before_start", "The end must lie after the start, and ahead.")
        )
    elif latest - earliest > LONGEST:
        faults.append(FieldError("latest", "span_too_long", f"At most {LONGEST.days} days."))
    if faults:
        raise Invalid(faults)
    if await availability.open_slots(ctx, mentor_id, max(earliest, now), latest):
        raise Conflict("slots_open", "The mentor has time then: book it.")

    async def work(conn: Conn) -> Place:
        if (await people.user_in(conn, mentee_id)).role is not Role.MENTEE:
            raise Forbidden("mentees_only", "Only mentees wait for mentors.")
        if len(await store.of_person(conn, mentee_id, MOST)) >= MOST:
            raise Conflict("too_many_places", f"One can stand in {MOST} lines at a time.")
        identity = new_id()
        if not await store.insert(conn, identity, mentor_id, mentee_id, earliest, latest, now):
            raise Conflict("already_waiting", "You wait for this mentor already.")
        made = await _place(conn, identity)
        await then(conn, made)
        return made

    return await in_transaction(ctx.pool, work)


async def leave(ctx: Context, mentee_id: UUID, place_id: UUID) -> None:
    """Wait no more; an offer is left to the next one when it runs out, or at once by cancelling its hold.

    Raises ``NotFound("place_not_found")``; somebody else's place is not found either. Twice is fine.
    """

    async def work(conn: Conn) -> None:
        found = await _place(conn, place_id)
        if found.mentee_id != mentee_id:
            raise NotFound("place_not_found", "There is no such place.")
        if found.status in (WaitStatus.WAITING, WaitStatus.OFFERED):
            await store.set_status(conn, place_id, WaitStatus.LEFT, None, ctx.clock.now())

    await in_transaction(ctx.pool, work)


async def of_person(ctx: Context, mentee_id: UUID) -> list[Place]:
    """Where the person stands now."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.of_person(conn, mentee_id, MOST)


async def offer_in(
    conn: Conn, mentor_id: UUID, start: datetime, end: datetime, now: datetime
) -> Booking | None:
    """[start, end) of the mentor's has become free: keep it for the first in line who can take it, if there is one.

    Whom the time does not suit after all (another booking of theirs, a rule of the mentor's) keeps the place.
    """
    for waiting in await store.line(conn, mentor_id, start, end):
        try:
            async with conn.transaction():  # a savepoint
                kept = await booking.book_in(
                    conn, waiting.mentee_id, mentor_id=mentor_id, start=start, end=end, topic="", note="", now=now,
                    hold=OFFER_FOR,
                )  # fmt: skip
        except Refusal:
            continue
        await store.set_status(conn, waiting.id, WaitStatus.OFFERED, kept.id, now)
        assert kept.expires_at is not None  # noqa: S101 - it is a hold
        await record(
            conn,
            SlotOffered(
                kept.session_id, now, kept.id, mentor_id, waiting.mentee_id, start, end, kept.expires_at
            ),
        )
        return kept
    return None


async def taken_in(conn: Conn, booking_id: UUID, now: datetime) -> None:
    """The hold was confirmed: if it was an offer, its place in the line is over."""
    await store.answered(conn, booking_id, WaitStatus.TAKEN, now)


async def passed_in(conn: Conn, booking_id: UUID, now: datetime) -> None:
    """The hold was let go: if it was an offer, the line goes on without its place."""
    await store.answered(conn, booking_id, WaitStatus.PASSED, now)


async def _place(conn: Conn, place_id: UUID) -> Place:
    if (found := await store.place(conn, place_id)) is None:
        raise NotFound("place_not_found", "There is no such place.")
    return found
