"""What administrators read of the jobs, and what they say when they step in."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, Reason, Text


class RunOut(Out):
    """One run of a job."""

    scheduled_for: Instant
    started_at: Instant
    heartbeat_at: Instant
    finished_at: Instant | None = Field(description="Null while it runs.")
    result: Literal["ok", "failed", "skipped"] | None
    rows_touched: int
    error: str | None
    lateness_seconds: float
    missed_ticks: int = Field(description="Earlier ticks that this run makes up for, or passes over.")
    attempts: int
    by_hand: bool = Field(description="Somebody asked for it: no tick of the schedule.")


class JobOut(Out):
    """A job as it stands."""

    name: str
    summary: str
    schedule: str
    zone: str
    missed: Literal["all", "latest", "skip"] = Field(description="What becomes of ticks that nobody ran.")
    time_limit_seconds: float
    standing: Literal["silent", "failed", "late", "running", "paused", "skipped", "ok", "waiting"]
    next_run: Instant
    last: RunOut | None
    paused_since: Instant | None
    paused_by: str | None
    requested_at: Instant | None = Field(description="Somebody wants it run now; a worker will.")


class WaitingOut(Out):
    channel: str
    status: Literal["pending", "sending", "retrying"]
    count: int
    oldest: Instant


class QueuesOut(Out):
    """What waits to be done."""

    facts: int
    oldest_fact: Instant | None
    retried_facts: int = Field(description="Of them, those with a reaction that failed before.")
    messages: list[WaitingOut]
    calendars_due: int
    reminders_due: int


class DeadKindOut(Out):
    what: Literal["facts", "messages"]
    kind: str
    channel: str | None
    count: int


class BoardOut(Out):
    jobs: list[JobOut]
    queues: QueuesOut
    dead: list[DeadKindOut]
    last_sign: Instant | None = Field(description="The last that was heard of any worker.")
    worker_missing: bool


class DeadMessageOut(Out):
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
    created_at: Instant


class DeedOut(Out):
    """What an administrator did."""

    id: UUID
    actor_id: UUID
    actor: str
    verb: Literal["pause", "resume", "run", "replay", "discard"]
    subject: str
    reason: str
    before: dict[str, Any] = Field(description="Of what was discarded: all there was of it.")
    at: Instant


class WhyPausedIn(In):
    reason: Reason = ""


class DiscardIn(In):
    reason: Reason = Field(min_length=1)


class ReplayKindIn(In):
    what: Literal["facts", "messages"]
    kind: Text = Field(max_length=60)
    channel: Text | None = Field(None, max_length=30)


class ReplayedOut(Out):
    count: int = Field(description="At most 1000 in one go.")
