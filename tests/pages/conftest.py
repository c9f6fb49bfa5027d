"""A running web process with a world in it, and browsers that report every complaint."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page

from server.app import listening, running
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import create_pool
from server.settings import Settings, load_settings
from tests.conftest import Servers
from tests.conftest import _administer as administer
from tests.conftest import _sibling as sibling
from tests.pages.world import NOW, PASSWORD, World, build
from tests.support.logins import log_in
from web.context import CONTEXT

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Site:
    url: str
    ctx: Context
    clock: SteppedClock
    world: World


@dataclass(slots=True)
class Visitor:
    """A browser of one person; ``complaints`` collects console errors, CSP violations and failed scripts."""

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)

    async def goto(self, path: str) -> int:
        """Open a page, scripts included (modules run before the load event); the HTTP status."""
        response = await self.page.goto(self.site.url + path, wait_until="load")
        assert response is not None
        return response.status

    async def log_in(self, email: str, password: str = PASSWORD) -> None:
        """Logged in, on no page yet."""
        await log_in(self.page.context, self.site.url, email, password)


Visit: TypeAlias = Callable[..., Awaitable[Visitor]]


@dataclass(frozen=True, slots=True)
class Model:
    """A database with the world in it, which nobody connects to: every test gets a copy."""

    database: str
    world: World


@pytest.fixture(scope="session")
def model(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    name = "pages_model"
    asyncio.run(
        administer(
            servers, f"CREATE DATABASE {name} OWNER visavis TEMPLATE {servers.template} STRATEGY FILE_COPY"
        )
    )
    yield Model(
        name, asyncio.run(_populate(sibling(servers, name), servers, tmp_path_factory.mktemp("model")))
    )
    asyncio.run(administer(servers, f"DROP DATABASE {name} WITH (FORCE)"))


async def _populate(url: str, servers: Servers, directory: Path) -> World:
    environ = {
        "VISAVIS_DATABASE_URL": url,
        "VISAVIS_REDIS_URL": servers.redis.url,
        "VISAVIS_DATA_DIR": str(directory),
        "VISAVIS_SECRET_KEY": "test-secret-key-test-secret-key-test",
    }
    clock = SteppedClock(NOW - timedelta(days=25))
    async with await create_pool(url) as pool:
        return await build(Context(pool, clock, replace(load_settings(environ), demo=True)), clock)


@pytest.fixture
async def database_url(servers: Servers, model: Model) -> AsyncIterator[str]:
    """A fresh copy of the world."""
    name = f"pages_{next(_numbers)}"
    await administer(
        servers, f"CREATE DATABASE {name} OWNER visavis TEMPLATE {model.database} STRATEGY FILE_COPY"
    )
    yield sibling(servers, name)
    await administer(servers, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def site(model: Model, settings: Settings, clock: SteppedClock) -> AsyncIterator[Site]:
    demo = replace(settings, demo=True, public_url=f"http://{settings.host}:{settings.port}")
    async with running(demo, clock=clock) as app, listening(app, demo):
        clock.set(NOW)
        yield Site(demo.public_url, app[CONTEXT], clock, model.world)


@pytest.fixture
async def visit(site: Site, chromium: Browser) -> Visit:
    """Call it for a browser of somebody: ``await visit(site.world.mentee, width=360)``; nobody without a user.

    Nobody closes these windows but the end of Chromium, which therefore has to come before the site's: see
    `tests.support.browsers`.
    """

    async def make(email: str | None = None, *, width: int = 1280, zone: str = "Europe/Paris") -> Visitor:
        context = await chromium.new_context(
            viewport={"width": width, "height": 800},
            timezone_id=zone,
            locale="en-GB",
            has_touch=width < 700,
            reduced_motion="reduce",
        )
        context.set_default_timeout(8000)
        context.set_default_navigation_timeout(30_000)  # a machine that runs other tests loads slowly
        page = await context.new_page()
        visitor = Visitor(page, site)

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                visitor.complaints.append(f"{page.url}: {message.text}")

        page.on("console", said)
        page.on("pageerror", lambda error: visitor.complaints.append(f"{page.url}: {error}"))
        if email:
            await visitor.log_in(email)
        return visitor

    return make
