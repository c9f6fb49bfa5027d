"""Book a slot, and take a booking from step to step; time, money and facts in one transaction.

The steps that change a published session (approve, cancel, reschedule) are called through `server.sessions.actions`,
which keeps the session row in step: here are only their halves that take a connection.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import FieldError, Forbidden, Invalid, NotFound
from server.base.ids import new_id
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.base.store import record
from server.booking import checks, model, store
from server.booking.model import (
    Booking,
    BookingApproved,
    BookingCancelled,
    BookingRejected,
    BookingRequested,
    BookingRescheduled,
    Party,
    Status,
    Step,
    TokensHeld,
    TokensReleased,
)
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import Principal, Role, text_faults
from server.people.store import lock_people


async def book(
    ctx: Context,
    mentee_id: UUID,
    *,
    mentor_id: UUID,
    start: datetime,
    end: datetime,
    topic: str = "",
    note: str = "",
) -> Booking:
    """Ask for an open slot [start, end) and set its price aside.

    Raises ``Invalid`` with all faults (a time that is no slot of the mentor's is one),
    ``NotFound("mentor_not_found")``, ``Forbidden("mentees_only")``, ``Conflict("booking_conflict")`` with
    ``conflicts``, ``Conflict("day_full")`` and ``InsufficientFunds("insufficient_tokens")``.
    """

    async def work(conn: Conn) -> Booking:
        return await book_in(
            conn,
            mentee_id,
            mentor_id=mentor_id,
            start=start,
            end=end,
            topic=topic,
            note=note,
            now=ctx.clock.now(),
        )

    booking = await in_transaction(ctx.pool, work)
    ctx.wake()
    return booking


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
) -> Booking:
    """`book` within a transaction."""
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
    # A crowd that comes too late is turned away here, without queueing for the lock; what counts is the second look.
    await checks.must_be_free(conn, mentor_id, mentee_id, start, end, asker=mentee_id)
    await lock_people(conn, (mentor_id, mentee_id))
    await checks.must_be_open(conn, mentor_id, mentee_id, start, end, now, asker=mentee_id)
    booking = Booking(
        id=new_id(),
        session_id=new_id(),
        mentor_id=mentor_id,
        mentee_id=mentee_id,
        start=start,
        end=end,
        status=Status.REQUESTED,
        price_tokens=mentor.price_tokens,
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
    )
    if not await store.insert(conn, booking):
        raise await checks.conflict(conn, mentor_id, mentee_id, start, end, asker=mentee_id)
    await record(
        conn,
        BookingRequested(
            booking.session_id, now, booking.id, mentor_id, mentee_id, start, end, booking.price_tokens, 0
        ),
    )
    held = await ledger.hold_in(
        conn, session_id=booking.session_id, mentee_id=mentee_id, amount=booking.price_tokens, now=now
    )
    if held is not None:
        await record(conn, TokensHeld(booking.session_id, now, booking.id, mentee_id, held.amount))
    return booking


async def approve_in(conn: Conn, actor_id: UUID, booking_id: UUID, now: datetime) -> Booking:
    """The mentor agrees. Raises what `model.next_status` and `_step` raise."""
    booking, status = await _step(conn, actor_id, booking_id, Step.APPROVE, now)
    await store.set_status(conn, booking_id, status, now)
    approved = await _again(conn, booking_id)
    await record(
        conn,
        BookingApproved(
            booking.session_id, now, booking_id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
            approved.revision,
        ),
    )  # fmt: skip
    return approved


async def reject_in(conn: Conn, actor_id: UUID, booking_id: UUID, reason: str, now: datetime) -> Booking:
    """The mentor declines; the mentee has his tokens back."""
    reason = _reason(reason)
    booking, status = await _step(conn, actor_id, booking_id, Step.REJECT, now)
    await store.end(conn, booking_id, status, actor_id, reason, now)
    rejected = await _again(conn, booking_id)
    await record(
        conn,
        BookingRejected(
            booking.session_id, now, booking_id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
            reason, rejected.revision,
        ),
    )  # fmt: skip
    await _release(conn, booking, now)
    return rejected


async def cancel_in(conn: Conn, actor_id: UUID, booking_id: UUID, reason: str, now: datetime) -> Booking:
    """Either side withdraws before the session begins; the mentee has his tokens back."""
    reason = _reason(reason)
    booking, status = await _step(conn, actor_id, booking_id, Step.CANCEL, now)
    await store.end(conn, booking_id, status, actor_id, reason, now)
    cancelled = await _again(conn, booking_id)
    await record(
        conn,
        BookingCancelled(
            booking.session_id, now, booking_id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
            actor_id, reason, booking.status is Status.APPROVED, cancelled.revision,
        ),
    )  # fmt: skip
    await _release(conn, booking, now)
    return cancelled


async def reschedule_in(
    conn: Conn, actor_id: UUID, booking_id: UUID, start: datetime, end: datetime, reason: str, now: datetime
) -> Booking:
    """Another open slot for the same price and hold: moved by the mentor it keeps its status, moved by the mentee it
    has to be approved (again)."""
    faults = checks.time_faults(start, end, now)
    faults += text_faults("reason", reason, longest=model.MAX_REASON, lines=True)
    if faults:
        raise Invalid(faults)
    known = await _again(conn, booking_id)
    known.party(actor_id)  # nobody else may even make them wait
    await lock_people(conn, (known.mentor_id, known.mentee_id))
    booking, status = await _step(conn, actor_id, booking_id, Step.MOVE, now)
    if (start, end) == (booking.start, booking.end):
        raise Invalid([FieldError("start", "same_time", "This is the time it has already.")])
    mentor_id, mentee_id = booking.mentor_id, booking.mentee_id
    await checks.must_be_open(
        conn, mentor_id, mentee_id, start, end, now, asker=actor_id, except_booking=booking_id
    )
    if not await store.move(conn, booking_id, start, end, status, reason.strip(), now):
        raise await checks.conflict(
            conn, mentor_id, mentee_id, start, end, asker=actor_id, except_booking=booking_id
        )
    moved = await _again(conn, booking_id)
    await record(
        conn,
        BookingRescheduled(
            booking.session_id, now, booking_id, mentor_id, mentee_id, start, end, booking.start, booking.end,
            actor_id, reason.strip(), status, booking.status is Status.APPROVED, moved.revision,
        ),
    )  # fmt: skip
    return moved


async def mark_held_in(conn: Conn, session_id: UUID, now: datetime) -> Booking:
    """The session was settled. Raises ``NotFound`` and ``Conflict("illegal_transition")``; moves no money."""
    booking = await store.lock_of_session(conn, session_id)
    if booking is None:
        raise _no_booking()
    status = model.next_status(booking, Step.SETTLE, Party.SYSTEM, now)
    await store.set_status(conn, booking.id, status, now)
    return await _again(conn, booking.id)


async def get(ctx: Context, principal: Principal, booking_id: UUID) -> Booking:
    """For its two people and administrators. Raises ``NotFound`` and ``Forbidden("not_a_participant")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        booking = await _again(conn, booking_id)
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
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[Booking]:
    """One's own bookings (an administrator's: everybody's) that touch [frm, to), the latest start first."""
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
    )
    before = decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.listed(conn, only, before, size + 1)
    return page_of(found, size, lambda booking: encode_cursor(booking.start, booking.id))


async def _step(
    conn: Conn, actor_id: UUID, booking_id: UUID, step: Step, now: datetime
) -> tuple[Booking, Status]:
    """The locked booking and where the step leads it."""
    booking = await store.lock(conn, booking_id)
    if booking is None:
        raise _no_booking()
    return booking, model.next_status(booking, step, booking.party(actor_id), now)


async def _again(conn: Conn, booking_id: UUID) -> Booking:
    if (booking := await store.booking(conn, booking_id)) is None:
        raise _no_booking()
    return booking


async def _release(conn: Conn, booking: Booking, now: datetime) -> None:
    released = await ledger.release_in(
        conn, session_id=booking.session_id, mentee_id=booking.mentee_id, amount=booking.price_tokens, now=now
    )
    if released is not None:
        await record(
            conn, TokensReleased(booking.session_id, now, booking.id, booking.mentee_id, released.amount)
        )


def _reason(reason: str) -> str:
    if faults := text_faults("reason", reason, longest=model.MAX_REASON, lines=True):
        raise Invalid(faults)
    return reason.strip()


def _no_booking() -> NotFound:
    return NotFound("booking_not_found", "There is no such booking.")
