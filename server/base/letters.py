"""Dead letters: facts with a reaction that was given up, for an administrator to read and to send through again."""

from __future__ import annotations

from server.base import store
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, in_transaction
from server.base.errors import NotFound
from server.base.log import logger
from server.base.store import DeadLetter

log = logger(__name__)


async def listed(ctx: Context, before: int | None, limit: int) -> list[DeadLetter]:
    """The newest facts first, of those older than ``before``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.dead_letters(conn, before, limit)


async def replay(ctx: Context, fact_id: int) -> None:
    """Let the workers try again what was given up; reactions that succeeded are not repeated.

    Raises ``NotFound("dead_letter_not_found")``, also when somebody has replayed it already.
    """
    if not await in_transaction(ctx.pool, lambda conn: store.revive(conn, fact_id)):
        raise NotFound("dead_letter_not_found", "There is no such dead letter (any more).")
    log.info("dead_letter_replayed", fact_id=fact_id)
    ctx.wake()
