"""One open room socket: what it sends, and what becomes of one that does not keep up."""

from __future__ import annotations

import asyncio

from aiohttp import web as http

from server.base.sockets import Outlet
from signaling.counters import Counters
from signaling.messages import Close, Goodbye, Outbound
from signaling.text import serialise

MAX_QUEUED = 512  # messages; a room's busiest minute is a few dozen
MAX_QUEUED_BYTES = 2 * 1024 * 1024  # a page of history, 50 messages of the greatest length, is at most 800 KB


class Connection(Outlet):
    """``send`` and ``close`` never wait. A full queue closes this slow consumer (1013) and is nobody else's trouble."""

    def __init__(
        self, id: str, socket: http.WebSocketResponse, transport: asyncio.Transport | None, counters: Counters
    ) -> None:
        super().__init__(id, socket, transport)
        self._counters = counters

    def send(self, message: Outbound) -> None:
        if self.closing or self.put(serialise(message), MAX_QUEUED, MAX_QUEUED_BYTES):
            return
        self._counters.refusals["slow_consumer"] += 1
        self.close(Close.OVERLOADED)
        self.hurry()

    def close(self, code: Close, goodbye: Goodbye | None = None) -> None:
        """Say ``goodbye`` after what is queued, then close. The first reason given stays."""
        self.shut(code, None if goodbye is None else serialise(goodbye))
