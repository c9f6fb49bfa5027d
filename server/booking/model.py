"""Bookings: the transition table as data, who may take which step, and the facts they leave; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final
from uuid import UUID

from server.base.errors import Conflict, Forbidden

MAX_TOPIC = 200
MAX_NOTE = 2000
MAX_REASON = 500


class Status(StrEnum):
    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    HELD = "held"  # the session took place, or should have: it was settled


LIVE: Final = frozenset({Status.REQUESTED, Status.APPROVED})  # these occupy time and hold tokens


class Step(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    MOVE = "reschedule"
    SETTLE = "settle"


class Party(StrEnum):
    MENTOR = "mentor"
    MENTEE = "mentee"
    SYSTEM = "system"


# (status, step, who) -> the next status; what is not here cannot happen.
TRANSITIONS: Final[Mapping[tuple[Status, Step, Party], Status]] = {
    (Status.REQUESTED, Step.APPROVE, Party.MENTOR): Status.APPROVED,
    (Status.REQUESTED, Step.REJECT, Party.MENTOR): Status.REJECTED,
    (Status.REQUESTED, Step.CANCEL, Party.MENTOR): Status.CANCELLED,
    (Status.REQUESTED, Step.CANCEL, Party.MENTEE): Status.CANCELLED,
    (Status.REQUESTED, Step.MOVE, Party.MENTOR): Status.REQUESTED,
    (Status.REQUESTED, Step.MOVE, Party.MENTEE): Status.REQUESTED,
    (Status.APPROVED, Step.CANCEL, Party.MENTOR): Status.CANCELLED,
    (Status.APPROVED, Step.CANCEL, Party.MENTEE): Status.CANCELLED,
    (Status.APPROVED, Step.MOVE, Party.MENTOR): Status.APPROVED,
    # The mentor has not agreed to the new time yet.
    (Status.APPROVED, Step.MOVE, Party.MENTEE): Status.REQUESTED,
    (Status.APPROVED, Step.SETTLE, Party.SYSTEM): Status.HELD,
}


@dataclass(frozen=True, slots=True)
class Booking:
    """[start, end) in UTC; the price in tokens as agreed when it was booked; ``revision`` is iTIP's SEQUENCE."""

    id: UUID
    session_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    status: Status
    price_tokens: int
    topic: str
    note: str
    is_reschedule: bool
    reschedule_reason: str | None
    cancelation_reason: str | None
    cancelled_by: UUID | None
    revision: int
    created_at: datetime
    updated_at: datetime
    mentor_name: str
    mentee_name: str

    def party(self, user_id: UUID) -> Party:
        """Which side the person is on. Raises ``Forbidden("not_a_participant")``."""
        if user_id == self.mentor_id:
            return Party.MENTOR
        if user_id == self.mentee_id:
            return Party.MENTEE
        raise Forbidden("not_a_participant", "This booking is somebody else's.")


def next_status(booking: Booking, step: Step, party: Party, now: datetime) -> Status:
    """Where the step leads.

    Raises ``Forbidden("not_your_step")`` when only somebody else may take it, ``Conflict("illegal_transition")`` when
    nobody may any more, ``Conflict("session_begun")`` and ``Conflict("time_has_passed")`` when the clock forbids it.
    """
    target = TRANSITIONS.get((booking.status, step, party))
    if target is None:
        if any(s is step and p is party for _, s, p in TRANSITIONS):
            raise Conflict(
                "illegal_transition",
                f"A booking that is {booking.status} cannot be changed this way ({step}).",
                status=booking.status.value,
            )
        raise Forbidden("not_your_step", f"A {party} cannot do this ({step}).")
    if booking.status is Status.APPROVED and step in (Step.CANCEL, Step.MOVE) and now >= booking.start:
        raise Conflict("session_begun", "The session has already begun.")
    if step is Step.APPROVE and now >= booking.start:
        raise Conflict("time_has_passed", "The time of this booking has passed.")
    return target


@dataclass(frozen=True, slots=True)
class Clash:
    """What is in the way; ``title`` is Busy unless it is the asker's own."""

    kind: str  # booking | session | calendar
    id: UUID | str  # of a calendar's appointment: its source and its own id
    start: datetime
    end: datetime
    title: str

    def document(self) -> dict[str, Any]:
        """As it appears in a ``booking_conflict`` problem."""
        return {
            "kind": self.kind,
            "id": str(self.id),
            "start": instant(self.start),
            "end": instant(self.end),
            "title": self.title,
        }


def instant(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class BookingRequested:
    KIND: ClassVar[str] = "booking_requested"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    price_tokens: int
    revision: int


@dataclass(frozen=True, slots=True)
class TokensHeld:
    """The price has left the mentee's wallet and waits for the session."""

    KIND: ClassVar[str] = "tokens_held"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentee_id: UUID
    amount_tokens: int


@dataclass(frozen=True, slots=True)
class TokensReleased:
    """The held price is back in the mentee's wallet."""

    KIND: ClassVar[str] = "tokens_released"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentee_id: UUID
    amount_tokens: int


@dataclass(frozen=True, slots=True)
class BookingApproved:
    KIND: ClassVar[str] = "booking_approved"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class BookingRejected:
    KIND: ClassVar[str] = "booking_rejected"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    reason: str
    revision: int


@dataclass(frozen=True, slots=True)
class BookingRescheduled:
    """Moved to [start, end); ``status`` tells whether the mentor still has to approve, ``was_approved`` whether there
    were calendar entries for the old time."""

    KIND: ClassVar[str] = "booking_rescheduled"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    old_start: datetime
    old_end: datetime
    moved_by: UUID
    reason: str
    status: Status
    was_approved: bool
    revision: int


@dataclass(frozen=True, slots=True)
class BookingCancelled:
    """``was_approved`` tells whether there are calendar entries to take back."""

    KIND: ClassVar[str] = "booking_cancelled"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    cancelled_by: UUID
    reason: str
    was_approved: bool
    revision: int
