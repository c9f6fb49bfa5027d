"""What is written down of a merge, whether sessions can be merged, and the facts of it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID

from server.base.errors import Conflict
from server.booking.model import instant
from server.sessions.model import Session, SessionStatus

MOST: Final = 50  # sessions named in one merge


class Place(NamedTuple):
    """When and where a session meets, and on which seat of which group."""

    start: datetime
    end: datetime
    room_id: UUID
    seat_group: UUID
    seat: int

    def document(self) -> dict[str, Any]:
        return {
            "start": instant(self.start),
            "end": instant(self.end),
            "room_id": str(self.room_id),
            "seat_group": str(self.seat_group),
            "seat": self.seat,
        }

    @classmethod
    def read(cls, document: dict[str, Any]) -> Place:
        return cls(
            datetime.fromisoformat(document["start"]),
            datetime.fromisoformat(document["end"]),
            UUID(document["room_id"]),
            UUID(document["seat_group"]),
            document["seat"],
        )


@dataclass(frozen=True, slots=True)
class Merged:
    """One line of the log: a session as it was and as it is since the merge."""

    session_id: UUID
    before: Place
    after: Place


@dataclass(frozen=True, slots=True)
class Merge:
    """``undone_at`` None: it stands."""

    id: UUID
    room_id: UUID
    actor_id: UUID
    reason: str
    at: datetime
    undone_at: datetime | None
    sessions: tuple[Merged, ...]


def must_fit(into: Session, others: Sequence[Session], now: datetime) -> None:
    """Raises ``Conflict`` with ``other_mentor``, ``session_not_scheduled``, ``session_begun`` or ``another_length``."""
    for session in (into, *others):
        if session.mentor_id != into.mentor_id:
            raise Conflict("other_mentor", "Only sessions of one mentor meet in one room.")
        if session.status is not SessionStatus.SCHEDULED:
            raise Conflict("session_not_scheduled", "Only sessions that are still to come are merged.")
        not_begun(session, now)
        if session.end - session.start != into.end - into.start:
            raise Conflict("another_length", "A session that is merged keeps its length.")


def not_begun(session: Session, now: datetime) -> None:
    """Raises ``Conflict("session_begun")``."""
    if now >= session.start:
        raise Conflict("session_begun", "One of these sessions has already begun.")


@dataclass(frozen=True, slots=True)
class SessionsMerged:
    """The session meets in the room of ``room_id`` from now on, at [start, end); also told of that session itself."""

    KIND: ClassVar[str] = "sessions_merged"
    session_id: UUID
    at: datetime
    merge_id: UUID
    room_id: UUID
    merged_by: UUID
    reason: str
    start: datetime
    end: datetime
    old_start: datetime
    old_end: datetime


@dataclass(frozen=True, slots=True)
class SessionsUnmerged:
    """The session is where it was before that merge."""

    KIND: ClassVar[str] = "sessions_unmerged"
    session_id: UUID
    at: datetime
    merge_id: UUID
    room_id: UUID
    unmerged_by: UUID
    reason: str
    start: datetime
    end: datetime
