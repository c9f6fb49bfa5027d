"""A session, the times its room is open, what can become of it, and its facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

JOIN_OPENS: Final = timedelta(minutes=15)  # before the start
JOIN_CLOSES: Final = timedelta(minutes=15)  # after the end


class SessionStatus(StrEnum):
    SCHEDULED = "scheduled"
    SETTLED = "settled"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    COMPLETED = "completed"
    MENTOR_NO_SHOW = "mentor_no_show"
    MENTEE_NO_SHOW = "mentee_no_show"
    BOTH_ABSENT = "both_absent"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Session:
    """A published session of two people, [start, end) in UTC; ``outcome`` is None while it is open."""

    id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    status: SessionStatus
    outcome: Outcome | None
    settled_at: datetime | None
    booking_id: UUID
    mentor_name: str
    mentee_name: str
    topic: str

    @property
    def opens_at(self) -> datetime:
        return self.start - JOIN_OPENS

    @property
    def closes_at(self) -> datetime:
        return self.end + JOIN_CLOSES

    def role_of(self, user_id: UUID) -> str | None:
        """``mentor`` or ``mentee``, None for anybody else."""
        if user_id == self.mentor_id:
            return "mentor"
        return "mentee" if user_id == self.mentee_id else None


@dataclass(frozen=True, slots=True)
class RoomPass:
    """What a room token says: this person may be in this session's room, as this role."""

    session_id: UUID
    user_id: UUID
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class SessionPublished:
    """An approved booking has become a session with a room."""

    KIND: ClassVar[str] = "session_published"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class SessionMoved:
    """A published session has another time, and stays published."""

    KIND: ClassVar[str] = "session_moved"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class SessionCancelled:
    """A published session will not take place."""

    KIND: ClassVar[str] = "session_cancelled"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    cancelled_by: UUID
    reason: str
