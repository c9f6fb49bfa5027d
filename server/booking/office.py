"""What an administrator does to a booking: calls it off for free, moves it, asks its people for another time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.db import Conn
from server.base.errors import Conflict, Invalid
from server.base.store import record
from server.booking import actions, model, steps, store
from server.booking.model import Booking, BookingRescheduled, MoveAsked, Party, Seat, Step
from server.people.model import text_faults


def reason_of(reason: str) -> str:
    """Whoever acts for others says why. Raises ``Invalid``."""
    if faults := text_faults("reason", reason, longest=model.MAX_REASON, needed=True, lines=True):
        raise Invalid(faults)
    return reason.strip()


async def cancel_in(conn: Conn, admin_id: UUID, booking_id: UUID, reason: str, now: datetime) -> Booking:
    """Withdraw a request or an agreed time before it begins; the mentee has all his tokens back."""
    return await actions.cancel_in(conn, admin_id, booking_id, reason_of(reason), now, 0, by=Party.ADMIN)


async def move_in(
    conn: Conn,
    admin_id: UUID,
    booking_id: UUID,
    start: datetime,
    end: datetime,
    seat: Seat,
    reason: str,
    now: datetime,
) -> Booking:
    """Another time, or only another seat, for an agreed booking. Raises ``Conflict("booking_conflict")`` and what
    `model.next_status` raises."""
    booking = await store.lock(conn, booking_id)
    assert booking is not None  # noqa: S101 - the caller holds its session
    status = model.next_status(booking, Step.MOVE, Party.ADMIN, now)
    if (start, end) == (booking.start, booking.end):
        await store.sit(conn, booking_id, seat, now)
        return await steps.booking_in(conn, booking_id)
    if not await store.move(conn, booking_id, start, end, status, reason, None, seat, now):
        raise Conflict("booking_conflict", "Something else is at that time.", conflicts=[])
    moved = await steps.booking_in(conn, booking_id)
    await record(
        conn,
        BookingRescheduled(
            booking.session_id, now, booking.id, booking.mentor_id, booking.mentee_id, start, end, booking.start,
            booking.end, admin_id, reason, status, True, moved.revision,
        ),
    )  # fmt: skip
    return moved


async def ask_to_move_in(conn: Conn, admin_id: UUID, booking_id: UUID, reason: str, now: datetime) -> Booking:
    """Ask both sides to agree on another time; the old one stands until they do. Raises ``Conflict``."""
    reason = reason_of(reason)
    booking = await store.lock(conn, booking_id)
    if booking is None:
        raise steps.no_booking()
    model.next_status(booking, Step.ASK, Party.ADMIN, now)
    await record(
        conn,
        MoveAsked(
            booking.session_id, now, booking.id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
            admin_id, reason,
        ),
    )  # fmt: skip
    return booking
