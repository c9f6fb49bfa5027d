"""The board as values: how each job stands, what waits, what was given up; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

LATE_AFTER: Final = timedelta(seconds=90)  # workers look every 5 s
SILENT_AFTER: Final = timedelta(seconds=60)  # of a run's heartbeat, which comes every 10 s
NO_WORKER_AFTER: Final = timedelta(minutes=3)  # some job is due every minute


class Standing(StrEnum):
    """How a job stands, the one that asks for a person first."""

    SILENT = "silent"  # runs, but its heart has stopped: the next worker takes it over
    FAILED = "failed"
    LATE = "late"  # its tick is due and nobody has begun it
    RUNNING = "running"
    PAUSED = "paused"
    SKIPPED = "skipped"
    OK = "ok"
    WAITING = "waiting"  # never ran, and need not have


@dataclass(frozen=True, slots=True)
class Card:
    """What a job says of itself; ticks in UTC. ``latest`` is the last one that is not in the future."""

    name: str
    summary: str
    schedule: str
    zone: str
    missed: str
    time_limit: float
    latest: datetime
    next: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """One run; ``result`` None while it lasts."""

    job: str
    scheduled_for: datetime
    started_at: datetime
    heartbeat_at: datetime
    finished_at: datetime | None
    result: str | None
    rows_touched: int
    error: str | None
    lateness_seconds: float
    missed_ticks: int
    attempts: int
    by_hand: bool

    @property
    def seconds(self) -> float | None:
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None


@dataclass(frozen=True, slots=True)
class Pause:
    since: datetime
    by: str


@dataclass(frozen=True, slots=True)
class JobView:
    card: Card
    standing: Standing
    last: Run | None
    pause: Pause | None
    requested_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages of a channel that have not left: how many in which state, and since when the oldest is due."""

    channel: str
    status: str
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Queues:
    """What waits. ``oldest_fact`` is the instant of the oldest fact that waits for its reactions."""

    facts: int
    oldest_fact: datetime | None
    retried_facts: int
    messages: tuple[Waiting, ...]
    calendars_due: int
    reminders_due: int


@dataclass(frozen=True, slots=True)
class DeadKind:
    """Dead letters of one kind. ``what``: facts or messages."""

    what: str
    kind: str
    channel: str | None
    count: int


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that was given up, as it would have left."""

    id: UUID
    kind: str
    channel: str
    address: str
    subject: str
    body: str
    session_id: UUID | None
    attempts: int
    error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Deed:
    """What an administrator did, as kept for ever."""

    id: UUID
    actor_id: UUID
    actor: str
    verb: str
    subject: str
    reason: str
    before: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Board:
    jobs: tuple[JobView, ...]
    queues: Queues
    dead: tuple[DeadKind, ...]
    last_sign: datetime | None  # of any worker: the start or the heartbeat of its latest run
    worker_missing: bool


def standing(card: Card, last: Run | None, paused: bool, now: datetime) -> Standing:
    """How the job stands at ``now``."""
    if last is not None and last.finished_at is None:
        return Standing.SILENT if now - last.heartbeat_at > SILENT_AFTER else Standing.RUNNING
    if paused:
        return Standing.PAUSED
    if last is None:
        return Standing.WAITING
    if last.result == "failed":
        return Standing.FAILED
    # A job that runs each minute is late when the tick before has not begun either.
    if card.latest > last.scheduled_for and now - card.latest > LATE_AFTER:
        return Standing.LATE
    if card.next - card.latest <= LATE_AFTER and now - last.scheduled_for > 2 * LATE_AFTER:
        return Standing.LATE
    return Standing.SKIPPED if last.result == "skipped" else Standing.OK


def board(
    cards: Sequence[Card],
    last: Mapping[str, Run],
    pauses: Mapping[str, Pause],
    requests: Mapping[str, datetime],
    queues: Queues,
    dead: Sequence[DeadKind],
    now: datetime,
) -> Board:
    """Put together; jobs in the order of their table."""
    views = tuple(
        JobView(
            card, standing(card, last.get(card.name), card.name in pauses, now), last.get(card.name),
            pauses.get(card.name), requests.get(card.name),
        )
        for card in cards
    )  # fmt: skip
    sign = max((run.heartbeat_at for run in last.values()), default=None)
    return Board(views, queues, tuple(dead), sign, sign is None or now - sign > NO_WORKER_AFTER)
