"""Record what the SFU saw, settle a session by it, and show it to those who may see it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from server.attendance import ladder, model, store
from server.attendance.evidence import evidence_in
from server.attendance.model import (
    ORPHAN_AFTER,
    SERVER_LOST,
    MediaSwitched,
    NoShowSuspected,
    Nudge,
    PersonAttendance,
    PersonJoined,
    PersonLeft,
    SessionSettled,
)
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import NotFound
from server.base.log import logger
from server.base.store import record
from server.base.sweeps import for_each
from server.booking import actions as bookings
from server.booking.model import Booking
from server.ledger import actions as ledger
from server.people.model import Principal
from server.sessions import actions as sessions
from server.sessions.model import JOIN_CLOSES, Outcome

log = logger(__name__)


async def joined(ctx: Context, session_id: UUID, user_id: UUID, peer_id: str, at: datetime) -> None:
    """The SFU began to see the peer's media at ``at``. Again, or while the peer is already here: nothing happens."""

    async def work(conn: Conn) -> bool:
        if new := await store.open_interval(conn, session_id, user_id, peer_id, at):
            await record(conn, PersonJoined(session_id, at, user_id, peer_id))
        return new

    if await in_transaction(ctx.pool, work):
        ctx.wake()


async def seen(ctx: Context, heartbeats: Sequence[tuple[UUID, str, datetime, float, float]]) -> None:
    """Heartbeats ``(session_id, peer_id, at, media_seconds, talk_seconds)`` of peers whose media flow (`model.Seen`).

    The seconds are totals since the peer's open interval began, so a heartbeat that arrives twice or late is harmless.
    Peers without an open interval are ignored, except when it was written off as ``server_lost``: then it lives on.
    """
    if heartbeats:
        async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            await store.touch(conn, heartbeats)


async def left(
    ctx: Context, session_id: UUID, user_id: UUID, peer_id: str, at: datetime, reason: str
) -> None:
    """The SFU last saw the peer at ``at``; ``reason`` is closed, timed_out, ... Again: nothing happens."""

    async def work(conn: Conn) -> bool:
        if closed := await store.close_interval(conn, session_id, peer_id, at, reason):
            await record(conn, PersonLeft(session_id, at, user_id, peer_id, reason))
        return closed

    if await in_transaction(ctx.pool, work):
        ctx.wake()


async def switched(
    ctx: Context, session_id: UUID, user_id: UUID, peer_id: str, at: datetime, microphone: bool, camera: bool
) -> None:
    """The person's page says since ``at`` that these are on or off. Again: nothing happens."""

    async def work(conn: Conn) -> bool:
        if await store.knows_switch(conn, session_id, peer_id, at):
            return False
        await record(conn, MediaSwitched(session_id, at, user_id, peer_id, microphone, camera))
        return True

    if await in_transaction(ctx.pool, work):
        ctx.wake()


async def close_orphans(ctx: Context) -> int:
    """End the intervals no server process reports any more (silent for ORPHAN_AFTER) at their last heartbeat.

    Called when a server process starts and by the session_status job. Wrongly written off, an interval lives on with
    its next heartbeat. Returns how many ended.
    """

    async def work(conn: Conn) -> int:
        closed = await store.close_silent(conn, ctx.clock.now() - ORPHAN_AFTER)
        for gone in closed:
            await record(
                conn, PersonLeft(gone.session_id, gone.left_at, gone.user_id, gone.peer_id, SERVER_LOST)
            )
        return len(closed)

    count = await in_transaction(ctx.pool, work)
    if count:
        ctx.wake()
    return count


async def settle(ctx: Context, session_id: UUID) -> Outcome | None:
    """Give the session its verdict and move the money accordingly, in one transaction.

    The decision is the first step of the session's verdict, with all that was known (`evidence`).
    Returns the outcome, also when it was settled before; None when it is too early: before the end, or while somebody
    is still in the room and may yet be met there (until the room closes).
    Raises ``NotFound("session_not_found")``.
    """
    now = ctx.clock.now()

    async def work(conn: Conn) -> tuple[Outcome | None, bool]:
        session = await store.lock_session(conn, session_id)
        if session is None:
            raise NotFound("session_not_found", "There is no such session.")
        if session.outcome is not None:
            return Outcome(session.outcome), False
        if now < session.ends_at:
            return None, False
        known = await evidence_in(conn, session, now)
        outcome = known.decide()
        somebody_here = known.mentor.here(now) or known.mentee.here(now)
        if outcome is not Outcome.COMPLETED and now < session.ends_at + JOIN_CLOSES and somebody_here:
            return None, False
        await store.save_verdict(conn, session_id, outcome, now)
        await store.add_verdict(conn, session_id, outcome, None, known.why(outcome), known.inputs(), now)
        held = await bookings.mark_held_in(conn, session_id, now)
        money = await _move_money(conn, ctx, held, outcome, now)
        await record(conn, SessionSettled(session_id, now, held.mentor_id, held.mentee_id, outcome, *money))
        return outcome, True

    outcome, new = await in_transaction(ctx.pool, work)
    if new:
        log.info("session_settled", session_id=str(session_id), outcome=outcome)
        ctx.wake()
    return outcome


async def _move_money(
    conn: Conn, ctx: Context, booking: Booking, outcome: Outcome, now: datetime
) -> tuple[int, int, int]:
    """(earning, fee, released) of the price: who came, and kept the time free for it, is paid."""
    match outcome:
        case Outcome.COMPLETED | Outcome.MENTEE_NO_SHOW:
            owed = owed_for(booking, outcome)
            parts = await ledger.settle_in(
                conn,
                session_id=booking.session_id,
                mentor_id=booking.mentor_id,
                mentee_id=booking.mentee_id,
                price=owed,
                fee_percent=ctx.settings.platform_fee_percent,
                now=now,
            )
            return parts.earning, parts.fee, await _give_back(conn, booking, booking.price_tokens - owed, now)
        case Outcome.MENTOR_NO_SHOW | Outcome.BOTH_ABSENT | Outcome.CANCELLED:
            return 0, 0, await _give_back(conn, booking, booking.price_tokens, now)


def owed_for(booking: Booking, outcome: Outcome) -> int:
    """What the mentee pays, in tokens; what is ``cancelled`` here is so for our outage."""
    match outcome:
        case Outcome.COMPLETED:
            return booking.price_tokens
        case Outcome.MENTEE_NO_SHOW:
            return booking.no_show_fee
        case _:
            return 0


async def _give_back(conn: Conn, booking: Booking, amount: int, now: datetime) -> int:
    await ledger.release_in(
        conn, session_id=booking.session_id, mentee_id=booking.mentee_id, amount=amount, now=now
    )
    return amount


async def settle_due(ctx: Context) -> int:
    """Settle every session that is over; one that fails is left for the next time and does not stop the others.

    Returns how many were settled. Raises an ``ExceptionGroup`` of the failures at the end.
    """
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        due = await store.ended(conn, ctx.clock.now())

    async def work(session_id: UUID) -> int:
        return await settle(ctx, session_id) is not None

    return await for_each(ctx, "sessions to settle", due, work)


async def suspect_no_shows(ctx: Context) -> int:
    """Take the steps of the ladder that are due: who has not come 3 and 10 minutes after the start is written to, each
    step of each person once (`ladder.due`). Returns how many were taken; raises as `for_each`."""
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        running = await store.running(conn, now, timedelta(minutes=ladder.FIRST))

    async def suspect(session_id: UUID) -> int:
        return await in_transaction(ctx.pool, lambda conn: _suspect_in(conn, session_id, now))

    return await for_each(ctx, "sessions under way", [session.id for session in running], suspect)


async def _suspect_in(conn: Conn, session_id: UUID, now: datetime) -> int:
    """The steps that are due in one session."""
    locked = await store.lock_session(conn, session_id)
    if locked is None or locked.status != "scheduled":
        return 0
    known = await evidence_in(conn, locked, now)
    sides = {side.role: side for side in (known.mentor, known.mentee)}
    done = {
        ("mentor" if nudge.user_id == locked.mentor_id else "mentee", nudge.minutes)
        for nudge in await store.nudges(conn, [session_id])
    }
    steps = ladder.due(
        locked.starts_at,
        locked.ends_at,
        now,
        {role: side.present for role, side in sides.items()},
        [role for role, side in sides.items() if side.here()],
        known.away,
        done,
    )
    for step in steps:
        absent = sides[step.role].user_id
        waiting = {locked.mentor_id, locked.mentee_id} - {absent} if step.waiting else set()
        await record(conn, NoShowSuspected(session_id, now, absent, next(iter(waiting), None), step.minutes))
    return len(steps)


async def nudges(ctx: Context, session_ids: Sequence[UUID]) -> list[Nudge]:
    """Who was written to because these sessions began without them; of several letters the last."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.nudges(conn, session_ids)
    return list({nudge.user_id: nudge for nudge in found}.values())


async def of_session(ctx: Context, principal: Principal, session_id: UUID) -> tuple[PersonAttendance, ...]:
    """What was observed of the mentor and of the mentee, in this order.

    Raises ``NotFound`` and ``Forbidden`` as `sessions.actions.get` does.
    """
    session = await sessions.get(ctx, principal, session_id)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        presences = await store.of_session(conn, session_id)
    return tuple(
        model.attendance_of(user_id, role, [p for p in presences if p.user_id == user_id])
        for user_id, role in ((session.mentor_id, "mentor"), (session.mentee_id, "mentee"))
    )
