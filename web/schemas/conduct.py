"""What the API reads and writes about no-shows and what followed from them."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from server.conduct.model import MAX_WORDS, RULES, Standing
from server.conduct.store import Found
from web.schemas.base import In, Instant, Out, PageQuery, Person, Text


class MissOut(Out):
    """A session the person did not come to, and that counts."""

    session_id: UUID
    start: Instant


class StepOut(Out):
    kind: Literal["warned", "restricted", "lifted", "appealed", "appeal_accepted", "appeal_rejected"]
    at: Instant
    session_id: UUID = Field(description="The no-show that brought it about.")
    until: Instant | None = Field(description="Of a restriction.")
    words: str = Field(description="What was said: the appeal, or the reason.")


class RuleOut(Out):
    number: int
    within_days: int
    step: Literal["warned", "restricted"]
    lasts_days: int | None


class StandingOut(Out):
    restricted_until: Instant | None = Field(
        description="Until then one cannot book, or be booked and accept. What is agreed stays."
    )
    restriction_id: UUID | None
    appeal: Literal["none", "open", "accepted", "rejected"]
    can_appeal: bool
    misses: list[MissOut]
    steps: list[StepOut] = Field(description="Oldest first.")
    rules: list[RuleOut]

    @classmethod
    def of(cls, it: Standing) -> StandingOut:
        held = it.restriction
        return cls(
            restricted_until=None if held is None else held.until,
            restriction_id=None if held is None else held.id,
            appeal=it.appeal.value,
            can_appeal=it.can_appeal,
            misses=[MissOut(session_id=miss.session_id, start=miss.at) for miss in it.misses],
            steps=[
                StepOut.model_validate(
                    {
                        "kind": step.kind.value,
                        "at": step.at,
                        "session_id": step.session_id,
                        "until": step.until,
                        "words": step.words,
                    }
                )
                for step in it.steps
            ],
            rules=[
                RuleOut.model_validate(
                    {
                        "number": rule.number,
                        "within_days": rule.within.days,
                        "step": rule.step.value,
                        "lasts_days": None if rule.lasts is None else rule.lasts.days,
                    }
                )
                for rule in RULES
            ],
        )


class AppealIn(In):
    text: Text = Field(max_length=4 * MAX_WORDS, description=f"At most {MAX_WORDS} characters.")


class AnswerIn(In):
    reason: Text = Field(max_length=4 * MAX_WORDS, description="The person reads it.")


class CasesQuery(PageQuery):
    show: Literal["appeals", "restricted"] = Field(
        "appeals", description="Restrictions with an open appeal, or all that hold."
    )


class CaseOut(Out):
    """A restriction, as administrators see it."""

    id: UUID
    person: Person
    role: Literal["mentor", "mentee"]
    restricted_at: Instant
    until: Instant
    sessions: list[UUID] = Field(description="The no-shows that were counted.")
    appeal: str = Field(description="Empty without an open one.")
    appealed_at: Instant | None

    @classmethod
    def of(cls, it: Found) -> CaseOut:
        held = it.restriction
        return cls.model_validate(
            {
                "id": held.id,
                "person": {"id": held.person_id, "name": it.name},
                "role": it.role,
                "restricted_at": held.at,
                "until": held.until,
                "sessions": list(held.sessions),
                "appeal": it.appeal,
                "appealed_at": it.appealed_at,
            }
        )
