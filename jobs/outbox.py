"""Drains the outbox: every fact goes through every reaction it has, once, and a poisoned one harms no other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
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

BATCH = 60  # facts per transaction: the commit is shared, and a transaction that is repeated repeats little
CHUNK = 20  # facts per savepoint: what one poisoned fact makes us do again
LANES = (
    3  # transactions at once while there is a backlog: while one waits for the database, another one thinks
)
MAX_ATTEMPTS = 8  # with the delays below: about two minutes, then a person has to look
FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(minutes=5)

_dice = random.Random()  # noqa: S311 - spreads retries, guards nothing


@dataclass(frozen=True, slots=True)
class Drained:
    handled: int = 0
    postponed: int = 0


@dataclass(slots=True)
class _Round:
    """What the lanes of one drain share. ``after``: facts up to here were looked at in this pass."""

    left: int
    after: int = 0
    handled: int = 0
    postponed: int = 0


def delay(attempts: int) -> timedelta:
    """The pause after the ``attempts``-th failed attempt, a random half of it jitter."""
    doublings: int = 2 ** min(attempts - 1, 16)
    ceiling = min(FIRST_DELAY * doublings, LONGEST_DELAY)
    return ceiling / 2 + ceiling / 2 * _dice.random()


async def drain(ctx: Context, limit: int = 10_000, lanes: int = LANES) -> Drained:
    """Handle up to ``limit`` facts that are due. Safe to run anywhere at the same time: each fact is locked by one.

    A pass goes up the ids, so that it does not step over what it has just handled again and again; what was committed
    behind it meanwhile (identity values commit out of order) is found by the next pass. The last one finds nothing.
    """
    state = _Round(limit)
    while state.left > 0:
        state.after = 0
        if await _batch(ctx, state) == 0:
            break
        if state.left > 0:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(lanes):
                    tasks.create_task(_lane(ctx, state))
    return Drained(state.handled, state.postponed)


async def _lane(ctx: Context, state: _Round) -> None:
    while state.left > 0 and await _batch(ctx, state):
        pass


async def _batch(ctx: Context, state: _Round) -> int:
    """One transaction; how many facts it looked at."""
    size = min(BATCH, state.left)
    state.left -= size
    done, failed = await in_transaction(ctx.pool, lambda conn: _drain_batch(conn, ctx, state, size))
    state.left += size - done - failed
    state.handled += done
    state.postponed += failed
    return done + failed


async def _drain_batch(conn: Conn, ctx: Context, state: _Round, size: int) -> tuple[int, int]:
    """(handled, postponed)"""
    facts = await outbox.claim(conn, ctx.clock.now(), size, state.after)
    if not facts:
        return 0, 0
    # The other lanes go on behind these; should we fail, the next pass finds them.
    state.after = max(state.after, facts[-1].id)
    through: list[int] = []
    failed: list[StoredFact] = []
    fresh = [fact for fact in facts if not fact.attempts]
    for start in range(0, len(fresh), CHUNK):
        chunk = fresh[start : start + CHUNK]
        if len(chunk) > 1 and await _together(conn, ctx, chunk):
            through += [fact.id for fact in chunk]
        else:
            await _one_by_one(conn, ctx, chunk, through, failed)
    await _one_by_one(conn, ctx, [fact for fact in facts if fact.attempts], through, failed)
    now = ctx.clock.now()
    await outbox.mark_handled(conn, through, now)
    for fact in failed:
        await outbox.postpone(conn, fact.id, now, delay(fact.attempts + 1))
    return len(through), len(failed)


def _reactions_of(fact: StoredFact) -> tuple[Reaction, ...]:
    return REACTIONS.get(fact.kind, (unknown_kind,))


async def unknown_kind(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """The reaction to a fact that a newer release wrote: it becomes a dead letter, and can be replayed by that one."""
    raise LookupError(f"this release knows no fact {fact.kind!r}")


async def _together(conn: Conn, ctx: Context, facts: Sequence[StoredFact]) -> bool:
    """Fresh facts in one savepoint. False, and nothing has happened, when one of them fails."""
    try:
        async with conn.transaction():
            done: list[tuple[int, str]] = []
            for fact in facts:
                for reaction in _reactions_of(fact):
                    await reaction(conn, ctx, fact)
                    done.append((fact.id, reaction.__name__))
            await outbox.mark_reactions(conn, done, ctx.clock.now())
        return True
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
        raise  # the whole transaction is repeated
    except Exception:  # noqa: BLE001 - told below, where it is known whose it is
        return False


async def _one_by_one(
    conn: Conn, ctx: Context, facts: Sequence[StoredFact], through: list[int], failed: list[StoredFact]
) -> None:
    for fact in facts:
        if await _handle(conn, ctx, fact):
            through.append(fact.id)
        else:
            failed.append(fact)


async def _handle(conn: Conn, ctx: Context, fact: StoredFact) -> bool:
    """True when no reaction is left to try again."""
    reactions = _reactions_of(fact)
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
