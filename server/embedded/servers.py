"""Both embedded servers for the length of a block, under the lock of the data directory."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from server.embedded.lock import data_dir_lock
from server.embedded.postgres import running_postgres
from server.embedded.process import Child
from server.embedded.redis import running_redis
from server.endpoints import ENDPOINTS_FILE, Endpoints


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
