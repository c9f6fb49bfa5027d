"""Drains the outbox: every fact goes through every reaction it has, once, and a poisoned one harms no other."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from jobs.reactions import REACTIONS, Reaction
from server.base import store as outbox
from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.log import logger
from server.base.store import StoredFact

log = logger(__name__)

BATCH = 20  # facts per transaction: few enough that a retried transaction repeats little
MAX_ATTEMPTS = 8  # with the delays below: about two minutes, then a person has to look
FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(minutes=5)

_dice = random.Random()  # noqa: S311 - spreads retries, guards nothing


@dataclass(frozen=True, slots=True)
class Drained:
    handled: int = 0
    postponed: int = 0


def delay(attempts: int) -> timedelta:
    """The pause after the ``attempts``-th failed attempt, a random half of it jitter."""
    doublings: int = 2 ** min(attempts - 1, 16)
    ceiling = min(FIRST_DELAY * doublings, LONGEST_DELAY)
    return ceiling / 2 + ceiling / 2 * _dice.random()


async def drain(ctx: Context, limit: int = 10_000) -> Drained:
    """Handle up to ``limit`` facts that are due. Safe to run anywhere at the same time: each fact is locked by one."""
    handled = postponed = 0
    while handled + postponed < limit:
        done, failed = await in_transaction(ctx.pool, lambda conn: _drain_batch(conn, ctx))
        handled, postponed = handled + done, postponed + failed
        if done + failed == 0:
            break
    return Drained(handled, postponed)


async def _drain_batch(conn: Conn, ctx: Context) -> tuple[int, int]:
    now = ctx.clock.now()
    handled = postponed = 0
    for fact in await outbox.claim(conn, now, BATCH):
        if await _handle(conn, ctx, fact):
            await outbox.mark_handled(conn, fact.id, now)
            handled += 1
        else:
            await outbox.postpone(conn, fact.id, now, delay(fact.attempts + 1))
            postponed += 1
    return handled, postponed


async def _handle(conn: Conn, ctx: Context, fact: StoredFact) -> bool:
    """True when no reaction is left to try again."""
    reactions = REACTIONS.get(fact.kind, ())
    done = await outbox.reactions_done(conn, fact.id) if reactions and fact.attempts else set()
    left = 0
    for reaction in reactions:
        if reaction.__name__ not in done and not await _react(conn, ctx, fact, reaction):
            left += 1
    return left == 0


async def _react(conn: Conn, ctx: Context, fact: StoredFact, reaction: Reaction) -> bool:
    """One reaction in a savepoint, with the note that it is done. False: try again later."""
    name = reaction.__name__
    try:
        async with conn.transaction():
            await reaction(conn, ctx, fact)
            await outbox.mark_reaction(conn, fact.id, name, ctx.clock.now())
        return True
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
        raise  # the whole transaction is repeated
    except Exception as error:
        final = fact.attempts + 1 >= MAX_ATTEMPTS
        log.warning(
            "reaction_failed", fact_id=fact.id, kind=fact.kind, reaction=name, dead=final, exc_info=error
        )
        if final:
            text = f"{type(error).__name__}: {error}"[:500]
            await outbox.mark_reaction(conn, fact.id, name, ctx.clock.now(), text)
        return final
