"""The steps of a booking that publish, move and cancel its session, in one transaction; and joining the room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction, no_more
from server.base.errors import Conflict, Forbidden, NotFound
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.base.store import record
from server.booking import actions as booking
from server.booking import moves, office, steps
from server.booking.model import HOLD_FOR, Booking, Status
from server.people import actions as people
from server.people.model import Principal, Role
from server.people.store import lock_people
from server.sessions import rooms, store
from server.sessions.model import (
    JOIN_CLOSES,
    Outcome,
    Session,
    SessionCancelled,
    SessionMoved,
    SessionPublished,
    SessionStatus,
)
from server.sessions.tokens import room_token

# What a caller does in the transaction of a step, before it.
Also: TypeAlias = Callable[[Conn], Awaitable[None]]


# What a caller does in the transaction of a booking, with what was made, at its very end.
Then: TypeAlias = Callable[[Conn, Booking], Awaitable[None]]


async def nothing_more(conn: Conn) -> None:
    """The usual `Also`."""


async def book(
    ctx: Context,
    mentee_id: UUID,
    *,
    mentor_id: UUID,
    start: datetime,
    end: datetime,
    topic: str = "",
    note: str = "",
    hold: bool = False,
    then: Then = no_more,
    also: Also = nothing_more,
) -> Booking:
    """Ask for an open slot [start, end) and set its price aside. If the mentor approves whatever fits, it is approved
    at once. ``hold`` keeps the time for five minutes, unpaid: `confirm` follows. ``also`` and ``then`` join the
    transaction, before and after.

    Raises what `server.booking.actions.book_in` raises.
    """

    async def work(conn: Conn) -> Booking:
        now = ctx.clock.now()
        await also(conn)
        made = await booking.book_in(
            conn,
            mentee_id,
            mentor_id=mentor_id,
            start=start,
            end=end,
            topic=topic,
            note=note,
            now=now,
            hold=HOLD_FOR if hold else None,
        )
        made = made if hold else await at_once(conn, made, now)
        await then(conn, made)
        return made

    made = await in_transaction(ctx.pool, work)
    ctx.wake()
    return made


async def confirm(ctx: Context, mentee_id: UUID, booking_id: UUID, *, also: Also = nothing_more) -> Booking:
    """Pay for a time that was kept. Raises ``Conflict("hold_expired")``, ``InsufficientFunds``, ``NotFound`` ..."""

    async def step(conn: Conn, now: datetime) -> Booking:
        return await at_once(conn, await booking.confirm_in(conn, mentee_id, booking_id, now), now)

    return await _take(ctx, booking_id, step, also)


async def at_once(conn: Conn, made: Booking, now: datetime) -> Booking:
    """The approval of a mentor who approves whatever fits."""
    if not await booking.instant_in(conn, made.mentor_id):
        return made
    return await publish(conn, await booking.approve_in(conn, None, made.id, now), now)


async def approve(ctx: Context, actor_id: UUID, booking_id: UUID, *, also: Also = nothing_more) -> Booking:
    """Agree: the mentor to a request, either side to the other's proposed time. The session is published, or moved.

    Raises ``NotFound``, ``Forbidden`` and ``Conflict``.
    """

    async def step(conn: Conn, now: datetime) -> Booking:
        known = await steps.booking_in(conn, booking_id)
        if known.status is Status.APPROVED and known.proposal is not None and known.proposal.by == actor_id:
            raise Conflict("illegal_transition", "The other side has to answer.", status=known.status.value)
        if known.proposal is None or known.proposal.by == actor_id:
            return await publish(conn, await booking.approve_in(conn, actor_id, booking_id, now), now)
        moved = await moves.accept_in(conn, actor_id, booking_id, now)
        if not await _scheduled(conn, moved.session_id):
            return await publish(conn, moved, now)
        await rooms.leave_in(conn, moved.session_id)
        await store.move(conn, moved.session_id, moved.start, moved.end)
        await rooms.enter_in(conn, moved.session_id)
        await record(conn, SessionMoved(moved.session_id, now, *_where(moved)))
        return moved

    return await _take(ctx, booking_id, step, also)


async def publish(conn: Conn, approved: Booking, now: datetime) -> Booking:
    """The session of a booking that has just been approved, with its fact."""
    await store.publish(
        conn, approved.session_id, approved.mentor_id, approved.mentee_id, approved.start, approved.end, now
    )
    await rooms.enter_in(conn, approved.session_id)
    await record(conn, SessionPublished(approved.session_id, now, *_where(approved)))
    return approved


async def reject(
    ctx: Context, actor_id: UUID, booking_id: UUID, reason: str = "", *, also: Also = nothing_more
) -> Booking:
    """Do not agree. The mentor declines a request, and the hold goes back; either side declines the other's proposed
    time, or takes its own back, and the old time stands.

    Raises ``Invalid``, ``NotFound``, ``Forbidden`` and ``Conflict("illegal_transition")``.
    """

    async def step(conn: Conn, now: datetime) -> Booking:
        known = await steps.booking_in(conn, booking_id)
        asked = known.proposal is not None and known.proposal.by != actor_id
        if asked or known.status is Status.APPROVED:
            return await moves.decline_in(conn, actor_id, booking_id, reason, now)
        return await booking.reject_in(conn, actor_id, booking_id, reason, now)

    return await _take(ctx, booking_id, step, also)


async def cancel(
    ctx: Context, actor_id: UUID, booking_id: UUID, reason: str = "", *, also: Also = nothing_more
) -> Booking:
    """Either side withdraws before the session begins; the session goes, and the hold goes back, less the late fee.

    Raises ``Invalid``, ``NotFound``, ``Forbidden``, ``Conflict("illegal_transition")``, ``Conflict("session_begun")``.
    """

    async def step(conn: Conn, now: datetime) -> Booking:
        return await cancel_one(conn, ctx, actor_id, booking_id, reason, now)

    return await _take(ctx, booking_id, step, also)


async def cancel_one(
    conn: Conn, ctx: Context, actor_id: UUID, booking_id: UUID, reason: str, now: datetime
) -> Booking:
    """`cancel` within a transaction."""
    percent = ctx.settings.platform_fee_percent
    cancelled = await booking.cancel_in(conn, actor_id, booking_id, reason, now, percent)
    return await _withdraw(conn, actor_id, cancelled, reason, now)


async def cancel_in(conn: Conn, ctx: Context, actor_id: UUID, booking_id: UUID, reason: str) -> Booking:
    """`cancel` in the caller's transaction, which has locked nothing of the session yet."""
    await _lock(conn, booking_id)
    return await cancel_one(conn, ctx, actor_id, booking_id, reason, ctx.clock.now())


async def cancel_for_both(ctx: Context, admin_id: UUID, booking_id: UUID, reason: str) -> Booking:
    """An administrator calls it off, says why, and the mentee has all his tokens back. Raises what `cancel` raises."""

    async def step(conn: Conn, now: datetime) -> Booking:
        cancelled = await office.cancel_in(conn, admin_id, booking_id, reason, now)
        return await _withdraw(conn, admin_id, cancelled, reason, now)

    return await _take(ctx, booking_id, step, nothing_more)


async def ask_to_move(ctx: Context, admin_id: UUID, booking_id: UUID, reason: str) -> Booking:
    """An administrator asks both sides to agree on another time. Raises what `cancel` raises."""

    async def step(conn: Conn, now: datetime) -> Booking:
        return await office.ask_to_move_in(conn, admin_id, booking_id, reason, now)

    return await _take(ctx, booking_id, step, nothing_more)


async def _withdraw(conn: Conn, actor_id: UUID, cancelled: Booking, reason: str, now: datetime) -> Booking:
    """The session of a booking that was cancelled does not take place, if there is one."""
    if await _scheduled(conn, cancelled.session_id):
        await store.cancel(conn, cancelled.session_id, now)
        await rooms.leave_in(conn, cancelled.session_id)
        await record(
            conn, SessionCancelled(cancelled.session_id, now, *_where(cancelled), actor_id, reason.strip())
        )
    return cancelled


async def reschedule(
    ctx: Context,
    actor_id: UUID,
    booking_id: UUID,
    *,
    start: datetime,
    end: datetime,
    reason: str = "",
    also: Also = nothing_more,
) -> Booking:
    """Another open slot, for the price and hold agreed. A mentee moves his own request at once; everything else is
    proposed to the other side, and the old time stands until that `approve`s.

    Raises what `book` and `cancel` raise.
    """

    async def step(conn: Conn, now: datetime) -> Booking:
        return await moves.reschedule_in(conn, actor_id, booking_id, start, end, reason, now)

    return await _take(ctx, booking_id, step, also)


async def _take(
    ctx: Context, booking_id: UUID, step: Callable[[Conn, datetime], Awaitable[Booking]], also: Also
) -> Booking:
    """One step in one transaction, with its people and its session locked from the beginning, in this order."""

    async def work(conn: Conn) -> Booking:
        await _lock(conn, booking_id)
        await also(conn)
        return await step(conn, ctx.clock.now())

    changed = await in_transaction(ctx.pool, work)
    ctx.wake()
    return changed


async def _lock(conn: Conn, booking_id: UUID) -> None:
    if (of := await store.people_of_booking(conn, booking_id)) is not None:
        await lock_people(conn, of)
    await store.lock_of_booking(conn, booking_id)


async def _scheduled(conn: Conn, session_id: UUID) -> bool:
    found = await store.session(conn, session_id)
    return found is not None and found.status is SessionStatus.SCHEDULED


def _where(of: Booking) -> tuple[UUID, UUID, UUID, datetime, datetime]:
    return of.id, of.mentor_id, of.mentee_id, of.start, of.end


async def get(ctx: Context, principal: Principal, session_id: UUID) -> Session:
    """For its two people and administrators. Raises ``NotFound`` and ``Forbidden("not_a_participant")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        session = await session_in(conn, session_id)
    if principal.role is not Role.ADMIN and session.role_of(principal.user_id) is None:
        raise _foreign()
    return session


async def session_in(conn: Conn, session_id: UUID) -> Session:
    """The session, whoever asks. Raises ``NotFound("session_not_found")``."""
    if (session := await store.session(conn, session_id)) is None:
        raise NotFound("session_not_found", "There is no such session.")
    return session


async def upcoming(
    ctx: Context, user_id: UUID, cursor: str | None = None, limit: int | None = None
) -> Page[Session]:
    """The person's scheduled sessions whose rooms have not closed, the next one first."""
    size = page_size(limit)
    after = decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.upcoming(conn, user_id, ctx.clock.now() - JOIN_CLOSES, after, size + 1)
    return page_of(found, size, lambda session: encode_cursor(session.start, session.id))


async def join(ctx: Context, principal: Principal, session_id: UUID) -> tuple[Session, str, datetime]:
    """One's own session, a token for the room it meets in, and when the token expires; any session of the room will do.

    Raises ``NotFound``, ``Forbidden("not_a_participant")``, and ``Conflict`` with ``too_early`` (``opens_at`` beside
    it), ``session_over`` or ``session_cancelled``.
    """
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        user = await people.user_in(conn, principal.user_id)
        _, session = await rooms.own_session_in(conn, user.id, session_id)
    if session.status is SessionStatus.CANCELLED:
        raise Conflict("session_cancelled", "This session does not take place.")
    if now < session.opens_at:
        raise Conflict("too_early", "The room is not open yet.", opens_at=session.opens_at.isoformat())
    # Two who met and talk on past the end may reload; a session that did not take place has no room any more.
    missed = session.status is SessionStatus.SETTLED and session.outcome is not Outcome.COMPLETED
    if missed or now >= session.closes_at:
        raise Conflict("session_over", "This session is over.")
    token, expires_at = room_token(ctx.settings, session, user, now)
    return session, token, expires_at


def _foreign() -> Forbidden:
    return Forbidden("not_a_participant", "This session is somebody else's.")
