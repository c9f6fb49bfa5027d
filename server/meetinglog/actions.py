"""Write the meeting log out of facts, show it, and keep its partitions in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.log import logger
from server.base.store import StoredFact
from server.meetinglog import model, store
from server.meetinglog.model import DROPPED_AFTER, Event, Month

log = logger(__name__)

Step: TypeAlias = Callable[[Conn, Month], Awaitable[None]]


async def write_in(conn: Conn, fact: StoredFact) -> None:
    """Add what ``fact`` tells, in the caller's transaction; a second time nothing happens."""
    await store.write(conn, model.events_of(fact))


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as people read it."""

    event: Event
    words: str


async def of_session(ctx: Context, session_id: UUID) -> list[Entry]:
    """The session's log in order; who may look is the caller's check."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        events = await store.of_session(conn, session_id)
        names = await store.names(conn, [event.user_id for event in events if event.user_id])
    return [
        Entry(event, model.words_of(event, lambda user_id: names.get(user_id, str(user_id))))
        for event in events
    ]


async def maintain(ctx: Context) -> int:
    """Make partitions ahead, empty the default one, detach what is too old, drop what was detached long ago.

    Returns how many tables were touched. Each step is a transaction of its own, so that the log is locked for moments
    only; the plan is made anew from what there is, so a killed run is simply done again.
    """
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        present = [month for name in await store.partitions(conn) if (month := Month.read(name))]
        todo = model.plan(now, present, await store.stray_months(conn))
        late = await store.detached_before(conn, now - DROPPED_AFTER)

    async def make(conn: Conn, month: Month) -> None:
        moved = await store.gather(conn, month)
        await store.attach(conn, month)
        if moved:
            log.warning("partition_was_missing", partition=month.partition, rows=moved)

    async def put_away(conn: Conn, month: Month) -> None:
        await store.gather(conn, month)
        await store.note_detached(conn, month, now)

    async def detach(conn: Conn, month: Month) -> None:
        await store.detach(conn, month)
        await store.note_detached(conn, month, now)

    async def drop(conn: Conn, month: Month) -> None:
        await store.drop(conn, month, now)

    steps: list[tuple[Iterable[Month], Step, bool]] = [
        (todo.make, make, False), (todo.detach, detach, True), (todo.put_away, put_away, False), (late, drop, False),
    ]  # fmt: skip
    touched = 0
    for months, step, attached in steps:
        for month in months:
            touched += await in_transaction(ctx.pool, partial(_apply, step, month, attached))
    return touched


async def _apply(step: Step, month: Month, attached: bool, conn: Conn) -> bool:
    """Do the step unless somebody else has done it since it was planned."""
    await store.lock_maintenance(conn)
    if (month.partition in await store.partitions(conn)) is not attached:
        return False
    await step(conn, month)
    return True
