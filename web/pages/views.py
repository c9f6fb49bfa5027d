"""What pages show of bookings and sessions: the domain's values, as one reader sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.context import Context
from server.base.errors import NotFound
from server.booking.model import LIVE, Booking, Proposal, Status
from server.confirmations.model import Confirmation, PersonConfirmation
from server.people.model import Principal, Role, User
from server.sessions import actions as sessions
from server.sessions.model import JOIN_CLOSES, JOIN_OPENS, Outcome, Session


@dataclass(frozen=True, slots=True)
class Person:
    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class BookingView:
    """A booking or session for one reader; ``state`` is the booking's status, or the outcome once there is one."""

    id: UUID
    session_id: UUID
    mentor: Person
    mentee: Person
    start: datetime
    end: datetime
    status: str
    outcome: str | None
    price_tokens: int
    topic: str
    note: str
    is_reschedule: bool
    reschedule_reason: str | None
    cancelation_reason: str | None
    created_at: datetime
    updated_at: datetime
    proposal: Proposal | None
    expires_at: datetime | None
    cancellation_fee: int  # what cancelling now costs the mentee who reads this
    series_id: UUID | None
    reader_id: UUID
    now: datetime
    confirmation: Confirmation | None = None  # where the page shows it, and the session is ahead

    @property
    def my_confirmation(self) -> PersonConfirmation | None:
        """What this reader was asked, as long as an answer helps."""
        asks = self.confirmation is not None and self.status == Status.APPROVED and self.now < self.start
        return self.confirmation.of(self.reader_id) if self.confirmation is not None and asks else None

    @property
    def answers(self) -> list[tuple[Person, PersonConfirmation]]:
        """Who has said whether they come, the other side first."""
        if self.confirmation is None or self.status != Status.APPROVED:
            return []
        people = sorted((self.mentor, self.mentee), key=lambda person: person.id == self.reader_id)
        found = [(person, self.confirmation.of(person.id)) for person in people]
        return [(person, it) for person, it in found if it is not None and it.answer is not None]

    @property
    def state(self) -> str:
        return self.outcome or self.status

    @property
    def i_am_mentor(self) -> bool:
        return self.reader_id == self.mentor.id

    @property
    def i_am_mentee(self) -> bool:
        return self.reader_id == self.mentee.id

    @property
    def both(self) -> bool:
        """An administrator looks at both sides."""
        return not self.i_am_mentor and not self.i_am_mentee

    @property
    def other(self) -> Person:
        return self.mentee if self.i_am_mentor else self.mentor

    @property
    def minutes(self) -> int:
        return round((self.end - self.start).total_seconds() / 60)

    @property
    def room_opens(self) -> datetime:
        return self.start - JOIN_OPENS

    @property
    def room_closes(self) -> datetime:
        return self.end + JOIN_CLOSES

    @property
    def room_open(self) -> bool:
        return (
            self.status == Status.APPROVED
            and not self.both
            and self.room_opens <= self.now < self.room_closes
        )

    @property
    def started(self) -> bool:
        return self.now >= self.room_opens

    @property
    def over(self) -> bool:
        return self.now >= self.room_closes

    @property
    def can_change(self) -> bool:
        """Moved or cancelled: while it is live and, once agreed, before it begins."""
        return not self.both and self.status in LIVE and self.now < self.start

    @property
    def asked_by_other(self) -> bool:
        """The other side proposes another time, and waits for this reader."""
        return self.proposal is not None and not self.both and self.proposal.by != self.reader_id

    @property
    def proposed_by_me(self) -> bool:
        return self.proposal is not None and self.proposal.by == self.reader_id

    @property
    def asks_me(self) -> bool:
        """A request that this reader, its mentor, has not answered."""
        return self.status == Status.REQUESTED and self.i_am_mentor and not self.proposed_by_me

    @property
    def kept_for_me(self) -> bool:
        """A time that waits for this reader's confirmation."""
        return self.status == Status.HOLD and self.i_am_mentee

    @property
    def has_session(self) -> bool:
        return self.status in (Status.APPROVED, Status.HELD)

    @property
    def href(self) -> str:
        """Its own page: the session's once it has been held, the booking's before."""
        return f"/sessions/{self.session_id}" if self.status == Status.HELD else self.booking_href

    @property
    def booking_href(self) -> str:
        return f"/bookings/{self.id}"

    @property
    def room_href(self) -> str:
        return f"/sessions/{self.session_id}/room"


def view_of(
    it: Booking,
    reader: User,
    now: datetime,
    session: Session | None = None,
    confirmation: Confirmation | None = None,
) -> BookingView:
    return BookingView(
        id=it.id,
        session_id=it.session_id,
        mentor=Person(it.mentor_id, it.mentor_name),
        mentee=Person(it.mentee_id, it.mentee_name),
        start=it.start,
        end=it.end,
        status=it.status.value,
        outcome=session.outcome.value if session and session.outcome else None,
        price_tokens=it.price_tokens,
        topic=it.topic,
        note=it.note,
        is_reschedule=it.is_reschedule,
        reschedule_reason=it.reschedule_reason,
        cancelation_reason=it.cancelation_reason,
        created_at=it.created_at,
        updated_at=it.updated_at,
        proposal=it.proposal,
        expires_at=it.expires_at,
        cancellation_fee=it.cancellation_fee(it.party(reader.id), now)
        if reader.id in (it.mentor_id, it.mentee_id)
        else 0,
        series_id=it.series_id,
        reader_id=reader.id,
        now=now,
        confirmation=confirmation,
    )


async def with_outcomes(
    ctx: Context, bookings: tuple[Booking, ...], reader: User, now: datetime
) -> list[BookingView]:
    """The views of ``bookings``; those that were held get their session's outcome (one primary-key read each)."""
    return [
        view_of(it, reader, now, await session_of(ctx, it, reader) if it.status is Status.HELD else None)
        for it in bookings
    ]


async def session_of(ctx: Context, it: Booking, reader: User) -> Session | None:
    """The session of a booking, if one was ever published."""
    try:
        return await sessions.get(ctx, Principal(reader.id, reader.role), it.session_id)
    except NotFound:
        return None


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a booking's timeline; ``state`` is done, todo or bad."""

    title: str
    state: str
    at: datetime | None = None
    detail: str = ""


def timeline(view: BookingView) -> list[Step]:
    """What happened so far and what comes next."""
    mentor, mentee = view.mentor.name, view.mentee.name
    asked = "You asked for this time" if view.i_am_mentee else f"{mentee} asked for this time"
    held = f"{view.price_tokens} tokens set aside" if view.price_tokens else ""
    steps = [Step(asked, "done", view.created_at, held)]
    if view.is_reschedule:
        steps.append(Step("Moved to another time", "done", None, view.reschedule_reason or ""))
    match view.status:
        case Status.REQUESTED:
            answer = "You answer" if view.i_am_mentor else f"{mentor} answers"
            steps += [Step(answer, "todo"), Step("You meet", "todo", view.start)]
        case Status.APPROVED:
            steps.append(Step("Time confirmed", "done", None, "Both have an invitation by mail"))
            steps.append(Step("You meet", "todo", view.start))
        case Status.REJECTED:
            steps.append(Step(f"{mentor} declined", "bad", view.updated_at, "The tokens went back"))
        case Status.HOLD:
            steps.append(Step("Kept for you until it is confirmed", "todo", view.expires_at))
        case Status.EXPIRED:
            steps.append(Step("Nobody answered in time", "bad", view.updated_at, "The tokens went back"))
        case Status.CANCELLED:
            steps.append(Step("Cancelled", "bad", view.updated_at, "The tokens went back"))
        case Status.HELD:
            bad = view.outcome is not None and view.outcome != Outcome.COMPLETED
            steps.append(Step("Time confirmed", "done"))
            steps.append(Step("The time of the session", "done", view.start))
            steps.append(Step("Settled", "bad" if bad else "done", view.updated_at))
    return steps


def principal_of(user: User) -> Principal:
    return Principal(user.id, Role(user.role))
