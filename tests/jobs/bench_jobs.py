"""What one worker does in a second, on embedded servers: `python -m tests.jobs.bench_jobs` (part of `make bench`).

Prints figures and fails (exit 1) where a promise is missed: 1,000 reactions a second, a backlog of 50,000 facts that
drains linearly (the last fifth takes at most 1.5 times the first), reminders of 10,000 sessions out within a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import uvloop

from jobs.outbox import drain
from jobs.reactions import REACTIONS
from jobs.reminders import remind
from jobs.worker import POOL_SIZE, SENDERS
from server.attendance.model import PersonJoined, PersonLeft
from server.base.clock import SystemClock
from server.base.context import Context
from server.base.db import create_pool
from server.base.facts import Fact, encode
from server.base.ids import new_id
from server.base.store import record
from server.booking.model import BookingApproved
from server.embedded.postgres import start_postgres
from server.integrations.channel import Message, Rate
from server.integrations.channels import Channels
from server.integrations.provider import Provider
from server.migrations import migrate
from server.notifications.delivery import deliver_due
from server.sessions.model import SessionPublished
from server.settings import load_settings

STEP = 5_000
GOAL = 1_000  # reactions a second
MINUTE = 60  # seconds for reminders of 10,000 sessions
TIERS = {
    "30 minutes before": timedelta(minutes=30),
    "4 hours before, with the question whether they come": timedelta(hours=4),
}
LATENCY = 0.02  # seconds a provider takes to answer
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


async def populate(ctx: Context, count: int, start: datetime, due: datetime) -> None:
    """So many agreed sessions at one time, each of two people of its own, with one reminder that is due then; nothing
    else is left."""
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=60) as conn, conn.transaction():
        await conn.execute("TRUNCATE users, facts CASCADE", timeout=120)
        for role in ("mentor", "mentee"):
            await conn.execute(
                "INSERT INTO users (id, email, password_hash, name, role, timezone, created_at)"
                " SELECT md5($1 || n)::uuid, $1 || n || '@example.org', '$none$', 'Person ' || n, $1,"
                " (ARRAY['Europe/Berlin', 'Asia/Kolkata', 'America/New_York'])[1 + n % 3], $2"
                " FROM generate_series(1, $3::int) AS n",
                role, now, count, timeout=120,
            )  # fmt: skip
        await conn.execute(
            "INSERT INTO bookings (id, session_id, mentor_id, mentee_id, during, status, price_tokens, topic,"
            " seat_group, created_at, updated_at)"
            " SELECT md5('booking' || n)::uuid, md5('session' || n)::uuid, md5('mentor' || n)::uuid,"
            " md5('mentee' || n)::uuid, tstzrange($1, $2, '[)'), 'approved', 0, 'Careers', md5('booking' || n)::uuid,"
            " $3, $3 FROM generate_series(1, $4::int) AS n",
            start, start + timedelta(hours=1), now, count, timeout=120,
        )  # fmt: skip
        await conn.execute(
            "INSERT INTO sessions (id, mentor_id, mentee_id, starts_at, ends_at, status, created_at)"
            " SELECT session_id, mentor_id, mentee_id, lower(during), upper(during), 'scheduled', $1 FROM bookings",
            now, timeout=120,
        )  # fmt: skip
        await conn.execute(
            "INSERT INTO reminders (id, session_id, revision, lead_seconds, due_at, status)"
            " SELECT gen_random_uuid(), id, 0, extract(epoch FROM starts_at - $1)::int, $1, 'planned' FROM sessions",
            due, timeout=120,
        )  # fmt: skip
    async with ctx.pool.acquire(timeout=60) as conn:
        await conn.execute("ANALYZE", timeout=120)


async def drain_mix(ctx: Context, count: int) -> None:
    """What becomes of so many sessions between their approval and their end, for the record: it has no goal."""
    now = ctx.clock.now()
    start = now + timedelta(hours=30)
    await populate(ctx, count, start, start - timedelta(hours=4))
    facts: list[Fact] = []
    async with ctx.pool.acquire() as conn, conn.transaction():
        sessions = await conn.fetch("SELECT id, session_id, mentor_id, mentee_id FROM bookings ORDER BY id")
        for booking, session, mentor, mentee in sessions:
            times = (start, start + timedelta(hours=1))
            facts.append(BookingApproved(session, now, booking, mentor, mentee, *times, 0))
            facts.append(SessionPublished(session, now, booking, mentor, mentee, *times))
            facts += [PersonJoined(session, now, who, f"peer-{who}") for who in (mentor, mentee)]
            facts += [PersonLeft(session, now, who, f"peer-{who}", "closed") for who in (mentor, mentee)]
        await record(conn, *facts)
    reactions = sum(len(REACTIONS[fact.KIND]) for fact in facts)
    started = time.perf_counter()
    handled = 0
    while done := (await drain(ctx, 10_000)).handled:
        handled += done
    took = time.perf_counter() - started
    async with ctx.pool.acquire() as conn:
        written = await conn.fetchval("SELECT count(*) FROM notifications")
    say(f"  {handled:,} of {len(facts):,} facts, {written:,} messages: {reactions / took:,.0f} reactions/s")


class SlowProvider:
    """Takes each message after LATENCY, as many at once as it is given."""

    rate = Rate(per_second=1000, burst=1000)

    def __init__(self) -> None:
        self.taken = 0

    async def send(self, message: Message) -> str:
        await asyncio.sleep(LATENCY)
        self.taken += 1
        return str(message.id)


async def all_reminded(ctx: Context, count: int, lead: timedelta) -> bool:
    """One worker's sweep and one worker's sender, side by side, as in the product."""
    now = ctx.clock.now()
    await populate(ctx, count, now + lead, now)
    provider = SlowProvider()
    channels = Channels({"email": Provider(provider)})
    started = time.perf_counter()
    swept = 0.0

    async def sweep() -> None:
        nonlocal swept
        told = await remind(ctx)
        swept = time.perf_counter() - started
        say(f"  {told:,} messages written after {swept:.1f} s")

    async def send() -> None:
        while provider.taken < 2 * count:
            sent = (await deliver_due(ctx, channels, 200, SENDERS)).sent
            if not sent:
                await asyncio.sleep(0.1)

    async with asyncio.timeout(300), asyncio.TaskGroup() as tasks:
        tasks.create_task(sweep())
        tasks.create_task(send())
    took = time.perf_counter() - started
    say(
        f"  {provider.taken:,} sent after {took:.1f} s (goal {MINUTE} s): {provider.taken / took:,.0f} a second"
    )
    async with ctx.pool.acquire() as conn:
        twice = await conn.fetchval(
            "SELECT count(*) FROM notifications WHERE channel = 'email' AND attempts <> 1"
        )
    return took <= MINUTE and provider.taken == 2 * count and twice == 0


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
                good = await drain_backlog(ctx, words.backlog)
                say(f"One worker, {words.mixed:,} sessions from their approval to their end:")
                await drain_mix(ctx, words.mixed)
                for name, lead in TIERS.items():
                    say(f"One worker, reminders of {words.sessions:,} sessions due at once, {name}:")
                    good &= await all_reminded(ctx, words.sessions, lead)
                return good
        finally:
            await postgres.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.jobs.bench_jobs", description=__doc__)
    parser.add_argument("--backlog", type=int, default=50_000)
    parser.add_argument("--mixed", type=int, default=2_000)
    parser.add_argument("--sessions", type=int, default=10_000)
    return 0 if uvloop.run(measure(parser.parse_args(argv))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
