"""The roof of the web process: wires everything by constructor, and runs it until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import uvloop
from aiohttp import web as http
from redis.asyncio import Redis

import signaling
from jobs.board import catalogue
from media import Collector, MediaConfig, MediaServer
from server.attendance import actions as attendance
from server.base.clock import Clock, SystemClock
from server.base.context import Context
from server.base.db import Pool, create_pool
from server.base.log import configure, logger
from server.integrations.cache import RedisCache
from server.integrations.wake import arq_waker
from server.metrics import Metrics
from server.migrations import pending
from server.settings import Settings
from web import live, mount
from web.access import RoomToken
from web.api.operations import NotReady
from web.routing import Surface, declare
from web.store import answers

log = logger(__name__)

POOL_SIZE = 20  # a fifth of PostgreSQL's default limit; requests beyond it queue for at most QUEUE_TIMEOUT
REDIS_SECONDS = 2.0  # logins and limits: a Redis that takes longer counts as away
REDIS_CONNECTIONS = 50
BACKLOG = 1024  # connections waiting to be accepted; the kernel may cap it lower
CLEANUP_MARGIN = 2.0  # seconds for closing what no longer does anything
DRAIN_SHARE = 0.6  # of the shutdown bound is for goodbyes; the rest for requests that are still running

MEDIA: http.AppKey[MediaServer] = http.AppKey("media server", MediaServer)


def build_app(
    ctx: Context, redis: Redis, media: MediaServer, events: signaling.MediaEvents
) -> http.Application:
    """Wire an application out of running parts; it owns its handlers and tasks, not the parts."""
    app = mount.application()
    app[MEDIA] = media
    sockets = signaling.setup(app, ctx, media, events)
    # After the sockets' goodbyes and before signalling writes down what it saw last: the SFU's own end is seen too.
    app.on_shutdown.append(lambda _: media.close())
    news = live.setup(app, ctx)
    metrics = Metrics(
        ctx.pool, media.counters, lambda: sockets.counters.connections + news.counters.connections
    )
    mount.setup(
        app,
        ctx,
        redis,
        checks={
            "database": lambda: _database(ctx),
            "migrations": lambda: _migrations(ctx),
            "redis": lambda: _redis(redis),
            "media_port": lambda: _media_port(media),
        },
        figures=metrics,
        request_seconds=metrics.request_seconds,
        uncounted=metrics.uncounted,
        webhook_rejected=metrics.webhook_rejected,
        recordings_of=media.record,
        catalogue=lambda now: catalogue(now, ctx.settings.timezone),
    )
    declare(
        app, "GET", signaling.PATH, access=RoomToken(), surface=Surface.SOCKET, summary="The room's socket."
    )
    return app


@contextlib.asynccontextmanager
async def running(settings: Settings, *, clock: Clock) -> AsyncIterator[http.Application]:
    """Open everything the web process stands on, yield the application, close in reverse order.

    Ports may be 0 (``media_port``; the HTTP port is bound by whoever serves the application). Raises OSError when the
    media port cannot be bound, asyncpg and OS errors without a database. Redis may be away: see /readyz.
    """
    async with contextlib.AsyncExitStack() as stack:
        pool = await create_pool(settings.database_url, max_size=POOL_SIZE)
        stack.push_async_callback(_close_pool, pool)
        redis: Redis = Redis.from_url(
            settings.redis_url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            max_connections=REDIS_CONNECTIONS,
        )
        stack.push_async_callback(redis.aclose)
        waker = await stack.enter_async_context(arq_waker(settings.redis_url))
        ctx = Context(pool, clock, settings, waker, RedisCache(redis))
        events = signaling.MediaEvents()
        media = await MediaServer.start(
            MediaConfig(
                host=settings.media_host,
                port=settings.media_port,
                addresses=settings.media_addresses,
            ),
            wall_clock=lambda: clock.now().timestamp(),
            on_event=events,
        )
        stack.push_async_callback(media.close)
        # Intervals of a process that died without saying so would stay open for ever.
        await attendance.close_orphans(ctx)
        yield build_app(ctx, redis, media, events)


def serve(settings: Settings) -> int:
    """`visavis serve`: run until SIGTERM or SIGINT, then drain. The exit code."""
    configure(settings.log_format, process="web")
    return uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with running(settings, clock=SystemClock()) as app:
            media = app[MEDIA]
            async with (
                Collector(lambda: media.counters().packets_in),
                listening(app, settings) as where,
            ):
                log.info("serving", address=where, media_port=media.port, public_url=settings.public_url)
                await stop.wait()
                log.info("stopping", seconds=settings.shutdown_seconds)
    except OSError as error:
        log.error("cannot serve", error=str(error))  # noqa: TRY400 - a sentence for an operator, not a traceback
        return 1
    return 0


@contextlib.asynccontextmanager
async def listening(app: http.Application, settings: Settings) -> AsyncIterator[str]:
    """Listen for HTTP(S) on the settings' host and port, drain at the end; yields the address.

    The end: stop accepting; say goodbye to sockets (``draining``, 1001), which closes the rooms; wait for running
    requests; all of it within ``shutdown_seconds``.
    """
    drain_seconds = settings.shutdown_seconds * DRAIN_SHARE
    runner = http.AppRunner(
        app,
        access_log=None,  # web.middleware writes it, with the request id
        handle_signals=False,
        shutdown_timeout=settings.shutdown_seconds - drain_seconds,
    )
    await runner.setup()
    site = http.TCPSite(
        runner, settings.host, settings.port, ssl_context=_tls(settings), backlog=BACKLOG, reuse_address=True
    )
    try:
        await site.start()
        host, port = runner.addresses[0][:2]  # the port that was bound, should the settings say 0
        yield f"{'https' if settings.tls_certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        await _bounded("drain", drain_seconds, lambda: _drain(app, site, drain_seconds))
        await _bounded("clean-up", settings.shutdown_seconds - drain_seconds + CLEANUP_MARGIN, runner.cleanup)


async def _drain(app: http.Application, site: http.TCPSite, seconds: float) -> None:
    await site.stop()
    async with asyncio.TaskGroup() as both:
        both.create_task(live.drain(app, seconds), name="drain live")
        both.create_task(signaling.drain(app, seconds), name="drain rooms")


async def _close_pool(pool: Pool) -> None:
    """asyncpg waits for lent connections as long as it takes; we do not."""
    try:
        async with asyncio.timeout(CLEANUP_MARGIN):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def _bounded(what: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work()
    except TimeoutError:
        log.warning("took too long", what=what, seconds=seconds)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


async def _database(ctx: Context) -> None:
    async with ctx.pool.acquire() as conn:
        await answers(conn)


async def _migrations(ctx: Context) -> None:
    async with ctx.pool.acquire() as conn:
        missing = await pending(conn)
    if missing:
        raise NotReady(f"pending: {', '.join(str(name) for name in missing)}")


async def _redis(redis: Redis) -> None:
    await redis.ping()


async def _media_port(media: MediaServer) -> None:
    if faults := media.faults():
        raise NotReady("; ".join(faults))
