"""The servers and workers of a simulated day, each of which can be killed and comes back where it was."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import asyncpg

from server.embedded.postgres import PostgresServer, start_postgres
from server.embedded.process import Child
from server.embedded.redis import RedisServer, start_redis
from server.migrations import migrate
from tests.support.providers import FakeProviders, Say, running_providers
from tests.support.smtp import SmtpServer, running_smtp

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Kill:
    what: str
    since: float
    until: float


@dataclass(slots=True)
class House:
    """Everything outside of the driver. ``kills`` are what died, and from when until when it was away (monotonic)."""

    directory: Path
    clock_file: Path
    postgres: PostgresServer
    redis: RedisServer
    smtp: SmtpServer
    fakes: FakeProviders
    environ: dict[str, str]
    workers: list[Child] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)

    @property
    def killed(self) -> Counter[str]:
        """How often what died."""
        return Counter(kill.what for kill in self.kills)

    def hire(self) -> None:
        """As many workers as there should be."""
        self.workers = [worker for worker in self.workers if worker.returncode is None]
        while len(self.workers) < WORKERS:
            argv = [sys.executable, "-m", "tests.simulation.worker_process", str(self.clock_file)]
            log = os.open(self.directory / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                worker = Child.spawn(
                    "worker", argv, death_signal=signal.SIGKILL, env=self.environ, output=log
                )
            finally:
                os.close(log)
            self.workers.append(worker)

    async def kill_worker(self, dice: Random) -> None:
        worker = dice.choice(self.workers)
        with self._away("worker"):
            worker.send(signal.SIGKILL)
            await worker.wait()
            self.hire()

    async def kill_redis(self) -> None:
        """Without its memory: it comes back empty."""
        with self._away("redis"):
            self.redis.child.send(signal.SIGKILL)
            await self.redis.child.wait()
            self.redis = await start_redis(self.directory, durable=False, port=_port(self.redis.url))

    async def kill_postgres(self) -> None:
        with self._away("postgres"):
            self.postgres.child.send(signal.SIGKILL)
            await self.postgres.child.wait()
            self.postgres = await start_postgres(self.directory, port=_port(self.postgres.url))

    def trouble(self, on: bool) -> None:
        """Mail and telephones answer that they cannot now."""
        self.smtp.reply = "451 4.3.0 Try again later" if on else None
        self.fakes.say = Say(503, {"error": "down"}) if on else None

    @contextlib.contextmanager
    def _away(self, what: str) -> Iterator[None]:
        since = time.monotonic()
        yield
        self.kills.append(Kill(what, since, time.monotonic()))


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@contextlib.asynccontextmanager
async def running_house(directory: Path, clock_file: Path) -> AsyncIterator[House]:
    """Servers with nothing but the schema, and no workers yet."""
    async with contextlib.AsyncExitStack() as stack:
        smtp = await stack.enter_async_context(running_smtp())
        fakes = await stack.enter_async_context(running_providers())
        # What a commit has promised must outlive the process: no short cuts here, unlike in other tests.
        postgres = await start_postgres(directory)
        redis = await start_redis(directory, durable=False)
        conn = await asyncpg.connect(postgres.url)
        try:
            await migrate(conn)
        finally:
            await conn.close()
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VISAVIS_")},
            **fakes.environ,
            "VISAVIS_DATABASE_URL": postgres.url,
            "VISAVIS_REDIS_URL": redis.url,
            "VISAVIS_DATA_DIR": str(directory / "var"),
            "VISAVIS_SECRET_KEY": "test-secret-key-test-secret-key-test",
            "VISAVIS_SMTP_URL": smtp.url,
            "VISAVIS_SHUTDOWN_SECONDS": "5",
        }
        house = House(directory, clock_file, postgres, redis, smtp, fakes, environ)
        try:
            yield house
        finally:
            for worker in house.workers:
                worker.send(signal.SIGTERM)
            for worker in house.workers:
                await worker.stop(signal.SIGTERM, within=10)
            await house.redis.stop()
            await house.postgres.stop()
