"""`visavis up`: embedded servers, schema, demo data, then the web process and the worker, until told to stop."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import asyncpg

from server.base.clock import Clock, SystemClock
from server.base.db import create_pool
from server.base.errors import Refusal, Unavailable
from server.base.log import configure, logger
from server.embedded.files import require_directory
from server.embedded.process import Child
from server.embedded.servers import Servers, servers
from server.keeper import Keeper
from server.migrations import migrate
from server.selfsigned import self_signed
from server.settings import Launch, Settings, load_launch, load_settings

log = logger(__name__)

_HEALTHY_SECONDS = 60.0  # from spawning the web process to its first 200; normally two seconds
_PROBE_SECONDS = 0.1
_EARLY_EXITS = 3  # a web process that ends this often before it was ever healthy will not get better
_STOP_MARGIN = 5.0  # beyond the bound the processes keep by themselves

DEMO_LOGINS = (
    ("admin", "admin@demo.visavis.test"),
    ("mentor", "mentor@demo.visavis.test"),
    ("mentee", "mentee@demo.visavis.test"),
)
DEMO_PASSWORD = "visavis-demo"  # noqa: S105  printed for everybody to see


def up(
    *,
    host: str | None,
    port: int | None,
    media_port: int | None,
    data_dir: Path | None,
    demo: bool,
    tls: str | None,
) -> int:
    """Run until SIGINT or SIGTERM; 0 after a clean stop, 1 with a sentence on stderr when it cannot run.

    Raises SettingsError. `tls` is None or "self-signed".
    """
    given = {
        "VISAVIS_HOST": host,
        "VISAVIS_PORT": port,
        "VISAVIS_MEDIA_PORT": media_port,
        "VISAVIS_DATA_DIR": data_dir,
        "VISAVIS_DEMO": None if demo else 0,
    }
    environ = dict(os.environ) | {name: str(value) for name, value in given.items() if value is not None}
    launch = load_launch(environ)
    configure(launch.log_format, process="up")
    try:
        return asyncio.run(_run(environ, launch, SystemClock(), own_certificate=tls == "self-signed"))
    except Refusal as refusal:
        sys.stderr.write(f"{refusal.detail}\n")
        return 1


async def _run(environ: dict[str, str], launch: Launch, clock: Clock, *, own_certificate: bool) -> int:
    """Everything that must be undone is on the stack: web, worker, then Redis, PostgreSQL, the lock."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    require_directory(launch.data_dir)
    if own_certificate:
        names = tuple(dict.fromkeys((*_names(launch), "localhost", "127.0.0.1")))
        certificate, key = self_signed(launch.data_dir / "tls", names, clock.now())
        environ |= {"VISAVIS_TLS_CERT": str(certificate), "VISAVIS_TLS_KEY": str(key)}
        launch = load_launch(environ)
    environ["VISAVIS_DEMO"] = "1" if launch.demo else "0"

    async with contextlib.AsyncExitStack() as stack:
        starting = asyncio.create_task(_start(stack, environ, launch, clock), name="start")
        stop = asyncio.create_task(stopping.wait(), name="stop")
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            log.info("stopping")
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return 0
        try:
            running = starting.result()
        except BaseException:
            stop.cancel()
            raise
        ends = {asyncio.create_task(child.wait(), name=child.name): child for child in running.children}
        await asyncio.wait({stop, *ends}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stop, *ends):
            task.cancel()
        await asyncio.wait({stop, *ends})
        if stopping.is_set():
            log.info("stopping")
            return 0
        dead = ", ".join(child.name for child in running.children if child.returncode is not None)
        log.error("embedded_server_ended", server=dead, directory=str(launch.data_dir))
        return 1


async def _start(
    stack: contextlib.AsyncExitStack, environ: dict[str, str], launch: Launch, clock: Clock
) -> Servers:
    running = await stack.enter_async_context(
        servers(
            launch.data_dir,
            database=launch.embed_database,
            redis=launch.embed_redis,
            public_url=launch.public_url,
            demo=launch.demo,
        )
    )
    settings = load_settings(environ)
    _require_ports(settings)
    await _prepare_database(settings, clock)
    bound = settings.shutdown_seconds + _STOP_MARGIN
    # Stopped in the opposite order: the web process first, so that nobody makes work for a worker that is gone.
    worker = await stack.enter_async_context(_kept("worker", environ, bound))
    web = await stack.enter_async_context(_kept("serve", environ, bound))
    await _wait_until_healthy(settings, web)
    log.info("up", url=settings.public_url, web=web.pid, worker=worker.pid)
    sys.stdout.write(banner(settings))
    sys.stdout.flush()
    return running


def _names(launch: Launch) -> tuple[str, ...]:
    """Host names and addresses the certificate must cover."""
    host = urlsplit(launch.public_url).hostname
    return tuple(name for name in (host, launch.host) if name and name not in ("0.0.0.0", "::"))


@contextlib.asynccontextmanager
async def _kept(command: str, environ: Mapping[str, str], bound: float) -> AsyncIterator[Keeper]:
    """`visavis COMMAND` as a child that is started again when it crashes, for the length of a block."""

    def spawn() -> Child:
        argv = (sys.executable, "-P", "-m", "server.cli", command)
        return Child.spawn(command, argv, death_signal=signal.SIGTERM, env=environ)

    keeper = Keeper(command, spawn)
    task = asyncio.create_task(keeper.run(), name=command)
    try:
        yield keeper
    finally:
        await keeper.stop(within=bound)
        await task


def _require_ports(settings: Settings) -> None:
    """Say it now and clearly when a port is taken, instead of in a traceback of the web process."""
    media = media_host(settings), settings.media_port
    wanted = (
        ("VISAVIS_PORT", "--port", socket.SOCK_STREAM, settings.host, settings.port),
        ("VISAVIS_MEDIA_PORT", "--media-port", socket.SOCK_STREAM, *media),
        ("VISAVIS_MEDIA_PORT", "--media-port", socket.SOCK_DGRAM, *media),
    )
    for variable, option, kind, host, port in wanted:
        if (reason := port_fault(host, port, kind)) is not None:
            protocol = "TCP" if kind is socket.SOCK_STREAM else "UDP"
            raise Unavailable(
                "port_taken",
                f"{protocol} port {port} on {host} cannot be used ({reason}): "
                f"choose another one with {option} or {variable}.",
            )


def media_host(settings: Settings) -> str:
    """Where the media port can listen on this machine: as the SFU does, without IPv6 on IPv4 alone."""
    host = settings.media_host
    return "0.0.0.0" if host == "::" and not socket.has_dualstack_ipv6() else host


def port_fault(host: str, port: int, kind: socket.SocketKind) -> str | None:
    """Why the port cannot be bound just now, None when it can."""
    try:
        family, _, protocol, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        with socket.socket(family, kind, protocol) as probe:
            if kind is socket.SOCK_STREAM:
                # As the server itself does: connections of a former run in TIME_WAIT are no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None


async def _prepare_database(settings: Settings, clock: Clock) -> None:
    """Migrate, and fill an empty embedded database with demo data once."""
    try:
        pool = await create_pool(settings.database_url, max_size=4)
    except (OSError, asyncpg.PostgresError) as error:
        raise Unavailable(
            "no_database", f"No answer from the database: {error}. Check VISAVIS_DATABASE_URL."
        ) from error
    async with pool:
        async with pool.acquire() as conn:
            for name in await migrate(conn):
                log.info("migrated", migration=name)
        if settings.demo and settings.embedded_database:
            from server.demo import load_demo

            if await load_demo(pool, clock, settings):
                log.info("demo_loaded")


async def _wait_until_healthy(settings: Settings, web: Keeper) -> None:
    """Return once /healthz answers 200. Raises Unavailable when that will not happen."""
    scheme = "https" if settings.tls_certificate else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}/healthz"
    # The certificate is for the public name, and nothing secret is asked of ourselves.
    connector = aiohttp.TCPConnector(ssl=False)
    timeout = aiohttp.ClientTimeout(total=2.0)
    try:
        async with (
            asyncio.timeout(_HEALTHY_SECONDS),
            aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
        ):
            while web.exits < _EARLY_EXITS:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(url) as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(_PROBE_SECONDS)
    except TimeoutError:
        raise Unavailable(
            "web_failed", f"The web process did not answer {url} within {_HEALTHY_SECONDS:.0f} seconds."
        ) from None
    raise Unavailable("web_failed", "The web process ends at once; its last words are above.")


def banner(settings: Settings) -> str:
    """What the person at the terminal needs to know."""
    lines = ["", f"  Visavis is running at {settings.public_url}", ""]
    if settings.demo:
        lines += [f"    {role:7} {email:27} {DEMO_PASSWORD}" for role, email in DEMO_LOGINS]
        if settings.smtp is None:
            lines += ["", f"  Mail lands in {settings.public_url}/dev/inbox (as admin)."]
    lines += [f"  Data are in {settings.data_dir}. Ctrl-C stops everything.", "", ""]
    return "\n".join(lines)
