"""One tick of a job is run by one runner, once, and finished by the next one if that runner dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs import runner, store
from jobs.runner import MOST_ATTEMPTS, RETRY_FAILED, Job, run_due, run_tick
from jobs.schedule import BUSINESS, Daily, EveryMinute, Missed
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.base.errors import Conflict
from server.base.ids import new_id
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


DOWN_AT = datetime(2026, 3, 28, 1, 30, tzinfo=UTC)  # 02:30 in Berlin, the night before the clock goes forward


async def ticks_of(ctx: Context) -> list[tuple[datetime, str, int, float]]:
    rows = await ctx.pool.fetch(
        "SELECT scheduled_for, result, missed_ticks, lateness_seconds FROM job_runs ORDER BY scheduled_for"
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("missed", Missed)
async def test_workers_are_down_for_a_day_across_a_change_of_the_clock(
    pool: Pool, clock: SteppedClock, settings: Settings, missed: Missed
) -> None:
    ctx = Context(pool, clock, replace(settings, timezone=ZoneInfo("Europe/Berlin")))
    seen: list[datetime] = []

    async def note(inside: Context) -> int:
        seen.append(inside.clock.now())
        return 1

    daily = Job("sample", Daily(2, 30), "a sample", 5, note, zone=BUSINESS, missed=missed)
    clock.set(DOWN_AT)
    assert (await run_due(ctx, daily)).through
    seen.clear()
    spring = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 02:30 does not exist: it is 03:30
    after = datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    back = clock.step(timedelta(days=2))
    assert (await run_due(ctx, daily)).through
    found = (await ticks_of(ctx))[1:]
    match missed:
        case Missed.ALL:
            assert seen == [spring, after]  # the clock stood at the tick
            assert found == [
                (spring, "ok", 0, (back - spring).total_seconds()),
                (after, "ok", 0, (back - after).total_seconds()),
            ]
        case Missed.LATEST:
            assert seen == [back]
            assert found == [(after, "ok", 1, (back - after).total_seconds())]
        case Missed.SKIP:
            assert seen == []
            assert found == [(after, "skipped", 1, (back - after).total_seconds())]
    again = await run_due(ctx, daily)
    assert again.through and again.rows == 0


async def test_a_minutes_job_down_for_a_day_says_how_many_ticks_it_missed(
    ctx: Context, clock: SteppedClock
) -> None:
    await run_due(ctx, job(three))
    clock.step(timedelta(days=1))
    rounds = await asyncio.gather(*(run_due(ctx, job(three)) for _ in range(5)))
    assert sum(round.rows for round in rounds) == 3
    assert [missed for _, _, missed, _ in await ticks_of(ctx)] == [0, 1439]


async def test_a_tick_that_never_succeeds_holds_up_the_next_ones_only_for_a_while(
    ctx: Context, clock: SteppedClock
) -> None:
    start = clock.now()

    async def poisoned(inside: Context) -> int:
        if inside.clock.now() == start + timedelta(minutes=1):
            raise RuntimeError("no luck")
        return 1

    every = Job("sample", EveryMinute(), "a sample", 5, poisoned, missed=Missed.ALL)
    await run_due(ctx, every)
    clock.step(timedelta(minutes=3))
    for _ in range(MOST_ATTEMPTS):
        assert not (await run_due(ctx, every)).through
        clock.step(RETRY_FAILED)
    assert (await run_due(ctx, every)).through
    results = [result for _, result, _, _ in await ticks_of(ctx)]
    assert results[:2] == ["ok", "failed"]
    assert len(results) == 4 + MOST_ATTEMPTS and set(results[2:]) == {"ok"}


async def test_a_run_by_hand_is_no_tick_of_the_schedule(ctx: Context, clock: SteppedClock) -> None:
    """Somebody replays next week; the schedule neither believes that week done nor today's tick missed."""
    every = job(three)
    await run_due(ctx, every)
    clock.step(timedelta(seconds=30))
    await run_tick(ctx, every, clock.now(), by_hand=True)
    await run_tick(ctx, every, clock.now() + timedelta(days=7), by_hand=True)
    clock.step(timedelta(minutes=2))
    assert (await run_due(ctx, every)).rows == 3
    assert [missed for _, _, missed, _ in await ticks_of(ctx)] == [0, 0, 1, 0]


async def test_a_paused_job_does_not_run(ctx: Context, clock: SteppedClock) -> None:
    await ctx.pool.execute(
        "INSERT INTO users (id, email, password_hash, name, role, timezone, created_at)"
        " VALUES ($1, 'a@example.org', 'x', 'A', 'admin', 'UTC', $2)", new_id(), clock.now(),
    )  # fmt: skip
    await ctx.pool.execute("INSERT INTO job_pauses SELECT 'sample', now(), id FROM users")
    assert not (await run_due(ctx, job(three))).through
    await ctx.pool.execute("DELETE FROM job_pauses")
    assert (await run_due(ctx, job(three))).rows == 3


async def test_a_dead_run_that_nobody_comes_back_to_is_closed(ctx: Context, clock: SteppedClock) -> None:
    """Found by the simulated day: killed at one tick, and the next look came a tick later."""
    await ctx.pool.execute(
        "INSERT INTO job_runs (id, job, scheduled_for, started_at, heartbeat_at) VALUES ($1, 'sample', $2, $2, $2)",
        new_id(), clock.now(),
    )  # fmt: skip
    clock.step(timedelta(minutes=1))
    await run_due(ctx, job(three))
    rows = await ctx.pool.fetch("SELECT result, error FROM job_runs ORDER BY scheduled_for")
    assert [tuple(row) for row in rows] == [("failed", "its process died"), ("ok", None)]


async def test_a_tick_run_by_hand_first_still_tells_what_was_missed(
    ctx: Context, clock: SteppedClock
) -> None:
    """Found by the simulated day, too: every tick is a run, or is counted by one."""
    await run_due(ctx, job(three))
    clock.step(timedelta(minutes=5))
    await run_tick(ctx, job(three), clock.now(), by_hand=True)
    await run_due(ctx, job(three))
    assert await ctx.pool.fetchval("SELECT sum(1 + missed_ticks) FROM job_runs") == 6


async def test_two_workers_that_saw_the_same_last_tick_count_none_twice(
    ctx: Context, clock: SteppedClock
) -> None:
    """Found by the simulated day: one of them was a tick behind when it came to run."""
    await run_due(ctx, job(three))
    before = clock.now()
    clock.step(timedelta(minutes=4))
    late = clock.now()
    clock.step(timedelta(minutes=3))
    assert await run_tick(ctx, job(three), late) is not None
    assert await run_tick(ctx, job(three), clock.now()) is not None
    assert await run_tick(ctx, job(three), late + timedelta(minutes=1)) is None
    assert await ctx.pool.fetchval("SELECT sum(1 + missed_ticks) FROM job_runs") == 8
    assert before < late
