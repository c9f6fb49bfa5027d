"""What the API reads and writes about whether people come."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from server.confirmations.model import Confirmation
from server.sessions.model import Session
from web.schemas.base import In, Instant, Out

AnswerName = Literal["yes", "no", "move"]


class ConfirmationIn(In):
    answer: AnswerName


class PersonConfirmationOut(Out):
    user_id: UUID
    role: Literal["mentor", "mentee"]
    asked_at: Instant
    answer: AnswerName | None = Field(description="null while there is none.")
    answered_at: Instant | None
    channel: str | None = Field(description="By which it came: `page`, `email`, `whatsapp`.")
    late: bool = Field(description="It came after operators were told that it was missing.")
    changes: int = Field(description="How many answers it replaced.")


class ConfirmationOut(Out):
    """Of the session at its present time: a session that moves asks anew."""

    session_id: UUID
    people: list[PersonConfirmationOut] = Field(description="Empty before they are asked.")

    @classmethod
    def of(cls, session: Session, it: Confirmation) -> ConfirmationOut:
        return cls(
            session_id=session.id,
            people=[
                PersonConfirmationOut(
                    user_id=person.user_id,
                    role="mentor" if person.user_id == session.mentor_id else "mentee",
                    asked_at=person.asked_at,
                    answer=None if person.answer is None else person.answer.value,
                    answered_at=person.answered_at,
                    channel=person.channel,
                    late=person.late,
                    changes=person.changes,
                )
                for person in it.people
            ],
        )


class AnsweredOut(Out):
    """What an answer by link did."""

    session_id: UUID
    answer: AnswerName
    late: bool
