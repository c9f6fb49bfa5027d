"""When nobody could meet for a reason of ours: every web process beats, and whoever notices a gap writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from server.attendance import store
from server.attendance.model import ORPHAN_AFTER, Cause, Outage
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import FieldError, Invalid
from server.base.log import logger
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.booking.office import reason_of

log = logger(__name__)

BEAT = 5.0  # seconds between beats of a process
GAP = timedelta(
    seconds=15
)  # two missed beats: a shorter silence is a slow database, nobody has been thrown out
LONGEST_DECLARED = timedelta(days=7)
AHEAD = timedelta(days=1)  # so far an administrator may say beforehand that we shall be away


async def begin(ctx: Context, process_id: UUID) -> bool:
    """A web process starts. If nobody beat before it, that was an outage; true if so."""

    async def work(conn: Conn) -> bool:
        now = ctx.clock.now()
        await store.lock_outages(conn)
        latest = await store.latest_beat(conn)
        away = latest is not None and now - latest > GAP
        if away and latest is not None:
            await _over(conn, latest, now, Cause.SERVER_GAP)
            # That gap is theirs, too.
            await store.forget_silent(conn, process_id, now - ORPHAN_AFTER)
        await store.beat(conn, process_id, now)
        return away

    away = await in_transaction(ctx.pool, work)
    if away:
        log.warning("outage_noted", cause=Cause.SERVER_GAP)
    return away


async def beat(ctx: Context, process_id: UUID, silent_for: timedelta) -> None:
    """The process serves, and has last said so ``silent_for`` ago, by a clock that nobody sets.

    Longer than GAP: it could not reach the database, or stood still. Ends an outage that goes on, and notes the
    processes that died while others lived on.
    """

    async def work(conn: Conn) -> None:
        now = ctx.clock.now()
        await store.lock_outages(conn)
        if silent_for > GAP:
            await _over(conn, now - silent_for, now, Cause.SERVER_GAP)
            log.warning("outage_noted", cause=Cause.SERVER_GAP, seconds=silent_for.total_seconds())
        else:
            await store.close_outage(conn, now)
        for last in await store.forget_silent(conn, process_id, now - ORPHAN_AFTER):
            await store.add_outage(conn, last, now, Cause.SERVER_LOST, now)
            log.warning("outage_noted", cause=Cause.SERVER_LOST, since=last.isoformat())
        await store.beat(conn, process_id, now)

    await in_transaction(ctx.pool, work)


async def _over(conn: Conn, began: datetime, now: datetime, cause: Cause) -> None:
    """An outage that has ended just now; a worker may have noticed its beginning."""
    known = await store.close_outage(conn, now)
    if known is None or known > began:
        await store.add_outage(conn, began, now, cause, now)


async def media_down(ctx: Context, since: timedelta) -> None:
    """The process is there and its media port has not been for so long; once for each outage."""
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        if await store.open_outage(conn, now - since, Cause.MEDIA_DOWN, now):
            log.error("outage_noted", cause=Cause.MEDIA_DOWN)


async def end(ctx: Context, process_id: UUID) -> None:
    """The process stops as it was told to. Until another one starts it is an outage all the same."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        await store.stop_beating(conn, process_id, ctx.clock.now())


async def latest_beat(ctx: Context) -> datetime | None:
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.latest_beat(conn)


async def gone_since(ctx: Context, latest: datetime) -> bool:
    """A worker sees that no web process has beaten since ``latest``; false if that is known."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        new = await store.open_outage(conn, latest, Cause.SERVER_GAP, ctx.clock.now())
    if new:
        log.error("outage_noted", cause=Cause.SERVER_GAP, since=latest.isoformat())
    return new


async def note_visits(ctx: Context, visitors: Sequence[tuple[UUID, str, UUID]]) -> None:
    """(room, connection, person) of every socket that is open now."""
    if not visitors:
        return
    rooms, connections, users = zip(*visitors, strict=True)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        await store.note_visits(conn, rooms, connections, users, ctx.clock.now())


async def declare(ctx: Context, admin_id: UUID, began: datetime, ended: datetime, note: str) -> Outage:
    """An administrator knows of an outage that nobody could see from here: a network, a provider. The same again is
    the same outage. Verdicts that were given before stay as they are, and may be amended.

    Raises ``Invalid``.
    """
    now = ctx.clock.now()
    faults = []
    if ended <= began:
        faults.append(FieldError("to", "out_of_range", "It must end after it began."))
    elif ended - began > LONGEST_DECLARED:
        faults.append(FieldError("to", "out_of_range", f"At most {LONGEST_DECLARED.days} days."))
    if ended > now + AHEAD:
        faults.append(FieldError("to", "too_late", "At most a day ahead."))
    try:
        note = reason_of(note)
    except Invalid as problem:
        faults += [FieldError("note", fault.code, fault.message) for fault in problem.errors]
    if faults:
        raise Invalid(faults)

    async def work(conn: Conn) -> Outage:
        await store.lock_outages(conn)
        for known in await store.outages_between(conn, began, ended):
            if (known.began_at, known.ended_at, known.cause) == (began, ended, Cause.DECLARED):
                return known
        return await store.add_outage(conn, began, ended, Cause.DECLARED, now, note, admin_id)

    return await in_transaction(ctx.pool, work)


async def listed(ctx: Context, cursor: str | None = None, limit: int | None = None) -> Page[Outage]:
    """Newest first. Raises ``Invalid`` for a bad cursor or limit."""
    size = page_size(limit)
    before = decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.latest_outages(conn, before, size + 1)
    return page_of(found, size, lambda outage: encode_cursor(outage.began_at, outage.id))
