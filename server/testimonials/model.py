"""A testimonial, its states, what is wrong with one, and its facts; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

from server.base.errors import Conflict, FieldError, Forbidden
from server.people.model import text_faults
from server.sessions.model import Outcome, Session

LONGEST: Final = 1000  # characters: a few paragraphs; what is longer nobody reads on a mentor's page
MAX_REASON: Final = 500
ASKED_FOR: Final = timedelta(days=60)  # how long the link in the mail is good; the session's page has no end


class Status(StrEnum):
    """submitted -> published | rejected; the author changes or withdraws it until it is published, an administrator
    takes a decision back."""

    SUBMITTED = "submitted"
    PUBLISHED = "published"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Step(StrEnum):
    WRITE = "write"  # also anew: what was rejected or withdrawn is read again
    WITHDRAW = "withdraw"
    PUBLISH = "publish"
    REJECT = "reject"
    UNDO = "undo"  # a decision


TRANSITIONS: Final = {
    (Status.SUBMITTED, Step.WRITE): Status.SUBMITTED,
    (Status.REJECTED, Step.WRITE): Status.SUBMITTED,
    (Status.WITHDRAWN, Step.WRITE): Status.SUBMITTED,
    (Status.SUBMITTED, Step.WITHDRAW): Status.WITHDRAWN,
    (Status.REJECTED, Step.WITHDRAW): Status.WITHDRAWN,
    (Status.SUBMITTED, Step.PUBLISH): Status.PUBLISHED,
    (Status.SUBMITTED, Step.REJECT): Status.REJECTED,
    (Status.PUBLISHED, Step.UNDO): Status.SUBMITTED,
    (Status.REJECTED, Step.UNDO): Status.SUBMITTED,
}
# A step that has been taken already is harmless: a button pressed twice, an answer that got lost.
_TAKEN: Final = {
    (Status.WITHDRAWN, Step.WITHDRAW),
    (Status.PUBLISHED, Step.PUBLISH),
    (Status.REJECTED, Step.REJECT),
    (Status.SUBMITTED, Step.UNDO),
}


@dataclass(frozen=True, slots=True)
class Testimonial:
    """Of one session, by its mentee; ``text`` is plain and stays plain wherever it is shown."""

    session_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    mentor_name: str
    mentee_name: str
    stars: int
    text: str
    status: Status
    reason: str
    revision: int
    written_at: datetime
    decided_at: datetime | None
    session_start: datetime

    @property
    def author(self) -> str:
        """The public sees a first name."""
        return first_name(self.mentee_name)


@dataclass(frozen=True, slots=True)
class Rating:
    """The mean of published stars, to one decimal; None while there are none."""

    average: float | None
    count: int


def first_name(name: str) -> str:
    return name.split()[0] if name.split() else "Somebody"


def faults(stars: int, text: str) -> list[FieldError]:
    """Everything that is wrong with it, at once."""
    found = []
    if not 1 <= stars <= 5:
        found.append(FieldError("stars", "out_of_range", "Give 1 to 5 stars."))
    return found + text_faults("text", text.strip(), longest=LONGEST, needed=True, lines=True)


def reason_faults(reason: str) -> list[FieldError]:
    return text_faults("reason", reason, longest=MAX_REASON, needed=True)


def may_write(session: Session, user_id: UUID) -> None:
    """Pass if the person may speak of the session: its mentee, once it was attended.

    Raises ``Forbidden("mentees_only")`` and ``Conflict("session_not_completed")``.
    """
    if session.mentee_id != user_id:
        raise Forbidden("mentees_only", "Only the session's mentee can write this.")
    if session.outcome is not Outcome.COMPLETED:
        raise Conflict("session_not_completed", "Only of a session that took place.")


def next_status(status: Status | None, step: Step) -> Status | None:
    """Where the step leads; None when it was taken before and nothing has to be done. A text that is not there yet
    (``status`` None) can only be written.

    Raises ``Conflict("already_published")`` when the author comes too late, ``Conflict("illegal_transition")``.
    """
    if status is None and step is Step.WRITE:
        return Status.SUBMITTED
    if status is not None:
        if (status, step) in _TAKEN:
            return None
        if (target := TRANSITIONS.get((status, step))) is not None:
            return target
        if status is Status.PUBLISHED and step in (Step.WRITE, Step.WITHDRAW):
            raise Conflict(
                "already_published", "It is published, and can no longer be changed.", status=status.value
            )
    shown = "not written" if status is None else status.value
    raise Conflict(
        "illegal_transition", f"What is {shown} cannot be changed this way ({step}).", status=shown
    )


def rating_of(total_stars: int, count: int) -> Rating:
    return Rating(round(total_stars / count, 1) if count else None, count)


@dataclass(frozen=True, slots=True)
class TestimonialPublished:
    KIND: ClassVar[str] = "testimonial_published"
    session_id: UUID
    at: datetime
    mentor_id: UUID
    mentee_id: UUID
    revision: int


@dataclass(frozen=True, slots=True)
class TestimonialRejected:
    KIND: ClassVar[str] = "testimonial_rejected"
    session_id: UUID
    at: datetime
    mentor_id: UUID
    mentee_id: UUID
    revision: int
    reason: str
