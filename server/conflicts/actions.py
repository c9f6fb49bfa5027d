"""The board of what collides, one page of bookings at a time, and a mentor's own collisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.availability import store as availability
from server.availability.collisions import collisions
from server.availability.store import Appointment
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict as Clashing
from server.base.errors import FieldError, Invalid
from server.base.paging import Page, decode_position, encode_cursor
from server.booking import checks, office, steps
from server.booking import store as booking_store
from server.booking.model import Booking
from server.conflicts import model, store
from server.conflicts.model import Conflict

BATCH = 100  # bookings looked at in one go
MOST = 20  # batches for one page: beyond them the page ends early, and its cursor leads on


async def board(
    ctx: Context, cursor: str | None = None, limit: int = 50, *, mentor_id: UUID | None = None
) -> Page[Conflict]:
    """What collides of everything (a mentor's: everything of hers) that is booked and still to come, soonest first.

    A page ends with a booking, so it may be a little longer than ``limit``. Raises ``Invalid`` for the cursor.
    """
    after, now = decode_position(cursor), ctx.clock.now()
    found: list[Conflict] = []
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        for _ in range(MOST):
            batch = await booking_store.coming(conn, mentor_id, now, after, BATCH)
            for each in await _of(conn, batch, now):
                if len(found) >= limit and each.booking.id != found[-1].booking.id:
                    last = found[-1].booking
                    return Page(tuple(found), encode_cursor(last.start, last.id))
                found.append(each)
            if len(batch) < BATCH:
                return Page(tuple(found), None)
            after = (batch[-1].start, batch[-1].id)
    return Page(tuple(found), encode_cursor(*after) if after else None)


async def _of(conn: Conn, batch: Sequence[Booking], now: datetime) -> list[Conflict]:
    """What collides of these bookings (sorted by start), without what was dismissed."""
    if not batch:
        return []
    rules = await availability.rules_of(conn, list({it.mentor_id for it in batch}))
    people = {person for it in batch for person in (it.mentor_id, it.mentee_id)}
    busy: dict[UUID, list[Appointment]] = {}
    for each in await availability.appointments(
        conn, list(people), batch[0].start, max(it.end for it in batch)
    ):
        busy.setdefault(each.user_id, []).append(each)
    shared = await store.overlapping(conn, [it.session_id for it in batch])
    found: list[Conflict] = []
    for it in batch:
        if it.mentor_id in rules:
            found += model.of_rules(it, collisions(rules[it.mentor_id], it.start, it.end))
        found += model.of_calendars(it, busy)
        found += model.of_rooms(it, shared)
        found += await _proposal(conn, it, now)
    known = await store.dismissed(conn, [it.id for it in batch])
    return [each for each in found if each.key not in known]


async def _proposal(conn: Conn, it: Booking, now: datetime) -> list[Conflict]:
    """Whether the time that one side proposes could be accepted now."""
    proposal = it.proposal
    if proposal is None:
        return []
    try:
        seat = await checks.seat(
            conn, it.mentor_id, it.mentee_id, proposal.start, proposal.end, now, alone=it.id, except_booking=it.id
        )  # fmt: skip
        await checks.must_be_open(
            conn, it.mentor_id, it.mentee_id, proposal.start, proposal.end, now, asker=proposal.by,
            joining=seat.group, except_booking=it.id, notice=False,
        )  # fmt: skip
    except Invalid as refusal:
        why = refusal.errors[0].message
    except Clashing as refusal:
        why = refusal.detail
    else:
        return []
    return [
        Conflict(it, "proposal", proposal.start.isoformat(), f"The proposed time cannot be agreed to: {why}")
    ]


async def dismiss(ctx: Context, admin_id: UUID, booking_id: UUID, kind: str, cause: str, reason: str) -> None:
    """Let it be, and say why. Raises ``Invalid`` and ``NotFound("booking_not_found")``."""
    reason = office.reason_of(reason)
    if kind not in model.KINDS:
        raise Invalid([FieldError("kind", "unknown_kind", f"One of {', '.join(model.KINDS)}.")])

    async def work(conn: Conn) -> None:
        await steps.booking_in(conn, booking_id)
        await store.dismiss(conn, booking_id, kind, cause, admin_id, reason, ctx.clock.now())

    await in_transaction(ctx.pool, work)


async def of_mentor(ctx: Context, mentor_id: UUID) -> Sequence[Conflict]:
    """What of the mentor's own bookings her rules and calendars speak against, the first hundred or so."""
    return (await board(ctx, limit=100, mentor_id=mentor_id)).items
