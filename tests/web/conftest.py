"""A running application, people in it, and a client that speaks JSON for one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientResponse, ClientSession, DummyCookieJar, TCPConnector
from aiohttp import web as http
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy

from server.app import running
from server.base.clock import OffsetClock
from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.ids import new_id
from server.ledger import actions as ledger
from server.people import store as people_store
from server.people.model import Role, User
from server.people.passwords import hash_password
from server.people.tokens import access_token
from server.settings import Settings
from web.context import CONTEXT

API = "/api/v1"
PASSWORD = "correct horse battery"
# Monday 2 March 2026, 09:00 UTC; real seconds pass from there.
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(slots=True)
class Reply:
    """An answer, read to the end."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str
    json: Any = field(default=None)

    @classmethod
    async def of(cls, response: ClientResponse) -> Reply:
        text = await response.text()
        kind = response.content_type
        data = await response.json(content_type=None) if "json" in kind and text else None
        return cls(response.status, response.headers, text, data)


@dataclass(frozen=True, slots=True)
class Client:
    """Calls the application as ``user`` (None: as nobody); paths below /api/v1 unless they start with //."""

    http: ClientSession
    base: str
    user: User | None = None
    token: str | None = None

    async def call(self, method: str, path: str, json: Any = None, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            named.setdefault("Authorization", f"Bearer {self.token}")
        url = self.base + (path[1:] if path.startswith("//") else API + path)
        async with self.http.request(
            method, url, json=json, headers=named, allow_redirects=False
        ) as response:
            return await Reply.of(response)

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, json: Any = None, **headers: str) -> Reply:
        return await self.call("POST", path, json, **headers)

    @property
    def id(self) -> UUID:
        assert self.user is not None
        return self.user.id


@dataclass(frozen=True, slots=True)
class World:
    """One running application."""

    app: http.Application
    base: str
    ctx: Context
    clock: OffsetClock
    http: ClientSession

    @property
    def nobody(self) -> Client:
        return Client(self.http, self.base)

    async def person(self, role: Role, name: str = "", tokens: int = 0) -> Client:
        """Somebody made straight in the store (no password hash to wait for), with an access token."""
        return (await self.people(role, 1, name, tokens))[0]

    async def people(self, role: Role, count: int, name: str = "", tokens: int = 0) -> list[Client]:
        users = [
            User(
                id := new_id(), f"{id.hex}@example.org", name or f"{role} {n}", role, "Europe/Berlin", self.clock.now()
            )
            for n in range(count)
        ]  # fmt: skip

        async def work(conn: Conn) -> None:
            for user in users:
                assert await people_store.insert_user(conn, user, "$no-login$")
                await people_store.verify_address(conn, user.id, self.clock.now())
                if role is Role.MENTOR:
                    await people_store.insert_profile(conn, user.id)
                if tokens:
                    await ledger.grant_in(
                        conn, key=f"grant:test:{user.id}", user_id=user.id, amount=tokens, memo="test",
                        now=self.clock.now(),
                    )  # fmt: skip

        await in_transaction(self.ctx.pool, work)
        now, settings = self.clock.now(), self.ctx.settings
        return [Client(self.http, self.base, user, access_token(settings, user, now)) for user in users]

    async def give_password(self, client: Client, password: str = PASSWORD) -> None:
        async with self.ctx.pool.acquire() as conn:
            await people_store.set_password_hash(conn, client.id, "$no-login$", await hash_password(password))

    async def fresh(self, client: Client) -> Client:
        """The same person with a new access token, after the clock has moved."""
        assert client.user is not None
        return replace(client, token=access_token(self.ctx.settings, client.user, self.clock.now()))


WORKDAYS = {
    "timezone": "UTC",
    "weekly": [{"weekday": day, "start": "08:00", "end": "18:00"} for day in range(5)],
    "slot_minutes": 60,
}


async def open_hours(mentor: Client, **changes: Any) -> None:
    """Weekdays from 8 to 18 UTC in hours."""
    reply = await mentor.call("PUT", "/me/availability", {**WORKDAYS, **changes})
    assert reply.status == 200, reply.text


def hour(offset_days: int, at: int) -> dict[str, str]:
    """``{start, end}`` of one hour, so many days after NOW's Monday."""
    start = NOW.replace(hour=at) + timedelta(days=offset_days)
    return {
        "start": start.isoformat().replace("+00:00", "Z"),
        "end": (start + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
    }


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    """Demo mode, and ports chosen by the kernel."""
    return replace(settings, demo=True, port=0, media_port=0)


@pytest.fixture
async def world(web_settings: Settings) -> AsyncIterator[World]:
    clock = OffsetClock()
    clock.jump_to(NOW)
    async with (
        running(web_settings, clock=clock) as app,
        TestServer(app) as server,
        ClientSession(cookie_jar=DummyCookieJar(), connector=TCPConnector(limit=0)) as session,
    ):
        yield World(app, f"http://{server.host}:{server.port}", app[CONTEXT], clock, session)
