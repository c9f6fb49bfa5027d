"""Dead letters: facts with a reaction that was given up, for an administrator to read."""

from __future__ import annotations

from server.base import store
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT
from server.base.store import DeadLetter


async def listed(ctx: Context, before: int | None, limit: int) -> list[DeadLetter]:
    """The newest facts first, of those older than ``before``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.dead_letters(conn, before, limit)
