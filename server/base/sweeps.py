"""What a job does to many things: one that fails stops no other, and is heard of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import asyncpg

from server.base.context import Context
from server.base.log import logger

log = logger(__name__)

T = TypeVar("T")


def _gone(error: Exception) -> bool:
    """Whether the database is lost: then nothing works for the next one either.

    asyncpg says ``InterfaceError`` of a closed connection or pool, and, as a ``ValueError``, too, of an argument that
    it cannot encode: that is the item's own.
    """
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)
    return isinstance(error, ConnectionError | asyncpg.PostgresConnectionError)


async def for_each(ctx: Context, what: str, items: Sequence[T], work: Callable[[T], Awaitable[int]]) -> int:
    """``work`` on each of them, in its own transaction; returns what was done in all, and wakes the workers if it was
    anything. What fails is left for the next time.

    Raises an ``ExceptionGroup`` of the failures at the end, and a lost database at once.
    """
    done, failures = 0, list[Exception]()
    for item in items:
        try:
            done += await work(item)
        except Exception as error:
            if _gone(error):
                raise
            log.exception("sweep_failed_for_one", what=what, item=str(item))
            failures.append(error)
    if done:
        ctx.wake()
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(items)} {what} failed", failures)
    return done
