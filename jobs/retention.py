"""How long what nobody needs any more is kept, and its removal."""

from __future__ import annotations

from datetime import timedelta

from jobs import store
from jobs.store import Old
from server.base.context import Context
from server.base.db import in_transaction

BATCH = 2000  # rows per transaction: no lock is held for long
# What is removed once it is so old. A dead letter stays until it is replayed, and a fact until its story is of no use.
KEPT = {
    Old.IDEMPOTENCY_KEYS: timedelta(days=2),  # answers are replayed for 24 hours
    Old.DESTINATION_CODES: timedelta(days=2),  # codes for numbers are counted for 24 hours
    Old.REFRESH_TOKENS: timedelta(days=30),  # after they expired: until then reuse must be noticed
    Old.JOB_RUNS: timedelta(days=100),  # more than the longest schedule, whose last tick has to be known
    Old.USED_LINKS: timedelta(days=400),  # no link is good for longer than the booking window, a year
    Old.WEBHOOKS: timedelta(days=100),  # receipts come within days; the rest is for looking into
    Old.VISITS: timedelta(days=400),  # of use while a verdict can be reviewed, and for the year's questions
    Old.MESSAGES: timedelta(
        days=800
    ),  # as long as the facts they tell of: their keys make repetitions harmless
    Old.FACTS: timedelta(days=800),
}


async def retain(ctx: Context) -> int:
    """Remove what is older than declared; returns the rows."""
    removed = 0
    for old, age in KEPT.items():
        before = ctx.clock.now() - age
        while count := await in_transaction(
            ctx.pool,
            lambda conn, old=old, before=before: store.remove_old(conn, old, before, BATCH),  # type: ignore[misc]
        ):
            removed += count
    return removed
