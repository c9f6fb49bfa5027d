"""One tick of a job is run by one runner, once, and finished by the next one if that runner dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from jobs import runner, store
from jobs.runner import RETRY_FAILED, Job, run_tick
from jobs.schedule import EveryMinute
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.base.errors import Conflict
from server.settings import Settings


@pytest.fixture
def ctx(pool: Pool, clock: SteppedClock, settings: Settings) -> Context:
    return Context(pool, clock, settings)


def job(work: Callable[[Context], Awaitable[int]], time_limit: float = 5) -> Job:
    return Job("sample", EveryMinute(), "a sample", time_limit, work)


async def three(_: Context) -> int:
    return 3


async def failing(_: Context) -> int:
    raise RuntimeError("no luck")


async def test_a_tick_runs_once_and_by_hand_again(ctx: Context) -> None:
    tick = ctx.clock.now()
    runs = await asyncio.gather(*(run_tick(ctx, job(three), tick) for _ in range(3)))
    assert [run.rows for run in runs if run is not None] == [3]
    assert await run_tick(ctx, job(three), tick) is None
    again = await run_tick(ctx, job(three), tick, by_hand=True)
    assert again is not None and again.rows == 3
    assert await ctx.pool.fetchval("SELECT count(*) FROM job_runs") == 1


async def test_no_two_ticks_of_a_job_overlap(ctx: Context) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Context) -> int:
        started.set()
        await go_on.wait()
        return 1

    tick = ctx.clock.now()
    first = asyncio.create_task(run_tick(ctx, job(slow), tick))
    await started.wait()
    assert await run_tick(ctx, job(three), tick + timedelta(minutes=1)) is None
    by_hand = asyncio.create_task(run_tick(ctx, job(three), tick + timedelta(minutes=2), by_hand=True))
    go_on.set()
    done, waited = await asyncio.gather(first, by_hand)
    assert done is not None and done.rows == 1
    assert waited is not None and waited.rows == 3


async def test_patience_with_another_runner_ends(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WAIT_FOR_OTHER", 0.1)
    async with ctx.pool.acquire() as other:
        assert await store.try_lock(other, "sample")
        with pytest.raises(Conflict, match="job_running"):
            await run_tick(ctx, job(three), ctx.clock.now(), by_hand=True)
    run = await run_tick(
        ctx, job(three), ctx.clock.now(), by_hand=True
    )  # the refused one left no lock behind
    assert run is not None and run.rows == 3


async def test_a_run_whose_runner_is_gone_is_taken_over_at_once(ctx: Context) -> None:
    tick = ctx.clock.now()
    async with ctx.pool.acquire() as conn:  # what a killed process leaves behind: an open row and no lock
        assert await store.begin_run(conn, "sample", tick, tick, again=False, retry_after=RETRY_FAILED)
    run = await run_tick(ctx, job(three), tick)
    assert run is not None and run.error is None
    row = await ctx.pool.fetchrow("SELECT result, rows_touched FROM job_runs")
    assert row is not None and tuple(row) == ("ok", 3)


async def test_a_failure_is_told_and_tried_again_after_a_while(ctx: Context, clock: SteppedClock) -> None:
    tick = clock.now()
    failed = await run_tick(ctx, job(failing), tick)
    assert failed is not None and failed.error == "RuntimeError: no luck"
    assert await run_tick(ctx, job(three), tick) is None
    clock.step(RETRY_FAILED)
    repaired = await run_tick(ctx, job(three), tick)
    assert repaired is not None and repaired.error is None


async def test_a_job_has_no_more_time_than_its_limit(ctx: Context) -> None:
    async def endless(_: Context) -> int:
        await asyncio.Event().wait()
        return 0

    run = await run_tick(ctx, job(endless, time_limit=0.05), ctx.clock.now())
    assert run is not None and run.error == "took longer than 0.05 s"


async def test_figures_come_from_the_table(ctx: Context, clock: SteppedClock) -> None:
    first = clock.now()

    async def two_seconds(_: Context) -> int:
        clock.step(timedelta(seconds=2))
        return 1

    await run_tick(ctx, job(two_seconds), first)
    clock.step(timedelta(minutes=1))
    await run_tick(ctx, job(failing), first + timedelta(minutes=1))
    async with ctx.pool.acquire() as conn:
        [figures] = await store.figures(conn)
    assert (figures.job, figures.ok, figures.failed) == ("sample", 1, 1)
    assert (figures.seconds, figures.last_lateness) == (2.0, 2.0)
