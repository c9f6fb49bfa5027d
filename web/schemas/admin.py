"""What administrators read and write about what collides, and about merges."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, Reason, Text
from web.schemas.sessions import BookingOut


class ConflictOut(Out):
    """A booking that collides with something."""

    booking: BookingOut
    kind: Literal["absence", "day_off", "other_hours", "holiday", "calendar", "room", "proposal"]
    cause: str = Field(description="Names this very collision, for dismissing it.")
    why: str
    merge_into: UUID | None = Field(description="The session it can be merged into, if that resolves it.")


class DismissIn(In):
    booking_id: UUID
    kind: Text = Field(max_length=40)
    cause: Text = Field(max_length=500)
    reason: Reason


class WhyIn(In):
    reason: Reason


class MergeIn(In):
    session_ids: list[UUID] = Field(description="What is merged, with all who share its room; 1 to 50.")
    into: UUID = Field(description="The session whose room and time remain.")
    reason: Reason


class PlaceOut(Out):
    start: Instant
    end: Instant
    room_id: UUID


class MergedOut(Out):
    session_id: UUID
    before: PlaceOut
    after: PlaceOut


class MergeOut(Out):
    id: UUID
    room_id: UUID
    merged_by: UUID
    reason: str
    at: Instant
    undone_at: Instant | None
    sessions: list[MergedOut]
