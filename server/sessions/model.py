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
    room_id: UUID  # the session whose room it meets in, mostly itself

    @property
    def opens_at(self) -> datetime:
        return self.start - JOIN_OPENS

    @property
    def closes_at(self) -> datetime:
        return self.end + JOIN_CLOSES

    @property
    def chat_id(self) -> UUID:
        """Where its people talk; what is said where they no longer meet is none of their business."""
        return self.id if self.status is SessionStatus.CANCELLED else self.room_id

    def role_of(self, user_id: UUID) -> str | None:
        """``mentor`` or ``mentee``, None for anybody else."""
        if user_id == self.mentor_id:
            return "mentor"
        return "mentee" if user_id == self.mentee_id else None


@dataclass(frozen=True, slots=True)
class Room:
    """Where sessions meet that share a mentor and a time: the seats of a group, or what was merged. First of
    ``sessions`` is the one that gives the room its id and its times; cancelled ones are in it only if all are."""

    sessions: tuple[Session, ...]

    @property
    def first(self) -> Session:
        return self.sessions[0]

    @property
    def id(self) -> UUID:
        return self.first.id

    @property
    def people(self) -> tuple[tuple[UUID, str, str], ...]:
        """(user id, name, role) of everybody, each once, mentors first."""
        mentors = {s.mentor_id: (s.mentor_id, s.mentor_name, "mentor") for s in self.sessions}
        mentees = {s.mentee_id: (s.mentee_id, s.mentee_name, "mentee") for s in self.sessions}
        return (*mentors.values(), *mentees.values())

    @property
    def outcome(self) -> Outcome | None:
        """None while one is open; ``completed`` if anybody met."""
        outcomes = [session.outcome for session in self.sessions]
        if None in outcomes:
            return None
        return Outcome.COMPLETED if Outcome.COMPLETED in outcomes else outcomes[0]

    @property
    def status(self) -> SessionStatus:
        statuses = {session.status for session in self.sessions}
        for status in (SessionStatus.SCHEDULED, SessionStatus.SETTLED):
            if status in statuses:
                return status
        return SessionStatus.CANCELLED

    def session_of(self, user_id: UUID) -> Session | None:
        """The person's own session in this room, one that takes place if there is a choice."""
        own = [session for session in self.sessions if session.role_of(user_id) is not None]
        own.sort(key=lambda session: session.status is SessionStatus.CANCELLED)
        return own[0] if own else None


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
