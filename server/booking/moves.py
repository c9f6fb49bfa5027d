"""Another time for a booking: at once while nobody has agreed to the old one, else proposed and answered.

Called through `server.sessions.actions`, which keeps the session row in step.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.db import Conn
from server.base.errors import FieldError, Invalid
from server.base.ids import new_id
from server.base.store import record
from server.booking import checks, model, steps, store
from server.booking.model import (
    Booking,
    BookingRescheduled,
    MoveProposed,
    Party,
    Proposal,
    Seat,
    Status,
    Step,
)
from server.people.model import text_faults
from server.people.store import lock_people


async def reschedule_in(
    conn: Conn, actor_id: UUID, booking_id: UUID, start: datetime, end: datetime, reason: str, now: datetime
) -> Booking:
    """Another open slot of the same length for the same price and hold. A request that its mentee moves has its new
    time at once; what both know of is proposed to the other side, and the old time stands until that accepts."""
    faults = checks.time_faults(start, end, now)
    faults += text_faults("reason", reason, longest=model.MAX_REASON, lines=True)
    if faults:
        raise Invalid(faults)
    known = await steps.booking_in(conn, booking_id)
    party = known.party(actor_id)  # nobody else may even make them wait
    await lock_people(conn, (known.mentor_id, known.mentee_id))
    at_once = known.status is Status.REQUESTED and party is Party.MENTEE
    booking, status = await steps.step(
        conn, actor_id, booking_id, Step.MOVE if at_once else Step.PROPOSE, now
    )
    if (start, end) == (booking.start, booking.end):
        raise Invalid([FieldError("start", "same_time", "This is the time it has already.")])
    if end - start != booking.end - booking.start:
        raise Invalid([FieldError("end", "another_length", "A session that is moved keeps its length.")])
    seat = await _seat_at(conn, booking, start, end, now)
    await checks.must_be_open(
        conn, booking.mentor_id, booking.mentee_id, start, end, now, asker=actor_id, except_booking=booking_id,
        joining=seat.group,
    )  # fmt: skip
    if at_once:
        return await _move(conn, actor_id, booking, start, end, reason.strip(), status, seat, now)
    proposal = Proposal(start, end, actor_id, reason.strip(), model.answer_by(min(start, booking.start), now))
    # A request waits for the mentee now, as long as the proposal does.
    await store.propose(conn, booking_id, proposal, proposal.expires_at if booking.expires_at else None, now)
    await record(
        conn,
        MoveProposed(
            booking.session_id, now, booking_id, booking.mentor_id, booking.mentee_id, start, end, booking.start,
            booking.end, actor_id, proposal.reason, proposal.expires_at,
        ),
    )  # fmt: skip
    return await steps.booking_in(conn, booking_id)


async def accept_in(conn: Conn, actor_id: UUID, booking_id: UUID, now: datetime) -> Booking:
    """The other side agrees to the proposed time, if it is still free.

    Raises ``Conflict`` with ``booking_conflict``, ``illegal_transition``, ``proposal_expired``, ``session_begun``.
    """
    known = await steps.booking_in(conn, booking_id)
    known.party(actor_id)
    await lock_people(conn, (known.mentor_id, known.mentee_id))
    booking, status = await steps.step(conn, actor_id, booking_id, Step.ACCEPT, now)
    proposal = booking.proposal
    assert proposal is not None  # noqa: S101 - the step would have been refused
    seat = await _seat_at(conn, booking, proposal.start, proposal.end, now)
    await checks.must_be_open(
        conn, booking.mentor_id, booking.mentee_id, proposal.start, proposal.end, now, asker=actor_id,
        except_booking=booking_id, notice=False, joining=seat.group,
    )  # fmt: skip
    moved = await _move(
        conn, proposal.by, booking, proposal.start, proposal.end, proposal.reason, status, seat, now
    )
    return moved if booking.status is Status.APPROVED else await steps.approved(conn, booking_id, now)


async def decline_in(conn: Conn, actor_id: UUID, booking_id: UUID, reason: str, now: datetime) -> Booking:
    """The other side does not agree, or whoever proposed takes it back: the old time stands."""
    reason = steps.worded(reason)
    booking, _ = await steps.step(conn, actor_id, booking_id, Step.DECLINE, now)
    await steps.drop_proposal(conn, booking, actor_id, reason, now)
    return await steps.booking_in(conn, booking_id)


async def _seat_at(conn: Conn, booking: Booking, start: datetime, end: datetime, now: datetime) -> Seat:
    """Where a booking that moves sits: whoever shared its old time stays behind."""
    return await checks.seat(
        conn, booking.mentor_id, booking.mentee_id, start, end, now, alone=new_id(), except_booking=booking.id
    )


async def _move(
    conn: Conn,
    moved_by: UUID,
    booking: Booking,
    start: datetime,
    end: datetime,
    reason: str,
    status: Status,
    seat: Seat,
    now: datetime,
) -> Booking:
    expires_at = model.answer_by(start, now) if status is Status.REQUESTED else None
    if not await store.move(conn, booking.id, start, end, status, reason, expires_at, seat, now):
        raise await checks.conflict(
            conn, booking.mentor_id, booking.mentee_id, start, end, now, asker=moved_by, except_booking=booking.id
        )  # fmt: skip
    moved = await steps.booking_in(conn, booking.id)
    await record(
        conn,
        BookingRescheduled(
            booking.session_id, now, booking.id, booking.mentor_id, booking.mentee_id, start, end, booking.start,
            booking.end, moved_by, reason, status, booking.status is Status.APPROVED, moved.revision,
        ),
    )  # fmt: skip
    return moved
