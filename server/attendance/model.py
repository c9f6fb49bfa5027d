"""Presence as it is stored and shown, and the facts of attendance; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from server.attendance.intervals import Interval, total, union
from server.sessions.model import Outcome

# Heartbeats come every 5 s while the SFU sees a peer; six missed ones: the process that held the interval is gone.
ORPHAN_AFTER = timedelta(seconds=30)
SERVER_LOST = "server_lost"  # why such an interval ended


@dataclass(frozen=True, slots=True)
class Presence:
    """One observed stretch of one peer, as stored; ``left_at`` is None while the SFU still sees the peer."""

    user_id: UUID
    peer_id: str
    joined_at: datetime
    last_seen_at: datetime
    left_at: datetime | None
    left_reason: str | None
    media_seconds: float
    talk_seconds: float

    @property
    def interval(self) -> Interval:
        """An open interval counts to the last heartbeat."""
        return Interval(self.joined_at, self.left_at or self.last_seen_at)


@dataclass(frozen=True, slots=True)
class PersonAttendance:
    """What SURFACE promises about one person; seconds, and ``intervals`` merged over tabs and reloads."""

    user_id: UUID
    role: str
    first_joined_at: datetime | None
    last_left_at: datetime | None  # None while the person is in the room
    present_seconds: float
    media_seconds: float
    talk_seconds: float
    intervals: tuple[Interval, ...]


def attendance_of(user_id: UUID, role: str, presences: Sequence[Presence]) -> PersonAttendance:
    """One person's attendance out of every stretch of every peer he or she had."""
    merged = union(p.interval for p in presences)
    present = total(merged).total_seconds()
    here = any(p.left_at is None for p in presences)
    return PersonAttendance(
        user_id=user_id,
        role=role,
        first_joined_at=merged[0].start if merged else None,
        last_left_at=merged[-1].end if merged and not here else None,
        present_seconds=present,
        # Two tabs at once both send media; a person's media last no longer than the person was there.
        media_seconds=min(sum(p.media_seconds for p in presences), present),
        talk_seconds=min(sum(p.talk_seconds for p in presences), present),
        intervals=merged,
    )


class Seen(NamedTuple):
    """A heartbeat: the SFU still saw the peer at ``at``; seconds are totals of the peer's open interval."""

    session_id: UUID
    peer_id: str
    at: datetime
    media_seconds: float
    talk_seconds: float


@dataclass(frozen=True, slots=True)
class PersonJoined:
    KIND: ClassVar[str] = "person_joined"
    session_id: UUID
    at: datetime
    user_id: UUID
    peer_id: str


@dataclass(frozen=True, slots=True)
class PersonLeft:
    KIND: ClassVar[str] = "person_left"
    session_id: UUID
    at: datetime
    user_id: UUID
    peer_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class MediaSwitched:
    """What the person's page says of microphone and camera, once on arrival and whenever it has changed. It decides
    nothing: presence is what the SFU saw."""

    KIND: ClassVar[str] = "media_switched"
    session_id: UUID
    at: datetime
    user_id: UUID
    peer_id: str
    microphone: bool
    camera: bool


def switched_words(microphone: bool, camera: bool) -> str:
    """``microphone on, camera off``"""
    return f"microphone {'on' if microphone else 'off'}, camera {'on' if camera else 'off'}"


@dataclass(frozen=True, slots=True)
class SessionSettled:
    """The verdict and the money that moved by it, in tokens: ``earning`` + ``fee`` + ``released`` = the price."""

    KIND: ClassVar[str] = "session_settled"
    session_id: UUID
    at: datetime
    mentor_id: UUID
    mentee_id: UUID
    outcome: Outcome
    earning: int
    fee: int
    released: int


@dataclass(frozen=True, slots=True)
class NoShowSuspected:
    """The session has run for ``minutes`` and ``absent_id`` has not come: a step of the ladder. ``waiting_id``: who is
    in the room meanwhile, if anybody is."""

    KIND: ClassVar[str] = "no_show_suspected"
    session_id: UUID
    at: datetime
    absent_id: UUID
    waiting_id: UUID | None
    minutes: int = 10


@dataclass(frozen=True, slots=True)
class VerdictAmended:
    """An administrator has decided otherwise; the money as it stands now, in tokens."""

    KIND: ClassVar[str] = "verdict_amended"
    session_id: UUID
    at: datetime
    mentor_id: UUID
    mentee_id: UUID
    admin_id: UUID
    seq: int
    before: Outcome
    outcome: Outcome
    reason: str
    earning: int
    fee: int
    released: int


@dataclass(frozen=True, slots=True)
class ReviewAsked:
    """One of the two thinks that the verdict is wrong."""

    KIND: ClassVar[str] = "review_asked"
    session_id: UUID
    at: datetime
    review_id: UUID
    asked_by: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class ReviewUpheld:
    """An administrator has looked again, and the verdict stands."""

    KIND: ClassVar[str] = "review_upheld"
    session_id: UUID
    at: datetime
    review_id: UUID
    asked_by: UUID
    admin_id: UUID
    note: str


class Cause(StrEnum):
    """Why nobody could be in a room, though it should have been open."""

    SERVER_GAP = "server_gap"  # no server process was there, or none that reached the database
    SERVER_LOST = "server_lost"  # one of several processes died, and its rooms with it
    MEDIA_DOWN = "media_down"  # the process was there, its media port was not
    DECLARED = "declared"  # an administrator says so: a network, a provider


@dataclass(frozen=True, slots=True)
class Outage:
    """``ended_at`` is None while it goes on."""

    id: UUID
    began_at: datetime
    ended_at: datetime | None
    cause: Cause
    note: str
    recorded_at: datetime

    def interval(self, now: datetime) -> Interval:
        return Interval(self.began_at, max(self.began_at, self.ended_at or now))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One step of a session's verdict; ``seq`` counts from 1, the highest stands. ``admin_id`` None: the system's."""

    session_id: UUID
    seq: int
    outcome: Outcome
    admin_id: UUID | None
    reason: str
    inputs: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """A request to look at a verdict again; ``answer`` is ``amended`` or ``upheld``, None while it waits."""

    id: UUID
    session_id: UUID
    asked_by: UUID
    reason: str
    asked_at: datetime
    answer: str | None
    answer_note: str | None
    answered_at: datetime | None


REVIEW_FOR = timedelta(days=7)  # after the verdict
REVIEW_REASON_MOST = 1000  # characters


class Nudge(NamedTuple):
    """Somebody was written to because a session has begun without them."""

    user_id: UUID
    minutes: int
    at: datetime
