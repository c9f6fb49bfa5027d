"""What the API reads and writes about waiting for a mentor."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, Person


class WaitIn(In):
    earliest: Instant
    latest: Instant


class PlaceOut(Out):
    id: UUID
    mentor: Person
    earliest: Instant
    latest: Instant
    status: Literal["waiting", "offered"]
    booking_id: UUID | None = Field(description="The time that is kept: confirm this booking to take it.")
    ahead: int = Field(description="How many came before.")
    created_at: Instant


class PlacesOut(Out):
    items: list[PlaceOut]
