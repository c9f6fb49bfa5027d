"""A whole Visavis on a clock that can jump: web process, SFU, worker, PostgreSQL, Redis and SMTP, all real."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import UUID

import aiohttp

from jobs.periodic import JobReport, run_job
from jobs.worker import POOL_SIZE, Pace, Worker
from server.app import listening, running
from server.base.clock import OffsetClock
from server.base.context import Context
from server.base.db import create_pool
from server.integrations.channels import make_channels
from server.settings import Settings, load_settings
from tests.support.smtp import SmtpServer


@dataclass(slots=True)
class World:
    """What a journey may look at and bend. Real seconds pass on `clock`, but it can be told to jump."""

    url: str
    clock: OffsetClock
    ctx: Context
    smtp: SmtpServer

    def now(self) -> datetime:
        return self.clock.now()

    async def sleep_until(self, then: datetime) -> None:
        """Let real time pass until it is `then`, if it is not yet."""
        await asyncio.sleep(max(0.0, (then - self.now()).total_seconds()))

    async def run_job(self, name: str) -> JobReport:
        """The job by hand, at the world's own instant, beside the worker that runs all the time."""
        report = await run_job(self.ctx, make_channels(self.ctx.settings), name, self.now())
        assert report.ok, report.text
        return report

    async def mails(
        self, to: str, subject_has: str, count: int = 1, timeout: float = 30
    ) -> list[EmailMessage]:
        """The mails to somebody whose subject contains some words, once there are `count` of them."""

        def found() -> list[EmailMessage]:
            return [
                mail.message
                for mail in self.smtp.messages
                if to in mail.rcpt_tos and subject_has.lower() in str(mail.message["Subject"]).lower()
            ]

        try:
            async with asyncio.timeout(timeout):
                while len(found()) < count:
                    await self.smtp.wait_for(len(self.smtp.messages) + 1, timeout)
        except TimeoutError:
            subjects = [(mail.rcpt_tos, str(mail.message["Subject"])) for mail in self.smtp.messages]
            raise AssertionError(f"no mail {subject_has!r} to {to}; there are {subjects}") from None
        return found()


@contextlib.asynccontextmanager
async def world(environ: dict[str, str], smtp: SmtpServer) -> AsyncIterator[World]:
    """Web process and worker in this process, on ports of their own, until the block ends."""
    environ = {**environ, "VISAVIS_SMTP_URL": smtp.url, "VISAVIS_DEMO": "1"}
    environ["VISAVIS_PUBLIC_URL"] = f"http://127.0.0.1:{environ['VISAVIS_PORT']}"
    settings = load_settings(environ)
    clock = OffsetClock()
    async with (
        await create_pool(settings.database_url, max_size=POOL_SIZE) as pool,
        running(settings, clock=clock) as app,
        listening(app, settings),
        working(Context(pool, clock, settings), settings),
    ):
        yield World(settings.public_url, clock, Context(pool, clock, settings), smtp)


@contextlib.asynccontextmanager
async def working(ctx: Context, settings: Settings) -> AsyncIterator[None]:
    worker = Worker(ctx, make_channels(ctx.settings), settings.redis_url, Pace(sweep=0.3, clock=0.3))
    task = asyncio.create_task(worker.run(), name="worker")
    try:
        yield
    finally:
        worker.stop()
        async with asyncio.timeout(settings.shutdown_seconds + 5):
            await task


class Api:
    """A program that speaks the published API with a bearer token."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._base = f"{url}/api/v1"
        self._headers: dict[str, str] = {}

    async def login(self, email: str, password: str) -> dict[str, object]:
        body = await self.call("POST", "/auth/login", {"email": email, "password": password})
        self._headers = {"Authorization": f"Bearer {body['access_token']}"}
        return body

    async def call(self, method: str, path: str, body: object = None, status: int = 0) -> dict[str, object]:
        async with self._http.request(method, self._base + path, json=body, headers=self._headers) as answer:
            result: dict[str, object] = await answer.json() if answer.content_length != 0 else {}
            assert answer.status == status or (not status and answer.ok), (
                method,
                path,
                answer.status,
                result,
            )
            return result


def instant(text: object) -> datetime:
    """An RFC 3339 instant of the API."""
    assert isinstance(text, str)
    return datetime.fromisoformat(text).astimezone(UTC)


async def transfers_of(world: World, session_id: UUID) -> dict[str, int]:
    """Transfer kind -> tokens, of one session, as the ledger has them."""
    rows = await world.ctx.pool.fetch(
        "SELECT kind, sum(amount) AS amount FROM transfers WHERE session_id = $1 GROUP BY kind", session_id
    )
    return {row["kind"]: int(row["amount"]) for row in rows}
