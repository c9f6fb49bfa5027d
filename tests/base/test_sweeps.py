"""One item that fails stops no other; a lost database stops all."""

from __future__ import annotations

import pytest

from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool, create_pool
from server.base.sweeps import for_each
from server.settings import Settings


def context(pool: Pool, clock: SteppedClock, settings: Settings, woken: list[bool]) -> Context:
    return Context(pool, clock, settings, lambda: woken.append(True))


async def test_what_cannot_even_be_sent_to_postgres_is_the_items_own_failure(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    """asyncpg tells it with a kind of the error by which it tells a closed connection."""
    woken: list[bool] = []

    async def work(item: object) -> int:
        number: int = await pool.fetchval("SELECT $1::int", item)
        return number

    with pytest.raises(ExceptionGroup, match="2 of 4 numbers failed") as failed:
        await for_each(context(pool, clock, settings, woken), "numbers", [1, "two", 3, 2**40], work)
    assert len(failed.value.exceptions) == 2
    assert woken == [True]


async def test_a_closed_pool_is_told_at_once(
    database_url: str, clock: SteppedClock, settings: Settings
) -> None:
    closed = await create_pool(database_url)
    await closed.close()
    tried: list[int] = []

    async def work(item: int) -> int:
        tried.append(item)
        number: int = await closed.fetchval("SELECT $1::int", item)
        return number

    with pytest.raises(Exception, match="pool is clos") as lost:
        await for_each(context(closed, clock, settings, []), "numbers", [1, 2, 3], work)
    assert not isinstance(lost.value, ExceptionGroup)
    assert tried == [1]
