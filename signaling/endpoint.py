"""The WebSocket at /ws/sessions/{id}: turns frames into verdicts and verdicts into calls of the hub."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog
from aiohttp import WSMsgType
from aiohttp import web as http

from server.base.context import Context
from server.base.ids import new_id
from server.base.sockets import CLOSE_SECONDS, HEARTBEAT_SECONDS, Sockets, at_home, converse
from signaling.connection import Connection
from signaling.counters import Counters
from signaling.hub import Hub
from signaling.messages import MAX_FRAME, Close, Error, Hello, Inbound
from signaling.receive import receive

log = structlog.get_logger(__name__)

HELLO_SECONDS = 10.0
MAX_CONNECTIONS = 5_000  # sockets of this process, greeted or not; the next one is closed with 1013


class Endpoint:
    def __init__(self, ctx: Context, hub: Hub, counters: Counters) -> None:
        self._ctx = ctx
        self._hub = hub
        self._counters = counters
        self._sockets = Sockets(MAX_CONNECTIONS, self._counted, self._full)

    async def serve(self, request: http.Request) -> http.StreamResponse:
        """The aiohttp handler. A foreign Origin is refused before the upgrade, all else in PROTOCOL.md's words."""
        if not at_home(request.headers.get("Origin"), request.host, self._ctx.settings.public_url):
            self._counters.refusals["foreign_origin"] += 1
            raise http.HTTPForbidden(text="This page is not ours.\n")
        socket = http.WebSocketResponse(
            max_msg_size=MAX_FRAME, heartbeat=HEARTBEAT_SECONDS, timeout=CLOSE_SECONDS, compress=False
        )
        await socket.prepare(request)
        connection = Connection(str(new_id()), socket, request.transport, self._counters)
        writer = self._sockets.enter(connection)
        try:
            await self._converse(connection, socket, request)
        finally:
            # The handler may be cancelled when the client is gone; the writer then ends by itself, within its bounds.
            connection.abandon()
            await asyncio.wait((writer,))
        return socket

    async def idle(self, seconds: float) -> bool:
        """Wait until every socket is closed; False when some are still open after ``seconds``."""
        return await self._sockets.idle(seconds)

    def _counted(self, connections: int) -> None:
        self._counters.connections = connections

    def _full(self) -> None:
        self._counters.refusals["server_full"] += 1

    async def _converse(
        self, connection: Connection, socket: http.WebSocketResponse, request: http.Request
    ) -> None:
        def refuse(error: Error, close: Close | None) -> None:
            self._counters.refusals[error.code] += 1
            connection.send(error)
            if close is not None:
                connection.close(close)

        try:
            session_id = UUID(request.match_info["id"])
        except ValueError:
            refuse(Error("no_such_session", "There is no such session."), Close.NO_SESSION)
            await self._until_closed(socket)
            return
        seated = False

        async def perform(message: Inbound) -> None:
            nonlocal seated
            self._counters.messages[message.TYPE] += 1
            if isinstance(message, Hello):
                seated = await self._hub.greet(connection, session_id, message)
            else:
                await self._hub.handle(connection, session_id, message)

        try:
            await converse(socket, connection, receive, perform, refuse, hello_seconds=HELLO_SECONDS)
        except Exception:
            log.exception("socket_failed", session_id=str(session_id), connection=connection.id)
            refuse(Error("internal", "Something went wrong on our side."), Close.OVERLOADED)
        finally:
            if seated:
                self._hub.lost(connection, session_id)

    async def _until_closed(self, socket: http.WebSocketResponse) -> None:
        while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            pass
