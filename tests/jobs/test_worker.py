"""Real worker processes: killed in the middle, cut off from Redis, asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from jobs.periodic import JOBS
from jobs.worker import POOL_SIZE, Worker
from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.integrations.channels import Channels
from server.integrations.wake import QUEUE, arq_waker
from server.ledger import actions as ledger
from server.payroll import actions as payroll
from server.settings import Settings
from tests.jobs.conftest import HoldingSmtp
from tests.support.processes import read_until
from tests.support.smtp import SmtpServer
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
REMIND_AT = "2026-03-03T09:40:00Z"
PAYDAY = "2026-03-26T00:05:00Z"
CODE = "import sys; from server.cli import main; sys.exit(main())"
PAYSLIPS = (
    "SELECT count(*) FROM notifications WHERE kind = 'payslip' AND channel = 'email' AND status = 'sent'"
)


@contextlib.asynccontextmanager
async def visavis(environ: dict[str, str], *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The product's own command as a child of the test; killed at the end if it still lives."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CODE,
        *words,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def output(child: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(30):
        said, _ = await child.communicate()
    return said.decode()


async def sessions_to_remind_of(
    pool: Pool, clock: SteppedClock, settings: Settings, count: int
) -> list[Story]:
    """As many pairs of people with a session at START; what was written so far is out of the way."""
    stories = [await make_story(pool, clock, settings, name=str(n)) for n in range(count)]
    for story in stories:
        await story.session(START)
    await pool.execute("UPDATE facts SET handled_at = at")
    return stories


def reminders(server: SmtpServer) -> list[str]:
    return sorted(f"{mail.rcpt_tos[0]} {mail.message['Message-ID']}" for mail in server.messages)


@pytest.mark.parametrize("accepted", [0, 3])
async def test_killed_in_the_middle_of_reminders(
    pool: Pool,
    clock: SteppedClock,
    settings: Settings,
    environ: dict[str, str],
    holding_smtp: HoldingSmtp,
    accepted: int,
) -> None:
    """SIGKILL while the mail server is still thinking about a message; the next run sends each exactly once."""
    await sessions_to_remind_of(pool, clock, settings, 3)
    environ |= {"VISAVIS_SMTP_URL": holding_smtp.url}
    holding_smtp.accept = accepted
    async with visavis(environ, "jobs", "run", "reminders", "--at", REMIND_AT) as first:
        async with asyncio.timeout(30):
            await holding_smtp.held.wait()
        assert await pool.fetchval("SELECT count(*) FROM notifications WHERE status = 'sending'") == 1
        first.send_signal(signal.SIGKILL)
        await first.wait()
    holding_smtp.accept = 1000
    for _ in range(2):
        async with visavis(environ, "jobs", "run", "reminders", "--at", REMIND_AT) as again:
            said = await output(again)
            assert again.returncode == 0, said
    got = reminders(holding_smtp)
    assert len(got) == len(set(got)) == 6
    assert len({line.split()[0] for line in got}) == 6
    assert await pool.fetchval("SELECT count(*) FROM notifications WHERE status <> 'sent'") == 0


@pytest.mark.parametrize("runner", ["by hand", "worker"])
async def test_killed_in_the_middle_of_payroll(
    pool: Pool, clock: SteppedClock, settings: Settings, environ: dict[str, str], runner: str
) -> None:
    """SIGKILL between two payslips of one period; the next run pays everybody exactly once.

    A worker needs no other clock for it: the period of March is long over, so it has a 26th to catch up on.
    """
    words = ("worker",) if runner == "worker" else ("jobs", "run", "payroll", "--at", PAYDAY)
    environ |= {"VISAVIS_DEMO": "1"}  # the payslips land in the development inbox
    stories = [await make_story(pool, clock, settings, name=str(n)) for n in range(3)]
    for story in stories:
        booking = await story.session(START)
        await story.present(booking.session_id, story.mentor, START, START + timedelta(hours=1))
    clock.set(START + timedelta(hours=2))
    assert await attendance.settle_due(stories[0].ctx) == 3

    last = max(story.mentor.id for story in stories)
    async with pool.acquire() as conn:
        lock = conn.transaction()
        await lock.start()
        await conn.execute("SELECT 1 FROM accounts WHERE owner_id = $1 FOR UPDATE", last)
        async with visavis(environ, *words) as first:
            await wait_for_blocked(pool)
            first.send_signal(signal.SIGKILL)
            await first.wait()
        await lock.rollback()
    assert await pool.fetchval("SELECT count(*) FROM payslips") == 0  # all of it or nothing
    for _ in range(2):
        async with visavis(environ, *words) as again:
            if runner == "worker":
                assert again.stdout is not None
                await read_until(again.stdout, "worker_ready", 30)
                await wait_for_payslip_mails(pool, 3)
                again.send_signal(signal.SIGTERM)
            said = await output(again)
            assert again.returncode == 0, said
    slips = await payroll.payslips(stories[0].ctx)
    assert sorted((slip.mentor_id, slip.total_tokens) for slip in slips) == sorted(
        (s.mentor.id, 24) for s in stories
    )
    for story in stories:
        assert (await ledger.wallet(story.ctx, story.mentor.id)).earnings_tokens == 0
    assert await pool.fetchval("SELECT balance FROM accounts WHERE kind = 'payouts'") == 72
    assert await pool.fetchval("SELECT sum(balance) FROM accounts") == 0
    assert await pool.fetchval(PAYSLIPS) == 3


async def wait_for_payslip_mails(pool: Pool, count: int) -> None:
    async with asyncio.timeout(30):
        while count > await pool.fetchval(  # noqa: ASYNC110 - the database has no event for this
            PAYSLIPS
        ):
            await asyncio.sleep(0.05)


async def wait_for_blocked(pool: Pool) -> None:
    """Until another connection waits for a row of ours."""
    async with asyncio.timeout(30):
        while not await pool.fetchval(  # noqa: ASYNC110 - the database has no event for this
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype <> 'advisory'"
        ):
            await asyncio.sleep(0.05)


async def real_time_session(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    """A session that starts within the next half hour of real time."""
    now = datetime.now(UTC)
    slot = timedelta(minutes=5)
    start = datetime.fromtimestamp((now.timestamp() // 300 + 2) * 300, UTC)
    clock.set(now)
    story = await make_story(pool, clock, settings, slot_minutes=5)
    await story.session(start, minutes=int(slot.total_seconds() // 60))
    return story


async def test_a_killed_worker_is_replaced_and_a_stopped_one_finishes(
    pool: Pool, clock: SteppedClock, settings: Settings, environ: dict[str, str], holding_smtp: HoldingSmtp
) -> None:
    """The whole worker, on the real clock: two confirmations, two reminders and a request, each exactly once."""
    await real_time_session(pool, clock, settings)
    # The only tier has passed already when the session is agreed, so that it is due at once.
    environ |= {"VISAVIS_SMTP_URL": holding_smtp.url, "VISAVIS_REMINDERS": "30m"}
    holding_smtp.accept = 1
    async with visavis(environ, "worker") as first:
        async with asyncio.timeout(30):
            await holding_smtp.held.wait()
        first.send_signal(signal.SIGKILL)
        await first.wait()
    holding_smtp.accept = 1000
    async with visavis(environ, "worker") as second:
        await holding_smtp.wait_for(4, timeout=30)
        second.send_signal(signal.SIGTERM)
        said = await output(second)
        assert second.returncode == 0, said
        assert "worker_stopped" in said
    kinds = sorted(
        # A long one is folded (RFC 5322 section 2.2.3), on some dates before its first word.
        mail.message["Subject"].strip().split(":")[0].split(" starts at")[0]
        for mail in holding_smtp.messages
    )
    assert kinds == [
        "Confirmed", "Confirmed", "Your session with Asha Rao", "Your session with Jonas Weber",
    ]  # fmt: skip
    assert len({mail.message["Message-ID"] for mail in holding_smtp.messages}) == 4


class Relay:
    """A TCP relay to Redis on a port of its own, which can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._copy(reader, there_writer), self._copy(there_reader, writer))

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def test_without_redis_the_work_goes_on_and_afterwards_the_bell_is_heard_again(
    pool: Pool,
    clock: SteppedClock,
    settings: Settings,
    environ: dict[str, str],
    smtp_server: SmtpServer,
) -> None:
    """Redis is cut off from a running worker and comes back."""
    url = urlsplit(environ["VISAVIS_REDIS_URL"])
    assert url.hostname is not None and url.port is not None
    relay = Relay(url.hostname, url.port)
    await relay.mend()
    through = environ["VISAVIS_REDIS_URL"].replace(f":{url.port}/", f":{relay.port}/")
    environ = environ | {"VISAVIS_SMTP_URL": smtp_server.url, "VISAVIS_REDIS_URL": through}
    clock.set(datetime.now(UTC))
    story = await make_story(pool, clock, settings)
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
    async with (
        visavis(environ, "worker") as worker,
        arq_waker(url.geturl()) as waker,
        Redis.from_url(url.geturl()) as redis,
    ):
        assert worker.stdout is not None
        await read_until(worker.stdout, "worker_ready", 30)
        await story.request(start)
        await smtp_server.wait_for(1)
        relay.cut()
        await read_until(worker.stdout, "redis_lost", 30)
        await story.request(start + timedelta(hours=1))
        await smtp_server.wait_for(2)

        await waker.ring()
        assert await redis.zcard(QUEUE) == 1
        await relay.mend()
        async with asyncio.timeout(30):
            while await redis.zcard(QUEUE):  # noqa: ASYNC110 - nor has a queue
                await asyncio.sleep(0.1)
        assert worker.returncode is None
    relay.cut()


async def test_a_pool_in_which_jobs_would_wait_for_each_other_is_refused(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    assert pool.get_max_size() < POOL_SIZE
    with pytest.raises(ValueError, match="needs a pool of 36 connections"):
        Worker(Context(pool, clock, settings), Channels(), None)
    assert len(JOBS) * 3 <= POOL_SIZE
