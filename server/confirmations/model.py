"""Questions and answers about coming, which answer counts, and when its absence is worth telling; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

ASKS_FROM: Final = timedelta(hours=2)  # reminders with at least this lead ask
MISSED_AT: Final = timedelta(hours=2)  # before the start: without an answer by then operators are told
TIME_TO_ANSWER: Final = timedelta(minutes=30)  # at least, where the question itself came late


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Step:
    """The question (``step`` 0, no answer), or one answer to it. ``said_at`` is the person's own clock, where it
    tells; ``late``: operators had been told that it was missing."""

    user_id: UUID
    step: int
    answer: Answer | None
    channel: str
    late: bool
    said_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class PersonConfirmation:
    """What one person was asked and says now; ``changes`` counts answers beyond the first."""

    user_id: UUID
    asked_at: datetime
    answer: Answer | None = None
    answered_at: datetime | None = None
    channel: str | None = None
    late: bool = False
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Of a session at its present time; nobody in it before it was asked."""

    session_id: UUID
    revision: int
    people: tuple[PersonConfirmation, ...] = ()

    def of(self, user_id: UUID) -> PersonConfirmation | None:
        return next((it for it in self.people if it.user_id == user_id), None)


def newest(steps: Iterable[Step]) -> Step | None:
    """The answer of one person that counts: what was said last, whatever arrived last."""
    answers = [step for step in steps if step.answer is not None]
    return max(answers, key=lambda step: (step.said_at, step.step), default=None)


def confirmation_of(session_id: UUID, revision: int, steps: Sequence[Step]) -> Confirmation:
    """From all steps of the revision, in any order."""
    people = []
    for question in sorted((it for it in steps if it.step == 0), key=lambda it: it.user_id):
        own = [it for it in steps if it.user_id == question.user_id]
        now = newest(own)
        if now is None:
            people.append(PersonConfirmation(question.user_id, question.at))
            continue
        people.append(
            PersonConfirmation(
                question.user_id, question.at, now.answer, now.said_at, now.channel, now.late, len(own) - 2
            )
        )
    return Confirmation(session_id, revision, tuple(people))


def missed_at(start: datetime, asked_at: datetime) -> datetime:
    """When an answer that has not come is missing."""
    return max(start - MISSED_AT, asked_at + TIME_TO_ANSWER)


@dataclass(frozen=True, slots=True)
class Question:
    """Whether these people come to the session at ``start``, which is the booking's of that ``revision``."""

    session_id: UUID
    revision: int
    start: datetime
    users: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ConfirmationAsked:
    """The people of a session were asked whether they come to it at ``start``."""

    KIND: ClassVar[str] = "confirmation_asked"
    session_id: UUID
    at: datetime
    revision: int
    start: datetime
    users: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ConfirmationAnswered:
    """Somebody says so for the first time, or says something else than before. ``late``: operators had been told that
    there was no answer."""

    KIND: ClassVar[str] = "confirmation_answered"
    session_id: UUID
    at: datetime
    revision: int
    user_id: UUID
    step: int
    answer: Answer
    previous: Answer | None
    channel: str
    late: bool


@dataclass(frozen=True, slots=True)
class ConfirmationMissing:
    """Two hours before the start ``users`` have not answered."""

    KIND: ClassVar[str] = "confirmation_missing"
    session_id: UUID
    at: datetime
    revision: int
    start: datetime
    users: tuple[UUID, ...]
