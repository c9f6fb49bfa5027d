"""One run of one job: alone in the cluster, remembered in PostgreSQL, taken over when its runner dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from jobs import store
from jobs.schedule import Missed, Schedule, due_ticks, passed_over, zone_of
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT
from server.base.errors import Conflict
from server.base.log import logger

log = logger(__name__)

HEARTBEAT = 10.0  # seconds; for people who look at job_runs, the lock is what counts
RETRY_FAILED = timedelta(minutes=1)
MOST_ATTEMPTS = 10  # of one tick; then it is left, failed, so that it cannot hold up those after it
WAIT_FOR_OTHER = 60.0  # seconds somebody at a terminal waits for the same job in a worker


@dataclass(frozen=True, slots=True)
class Job:
    """``run(ctx)`` is idempotent and returns how many rows it touched; ``time_limit`` is in seconds.

    The schedule is told in ``zone``, an IANA name or BUSINESS; ``missed`` says what becomes of ticks that nobody ran.
    """

    name: str
    schedule: Schedule
    summary: str
    time_limit: float
    run: Callable[[Context], Awaitable[int]]
    zone: str = "UTC"
    missed: Missed = Missed.LATEST


@dataclass(frozen=True, slots=True)
class Run:
    job: str
    scheduled_for: datetime
    rows: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at a job's schedule did. ``through``: nothing of it is left to do before the next tick."""

    through: bool
    rows: int = 0


async def run_due(ctx: Context, job: Job) -> Round:
    """Run whatever the job's schedule and its policy for missed ticks ask for now; any number may look at once."""
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        progress = await store.progress(conn, job.name, now, MOST_ATTEMPTS)
    rows = 0
    if progress.requested_at is not None:
        rows += await _run_requested(ctx, job, progress.requested_at)
    if progress.paused:
        return Round(False, rows)
    zone = zone_of(job.zone, ctx.settings.timezone)
    for due in due_ticks(job.schedule, zone, job.missed, now, progress.last, progress.unfinished):
        if due.skipped:
            async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
                await store.skip_run(conn, job.name, due.tick, now, due.missed)
            log.warning("tick_skipped", job=job.name, tick=due.tick.isoformat(), missed=due.missed)
            continue
        run = await run_tick(ctx, job, due.tick)
        if run is None or run.error is not None:
            return Round(False, rows)  # somebody else's, or failed: later ticks wait for it
        rows += run.rows
    return Round(True, rows)


async def _run_requested(ctx: Context, job: Job, requested_at: datetime) -> int:
    """Run the job as somebody asked at the board, also while it is paused; the rows. The wish ends with the run, so a
    killed runner's is fulfilled by the next; one that fails is told on the board and not repeated."""
    run = await run_tick(ctx, job, requested_at, wished=True)
    if run is None:
        async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            if not await store.is_finished(conn, job.name, requested_at):
                return 0  # somebody else is at it, or at another tick of the job: look again
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        await store.end_request(conn, job.name, requested_at)
    return run.rows if run is not None else 0


async def run_tick(
    ctx: Context,
    job: Job,
    scheduled_for: datetime,
    *,
    by_hand: bool = False,
    wished: bool = False,
) -> Run | None:
    """Run the tick; None when it is done already or somebody else is at it.

    ``by_hand``: repeat a finished tick too (it changes nothing), and wait for another runner. ``wished``: it is no tick
    of the schedule, but an instant at which somebody asked for the job.
    Raises ``Conflict("job_running")`` when that one takes longer than WAIT_FOR_OTHER. Faults of the job are in the
    result. A job that makes up for every tick sees a clock that stands at its tick, as ``jobs run NAME --at`` does.
    """
    made_up = job.missed is Missed.ALL and not (by_hand or wished)
    inside = replace(ctx, clock=SteppedClock(scheduled_for)) if made_up else ctx
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        if by_hand:
            try:
                await store.wait_lock(conn, job.name, WAIT_FOR_OTHER)
            except TimeoutError:
                raise Conflict(
                    "job_running", f"The job {job.name} is being run by a worker; try again later."
                ) from None
        elif not await store.try_lock(conn, job.name):
            return None
        try:
            missed = 0
            if job.missed is not Missed.ALL and not (by_hand or wished):
                # Only who holds the lock knows which ticks are left to count: another worker may have run one since.
                known = await store.progress(
                    conn, job.name, max(scheduled_for, ctx.clock.now()), MOST_ATTEMPTS
                )
                if known.last is not None and known.last > scheduled_for:
                    return None  # which counted this one
                missed = passed_over(
                    job.schedule, zone_of(job.zone, ctx.settings.timezone), known.last, scheduled_for
                )
            run_id = await store.begin_run(
                conn, job.name, scheduled_for, ctx.clock.now(),
                again=by_hand, retry_after=RETRY_FAILED, missed=missed, by_hand=wished,
            )  # fmt: skip
            if run_id is None:
                return None
            if job.missed is not Missed.ALL and not by_hand:  # of those, each dead one is repeated instead
                await store.bury_runs(conn, job.name, scheduled_for, ctx.clock.now())
            rows, error = await _guarded(ctx, inside, job, run_id)
            await store.finish_run(conn, run_id, ctx.clock.now(), rows, error)
            return Run(job.name, scheduled_for, rows, error)
        finally:
            if not conn.is_closed():
                await store.unlock(conn, job.name)


async def _guarded(ctx: Context, inside: Context, job: Job, run_id: UUID) -> tuple[int, str | None]:
    """(rows, error): the job within its time limit and with a beating heart; cancellation passes through."""
    beat = asyncio.create_task(_beat(ctx, run_id), name=f"heartbeat:{job.name}")
    try:
        async with asyncio.timeout(job.time_limit):
            return await job.run(inside), None
    except TimeoutError:
        log.error("job_timed_out", job=job.name, time_limit=job.time_limit)  # noqa: TRY400 - the trace says nothing
        return 0, f"took longer than {job.time_limit:g} s"
    except Exception as error:
        log.exception("job_failed", job=job.name)
        return 0, f"{type(error).__name__}: {error}"[:500]
    finally:
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)


async def _beat(ctx: Context, run_id: UUID) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            await store.heartbeat(conn, run_id, ctx.clock.now())
