"""Both embedded servers for the length of a block, under the lock of the data directory."""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from server.embedded.files import read_json, write_private
from server.embedded.lock import data_dir_lock
from server.embedded.postgres import running_postgres
from server.embedded.process import Child, alive
from server.embedded.redis import running_redis

ENDPOINTS_FILE = "embedded.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a running `visavis up` tells its own children and commands in a second terminal.

    URLs contain passwords; None where the operator's own server is used.
    """

    pid: int
    database_url: str | None = None
    redis_url: str | None = None
    public_url: str | None = None
    demo: bool = False

    def write(self, data_dir: Path) -> None:
        """Keep in `data_dir/embedded.json`, mode 0600."""
        document = {name: getattr(self, name) for name in self.__slots__}
        write_private(data_dir / ENDPOINTS_FILE, json.dumps(document, indent=1) + "\n")

    @classmethod
    def read(cls, data_dir: Path) -> Self | None:
        """What was written last; None when nothing was or its `visavis up` has gone."""
        found = read_json(data_dir / ENDPOINTS_FILE) or {}
        pid = found.get("pid")
        if not isinstance(pid, int) or not alive(pid):
            return None
        urls = {
            name: found[name] if isinstance(found.get(name), str) else None
            for name in ("database_url", "redis_url", "public_url")
        }
        return cls(pid=pid, demo=found.get("demo") is True, **urls)


@dataclass(frozen=True, slots=True)
class Servers:
    """The endpoints, and the processes behind them for whoever watches over them."""

    endpoints: Endpoints
    children: tuple[Child, ...]


@contextlib.asynccontextmanager
async def servers(
    data_dir: Path, *, database: bool, redis: bool, public_url: str | None, demo: bool
) -> AsyncIterator[Servers]:
    """Hold the data directory and run the servers asked for; stop Redis, then PostgreSQL, at the end.

    Raises EmbeddedError when another process holds the directory or a server cannot start.
    """
    with data_dir_lock(data_dir):
        async with contextlib.AsyncExitStack() as stack:
            children: list[Child] = []
            database_url = redis_url = None
            if database:
                postgres = await stack.enter_async_context(running_postgres(data_dir))
                database_url = postgres.url
                children.append(postgres.child)
            if redis:
                redis_server = await stack.enter_async_context(running_redis(data_dir))
                redis_url = redis_server.url
                children.append(redis_server.child)
            endpoints = Endpoints(os.getpid(), database_url, redis_url, public_url, demo)
            endpoints.write(data_dir)
            stack.callback((data_dir / ENDPOINTS_FILE).unlink, missing_ok=True)
            yield Servers(endpoints, tuple(children))


@contextlib.asynccontextmanager
async def embedded(data_dir: Path) -> AsyncIterator[Endpoints]:
    """Both servers on `data_dir`; see `servers`."""
    async with servers(data_dir, database=True, redis=True, public_url=None, demo=False) as running:
        yield running.endpoints
