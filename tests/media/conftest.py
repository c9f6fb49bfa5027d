"""Fixtures for the media plane: a server on an ephemeral port whose events are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import pytest

from media import MediaConfig, MediaEvent, MediaServer
from tests.media.client import Client, caller

E = TypeVar("E")


@dataclass
class World:
    """A media server and what it told; `join` makes connected clients that are closed with the world."""

    server: MediaServer
    events: list[MediaEvent] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    clients: list[Client] = field(default_factory=list)

    def note(self, event: MediaEvent) -> None:
        self.events.append(event)
        self.changed.set()

    def all(self, kind: type[E]) -> list[E]:
        """The events of one type so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                try:
                    await asyncio.wait_for(self.changed.wait(), 0.02)
                except TimeoutError:
                    continue

    async def join(
        self,
        participant: str,
        *,
        room: str = "room",
        peer: str = "",
        slots: int = 1,
        tcp: bool = False,
        host: str = "127.0.0.1",
    ) -> Client:
        client = caller(self.server, participant, room=room, peer=peer, slots=slots)
        self.clients.append(client)
        return await client.connect(tcp=tcp, host=host)


MakeWorld: TypeAlias = Callable[..., Awaitable[World]]


@pytest.fixture
async def make_world() -> AsyncIterator[MakeWorld]:
    """Call it with MediaConfig fields for a running server."""
    worlds: list[World] = []

    async def make(**changes: object) -> World:
        events: list[MediaEvent] = []
        holder: list[World] = []
        config = MediaConfig(port=0, **changes)  # type: ignore[arg-type]
        server = await MediaServer.start(
            config, on_event=lambda event: holder[0].note(event) if holder else events.append(event)
        )
        world = World(server)
        holder.append(world)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        for client in world.clients:
            await client.close()
        await world.server.close()


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    """A server with default limits."""
    return await make_world()
