"""Access to PostgreSQL: the pool, its codecs, and transactions that are retried when the database says so."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Conn: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Conn = asyncpg.Connection

Row: TypeAlias = asyncpg.Record
T = TypeVar("T")

COMMAND_TIMEOUT = 15.0  # seconds; the slowest statement of the product takes a few milliseconds
QUEUE_TIMEOUT = (
    30.0  # seconds behind others: for a connection, or for a person's lock; a crowd waits, and is served
)
TRANSACTION_TRIES = 5


async def _init(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    await conn.set_type_codec(
        "jsonb",
        encoder=lambda v: json.dumps(v, separators=(",", ":")),
        decoder=json.loads,
        schema="pg_catalog",
    )


async def create_pool(url: str, *, min_size: int = 1, max_size: int = 10) -> Pool:
    """A pool whose connections speak UTC, read ``jsonb`` as Python values, and give up after COMMAND_TIMEOUT."""
    return await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        command_timeout=COMMAND_TIMEOUT,
        timeout=10,
        init=_init,
        server_settings={"timezone": "UTC", "application_name": "visavis"},
    )


async def in_transaction(pool: Pool, work: Callable[[Conn], Awaitable[T]]) -> T:
    """Run ``work`` in one transaction; again, up to TRANSACTION_TRIES times, after a deadlock (40P01) or a
    serialisation failure (40001). ``work`` must therefore do nothing but talk to the database.

    Raises whatever ``work`` raises; the transaction is then rolled back.
    """
    for attempt in range(1, TRANSACTION_TRIES + 1):
        try:
            async with pool.acquire(timeout=QUEUE_TIMEOUT) as conn, conn.transaction():
                return await work(conn)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            if attempt == TRANSACTION_TRIES:
                raise
            await asyncio.sleep(random.uniform(0.005, 0.02) * 2**attempt)  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")


async def no_more(conn: Conn, made: object) -> None:
    """What a caller adds at the end of a transaction, with what was made in it: usually nothing."""


def rows_affected(tag: str) -> int:
    """The row count of a command tag such as ``UPDATE 3``."""
    return int(tag.rsplit(" ", 1)[1])


Json: TypeAlias = dict[str, Any]
