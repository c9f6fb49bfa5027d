"""What is old goes, what is needed stays, and a dead letter stays however old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs import retention
from jobs.outbox import drain
from jobs.retention import KEPT, retain
from jobs.store import Old
from server.base import store as outbox
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
