"""Bookings: the transition table as data, who may take which step, and the facts they leave; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID

from server.base.errors import Conflict, FieldError, Forbidden

MAX_TOPIC = 200
MAX_NOTE = 2000
MAX_REASON = 500
HOLD_FOR: Final = timedelta(minutes=5)  # a time is kept for somebody who pays
ANSWER_WITHIN: Final = timedelta(hours=48)  # a request or a proposed move, and never beyond the time itself


class Status(StrEnum):
    HOLD = "hold"  # kept for a mentee who has not paid yet
    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    HELD = "held"  # the session took place, or should have: it was settled


LIVE: Final = frozenset({Status.REQUESTED, Status.APPROVED})  # these occupy time and hold tokens


class Step(StrEnum):
    CONFIRM = "confirm"
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    MOVE = "reschedule"  # at once: nobody had agreed to the old time
    PROPOSE = "propose"
    ACCEPT = "accept"
    DECLINE = "decline"
    EXPIRE = "expire"
    SETTLE = "settle"
    ASK = "ask"  # both sides, to agree on another time


class Party(StrEnum):
    MENTOR = "mentor"
    MENTEE = "mentee"
    SYSTEM = "system"
    ADMIN = "admin"


# (status, step, who) -> the next status; what is not here cannot happen. ACCEPT and DECLINE answer the other side's
# proposal; whoever proposed may take it back (DECLINE).
TRANSITIONS: Final[Mapping[tuple[Status, Step, Party], Status]] = {
    (Status.HOLD, Step.CONFIRM, Party.MENTEE): Status.REQUESTED,
    (Status.HOLD, Step.CANCEL, Party.MENTEE): Status.CANCELLED,
    (Status.HOLD, Step.EXPIRE, Party.SYSTEM): Status.EXPIRED,
    (Status.REQUESTED, Step.APPROVE, Party.MENTOR): Status.APPROVED,
    (Status.REQUESTED, Step.APPROVE, Party.SYSTEM): Status.APPROVED,  # the mentor approves whatever fits
    (Status.REQUESTED, Step.REJECT, Party.MENTOR): Status.REJECTED,
    (Status.REQUESTED, Step.CANCEL, Party.MENTOR): Status.CANCELLED,
    (Status.REQUESTED, Step.CANCEL, Party.MENTEE): Status.CANCELLED,
    (Status.REQUESTED, Step.MOVE, Party.MENTEE): Status.REQUESTED,
    (Status.REQUESTED, Step.PROPOSE, Party.MENTOR): Status.REQUESTED,
    (Status.REQUESTED, Step.ACCEPT, Party.MENTEE): Status.APPROVED,  # the mentor agreed when she proposed it
    (Status.REQUESTED, Step.DECLINE, Party.MENTEE): Status.REQUESTED,
    (Status.REQUESTED, Step.DECLINE, Party.MENTOR): Status.REQUESTED,
    (Status.REQUESTED, Step.EXPIRE, Party.SYSTEM): Status.EXPIRED,
    (Status.APPROVED, Step.CANCEL, Party.MENTOR): Status.CANCELLED,
    (Status.APPROVED, Step.CANCEL, Party.MENTEE): Status.CANCELLED,
    (Status.APPROVED, Step.PROPOSE, Party.MENTOR): Status.APPROVED,
    (Status.APPROVED, Step.PROPOSE, Party.MENTEE): Status.APPROVED,
    (Status.APPROVED, Step.ACCEPT, Party.MENTOR): Status.APPROVED,
    (Status.APPROVED, Step.ACCEPT, Party.MENTEE): Status.APPROVED,
    (Status.APPROVED, Step.DECLINE, Party.MENTOR): Status.APPROVED,
    (Status.APPROVED, Step.DECLINE, Party.MENTEE): Status.APPROVED,
    (Status.APPROVED, Step.SETTLE, Party.SYSTEM): Status.HELD,
    (Status.REQUESTED, Step.CANCEL, Party.ADMIN): Status.CANCELLED,
    (Status.APPROVED, Step.CANCEL, Party.ADMIN): Status.CANCELLED,
    (Status.APPROVED, Step.MOVE, Party.ADMIN): Status.APPROVED,  # merged into another session's room
    (Status.REQUESTED, Step.ASK, Party.ADMIN): Status.REQUESTED,
    (Status.APPROVED, Step.ASK, Party.ADMIN): Status.APPROVED,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a mentor asks of who books her; percentages are of the price."""

    instant_approval: bool = False
    free_until_hours: int = 0  # before the start; later a mentee's cancellation costs the late fee
    late_fee_percent: int = 0
    no_show_fee_percent: int = 100


_TERMS: Final = (("free_until_hours", 720), ("late_fee_percent", 100), ("no_show_fee_percent", 100))


def terms_faults(terms: Terms) -> list[FieldError]:
    """Everything that is wrong with them, at once."""
    return [
        FieldError(name, "out_of_range", f"From 0 to {most}.")
        for name, most in _TERMS
        if not 0 <= getattr(terms, name) <= most
    ]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Another time [start, end) that one side asks the other for; the old one stands until it is accepted."""

    start: datetime
    end: datetime
    by: UUID
    reason: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Booking:
    """[start, end) in UTC; price and terms as agreed when it was booked; ``revision`` is iTIP's SEQUENCE."""

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
    expires_at: datetime | None = None  # of a hold or a request
    proposal: Proposal | None = None
    free_until_hours: int = 0
    late_fee_percent: int = 0
    no_show_fee_percent: int = 100
    series_id: UUID | None = None
    seat_group: UUID | None = None  # None while it is not stored: its own
    seat: int = 1

    @property
    def free_until(self) -> datetime:
        """The mentee cancels for nothing until then."""
        return self.start - timedelta(hours=self.free_until_hours)

    def party(self, user_id: UUID) -> Party:
        """Which side the person is on. Raises ``Forbidden("not_a_participant")``."""
        if user_id == self.mentor_id:
            return Party.MENTOR
        if user_id == self.mentee_id:
            return Party.MENTEE
        raise Forbidden("not_a_participant", "This booking is somebody else's.")

    def cancellation_fee(self, party: Party, now: datetime) -> int:
        """What cancelling costs the mentee, in tokens: nothing before the mentor agreed, nor when she cancels."""
        if self.status is not Status.APPROVED or party is not Party.MENTEE or now <= self.free_until:
            return 0
        return self.price_tokens * self.late_fee_percent // 100

    @property
    def no_show_fee(self) -> int:
        """What staying away costs the mentee, in tokens."""
        return self.price_tokens * self.no_show_fee_percent // 100


class Seat(NamedTuple):
    """A place at the mentor's time: who has the same ``group`` shares it."""

    group: UUID
    number: int


def next_seat(taken: Collection[int], capacity: int) -> int | None:
    """The lowest free number, None when all are taken."""
    return (
        next((n for n in range(1, capacity + 1) if n not in taken), None) if len(taken) < capacity else None
    )


def answer_by(start: datetime, now: datetime) -> datetime:
    """Until when a request, or a proposal to meet at ``start``, waits for its answer."""
    return min(now + ANSWER_WITHIN, start)


def price_of(usual: int, usual_minutes: int, minutes: int) -> int:
    """A longer session costs more, a shorter one less; the odd token is the mentor's."""
    return -(-usual * minutes // usual_minutes)


def next_status(booking: Booking, step: Step, party: Party, now: datetime) -> Status:
    """Where the step leads.

    Raises ``Forbidden("not_your_step")`` when only somebody else may take it, ``Conflict("illegal_transition")`` when
    nobody may any more, ``Conflict("session_begun")``, ``Conflict("time_has_passed")``, ``Conflict("hold_expired")``,
    ``Conflict("request_expired")`` and ``Conflict("proposal_expired")`` when the clock forbids it.
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
    if step in (Step.ACCEPT, Step.DECLINE):
        _answerable(booking, step, party, now)
    if (
        booking.status is Status.APPROVED
        and step in (Step.CANCEL, Step.PROPOSE, Step.ACCEPT, Step.MOVE, Step.ASK)
        and now >= booking.start
    ):
        raise Conflict("session_begun", "The session has already begun.")
    if step is Step.APPROVE and now >= booking.start:
        raise Conflict("time_has_passed", "The time of this booking has passed.")
    if step in (Step.APPROVE, Step.CONFIRM) and booking.expires_at is not None and now >= booking.expires_at:
        what = "hold" if booking.status is Status.HOLD else "request"
        raise Conflict(f"{what}_expired", f"This {what} has run out.")
    return target


def _answerable(booking: Booking, step: Step, party: Party, now: datetime) -> None:
    proposal = booking.proposal
    if proposal is None or (step is Step.ACCEPT and booking.party(proposal.by) is party):
        raise Conflict("illegal_transition", "There is no proposal to answer.", status=booking.status.value)
    if step is Step.ACCEPT and now >= proposal.expires_at:
        raise Conflict("proposal_expired", "This proposal has run out.")


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
class BookingExpired:
    """A request that nobody answered in time."""

    KIND: ClassVar[str] = "booking_expired"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class HoldLapsed:
    """A time that was kept for somebody is free again: it ran out, or was given up."""

    KIND: ClassVar[str] = "hold_lapsed"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class MoveProposed:
    """One side asks for [start, end) in place of the old time, which stands."""

    KIND: ClassVar[str] = "move_proposed"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    old_start: datetime
    old_end: datetime
    proposed_by: UUID
    reason: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class MoveAsked:
    """An administrator asks both sides to agree on another time; the old one stands until they do."""

    KIND: ClassVar[str] = "move_asked"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    asked_by: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class MoveDeclined:
    """The old time stands; ``declined_by`` None: nobody answered in time, the proposer: taken back."""

    KIND: ClassVar[str] = "move_declined"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    proposed_start: datetime
    proposed_end: datetime
    proposed_by: UUID
    declined_by: UUID | None
    reason: str


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
    """``was_approved``: there are calendar entries to take back; ``fee_tokens`` is what it cost the mentee."""

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
    fee_tokens: int = 0
