"""Record what the SFU saw, settle a session by it, and show it to those who may see it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.attendance import model, store
from server.attendance.model import (
    ORPHAN_AFTER,
    SERVER_LOST,
    NoShowSuspected,
    PersonAttendance,
    PersonJoined,
    PersonLeft,
    Presence,
    SessionSettled,
)
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import NotFound
from server.base.log import logger
from server.base.store import record
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
        # Others may be in the room, too, whose sessions meet there: this one is between these two.
        seen = await store.of_session(conn, session_id)
        presences = [p for p in seen if p.user_id in (session.mentor_id, session.mentee_id)]
        mentor = [p.interval for p in presences if p.user_id == session.mentor_id]
        mentee = [p.interval for p in presences if p.user_id == session.mentee_id]
        outcome = model.decide(session.starts_at, session.ends_at, mentor, mentee)
        if (
            outcome is not Outcome.COMPLETED
            and now < session.ends_at + JOIN_CLOSES
            and _in_room(presences, now)
        ):
            return None, False
        await store.save_verdict(conn, session_id, outcome, now)
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
            owed = booking.price_tokens if outcome is Outcome.COMPLETED else booking.no_show_fee
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
        case Outcome.MENTOR_NO_SHOW | Outcome.BOTH_ABSENT:
            return 0, 0, await _give_back(conn, booking, booking.price_tokens, now)
        case Outcome.CANCELLED:
            raise ValueError("cancelling a session settles it elsewhere")


async def _give_back(conn: Conn, booking: Booking, amount: int, now: datetime) -> int:
    await ledger.release_in(
        conn, session_id=booking.session_id, mentee_id=booking.mentee_id, amount=amount, now=now
    )
    return amount


def _in_room(presences: Sequence[Presence], now: datetime) -> bool:
    return any(p.left_at is None and p.last_seen_at > now - ORPHAN_AFTER for p in presences)


async def settle_due(ctx: Context) -> int:
    """Settle every session that is over; one that fails is left for the next time and does not stop the others.

    Returns how many were settled. Raises an ``ExceptionGroup`` of the failures at the end.
    """
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        due = await store.ended(conn, ctx.clock.now())
    settled, failures = 0, []
    for session_id in due:
        try:
            settled += await settle(ctx, session_id) is not None
        except Exception as error:
            log.exception("session_not_settled", session_id=str(session_id))
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(due)} sessions could not be settled", failures)
    return settled


async def suspect_no_shows(ctx: Context) -> int:
    """Record, once per session, that it runs past the grace with one side in the room and the other never there.

    In the room means an interval that is not closed; those of dead processes are closed by `close_orphans`.
    """
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        running = await store.running_since(conn, now, model.GRACE)
    count = 0
    for session in running:

        async def work(conn: Conn, session_id: UUID = session.id) -> bool:
            locked = await store.lock_session(conn, session_id)
            if locked is None or locked.status != "scheduled":
                return False
            presences = await store.of_session(conn, session_id)
            inside = [p for p in presences if p.left_at is None or p.left_at > locked.starts_at]
            here = {p.user_id for p in inside if p.left_at is None}
            came = {p.user_id for p in inside}
            for waiting, absent in (
                (locked.mentor_id, locked.mentee_id),
                (locked.mentee_id, locked.mentor_id),
            ):
                if waiting in here and absent not in came:
                    if await store.fact_known(conn, NoShowSuspected.KIND, session_id):
                        return False
                    await record(conn, NoShowSuspected(session_id, now, absent, waiting))
                    return True
            return False

        count += await in_transaction(ctx.pool, work)
    if count:
        ctx.wake()
    return count


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
