"""The WebSocket at /ws: who may open it, its conversation, and the tasks behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from aiohttp import web as http

from server.base.context import Context
from server.base.errors import Forbidden
from server.base.ids import new_id
from server.base.listening import Listener
from server.base.sockets import CLOSE_SECONDS, HEARTBEAT_SECONDS, Sockets, at_home, converse
from server.base.talk import Close, Error
from server.base.tasks import kept_running
from server.inbox.actions import CHANNEL
from web.access import LoginOrHello
from web.context import context
from web.identity import Anonymous, Identity, identity, still_signed_in
from web.live.hub import Counters, Ear, Hub
from web.live.messages import MAX_FRAME, Hello, Inbound, receive
from web.routing import Route, Surface

log = structlog.get_logger(__name__)

HELLO_SECONDS = 10.0
MAX_SOCKETS = 5_000  # of this process; the next one is closed with 1013
DRAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Live:
    hub: Hub
    sockets: Sockets
    counters: Counters
    listener: Listener


LIVE: http.AppKey[Live] = http.AppKey("live", Live)


async def serve(request: http.Request) -> http.StreamResponse:
    """The aiohttp handler. A foreign Origin is refused before the upgrade, all else in docs/live.md's words."""
    live, ctx = request.app[LIVE], context(request)
    if not at_home(request.headers.get("Origin"), request.host, ctx.settings.public_url):
        live.counters.refusals["foreign_origin"] += 1
        raise Forbidden("foreign_origin", "This page is not ours.")
    socket = http.WebSocketResponse(
        max_msg_size=MAX_FRAME, heartbeat=HEARTBEAT_SECONDS, timeout=CLOSE_SECONDS, compress=False
    )
    await socket.prepare(request)
    ear = Ear(
        str(new_id()), socket, request.transport, ctx.settings.public_url, lambda: still_signed_in(request)
    )
    writer = live.sockets.enter(ear)
    try:
        await _converse(live.hub, ear, socket, identity(request))
    finally:
        ear.abandon()
        await asyncio.wait((writer,))
    return socket


async def _converse(hub: Hub, ear: Ear, socket: http.WebSocketResponse, who: Identity) -> None:
    user_id = None if isinstance(who, Anonymous) else who.principal.user_id
    away = who.away if isinstance(who, Anonymous) else None

    async def perform(message: Inbound) -> None:
        if isinstance(message, Hello):
            await hub.greet(ear, message, user_id, away)
        else:
            await hub.perform(ear, message)

    def refuse(error: Error, close: Close | None) -> None:
        hub.refuse(ear, error, close)

    try:
        await converse(socket, ear, receive, perform, refuse, hello_seconds=HELLO_SECONDS)
    except Exception:
        log.exception("live_socket_failed", connection=ear.id)
        refuse(Error("internal", "Something went wrong on our side."), Close.OVERLOADED)
    finally:
        hub.lost(ear)


def setup(app: http.Application, ctx: Context) -> Live:
    """Put the socket's parts on ``app``; its tasks and its LISTEN connection live from start-up to clean-up."""
    counters = Counters()

    def counted(connections: int) -> None:
        counters.connections = connections

    def full() -> None:
        counters.refusals["server_full"] += 1

    hub = Hub(ctx, counters)
    listener = Listener(ctx.settings.database_url, CHANNEL, hub.heard, hub.gap)
    live = Live(hub, Sockets(MAX_SOCKETS, counted, full), counters, listener)
    app[LIVE] = live
    app.cleanup_ctx.append(_tasks)
    app.on_shutdown.append(lambda app: drain(app, DRAIN_SECONDS))
    return live


async def drain(app: http.Application, seconds: float = DRAIN_SECONDS) -> None:
    """Say goodbye to every socket and wait for them to close; twice does no harm."""
    live = app[LIVE]
    live.hub.drain()
    if not await live.sockets.idle(seconds):
        log.warning("sockets_still_open", open=live.counters.connections)


async def _tasks(app: http.Application) -> AsyncIterator[None]:
    live = app[LIVE]
    parts = {"inbox listener": live.listener.run, "live news": live.hub.run, "live logins": live.hub.watch}
    async with kept_running(parts):
        yield


ROUTES = (Route("GET", "/ws", serve, LoginOrHello(), Surface.SOCKET, "Live notifications."),)
