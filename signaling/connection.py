"""One open room socket: a bounded queue of outgoing messages, the task that sends them, and one way to close."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web as http

from signaling.counters import Counters
from signaling.messages import Close, Goodbye, Outbound
from signaling.text import serialise

MAX_QUEUED = 512  # messages; a room's busiest minute is a few dozen
MAX_QUEUED_BYTES = 2 * 1024 * 1024  # a page of history, 50 messages of the greatest length, is at most 800 KB
FLUSH_SECONDS = 5.0  # for what is queued before a goodbye
CLOSE_SECONDS = 3.0  # for the client's half of the closing handshake (RFC 6455 section 7.1.1)
HEARTBEAT_SECONDS = 20.0  # ping; no pong within half of it and the socket is gone


class Connection:
    """``send`` and ``close`` never wait. A full queue closes this slow consumer (1013) and is nobody else's trouble."""

    def __init__(
        self, id: str, socket: http.WebSocketResponse, transport: asyncio.Transport | None, counters: Counters
    ) -> None:
        self.id = id
        self._socket = socket
        self._transport = transport
        self._counters = counters
        self._queue: deque[str] = deque()
        self._queued_bytes = 0
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()  # close now, whatever is queued
        self._close: Close | None = None

    @property
    def closing(self) -> bool:
        return self._close is not None

    def send(self, message: Outbound) -> None:
        if self._close is not None:
            return
        text = serialise(message)
        if len(self._queue) >= MAX_QUEUED or self._queued_bytes + len(text) > MAX_QUEUED_BYTES:
            self._counters.refusals["slow_consumer"] += 1
            self.close(Close.OVERLOADED)
            self._hurry.set()
            return
        self._queue.append(text)
        self._queued_bytes += len(text)
        self._work.set()

    def close(self, code: Close, goodbye: Goodbye | None = None) -> None:
        """Say ``goodbye`` after what is queued, then close. The first reason given stays."""
        if self._close is not None:
            return
        if goodbye is not None:
            self._queue.append(serialise(goodbye))
        self._close = code
        self._work.set()
        asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._hurry.set)

    def abandon(self) -> None:
        """The other side is gone: nothing more can be said."""
        self.close(Close.LEFT)
        self._hurry.set()

    async def write(self) -> None:
        """Send until closed. When this returns the socket is closed, politely or not."""
        sender = asyncio.create_task(self._send_all(), name=f"send {self.id}")
        hurry = asyncio.create_task(self._hurry.wait(), name=f"hurry {self.id}")
        try:
            await asyncio.wait((sender, hurry), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
            sender.cancel()
            await asyncio.wait((sender, hurry))
        code = self._close if self._close is not None else Close.LEFT
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, message=code.name.lower().encode())
        except TimeoutError:
            # It does not even read: what lies in the kernel's buffers is not worth waiting for.
            if self._transport is not None:
                self._transport.abort()

    async def _send_all(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._queue:
                text = self._queue.popleft()
                self._queued_bytes -= len(text)
                try:
                    await self._socket.send_str(text)
                except ConnectionError:
                    self.abandon()
                    return
            if self._close is not None:
                return
