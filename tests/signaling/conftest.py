"""A product with one approved session whose room is open, and clients that speak the room's protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from server.people.model import Role
from server.settings import Settings
from signaling import SIGNALING, Signaling
from tests.web.conftest import Client, World, hour, open_hours, world

__all__ = ["world"]

PATIENCE = 10.0  # seconds for anything that happens at once on an idle machine


@dataclass(slots=True)
class Talker:
    """One socket. ``wait`` finds the next message of a type, in order; what it passes over is in ``skipped``."""

    socket: ClientWebSocketResponse
    skipped: list[dict[str, Any]] = field(default_factory=list)
    closed: int | None = None

    async def send(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def next(self) -> dict[str, Any] | None:
        """The next message, None at the end (then ``closed`` is the code)."""
        frame = await self.socket.receive(PATIENCE)
        if frame.type is WSMsgType.TEXT:
            message: dict[str, Any] = json.loads(frame.data)
            return message
        self.closed = self.socket.close_code
        return None

    async def wait(self, type: str, **like: Any) -> dict[str, Any]:
        while (message := await self.next()) is not None:
            if message["type"] == type and like.items() <= message.items():
                return message
            self.skipped.append(message)
        raise AssertionError(f"closed with {self.closed} before {type} {like}; got {self.skipped}")

    async def until_closed(self) -> tuple[int | None, list[dict[str, Any]]]:
        """The close code and everything that was said before."""
        said = []
        while (message := await self.next()) is not None:
            said.append(message)
        return self.closed, said

    async def quiet(self) -> list[dict[str, Any]]:
        """Everything the server has to say up to now."""
        await self.send(type="ping", t="quiet")
        said = []
        while (message := await self.next()) is not None and message != {"type": "pong", "t": "quiet"}:
            said.append(message)
        return said


@dataclass(slots=True)
class Stage:
    world: World
    session_id: UUID
    start: datetime
    mentor: Client
    mentee: Client

    @property
    def signaling(self) -> Signaling:
        return self.world.app[SIGNALING]

    async def token(self, client: Client) -> str:
        reply = await (await self.world.fresh(client)).post(f"/sessions/{self.session_id}/join", {})
        assert reply.status == 200, reply.text
        token: str = reply.json["room_token"]
        return token

    async def open(self, session_id: object = None, **headers: str) -> Talker:
        """A socket that has not said hello."""
        url = f"{self.world.base}/ws/sessions/{session_id or self.session_id}"
        return Talker(await self.world.http.ws_connect(url, headers=headers, autoping=True))

    async def enter(self, client: Client, **hello: Any) -> tuple[Talker, dict[str, Any]]:
        """A seated socket and its welcome."""
        talker = await self.open()
        await talker.send(type="hello", room_token=await self.token(client), **hello)
        return talker, await talker.wait("welcome")

    async def presences(self) -> list[dict[str, Any]]:
        rows = await self.world.ctx.pool.fetch(
            "SELECT * FROM presence_intervals WHERE session_id = $1 ORDER BY joined_at", self.session_id
        )
        return [dict(row) for row in rows]


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    return replace(settings, demo=True, port=0, media_port=0)


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    mentor = await world.person(Role.MENTOR, "Ada Lovelace")
    mentee = await world.person(Role.MENTEE, "Ben Okri", tokens=100)
    await open_hours(mentor)
    wish = {**hour(1, 10), "mentor_id": str(mentor.id), "topic": "My first talk"}
    booked = await mentee.post("/bookings", wish)
    assert booked.status == 201, booked.text
    approved = await mentor.post(f"/bookings/{booked.json['id']}/approve", {})
    assert approved.status == 200, approved.text
    start = datetime.fromisoformat(wish["start"])
    world.clock.jump_to(start - timedelta(minutes=5))
    yield Stage(world, UUID(booked.json["session_id"]), start, mentor, mentee)
