"""A process that dies at a chosen statement: the connection breaks there as it does when a process is killed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from server.base.db import Pool, _init

if TYPE_CHECKING:
    Plain: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Plain = asyncpg.Connection


class Killed(Exception):
    """The process is gone."""


@dataclass
class Fuse:
    """Burns at the ``left``-th statement, before the database has seen it or ``after``; at 0 it is not armed."""

    left: int = 0
    after: bool = False

    def step(self, now_after: bool) -> bool:
        if self.left <= 0 or now_after is not self.after:
            return False
        self.left -= 1
        return self.left == 0


@dataclass(frozen=True)
class Doomed:
    """A pool of one connection, and its fuse."""

    pool: Pool
    fuse: Fuse

    async def arm(self, statement: int, *, after: bool) -> None:
        """The ``statement``-th from now on is the last one; what a new connection says at first does not count."""
        self.fuse.left = 0
        await self.pool.fetchval("SELECT 1")
        self.fuse.left, self.fuse.after = statement, after

    def disarm(self) -> bool:
        """Whether it had not burnt yet."""
        whole, self.fuse.left = self.fuse.left > 0, 0
        return whole


def _connections_with(fuse: Fuse) -> type[Plain]:
    class Burning(Plain):
        async def _burn(self, call: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
            if fuse.step(now_after=False):
                self.terminate()
                raise Killed
            result = await call(*arguments, **named)
            if fuse.step(now_after=True):
                self.terminate()
                raise Killed
            return result

        async def execute(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().execute, *arguments, **named)

        async def executemany(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().executemany, *arguments, **named)

        async def fetch(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().fetch, *arguments, **named)

        async def fetchrow(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().fetchrow, *arguments, **named)

        async def fetchval(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().fetchval, *arguments, **named)

    return Burning


@contextlib.asynccontextmanager
async def doomed_pool(url: str) -> AsyncIterator[Doomed]:
    """A pool whose process can be killed at any statement, again and again."""
    fuse = Fuse()
    pool = await asyncpg.create_pool(
        url, min_size=1, max_size=1, connection_class=_connections_with(fuse), init=_codecs
    )
    try:
        yield Doomed(pool, fuse)
    finally:
        pool.terminate()


async def _codecs(conn: Plain) -> None:
    await _init(conn)
