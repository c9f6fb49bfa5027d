"""What administrators read of dead letters."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from web.schemas.base import Instant, Out


class DeadLetterOut(Out):
    """A fact with the reactions that were given up."""

    id: str
    kind: str
    session_id: UUID | None
    at: Instant
    data: dict[str, Any] = Field(description="The fact itself.")
    died_at: Instant
    errors: dict[str, str] = Field(description="Why, by reaction.")
