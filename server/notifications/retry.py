"""Another round for messages that a provider's long outage has killed or put to sleep; never for one that has left.

The rule: a message is dead for good when somebody has said no to it (an address that does not exist, a text that is
refused, its own ten attempts). One that died only because the provider was away for all of MAX_ATTEMPTS_DOWN attempts
(about four days) is given ROUND more every five hours, for as long as it is younger than WORTH and not expired.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.log import logger
from server.notifications import store
from server.notifications.model import MAX_ATTEMPTS_DOWN

log = logger(__name__)

ROUND: Final = 3  # attempts: a provider that is still away kills the message again within minutes
WORTH: Final = timedelta(days=14)  # older news helps nobody
TIRED: Final = 8  # failures after which the pause is an hour or two
BACK: Final = timedelta(minutes=10)  # a provider that has taken something within them is back
BATCH: Final = 500  # per transaction


async def another_round(ctx: Context) -> int:
    """Revive what died of an outage, and wake what sleeps longer than it has lasted; how many messages."""
    now = ctx.clock.now()

    async def revive(conn: Conn) -> int:
        return await store.another_round(
            conn, now, MAX_ATTEMPTS_DOWN - ROUND, MAX_ATTEMPTS_DOWN, now - WORTH, BATCH
        )

    async def wake(conn: Conn) -> int:
        return await store.bring_forward(conn, now, TIRED, now - BACK, BATCH)

    revived = await _all(ctx, revive)
    woken = await _all(ctx, wake)
    if revived or woken:
        log.info("messages_given_another_round", revived=revived, woken=woken)
    return revived + woken


async def _all(ctx: Context, step: Callable[[Conn], Awaitable[int]]) -> int:
    """Batch by batch, until one finds nothing: what is revived is dead no more, and what is due does not wait."""
    total = 0
    while count := await in_transaction(ctx.pool, step):
        total += count
    return total
