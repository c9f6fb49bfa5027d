"""A session between the demo mentor and the demo mentee whenever one is wanted, whatever is in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, Forbidden, NotFound
from server.base.ids import new_id
from server.base.store import record
from server.booking import actions as bookings
from server.booking import store as booking_store
from server.booking.model import LIVE, Booking, BookingRequested, Status, TokensHeld, answer_by
from server.demo.people import MENTEE, MENTOR
from server.ledger import actions as ledger
from server.people import actions as people
from server.people import store as people_store
from server.people.model import Principal, User
from server.sessions import actions as sessions
from server.sessions.model import JOIN_CLOSES


async def demo_session(ctx: Context, *, starts_in: int, minutes: int) -> UUID:
    """The id of an approved session that starts ``starts_in`` seconds from now (also negative) and takes ``minutes``.

    Asks neither for the mentor's availability nor for the mentee's tokens (he gets the price first). Sessions of the
    two that are in the way go: one that has begun is settled by what was seen of it so far, another is cancelled.
    Raises ``Forbidden("demo_only")`` and ``NotFound("demo_missing")``.
    """
    if not ctx.settings.demo:
        raise Forbidden("demo_only", "Demo sessions exist in demo mode only (VISAVIS_DEMO).")
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        mentor, mentee = await people_store.login(conn, MENTOR), await people_store.login(conn, MENTEE)
    if mentor is None or mentee is None:
        raise NotFound(
            "demo_missing",
            "The demo people are not in this database: it was not empty when demo data loaded.",
        )
    now = ctx.clock.now()
    start = (now + timedelta(seconds=starts_in)).replace(microsecond=0)
    end = start + timedelta(minutes=minutes)
    for person in (mentor[0], mentee[0]):
        await _make_room(ctx, person, start, end)
    # A session can only be approved before it begins.
    early = Context(ctx.pool, SteppedClock(min(now, start - timedelta(seconds=1))), ctx.settings, ctx.wake)
    booking = await arrange(early, mentor[0], mentee[0], start, end, "Trying a call")
    return booking.session_id


async def arrange(
    ctx: Context, mentor: User, mentee: User, start: datetime, end: datetime, topic: str
) -> Booking:
    """An approved booking at a time the mentor need not offer, for tokens the mentee need not have."""
    now = ctx.clock.now()

    async def work(conn: Conn) -> Booking:
        await people_store.lock_people(conn, (mentor.id, mentee.id))
        price = (await people.profile_in(conn, mentor.id)).price_tokens
        booking = Booking(
            id=new_id(),
            session_id=new_id(),
            mentor_id=mentor.id,
            mentee_id=mentee.id,
            start=start,
            end=end,
            status=Status.REQUESTED,
            price_tokens=price,
            topic=topic,
            note="",
            is_reschedule=False,
            reschedule_reason=None,
            cancelation_reason=None,
            cancelled_by=None,
            revision=0,
            created_at=now,
            updated_at=now,
            mentor_name=mentor.name,
            mentee_name=mentee.name,
            expires_at=answer_by(start, now),
        )
        if not await booking_store.insert(conn, booking):
            raise Conflict("booking_conflict", "Somebody has just booked that time.")
        session_id = booking.session_id
        await record(
            conn, BookingRequested(session_id, now, booking.id, mentor.id, mentee.id, start, end, price, 0)
        )
        if price:
            await ledger.grant_in(
                conn, key=f"grant:demo-session:{session_id}", user_id=mentee.id, amount=price,
                memo="Tokens for a demo session", now=now,
            )  # fmt: skip
            await ledger.hold_in(conn, session_id=session_id, mentee_id=mentee.id, amount=price, now=now)
            await record(conn, TokensHeld(session_id, now, booking.id, mentee.id, price))
        return booking

    booking = await in_transaction(ctx.pool, work)
    return await sessions.approve(ctx, mentor.id, booking.id)


async def _make_room(ctx: Context, person: User, start: datetime, end: datetime) -> None:
    """End every live booking of the person that overlaps [start, end)."""
    now = ctx.clock.now()
    found = await bookings.list_for(ctx, Principal(person.id, person.role), frm=start, to=end, limit=100)
    for booking in found.items:
        if booking.status not in LIVE:
            continue
        if booking.status is Status.APPROVED and booking.start <= now:
            later = SteppedClock(max(now, booking.end + JOIN_CLOSES))
            await attendance.settle(replace(ctx, clock=later), booking.session_id)
        else:
            await sessions.cancel(ctx, person.id, booking.id, "Making room for a demo session")
