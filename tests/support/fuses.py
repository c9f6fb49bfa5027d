"""A process that dies at a chosen statement: the connection breaks there as it does when a process is killed."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
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
    """Burns at the ``left``-th statement, before the database has seen it or ``after``; at 0 it is not armed. Once
    ``burnt``, no connection of the process says anything any more, whatever the code around it catches.

    With ``severs`` the connections break, and the next process opens new ones, which costs 10 to 30 ms. Without, they
    are rolled back and their locks let go when they come back to the pool, as PostgreSQL does for a client that
    is gone.
    """

    left: int = 0
    after: bool = False
    severs: bool = True
    burnt: bool = False
    connections: weakref.WeakSet[Plain] = field(default_factory=weakref.WeakSet)
    backends: set[int] = field(default_factory=set)

    def step(self, now_after: bool) -> None:
        """Raises ``Killed`` when it burns, and ever after."""
        if self.left > 0 and now_after is self.after:
            self.left -= 1
            if self.left == 0:
                self.burnt = True
                if self.severs:
                    for conn in self.connections:
                        conn.terminate()
        if self.burnt:
            raise Killed


@dataclass(frozen=True)
class Doomed:
    """A pool, and the fuse of its process."""

    pool: Pool
    fuse: Fuse
    size: int

    async def arm(self, statement: int, *, after: bool) -> None:
        """The ``statement``-th from now on is the last one (0: none is); what new connections say at first does not
        count."""
        self.fuse.left, self.fuse.burnt = 0, False
        async with contextlib.AsyncExitStack() as held:
            for _ in range(self.size):
                conn = await held.enter_async_context(self.pool.acquire())
                await conn.fetchval("SELECT 1")
        self.fuse.left, self.fuse.after = statement, after

    def disarm(self) -> bool:
        """Whether it had not burnt yet; the process lives on, or another one in its place."""
        whole, self.fuse.left, self.fuse.burnt = self.fuse.left > 0, 0, False
        return whole

    async def dies_in(self, step: Awaitable[Any], heir: Pool) -> bool:
        """Whether the process died in ``step``; what it raises when it lives is raised. ``heir`` may go on from here:
        the dead one's locks are gone."""
        try:
            await step
        except Exception:
            if not self.fuse.burnt:
                raise
        if self.fuse.burnt and self.fuse.severs:
            # A backend notices within milliseconds that nobody is there; who skips locked rows would not wait for it.
            await heir.fetch(
                "SELECT pg_terminate_backend(pid, 5000) FROM unnest($1::int[]) pid", self.fuse.backends
            )
            self.fuse.backends.clear()
        return self.fuse.burnt


def _connections_with(fuse: Fuse) -> type[Plain]:
    class Burning(Plain):
        _comes_back = False  # what the pool says then is no statement of the process

        async def _burn(self, call: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
            if self._comes_back:
                return await call(*arguments, **named)
            fuse.step(now_after=False)
            result = await call(*arguments, **named)
            fuse.step(now_after=True)
            return result

        async def reset(self, *, timeout: float | None = None) -> None:
            self._comes_back = True
            try:
                await super().reset(timeout=timeout)
            finally:
                self._comes_back = False

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
async def doomed_pool(url: str, size: int = 1, *, severs: bool = True) -> AsyncIterator[Doomed]:
    """A pool of ``size`` connections whose process can be killed at any statement, again and again."""
    fuse = Fuse(severs=severs)

    async def init(conn: Plain) -> None:
        fuse.connections.add(conn)
        fuse.backends.add(conn.get_server_pid())
        await _init(conn)

    pool = await asyncpg.create_pool(
        url, min_size=size, max_size=size, connection_class=_connections_with(fuse), init=init
    )
    try:
        yield Doomed(pool, fuse, size)
    finally:
        pool.terminate()
