"""What the job tests share: a story, and an SMTP server that can hold its answer back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from server.base.clock import SteppedClock
from server.base.db import Pool
from server.settings import Settings
from tests.support.smtp import SmtpServer
from tests.support.story import Story, make_story


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


@dataclass(slots=True)
class HoldingSmtp(SmtpServer):
    """Takes ``accept`` messages, then sets ``held`` and answers nothing more until ``accept`` is raised."""

    accept: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if len(self.messages) >= self.accept:
            self.held.set()
            await asyncio.Event().wait()  # until the client is gone: aiosmtpd then cancels us
        return await SmtpServer.handle_DATA(self, server, session, envelope)


@pytest.fixture
async def holding_smtp() -> AsyncIterator[HoldingSmtp]:
    server = HoldingSmtp()
    listener = await asyncio.get_running_loop().create_server(
        lambda: SMTP(server, hostname="localhost", enable_SMTPUTF8=True), server.host, 0
    )
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
