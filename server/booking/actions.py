"""Book a slot, and take a booking from step to step; time, money and facts in one transaction.

The steps that change a published session (approve, cancel; another time is in `moves`) are called through
`server.sessions.actions`, which keeps the session row in step: here are only their halves that take a connection.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import FieldError, Forbidden, Invalid, NotFound
from server.base.ids import new_id
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.base.store import record
from server.base.sweeps import for_each
from server.booking import checks, model, steps, store
from server.booking.model import (
    Booking,
    BookingCancelled,
    BookingExpired,
    BookingRejected,
    BookingRequested,
    HoldLapsed,
    Party,
    Status,
    Step,
    Terms,
    TokensHeld,
)
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import Principal, Role, text_faults
from server.people.store import lock_people


async def book_in(
    conn: Conn,
    mentee_id: UUID,
    *,
    mentor_id: UUID,
    start: datetime,
    end: datetime,
    topic: str,
    note: str,
    now: datetime,
    hold: timedelta | None = None,
    series_id: UUID | None = None,
) -> Booking:
    """Ask for an open slot [start, end) and set its price aside; ``hold`` only keeps the time so long, unpaid.

    Raises ``Invalid`` with all faults (a time that is no slot of the mentor's is one),
    ``NotFound("mentor_not_found")``, ``Forbidden`` with ``mentees_only`` or ``booking_restricted``,
    ``Conflict("booking_conflict")`` with
    ``conflicts``, ``Conflict("day_full")``, ``Conflict("group_full")`` and the like, and
    ``InsufficientFunds("insufficient_tokens")``.
    """
    faults = text_faults("topic", topic, longest=model.MAX_TOPIC)
    faults += text_faults("note", note, longest=model.MAX_NOTE, lines=True)
    faults += checks.time_faults(start, end, now)
    if faults:
        raise Invalid(faults)
    mentee = await people.user_in(conn, mentee_id)
    if mentee.role is not Role.MENTEE:
        raise Forbidden("mentees_only", "Only mentees book sessions.")
    mentor = await people.profile_in(conn, mentor_id)
    if not mentor.published:
        raise NotFound("mentor_not_found", "There is no such mentor.")
    await checks.must_be_allowed(conn, mentor_id, mentee_id, now)
    # A crowd that comes too late is turned away here, without queueing for the lock; what counts is the second look.
    when, identity = (mentor_id, mentee_id, start, end, now), new_id()
    await checks.look(conn, *when, asker=mentee_id, alone=identity)
    await lock_people(conn, (mentor_id, mentee_id))
    for overdue in await store.expired(conn, now, (mentor_id, mentee_id)):
        await expire_in(conn, overdue, now)  # what has run out is in nobody's way, whoever notices first
    seat = await checks.seat(conn, *when, alone=identity)
    rules = await checks.must_be_open(conn, *when, asker=mentee_id, joining=seat.group)
    terms = await store.terms_of(conn, mentor_id)
    minutes = int((end - start).total_seconds()) // 60
    booking = Booking(
        id=identity,
        session_id=new_id(),
        mentor_id=mentor_id,
        mentee_id=mentee_id,
        start=start,
        end=end,
        status=Status.REQUESTED if hold is None else Status.HOLD,
        price_tokens=model.price_of(mentor.price_tokens, rules.slot_minutes, minutes),
        topic=topic.strip(),
        note=note.strip(),
        is_reschedule=False,
        reschedule_reason=None,
        cancelation_reason=None,
        cancelled_by=None,
        revision=0,
        created_at=now,
        updated_at=now,
        mentor_name=mentor.name,
        mentee_name=mentee.name,
        expires_at=model.answer_by(start, now) if hold is None else min(now + hold, start),
        free_until_hours=terms.free_until_hours,
        late_fee_percent=terms.late_fee_percent,
        no_show_fee_percent=terms.no_show_fee_percent,
        series_id=series_id,
        seat_group=seat.group,
        seat=seat.number,
    )
    if not await store.insert(conn, booking):
        raise await checks.conflict(conn, *when, asker=mentee_id)
    if hold is None:
        await _pay(conn, booking, now)
    return booking


async def confirm_in(conn: Conn, actor_id: UUID, booking_id: UUID, now: datetime) -> Booking:
    """The mentee pays for the time that was kept. Raises ``Conflict("hold_expired")`` and what `book_in` raises for
    money; without enough of it the hold stays."""
    booking, status = await steps.step(conn, actor_id, booking_id, Step.CONFIRM, now)
    await store.set_status(conn, booking_id, status, now, model.answer_by(booking.start, now))
    confirmed = await steps.booking_in(conn, booking_id)
    await _pay(conn, confirmed, now)
    return confirmed


async def _pay(conn: Conn, booking: Booking, now: datetime) -> None:
    await record(
        conn,
        BookingRequested(
            booking.session_id, now, booking.id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
            booking.price_tokens, booking.revision,
        ),
    )  # fmt: skip
    held = await ledger.hold_in(
        conn, session_id=booking.session_id, mentee_id=booking.mentee_id, amount=booking.price_tokens, now=now
    )
    if held is not None:
        await record(conn, TokensHeld(booking.session_id, now, booking.id, booking.mentee_id, held.amount))


async def approve_in(conn: Conn, actor_id: UUID | None, booking_id: UUID, now: datetime) -> Booking:
    """The mentor agrees (None: she agrees to whatever fits). Raises what `model.next_status` and `steps.step` raise."""
    _, status = await steps.step(conn, actor_id, booking_id, Step.APPROVE, now)
    if actor_id is not None:
        await checks.must_be_allowed_to_accept(conn, actor_id, now)
    await store.set_status(conn, booking_id, status, now)
    return await steps.approved(conn, booking_id, now)


async def reject_in(conn: Conn, actor_id: UUID, booking_id: UUID, reason: str, now: datetime) -> Booking:
    """The mentor declines; the mentee has his tokens back."""
    reason = steps.worded(reason)
    booking, status = await steps.step(conn, actor_id, booking_id, Step.REJECT, now)
    await store.end(conn, booking_id, status, actor_id, reason, now)
    rejected = await steps.booking_in(conn, booking_id)
    await record(
        conn,
        BookingRejected(
            booking.session_id, now, booking_id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
            reason, rejected.revision,
        ),
    )  # fmt: skip
    await steps.release(conn, booking, now)
    return rejected


async def cancel_in(
    conn: Conn, actor_id: UUID, booking_id: UUID, reason: str, now: datetime, fee_percent: int,
    by: Party | None = None,
) -> Booking:  # fmt: skip
    """Either side withdraws before the session begins; the mentee has his tokens back, less what a late cancellation
    costs by the terms he booked under. ``fee_percent`` of that is the platform's."""
    reason = steps.worded(reason)
    booking, status = await steps.step(conn, actor_id, booking_id, Step.CANCEL, now, by)
    await store.end(conn, booking_id, status, actor_id, reason, now)
    cancelled = await steps.booking_in(conn, booking_id)
    if booking.status is Status.HOLD:  # nothing was paid
        await record(conn, _lapsed(booking, now))
        return cancelled
    fee = booking.cancellation_fee(by or booking.party(actor_id), now)
    await record(
        conn,
        BookingCancelled(
            booking.session_id, now, booking_id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
            actor_id, reason, booking.status is Status.APPROVED, cancelled.revision, fee,
        ),
    )  # fmt: skip
    if fee:
        await ledger.settle_in(
            conn, session_id=booking.session_id, mentor_id=booking.mentor_id, mentee_id=booking.mentee_id, price=fee,
            fee_percent=fee_percent, now=now,
        )  # fmt: skip
    await steps.release(conn, booking, now, keep=fee)
    return cancelled


async def expire_in(conn: Conn, booking_id: UUID, now: datetime) -> Status | None:
    """Put away what has run out of this booking, if anything has: the status it has then, or None.

    A proposal goes and the old time stands; a hold frees its time; a request gives the tokens back.
    """
    booking = await store.lock(conn, booking_id)
    if booking is None:
        return None
    if booking.expires_at is not None and booking.expires_at <= now:
        status = model.next_status(booking, Step.EXPIRE, Party.SYSTEM, now)
        await store.set_status(conn, booking_id, status, now)
        if booking.status is Status.HOLD:
            await record(conn, _lapsed(booking, now))
        else:
            gone = await steps.booking_in(conn, booking_id)
            await record(
                conn,
                BookingExpired(
                    booking.session_id, now, booking_id, booking.mentor_id, booking.mentee_id, booking.start,
                    booking.end, gone.revision,
                ),
            )  # fmt: skip
            await steps.release(conn, booking, now)
        return status
    if booking.proposal is not None and booking.proposal.expires_at <= now:
        await steps.drop_proposal(conn, booking, None, "", now)
        return booking.status
    return None


async def expire_due(ctx: Context) -> int:
    """Put away everything that has run out; how many bookings that were. Raises as `for_each`."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        overdue = await store.expired(conn, ctx.clock.now())

    async def expire(booking_id: UUID) -> int:
        async def work(conn: Conn) -> bool:
            return await expire_in(conn, booking_id, ctx.clock.now()) is not None

        return await in_transaction(ctx.pool, work)

    return await for_each(ctx, "bookings to put away", overdue, expire)


def _lapsed(booking: Booking, now: datetime) -> HoldLapsed:
    return HoldLapsed(
        booking.session_id, now, booking.id, booking.mentor_id, booking.mentee_id, booking.start, booking.end
    )


async def instant_in(conn: Conn, mentor_id: UUID) -> bool:
    """Whether the mentor approves whatever fits her hours."""
    return (await store.terms_of(conn, mentor_id)).instant_approval


async def terms(ctx: Context, mentor_id: UUID) -> Terms:
    """What the mentor asks of who books her now."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.terms_of(conn, mentor_id)


async def put_terms(ctx: Context, mentor_id: UUID, terms: Terms) -> Terms:
    """For bookings from now on. Raises ``Invalid`` with all faults and ``Forbidden("mentors_only")``."""
    if faults := model.terms_faults(terms):
        raise Invalid(faults)

    async def work(conn: Conn) -> None:
        if (await people.user_in(conn, mentor_id)).role is not Role.MENTOR:
            raise Forbidden("mentors_only", "Only mentors set terms.")
        await store.put_terms(conn, mentor_id, terms, ctx.clock.now())

    await in_transaction(ctx.pool, work)
    return terms


async def mark_held_in(conn: Conn, session_id: UUID, now: datetime) -> Booking:
    """The session was settled. Raises ``NotFound`` and ``Conflict("illegal_transition")``; moves no money."""
    booking = await store.lock_of_session(conn, session_id)
    if booking is None:
        raise steps.no_booking()
    status = model.next_status(booking, Step.SETTLE, Party.SYSTEM, now)
    await store.set_status(conn, booking.id, status, now)
    return await steps.booking_in(conn, booking.id)


async def get(ctx: Context, principal: Principal, booking_id: UUID) -> Booking:
    """For its two people and administrators. Raises ``NotFound`` and ``Forbidden("not_a_participant")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        booking = await steps.booking_in(conn, booking_id)
    if principal.role is not Role.ADMIN:
        booking.party(principal.user_id)
    return booking


async def list_for(
    ctx: Context,
    principal: Principal,
    *,
    status: str | None = None,
    frm: datetime | None = None,
    to: datetime | None = None,
    name: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[Booking]:
    """One's own bookings (an administrator's: everybody's) that touch [frm, to), the latest start first; ``name`` is
    a part of the other side's."""
    size = page_size(limit)
    if status is not None and status not in list(Status):
        raise Invalid([FieldError("status", "unknown_status", f"One of {', '.join(Status)}.")])
    if frm is not None and to is not None and to <= frm:
        raise Invalid([FieldError("to", "end_before_start", "The end must lie after the start.")])
    only = store.Filter(
        person=None if principal.role is Role.ADMIN else principal.user_id,
        status=None if status is None else Status(status),
        frm=frm,
        to=to,
        name=name or None,
    )
    before = decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.listed(conn, only, before, size + 1)
    return page_of(found, size, lambda booking: encode_cursor(booking.start, booking.id))
