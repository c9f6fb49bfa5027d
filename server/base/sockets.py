"""The WebSockets of an endpoint: a bounded queue and a writer for each, one way to close, and one loop that reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
from aiohttp import WSMsgType
from aiohttp import web as http

from server.base.talk import Close, Error, HangUp, Message, Perform, Refuse, Talk, Verdict

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5.0  # for what is queued before a goodbye
CLOSE_SECONDS = 3.0  # for the client's half of the closing handshake (RFC 6455 section 7.1.1)
HEARTBEAT_SECONDS = 20.0  # ping; no pong within half of it and the socket is gone

M = TypeVar("M", bound=Message)


def at_home(origin: str | None, host: str, public_url: str) -> bool:
    """Whether a request may come from where it says. Browsers always say it for sockets and forms; programs need not.

    Whoever opened the page by another name of this host (localhost for 127.0.0.1) is at home too.
    """
    try:
        return origin is None or origin == public_url or urlsplit(origin).netloc == host
    except ValueError:  # half an IPv6 address
        return False


class Outlet:
    """The sending half of one socket: nothing but `write` waits. What a full queue means is its owner's policy."""

    def __init__(self, id: str, socket: http.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.id = id
        self._socket = socket
        self._transport = transport
        self._queue: deque[str] = deque()
        self._queued_bytes = 0
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()  # close now, whatever is queued
        self._close: Close | None = None

    @property
    def closing(self) -> bool:
        return self._close is not None

    def put(self, text: str, most: int, most_bytes: int) -> bool:
        """Queue a text; False when the queue holds ``most`` texts or the text does not fit into ``most_bytes``."""
        if len(self._queue) >= most or self._queued_bytes + len(text) > most_bytes:
            return False
        self._append(text)
        return True

    def instead(self, text: str) -> None:
        """Forget what is queued and say this."""
        self._queue.clear()
        self._queued_bytes = 0
        self._append(text)

    def shut(self, code: Close, last: str | None = None) -> None:
        """Say ``last`` after what is queued, then close. The first reason given stays."""
        if self._close is not None:
            return
        if last is not None:
            self._append(last)
        self._close = code
        self._work.set()
        asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._hurry.set)

    def hurry(self) -> None:
        """Close without saying what is queued."""
        self._hurry.set()

    def abandon(self) -> None:
        """The other side is gone: nothing more can be said."""
        self.shut(Close.LEFT)
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

    def _append(self, text: str) -> None:
        self._queue.append(text)
        self._queued_bytes += len(text)
        self._work.set()

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


class Sockets:
    """The open sockets of an endpoint, greeted or not; the one beyond ``most`` is closed with 1013."""

    def __init__(self, most: int, changed: Callable[[int], None], full: Callable[[], None]) -> None:
        self._most = most
        self._changed = changed
        self._full = full
        self._open: set[asyncio.Task[None]] = set()  # one writer per socket
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self, outlet: Outlet) -> asyncio.Task[None]:
        """Start the socket's writer, which `leave` waits for."""
        writer = asyncio.create_task(outlet.write(), name=f"socket {outlet.id}")
        if len(self._open) >= self._most:
            self._full()
            outlet.shut(Close.OVERLOADED)
        self._open.add(writer)
        self._changed(len(self._open))
        self._idle.clear()
        writer.add_done_callback(self._exit)
        return writer

    async def idle(self, seconds: float) -> bool:
        """Wait until every socket is closed; False when some are still open after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _exit(self, writer: asyncio.Task[None]) -> None:
        if not writer.cancelled() and (error := writer.exception()) is not None:
            log.error("socket_failed", connection=writer.get_name(), exc_info=error)
        self._open.discard(writer)
        self._changed(len(self._open))
        if not self._open:
            self._idle.set()


async def converse(
    socket: http.WebSocketResponse,
    outlet: Outlet,
    receive: Callable[[Talk, str | None, float], tuple[Talk, Verdict[M]]],
    perform: Callable[[M], Awaitable[None]],
    refuse: Callable[[Error, Close | None], None],
    *,
    hello_seconds: float,
) -> None:
    """Read frames until the socket ends and do what ``receive`` makes of them.

    ``refuse`` sends an error and closes with the code, if there is one. Without a hello in time: 4408.
    """
    loop = asyncio.get_running_loop()
    talk = Talk()
    deadline: float | None = loop.time() + hello_seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                frame = await socket.receive()
        except TimeoutError:
            refuse(Error("no_hello", f"Say hello within {hello_seconds:g} seconds."), Close.NO_HELLO)
            deadline = None
            continue
        if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return
        if outlet.closing:
            continue  # what comes after the last word is not heard
        text = frame.data if frame.type is WSMsgType.TEXT else None
        talk, verdict = receive(talk, text, loop.time())
        if talk.greeted:
            deadline = None
        match verdict:
            case Refuse(error):
                refuse(error, None)
            case HangUp(error, close):
                refuse(error, close)
            case Perform(message):
                await perform(message)
