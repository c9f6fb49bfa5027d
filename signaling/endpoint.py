"""The WebSocket at /ws/sessions/{id}: turns frames into verdicts and verdicts into calls of the hub."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from aiohttp import WSMsgType
from aiohttp import web as http

from server.base.context import Context
from server.base.ids import new_id
from signaling.connection import CLOSE_SECONDS, HEARTBEAT_SECONDS, Connection
from signaling.counters import Counters
from signaling.hub import Hub
from signaling.messages import MAX_FRAME, Close, Error, Hello
from signaling.receive import HangUp, Perform, Refuse, Talk, receive

log = structlog.get_logger(__name__)

HELLO_SECONDS = 10.0
MAX_CONNECTIONS = 5_000  # sockets of this process, greeted or not; the next one is closed with 1013


class Endpoint:
    def __init__(self, ctx: Context, hub: Hub, counters: Counters) -> None:
        self._ctx = ctx
        self._hub = hub
        self._counters = counters
        self._open: set[asyncio.Task[None]] = set()  # one writer per socket
        self._idle = asyncio.Event()
        self._idle.set()

    async def serve(self, request: http.Request) -> http.StreamResponse:
        """The aiohttp handler. A foreign Origin is refused before the upgrade, all else in PROTOCOL.md's words."""
        if not self._at_home(request):
            self._counters.refusals["foreign_origin"] += 1
            raise http.HTTPForbidden(text="This page is not ours.\n")
        socket = http.WebSocketResponse(
            max_msg_size=MAX_FRAME, heartbeat=HEARTBEAT_SECONDS, timeout=CLOSE_SECONDS, compress=False
        )
        await socket.prepare(request)
        connection = Connection(str(new_id()), socket, request.transport, self._counters)
        writer = asyncio.create_task(connection.write(), name=f"socket {connection.id}")
        self._enter(connection, writer)
        try:
            await self._converse(connection, socket, request)
        finally:
            # The handler may be cancelled when the client is gone; the writer then ends by itself, within its bounds.
            connection.abandon()
            await asyncio.wait((writer,))
        return socket

    async def idle(self, seconds: float) -> bool:
        """Wait until every socket is closed; False when some are still open after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _enter(self, connection: Connection, writer: asyncio.Task[None]) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            self._counters.refusals["server_full"] += 1
            connection.close(Close.OVERLOADED)
        self._open.add(writer)
        self._counters.connections = len(self._open)
        self._idle.clear()
        writer.add_done_callback(self._exit)

    def _exit(self, writer: asyncio.Task[None]) -> None:
        if not writer.cancelled() and (error := writer.exception()) is not None:
            log.error("socket_failed", connection=writer.get_name(), exc_info=error)
        self._open.discard(writer)
        self._counters.connections = len(self._open)
        if not self._open:
            self._idle.set()

    def _at_home(self, request: http.Request) -> bool:
        """Browsers say where the page came from; programs say nothing and hold a room token all the same."""
        origin = request.headers.get("Origin")
        if origin is None or origin == self._ctx.settings.public_url:
            return True
        return urlsplit(origin).netloc == request.host

    async def _converse(
        self, connection: Connection, socket: http.WebSocketResponse, request: http.Request
    ) -> None:
        try:
            session_id = UUID(request.match_info["id"])
        except ValueError:
            self._hang_up(connection, Error("no_such_session", "There is no such session."), Close.NO_SESSION)
            await self._until_closed(socket)
            return
        loop = asyncio.get_running_loop()
        talk, seated = Talk(), False
        deadline: float | None = loop.time() + HELLO_SECONDS
        try:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        frame = await socket.receive()
                except TimeoutError:
                    error = Error("no_hello", f"Say hello within {HELLO_SECONDS:g} seconds.")
                    self._hang_up(connection, error, Close.NO_HELLO)
                    deadline = None
                    continue
                if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    return
                if connection.closing:
                    continue  # what comes after the last word is not heard
                text = frame.data if frame.type is WSMsgType.TEXT else None
                talk, verdict = receive(talk, text, loop.time())
                match verdict:
                    case Refuse(error):
                        self._counters.refusals[error.code] += 1
                        connection.send(error)
                    case HangUp(error, close):
                        self._hang_up(connection, error, close)
                    case Perform(Hello() as hello):
                        deadline = None
                        self._counters.messages[Hello.TYPE] += 1
                        seated = await self._hub.greet(connection, session_id, hello)
                    case Perform(message):
                        self._counters.messages[message.TYPE] += 1
                        await self._hub.handle(connection, session_id, message)
        except Exception:
            log.exception("socket_failed", session_id=str(session_id), connection=connection.id)
            self._hang_up(
                connection, Error("internal", "Something went wrong on our side."), Close.OVERLOADED
            )
        finally:
            if seated:
                self._hub.lost(connection, session_id)

    def _hang_up(self, connection: Connection, error: Error, close: Close) -> None:
        self._counters.refusals[error.code] += 1
        connection.send(error)
        connection.close(close)

    async def _until_closed(self, socket: http.WebSocketResponse) -> None:
        while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            pass
