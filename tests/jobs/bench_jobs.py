"""What one worker does in a second, on embedded servers: `python -m tests.jobs.bench_jobs` (part of `make bench`).

Prints figures and fails (exit 1) where a promise of issue 5 is missed: 1,000 reactions a second, a backlog of 50,000
facts that drains linearly (the last fifth takes at most 1.5 times the first).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import uvloop

from jobs.outbox import drain
from jobs.worker import POOL_SIZE
from server.attendance.model import PersonJoined
from server.base.clock import SystemClock
from server.base.context import Context
from server.base.db import create_pool
from server.base.facts import encode
from server.base.ids import new_id
from server.embedded.postgres import start_postgres
from server.migrations import migrate
from server.settings import load_settings

STEP = 5_000
GOAL = 1_000  # reactions a second
SLOWER = 1.5  # the last fifth against the first


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def drain_backlog(ctx: Context, count: int) -> bool:
    await fill(ctx, count)
    rates = []
    for done in range(STEP, count + 1, STEP):
        started = time.perf_counter()
        drained = await drain(ctx, STEP)
        took = time.perf_counter() - started
        if drained.handled != STEP:
            say(f"  handled {drained.handled} of {STEP}")
            return False
        rates.append(STEP / took)
        say(f"  {done:6} drained: {rates[-1]:7,.0f} reactions/s")
    fifth = max(1, len(rates) // 5)
    first, last = (sum(1 / rate for rate in part) for part in (rates[:fifth], rates[-fifth:]))
    overall = len(rates) / sum(1 / rate for rate in rates)
    say(f"  {overall:,.0f} reactions/s in all (goal {GOAL:,})")
    say(f"  the last fifth took {last / first:.2f} times the first (at most {SLOWER})")
    return overall >= GOAL and last <= SLOWER * first


async def fill(ctx: Context, count: int) -> None:
    now = ctx.clock.now()
    async with ctx.pool.acquire() as conn, conn.transaction():
        for start in range(0, count, STEP):
            facts = [
                PersonJoined(new_id(), now - timedelta(seconds=number), new_id(), f"peer-{number}")
                for number in range(start, min(start + STEP, count))
            ]
            await conn.execute(
                "INSERT INTO facts (kind, session_id, at, data, next_attempt_at)"
                " SELECT 'person_joined', session_id, at, data::jsonb, to_timestamp(0)"
                " FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS f (session_id, at, data)",
                [fact.session_id for fact in facts], [fact.at for fact in facts],
                [json.dumps(encode(fact)) for fact in facts],
            )  # fmt: skip


async def measure(words: argparse.Namespace) -> bool:
    directory = Path(tempfile.mkdtemp(prefix="visavis-bench-"))
    directory.chmod(0o711)
    try:
        postgres = await start_postgres(directory, durable=True)
        try:
            conn = await asyncpg.connect(postgres.url)
            await migrate(conn)
            await conn.close()
            settings = load_settings(
                {
                    "VISAVIS_DATABASE_URL": postgres.url,
                    "VISAVIS_REDIS_URL": "redis://127.0.0.1:1/0",
                    "VISAVIS_DATA_DIR": str(directory / "var"),
                    "VISAVIS_SECRET_KEY": "bench-secret-key-bench-secret-key-bench",
                }
            )
            async with await create_pool(postgres.url, max_size=POOL_SIZE) as pool:
                ctx = Context(pool, SystemClock(), replace(settings, demo=False))
                say(f"One worker, a backlog of {words.backlog:,} facts:")
                return await drain_backlog(ctx, words.backlog)
        finally:
            await postgres.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.jobs.bench_jobs", description=__doc__)
    parser.add_argument("--backlog", type=int, default=50_000)
    return 0 if uvloop.run(measure(parser.parse_args(argv))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
