"""Fixtures for every test: real PostgreSQL, Redis, SMTP and Chromium, and a clock that is told the time."""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import hypothesis
import pytest
from playwright.async_api import Browser, async_playwright
from redis.asyncio import Redis

from server.base.clock import SteppedClock
from server.base.db import Pool, create_pool
from server.embedded.postgres import PostgresServer, free_port, start_postgres
from server.embedded.redis import DATABASES, RedisServer, start_redis
from server.migrations import migrate
from server.settings import Settings, load_settings
from tests.support.databases import Databases
from tests.support.radicale import Radicale, running_radicale
from tests.support.smtp import SmtpServer, running_smtp

# A loaded machine is no failure.
hypothesis.settings.register_profile("quick", deadline=None)
# `HYPOTHESIS_PROFILE=long` for a search of minutes (make bench).
hypothesis.settings.register_profile("long", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_numbers = itertools.count(1)

MakeDatabase: TypeAlias = Callable[[], Awaitable[str]]

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGS = (
    # Two cameras and a microphone that beep and tick, granted without asking.
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=30,device-count=2,display-media-type=browser",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    # Nothing leaves this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


# Files in which browsers send each other pictures: what the line bears is told from delays, and several at once on two
# processors are a slow line.
CALLS = (
    "tests/room/",
    "tests/journeys/",
    "tests/media/test_browser",
    "tests/media/test_codecs_browser",
    "tests/turn/test_coturn",
    "tests/signaling/test_whip_browser",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the calls evenly among the other files, which stay in the order of their names."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    calls = [name for prefix in CALLS for name in files if name.startswith(prefix)]
    others = [name for name in files if name not in calls]
    places = {name: place * len(others) / len(calls) for place, name in enumerate(calls)}
    places |= {name: place + 0.5 for place, name in enumerate(others)}
    items[:] = [item for name in sorted(files, key=lambda it: places[it]) for item in files[name]]


@dataclass(slots=True)
class Servers:
    """The servers of one test session. `template` is a migrated database that nobody connects to."""

    directory: Path
    postgres: PostgresServer
    redis: RedisServer
    template: str
    databases: Databases

    async def start_postgres_again(self) -> None:
        """After its stop; at the same address, with the same data."""
        port = urlsplit(self.postgres.url).port
        self.postgres = await start_postgres(self.directory, durable=False, port=port)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Redis for the whole session, without durability, in a directory of their own."""
    # Not pytest's own temporary directory: it is closed to the user that PostgreSQL runs as under root.
    directory = Path(tempfile.mkdtemp(prefix="visavis-test-"))
    directory.chmod(0o711)
    try:
        started = asyncio.run(_start(directory))
        try:
            yield started
        finally:
            asyncio.run(_stop(started))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radicale]:
    """A real CalDAV server for the whole session, started by the first test that asks; each takes an account."""
    with running_radicale(tmp_path_factory.mktemp("radicale")) as server:
        yield server


async def _start(directory: Path) -> Servers:
    postgres = await start_postgres(directory, durable=False)
    conn = await asyncpg.connect(postgres.url)
    try:
        await migrate(conn)
    finally:
        await conn.close()
    databases = Databases(postgres.superuser_url, "visavis")
    return Servers(directory, postgres, await start_redis(directory, durable=False), "visavis", databases)


async def _stop(servers: Servers) -> None:
    await servers.redis.stop()
    await servers.postgres.stop()


async def _administer(servers: Servers, statement: str) -> None:
    conn = await asyncpg.connect(servers.postgres.superuser_url)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


@pytest.fixture
async def make_empty_database(servers: Servers) -> AsyncIterator[MakeDatabase]:
    """Call it for the URL of a database without a schema, owned by the application's role, dropped afterwards."""
    made: list[str] = []

    async def make() -> str:
        name = f"empty_{next(_numbers)}"
        await _administer(servers, f"CREATE DATABASE {name} OWNER visavis STRATEGY FILE_COPY")
        made.append(name)
        return _sibling(servers, name)

    yield make
    for name in made:
        await _administer(servers, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_database_url(make_empty_database: MakeDatabase) -> str:
    """One database without a schema."""
    return await make_empty_database()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter (unlike `tmp_path`), for servers that drop root."""
    directory = Path(tempfile.mkdtemp(prefix="visavis-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def database_url(servers: Servers) -> AsyncIterator[str]:
    """A migrated, empty database of the test's own; its connections are ended afterwards."""
    name = await servers.databases.take()
    yield _sibling(servers, name)
    await servers.databases.give_back(name)


def _sibling(servers: Servers, name: str) -> str:
    return servers.postgres.url.replace(f"/{servers.template}?", f"/{name}?")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """The product's own pool (codecs included) on `database_url`, up to 10 connections."""
    async with await create_pool(database_url) as pool:
        yield pool


@pytest.fixture
async def redis_url(servers: Servers) -> str:
    """A flushed Redis database. Publish/subscribe channels are shared by all databases: use unique names."""
    number = next(_numbers) % (DATABASES - 1) + 1
    url = servers.redis.url.removesuffix("/0") + f"/{number}"
    async with Redis.from_url(url) as client:
        await client.flushdb()
    return url


@pytest.fixture
def clock() -> SteppedClock:
    """Monday 2 March 2026, 09:00 UTC, until stepped."""
    return SteppedClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))


@pytest.fixture
def environ(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """A complete environment for `load_settings` or a child process: test servers, free ports, no SMTP.

    Nothing of the developer's own VISAVIS_* variables is in it.
    """
    port = free_port()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("VISAVIS_")},
        "VISAVIS_DATABASE_URL": database_url,
        "VISAVIS_REDIS_URL": redis_url,
        "VISAVIS_DATA_DIR": str(tmp_path / "var"),
        "VISAVIS_PORT": str(port),
        "VISAVIS_MEDIA_PORT": str(next(p for p in iter(free_port, None) if p != port)),
        "VISAVIS_SECRET_KEY": "test-secret-key-test-secret-key-test",
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """Settings of a process in the test's environment; vary with `dataclasses.replace`."""
    return load_settings(environ)


@pytest.fixture
async def smtp_server() -> AsyncIterator[SmtpServer]:
    """A real SMTP server on loopback that keeps what it is sent."""
    async with running_smtp() as server:
        yield server


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A Chromium with fake camera and microphone and no network but loopback; starts in half a second."""
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*CHROMIUM_ARGS, *sandbox])
        try:
            yield browser
        finally:
            await browser.close()
