"""One run of one job: alone in the cluster, remembered in PostgreSQL, taken over when its runner dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from jobs import store
from jobs.schedule import Schedule
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT
from server.base.errors import Conflict
from server.base.log import logger

log = logger(__name__)

HEARTBEAT = 10.0  # seconds; for people who look at job_runs, the lock is what counts
RETRY_FAILED = timedelta(minutes=1)
WAIT_FOR_OTHER = 60.0  # seconds somebody at a terminal waits for the same job in a worker


@dataclass(frozen=True, slots=True)
class Job:
    """``run(ctx)`` is idempotent and returns how many rows it touched; ``time_limit`` is in seconds."""

    name: str
    schedule: Schedule
    summary: str
    time_limit: float
    run: Callable[[Context], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Run:
    job: str
    scheduled_for: datetime
    rows: int
    error: str | None


async def run_tick(ctx: Context, job: Job, scheduled_for: datetime, *, by_hand: bool = False) -> Run | None:
    """Run the tick; None when it is done already or somebody else is at it.

    ``by_hand``: repeat a finished tick too (it changes nothing), and wait for another runner.
    Raises ``Conflict("job_running")`` when that one takes longer than WAIT_FOR_OTHER. Faults of the job are in the
    result.
    """
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
            run_id = await store.begin_run(
                conn, job.name, scheduled_for, ctx.clock.now(), again=by_hand, retry_after=RETRY_FAILED
            )
            if run_id is None:
                return None
            rows, error = await _guarded(ctx, job, run_id)
            await store.finish_run(conn, run_id, ctx.clock.now(), rows, error)
            return Run(job.name, scheduled_for, rows, error)
        finally:
            if not conn.is_closed():
                await store.unlock(conn, job.name)


async def _guarded(ctx: Context, job: Job, run_id: UUID) -> tuple[int, str | None]:
    """(rows, error): the job within its time limit and with a beating heart; cancellation passes through."""
    beat = asyncio.create_task(_beat(ctx, run_id), name=f"heartbeat:{job.name}")
    try:
        async with asyncio.timeout(job.time_limit):
            return await job.run(ctx), None
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
