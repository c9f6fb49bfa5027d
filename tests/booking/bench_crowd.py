"""`python -m tests.booking.bench_crowd`: a thousand at once over 20 mentors, at a real server with a durable database.

Prints committed bookings per second, the p99 and what was answered; fails when the auditor finds anything.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from server.base.db import create_pool
from server.embedded.postgres import free_port, start_postgres
from server.embedded.redis import start_redis
from server.migrations import migrate
from server.settings import load_settings
from tests.booking.audit import audit
from tests.booking.crowd import Crowd, Tally, crowd, serving


def main() -> int:
    """0 when everything holds, 1 when something is wrong."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--operations", type=int, default=1000)
    words.add_argument("--mentors", type=int, default=20)
    words.add_argument("--mentees", type=int, default=250)
    words.add_argument("--seed", type=int, default=4)
    given = words.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="visavis-bench-"))
    directory.chmod(0o711)  # under root PostgreSQL runs as another user, who must be able to pass through
    try:
        return asyncio.run(_run(directory, given.operations, given.mentors, given.mentees, given.seed))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _run(directory: Path, operations: int, mentors: int, mentees: int, seed: int) -> int:
    postgres = await start_postgres(directory)
    redis = await start_redis(directory)
    try:
        conn = await asyncpg.connect(postgres.url)
        await migrate(conn)
        await conn.close()
        environ = _environment(directory, postgres.url, redis.url)
        async with (
            await create_pool(postgres.url) as pool,
            serving(environ, directory / "log") as (base, _),
            crowd(pool, load_settings(environ), base, mentors=mentors, mentees=mentees, seed=seed) as people,
        ):
            before = len(people.known)
            tally = await people.storm(operations)
            async with pool.acquire() as looking:
                wrong = await audit(looking, datetime.now(UTC))
        _show(people, tally, operations, before, wrong)
        return 1 if wrong or tally.broken else 0
    finally:
        await redis.stop()
        await postgres.stop()


def _environment(directory: Path, database: str, redis: str) -> dict[str, str]:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VISAVIS_")}
    return kept | {
        "VISAVIS_DATABASE_URL": database,
        "VISAVIS_REDIS_URL": redis,
        "VISAVIS_DATA_DIR": str(directory / "var"),
        "VISAVIS_PORT": str(port),
        "VISAVIS_MEDIA_PORT": str(next(p for p in iter(free_port, None) if p != port)),
        "VISAVIS_SECRET_KEY": "bench-secret-key-bench-secret-key-bench",
    }


def _show(people: Crowd, tally: Tally, operations: int, before: int, wrong: list[str]) -> None:
    requests = sum(tally.said.values()) + len(tally.broken)
    print(
        f"{operations} at once over {len(people.mentors)} mentors ({before} sessions agreed before):"
        f" {requests} requests in {tally.lasted:.1f} s"
    )
    print(
        f"  committed: {tally.committed} bookings, {tally.committed / tally.lasted:.0f} per second;"
        f" {tally.steps} steps of all kinds, {tally.steps / tally.lasted:.0f} per second"
    )
    print(
        f"  a request, with its wait in the queue of {operations}: p50 {tally.quantile(0.5):.2f} s,"
        f" p99 {tally.quantile(0.99):.2f} s, longest {max(tally.seconds):.2f} s"
    )
    for verb in sorted({verb for verb, _ in tally.said}):
        answers = {said: n for (of, said), n in sorted(tally.said.items()) if of == verb}
        print(f"  {verb:9} " + ", ".join(f"{said} {n}" for said, n in answers.items()))
    print(f"  5xx and lost connections: {len(tally.broken)}; the auditor found {len(wrong)} faults")
    for fault in (*tally.broken[:10], *wrong[:20]):
        print(f"    {fault}")


if __name__ == "__main__":
    sys.exit(main())
