"""What an operator sees of the jobs: schedule, zone, policy, last run, next run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from jobs.periodic import JOBS
from jobs.runner import Job
from jobs.schedule import zone_of
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT
from server.operations import store
from server.operations.model import Card, Run


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it stands; ``zone`` is an IANA name, ``next_run`` in UTC."""

    job: Job
    zone: str
    paused: bool
    last: Run | None
    next_run: datetime


def catalogue(now: datetime, business: ZoneInfo) -> list[Card]:
    """What every job says of itself, for the administrators' board."""
    cards = []
    for job in JOBS.values():
        zone = zone_of(job.zone, business)
        cards.append(
            Card(
                name=job.name,
                summary=job.summary,
                schedule=job.schedule.text,
                zone=zone.key,
                missed=job.missed.value,
                time_limit=job.time_limit,
                latest=job.schedule.latest(now, zone),
                next=job.schedule.next(now, zone),
            )
        )
    return cards


async def overview(ctx: Context) -> list[JobState]:
    """Every job, in the order of the table."""
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        last, paused = await store.last_runs(conn, JOBS), await store.pauses(conn)
    states = []
    for name, job in JOBS.items():
        zone = zone_of(job.zone, ctx.settings.timezone)
        states.append(JobState(job, zone.key, name in paused, last.get(name), job.schedule.next(now, zone)))
    return states


def table(states: Sequence[JobState]) -> list[str]:
    """Lines for a terminal; the first is the heading."""
    rows = [("job", "schedule", "zone", "missed", "last run", "next run", "does")]
    for state in states:
        next_run = "paused" if state.paused else _instant(state.next_run)
        job = state.job
        rows.append(
            (job.name, job.schedule.text, state.zone, job.missed, _last(state.last), next_run, job.summary)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _last(run: Run | None) -> str:
    if run is None:
        return "never"
    late = f", {run.lateness_seconds:.0f} s late" if run.lateness_seconds >= 1 else ""
    return f"{_instant(run.scheduled_for)} {run.result or 'running'}{late}"


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
