"""Presence intervals, the verdict of a session, and the facts of both; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple
from uuid import UUID

from server.sessions.model import JOIN_CLOSES, JOIN_OPENS, Outcome

GRACE = timedelta(minutes=10)  # how long after the start a person may come and still have been there
ENOUGH = timedelta(
    seconds=120
)  # presence that proves a meeting: shorter than any session, longer than a mistake
ENOUGH_SHARE = 20  # of a short session, one twentieth (5 %) proves as much
# Heartbeats come every 5 s while the SFU sees a peer; six missed ones: the process that held the interval is gone.
ORPHAN_AFTER = timedelta(seconds=30)
SERVER_LOST = "server_lost"  # why such an interval ended


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A stretch of presence, ``start`` <= ``end``, both ends included."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start


def union(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same instants as disjoint intervals in order: a second tab or a quick reload adds nobody."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start <= merged[-1].end:
            if interval.end > merged[-1].end:
                merged[-1] = Interval(merged[-1].start, interval.end)
        else:
            merged.append(interval)
    return tuple(merged)


def clip(intervals: Iterable[Interval], start: datetime, end: datetime) -> tuple[Interval, ...]:
    """The parts inside [start, end]; what only touches a border from outside is dropped."""
    parts = (
        Interval(max(i.start, start), min(i.end, end)) for i in intervals if i.start < end and i.end > start
    )
    return tuple(part for part in parts if part.start <= part.end)


def intersection(some: Iterable[Interval], others: Iterable[Interval]) -> tuple[Interval, ...]:
    """The stretches that lie in both."""
    ours, theirs = union(some), union(others)
    common: list[Interval] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        start, end = max(ours[i].start, theirs[j].start), min(ours[i].end, theirs[j].end)
        if start < end:
            common.append(Interval(start, end))
        if ours[i].end < theirs[j].end:
            i += 1
        else:
            j += 1
    return tuple(common)


def total(intervals: Iterable[Interval]) -> timedelta:
    """The length of the union."""
    return sum((i.length for i in union(intervals)), timedelta())


def minimum_presence(start: datetime, end: datetime) -> timedelta:
    """The presence that counts as having been there: 120 s, or 5 % of a session shorter than 40 minutes."""
    return min(ENOUGH, (end - start) / ENOUGH_SHARE)


@dataclass(frozen=True, slots=True, order=True)
class _Stay:
    """How one person held out, best first by field order; more presence never makes any field smaller."""

    waited: bool  # there when the grace ended
    last_seen: datetime
    promptness: timedelta  # minus the delay of the arrival
    present: timedelta


def _stay(start: datetime, end: datetime, presence: Sequence[Interval]) -> _Stay | None:
    """None when the person did not show up: too late, or too briefly."""
    inside = union(clip(presence, start, end))
    present = total(inside)
    if not inside or inside[0].start > start + GRACE or present < minimum_presence(start, end):
        return None
    deadline = min(start + GRACE, end)
    waited = any(i.start <= deadline <= i.end for i in inside)
    return _Stay(waited, inside[-1].end, start - inside[0].start, present)


def together(
    start: datetime, end: datetime, mentor: Sequence[Interval], mentee: Sequence[Interval]
) -> timedelta:
    """How long both were there at once, from the opening of the room to its closing."""
    return total(clip(intersection(mentor, mentee), start - JOIN_OPENS, end + JOIN_CLOSES))


def decide(start: datetime, end: datetime, mentor: Sequence[Interval], mentee: Sequence[Interval]) -> Outcome:
    """The verdict on a session scheduled for [start, end), from what the SFU saw of either person.

    - They met for the minimum presence, also a little before or after the scheduled time: ``completed``.
    - Otherwise a person showed up who came within the grace and stayed, inside the scheduled time, for the minimum
      presence. One showed up and the other did not: the other is the no-show. Neither: ``both_absent``.
    - Both showed up and yet missed each other: the one who was gone when the grace ended is the no-show; if that does
      not tell, whoever left first, then who came later, then who stayed less. Nothing tells: ``both_absent``, and
      the money goes back.
    """
    if together(start, end, mentor, mentee) >= minimum_presence(start, end):
        return Outcome.COMPLETED
    match _stay(start, end, mentor), _stay(start, end, mentee):
        case None, None:
            return Outcome.BOTH_ABSENT
        case _, None:
            return Outcome.MENTEE_NO_SHOW
        case None, _:
            return Outcome.MENTOR_NO_SHOW
        case mentors, mentees:
            if mentors == mentees:
                return Outcome.BOTH_ABSENT
            # mypy cannot see that both are there
            assert mentors is not None and mentees is not None  # noqa: S101
            return Outcome.MENTEE_NO_SHOW if mentors > mentees else Outcome.MENTOR_NO_SHOW


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
    """The session runs, the grace is over, and one side waits alone for ``absent_id``."""

    KIND: ClassVar[str] = "no_show_suspected"
    session_id: UUID
    at: datetime
    absent_id: UUID
    waiting_id: UUID
