"""A booking that collides with something, and what can be done about it; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from server.availability.collisions import Collision
from server.availability.store import Appointment
from server.booking.model import Booking

KINDS: Final = ("absence", "day_off", "other_hours", "holiday", "calendar", "room", "proposal")


@dataclass(frozen=True, slots=True)
class Conflict:
    """``kind`` is one of KINDS; ``cause`` names this very collision, so that it can be dismissed and stays dismissed
    until another comes; ``merge_into`` is the session it can be merged with, if that resolves it."""

    booking: Booking
    kind: str
    cause: str
    why: str
    merge_into: UUID | None = None

    @property
    def key(self) -> tuple[UUID, str, str]:
        return self.booking.id, self.kind, self.cause


@dataclass(frozen=True, slots=True)
class Shared:
    """Two sessions of one mentor that overlap and do not meet in one room."""

    session_id: UUID
    other_id: UUID
    same_time: bool
    other_start: datetime


def of_rules(booking: Booking, found: Sequence[Collision]) -> list[Conflict]:
    return [Conflict(booking, it.kind, it.cause, it.why) for it in found]


def of_calendars(booking: Booking, busy: Mapping[UUID, Sequence[Appointment]]) -> list[Conflict]:
    """Appointments of either person in the booking's time; whose they are is said, what they are is not."""
    found = []
    for user_id, name in ((booking.mentor_id, booking.mentor_name), (booking.mentee_id, booking.mentee_name)):
        for it in busy.get(user_id, ()):
            if it.start < booking.end and it.end > booking.start:
                cause = f"{it.id}@{it.start.isoformat()}/{it.end.isoformat()}"
                found.append(Conflict(booking, "calendar", cause, f"{name} is busy in another calendar"))
    return found


def of_rooms(booking: Booking, shared: Sequence[Shared]) -> list[Conflict]:
    return [
        Conflict(
            booking,
            "room",
            str(it.other_id),
            f"{booking.mentor_name} has another session at that time, in another room",
            it.other_id if it.same_time else None,
        )
        for it in shared
        if it.session_id == booking.session_id
    ]
