"""What every step of a booking is made of: the locked row and where the step leads, its words, its money."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.db import Conn
from server.base.errors import Invalid, NotFound
from server.base.store import record
from server.booking import model, store
from server.booking.model import Booking, BookingApproved, MoveDeclined, Party, Status, Step, TokensReleased
from server.ledger import actions as ledger
from server.people.model import text_faults


async def step(
    conn: Conn, actor_id: UUID | None, booking_id: UUID, step: Step, now: datetime, by: Party | None = None
) -> tuple[Booking, Status]:
    """The locked booking and where the step leads it; an actor of None is the product itself, ``by`` the role of one
    who is neither side."""
    booking = await store.lock(conn, booking_id)
    if booking is None:
        raise no_booking()
    party = by or (Party.SYSTEM if actor_id is None else booking.party(actor_id))
    return booking, model.next_status(booking, step, party, now)


async def approved(conn: Conn, booking_id: UUID, now: datetime) -> Booking:
    approved = await booking_in(conn, booking_id)
    await record(
        conn,
        BookingApproved(
            approved.session_id, now, booking_id, approved.mentor_id, approved.mentee_id, approved.start, approved.end,
            approved.revision,
        ),
    )  # fmt: skip
    return approved


async def drop_proposal(
    conn: Conn, booking: Booking, actor_id: UUID | None, reason: str, now: datetime
) -> None:
    proposal = booking.proposal
    assert proposal is not None  # noqa: S101 - the callers have seen it
    expires_at = model.answer_by(booking.start, now) if booking.status is Status.REQUESTED else None
    await store.drop_proposal(conn, booking.id, expires_at, now)
    await record(
        conn,
        MoveDeclined(
            booking.session_id, now, booking.id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
            proposal.start, proposal.end, proposal.by, actor_id, reason,
        ),
    )  # fmt: skip


async def booking_in(conn: Conn, booking_id: UUID) -> Booking:
    """Whoever asks. Raises ``NotFound("booking_not_found")``."""
    if (booking := await store.booking(conn, booking_id)) is None:
        raise no_booking()
    return booking


async def release(conn: Conn, booking: Booking, now: datetime, keep: int = 0) -> None:
    amount = booking.price_tokens - keep
    released = await ledger.release_in(
        conn, session_id=booking.session_id, mentee_id=booking.mentee_id, amount=amount, now=now
    )
    if released is not None:
        await record(
            conn, TokensReleased(booking.session_id, now, booking.id, booking.mentee_id, released.amount)
        )


def worded(reason: str) -> str:
    if faults := text_faults("reason", reason, longest=model.MAX_REASON, lines=True):
        raise Invalid(faults)
    return reason.strip()


def no_booking() -> NotFound:
    return NotFound("booking_not_found", "There is no such booking.")
