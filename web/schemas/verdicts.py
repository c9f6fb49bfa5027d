"""What the API reads and writes about verdicts, reviews and outages."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, Reason, Text
from web.schemas.sessions import OutcomeName


class VerdictIn(In):
    outcome: OutcomeName
    reason: Reason


class VerdictOut(Out):
    """One step; the last one stands."""

    seq: int
    outcome: OutcomeName
    decided_by: Literal["system", "admin"]
    reason: str
    at: Instant
    inputs: dict[str, Any] = Field(
        description=(
            "What was known: for `mentor` and `mentee` a `finding` (`present`, `without_media`, `waiting_only`,"
            " `absent`), `intervals` of presence and `waiting` at the door; `outages` of ours; `together_seconds`,"
            " `expected_seconds`. Empty for verdicts from before the steps were kept."
        )
    )


class ReviewIn(In):
    reason: Text = Field(max_length=1000)


class UpholdIn(In):
    note: Reason


class ReviewOut(Out):
    id: UUID
    session_id: UUID
    asked_by: UUID
    reason: str
    asked_at: Instant
    answer: Literal["amended", "upheld"] | None = Field(description="null while it waits.")
    answer_note: str | None
    answered_at: Instant | None


class OutageIn(In):
    from_: Instant = Field(alias="from")
    to: Instant
    note: Reason


class OutageOut(Out):
    id: UUID
    from_: Instant = Field(alias="from", serialization_alias="from")
    to: Instant | None = Field(description="null while it goes on.")
    cause: Literal["server_gap", "server_lost", "media_down", "declared"]
    note: str
