"""What is old goes, what is needed stays, and a dead letter stays however old."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from jobs import retention, store
from jobs.outbox import drain
from jobs.retention import KEPT, retain
from jobs.store import Old
from media import DELAY_EDGES, Counters
from server.base import store as outbox
from server.base.db import Pool
from server.metrics import Metrics
from tests.support.story import Story


async def test_old_things_go_and_dead_letters_stay(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    await story.session(datetime(2026, 3, 3, 10, 0, tzinfo=UTC))
    await drain(story.ctx)
    now, pool = story.clock.now(), story.ctx.pool
    for n in range(5):
        await pool.execute(
            "INSERT INTO job_runs (id, job, scheduled_for, started_at, heartbeat_at, finished_at, result)"
            " VALUES (gen_random_uuid(), 'sample', $1, $1, $1, $1, 'ok')", now + timedelta(seconds=n),
        )  # fmt: skip
    story.clock.set(now + KEPT[Old.JOB_RUNS])
    await retain(story.ctx)
    assert await pool.fetchval("SELECT count(*) FROM job_runs") == 5
    story.clock.set(now + KEPT[Old.JOB_RUNS] + timedelta(seconds=3))
    await retain(story.ctx)
    assert await pool.fetchval("SELECT count(*) FROM job_runs") == 2

    facts = await pool.fetchval("SELECT count(*) FROM facts")
    waiting = await pool.fetchval("SELECT count(*) FROM notifications WHERE status = 'pending'")
    assert 0 < waiting < await pool.fetchval("SELECT count(*) FROM notifications")
    async with pool.acquire() as conn:
        first = await conn.fetchval("SELECT min(id) FROM facts")
        await outbox.mark_reaction(conn, first, "sample", now, "given up")
    story.clock.set(now + KEPT[Old.FACTS] + timedelta(seconds=1))
    assert await retain(story.ctx) >= facts - 1
    assert [row["id"] for row in await pool.fetch("SELECT id FROM facts")] == [first]
    left = await pool.fetch("SELECT status FROM notifications")
    assert [row["status"] for row in left] == ["pending"] * waiting
    assert await retain(story.ctx) == 0


async def test_counters_do_not_fall_when_their_rows_go(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several batches a night, over several nights, until only totals are left; and counting goes on from there."""
    monkeypatch.setattr(retention, "BATCH", 2)
    pool, start = story.ctx.pool, story.clock.now()
    await nine_days(pool, start)
    before = await counters(pool)
    assert before == [
        'visavis_job_runs_total{job="sample",result="ok"} 5.0',
        'visavis_job_runs_total{job="sample",result="failed"} 2.0',
        'visavis_job_runs_total{job="sample",result="skipped"} 2.0',
        'visavis_job_seconds_count{job="sample"} 7.0',
        'visavis_job_seconds_sum{job="sample"} 259203.6',
        'visavis_replies_total{result="stranger"} 6.0',
    ]
    removed = []
    for days in (0, 4, 9):
        story.clock.set(start + max(KEPT[Old.JOB_RUNS], KEPT[Old.WEBHOOKS]) + timedelta(days=days))
        removed.append(await retain(story.ctx))
        assert await counters(pool) == before
    assert removed[0] == 0 and removed[1] > retention.BATCH and removed[2] > retention.BATCH
    assert sum(removed) == 27
    await nine_days(pool, story.clock.now())
    after = await counters(pool)
    assert [line.split()[0] for line in after] == [line.split()[0] for line in before]
    assert [float(line.split()[1]) for line in after] == [10, 4, 4, 14, 518407.2, 12]


async def test_what_is_run_again_goes_on_counting(story: Story) -> None:
    pool, tick = story.ctx.pool, story.clock.now()
    for error, counted in (("no luck", 1), (None, 2)):
        async with pool.acquire() as conn:
            run = await store.begin_run(
                conn, "sample", tick, story.clock.now(), again=False, retry_after=timedelta()
            )
            assert run is not None
            assert (
                sum(float(line.split()[1]) for line in await counters(pool) if "runs_total" in line)
                == counted - 1
            )
            story.clock.step(timedelta(seconds=2))
            await store.finish_run(conn, run, story.clock.now(), 0, error)
    assert await counters(pool) == [
        'visavis_job_runs_total{job="sample",result="ok"} 1.0',
        'visavis_job_runs_total{job="sample",result="failed"} 1.0',
        'visavis_job_runs_total{job="sample",result="skipped"} 0.0',
        'visavis_job_seconds_count{job="sample"} 2.0',
        'visavis_job_seconds_sum{job="sample"} 4.0',
    ]


async def nine_days(pool: Pool, start: datetime) -> None:
    """Of each a run, a reply and a receipt. Runs take up to a day and fractions of a second."""
    results = ["ok", "failed", "skipped", "ok", "ok", "failed", "skipped", "ok", "ok"]
    for n, (result, took) in enumerate(zip(results, [86400.1, 86401.2, 0, 86402.3, *[0.0] * 5], strict=True)):
        day = start + timedelta(days=n)
        await pool.execute(
            "INSERT INTO job_runs (id, job, scheduled_for, started_at, heartbeat_at, finished_at, result)"
            " VALUES (gen_random_uuid(), 'sample', $1, $1, $1, $2, $3)",
            day, day + timedelta(seconds=took), result,
        )  # fmt: skip
        for kind, became in (("reply", "stranger" if n % 3 else None), ("delivered", None)):
            await pool.execute(
                "INSERT INTO provider_events (id, channel, event_key, kind, result, received_at)"
                " VALUES (gen_random_uuid(), 'whatsapp', gen_random_uuid()::text, $1, $2, $3)", kind, became, day,
            )  # fmt: skip


async def counters(pool: Pool) -> list[str]:
    """What a web process that was just started tells of jobs and replies."""
    idle = Counters(0, 0, 0, 0, {}, 0, 0, (0,) * (len(DELAY_EDGES) + 1), 0.0, 0)
    text = (await Metrics(pool, lambda: idle, lambda: 0).exposition())[0].decode()
    return re.findall(r"^visavis_(?:job_runs_total|job_seconds|replies_total).*$", text, re.MULTILINE)
