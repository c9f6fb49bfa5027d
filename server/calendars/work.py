"""What a worker does with calendars that are due: write what is wanted, read what is new, keep the push channel alive.

Requests are made outside of any transaction, under a lease on the connection's row: one worker at a time looks at a
calendar, and one that dies is relieved when the lease ends. Everything may be done twice: events have ids of ours.
"""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from zoneinfo import ZoneInfo

from server.availability import store as busy
from server.availability.store import Appointment
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.ids import new_id
from server.base.log import logger
from server.base.sealing import SealBroken, seal, unseal
from server.base.store import record
from server.calendars import store
from server.calendars.actions import CREDENTIALS, channel_token
from server.calendars.model import (
    CHANNEL_FOR,
    LEASE,
    SPAN_AHEAD,
    SPAN_BEHIND,
    WORK_SECONDS,
    CalendarBroken,
    Connection,
    ConnectionStatus,
    Task,
    backoff,
    entry_of,
    read_back,
    written_down,
)
from server.integrations.calendars.connector import Connector, connector
from server.integrations.calendars.protocol import (
    Calendar,
    CalendarAway,
    CalendarError,
    CalendarRefused,
    Credentials,
    CursorLost,
    Entry,
    EventChanged,
    EventExists,
    EventGone,
    GrantRevoked,
    Written,
)

log = logger(__name__)

LANES = 4  # calendars at a time: one that is slow keeps no other waiting
TASKS = 50  # events written before a calendar is read, too
TRIES = 4  # for one event that somebody else changes at the same time
FAREWELLS = 3  # attempts at handing a permission back
PUSH_PATH = "/integrations/{provider}/push"

_dice = random.Random()  # noqa: S311 - spreads retries, guards nothing


async def work_due(ctx: Context, limit: int = 100) -> int:
    """Look at up to ``limit`` connected calendars that are due; how many."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        if not await store.anything_due(conn, ctx.clock.now()):
            return 0
    done = 0

    async def lane() -> None:
        nonlocal done
        while done < limit and await _look_at_next(ctx, services):
            done += 1

    async with connector(ctx.settings, ctx.clock) as services, asyncio.TaskGroup() as lanes:
        for number in range(LANES):
            lanes.create_task(lane(), name=f"calendars:{number}")
    return done


async def _look_at_next(ctx: Context, services: Connector) -> bool:
    now = ctx.clock.now()
    lease_until = now + LEASE
    connection = await in_transaction(ctx.pool, lambda conn: store.claim(conn, now, lease_until))
    if connection is None:
        return False
    next_look: datetime | None = None
    problem: str | None = None
    try:
        async with asyncio.timeout(WORK_SECONDS):
            next_look = await _look(ctx, services, connection, lease_until)
    except (GrantRevoked, SealBroken) as error:
        await _broken(ctx, connection, lease_until, str(error))
    except (CalendarError, TimeoutError) as error:
        problem = str(error)[:500] or type(error).__name__
        asked = error.retry_after if isinstance(error, CalendarAway) else None
        next_look = ctx.clock.now() + backoff(connection.attempts + 1, asked, _dice)
        log.warning(
            "calendar_away", connection_id=str(connection.id), error=problem, attempts=connection.attempts
        )
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        await store.release(conn, connection.id, lease_until, next_look, problem)
    return True


async def _look(
    ctx: Context, services: Connector, connection: Connection, lease_until: datetime
) -> datetime | None:
    """Do all there is to do; when to come again, None for never."""
    credentials = read_back(
        unseal(ctx.settings.secret_key, CREDENTIALS, connection.id.bytes, connection.sealed)
    )

    async def keep(fresh: Credentials) -> None:
        sealed = seal(ctx.settings.secret_key, CREDENTIALS, connection.id.bytes, written_down(fresh))
        async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            await store.keep_credentials(conn, connection.id, lease_until, sealed)

    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        zone = ZoneInfo(await store.zone_of(conn, connection.user_id))
    calendar = services.open(connection.provider, credentials, keep, zone)
    if connection.status is ConnectionStatus.LEAVING:
        await _farewell(ctx, calendar, connection)
        return None
    if connection.status is ConnectionStatus.BROKEN:
        return None
    if calendar is None:
        raise CalendarRefused(f"{connection.provider} is not configured here")
    await _write(ctx, calendar, connection, lease_until)
    await _read(ctx, calendar, connection)
    connection = await _watch(ctx, calendar, connection)
    return connection.next_look(ctx.clock.now())


async def _write(ctx: Context, calendar: Calendar, connection: Connection, lease_until: datetime) -> None:
    while True:
        async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            found = await store.tasks(conn, connection.id, ctx.clock.now(), TASKS)
        for task in found:
            event, problem = task.event, None
            try:
                event = await _bring(calendar, task, entry_of(task, ctx.settings.public_url))
            except CalendarRefused as error:
                # This event will never be taken; the others may.
                problem = str(error)[:500]
                log.warning("calendar_event_refused", session_id=str(task.session_id), error=problem)
            async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
                await store.written(conn, connection.id, lease_until, task, event, problem)
        if len(found) < TASKS:
            return


async def _bring(calendar: Calendar, task: Task, entry: Entry) -> Written | None:
    """Make the calendar's event what it should be, whatever became of it there: ours is the word that counts."""
    event = task.event
    for _ in range(TRIES):
        try:
            if task.present:
                return await (calendar.create(entry) if event is None else calendar.update(event, entry))
            event = event or await calendar.find(entry.id)
            if event is not None:
                await calendar.delete(event)
            return None
        except (EventExists, EventChanged):
            event = await calendar.find(entry.id)
        except EventGone:
            if not task.present:
                return None
            event = None
    raise CalendarAway("an event is changed there at the same time, again and again")


async def _read(ctx: Context, calendar: Calendar, connection: Connection) -> None:
    now = ctx.clock.now()
    span_until = connection.span_until
    cursor = None if connection.outlived(now) else connection.cursor
    try:
        if cursor is None:
            span_until = now + SPAN_AHEAD
        assert span_until is not None  # noqa: S101 - else it is outlived
        changes = await calendar.changes(cursor, now - SPAN_BEHIND, span_until)
    except CursorLost:
        span_until = now + SPAN_AHEAD
        changes = await calendar.changes(None, now - SPAN_BEHIND, span_until)
    # An event that moved from page to page while we read is in there twice: the later word counts. Ours are left out
    # by the client, and by what we remember of them where somebody has changed what they are known by.
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        ours = await store.refs(conn, connection.id)
    latest = {it.id: it for it in changes.busy if it.id not in ours}
    found = [
        # PostgreSQL's text holds everything but NUL, and JSON's does hold that.
        Appointment(connection.user_id, it.id, it.start, it.end, it.title.replace("\0", ""))
        for it in latest.values()
    ]

    async def work(conn: Conn) -> None:
        if not await store.seen(conn, connection.id, connection.cursor, changes.cursor, span_until, now):
            return  # disconnected, or connected anew meanwhile: this is no longer ours to say
        if changes.whole:
            await busy.replace_appointments(conn, connection.source, connection.user_id, found)
        else:
            await busy.amend_appointments(
                conn, connection.source, connection.user_id, found, sorted(changes.free - latest.keys())
            )

    await in_transaction(ctx.pool, work)


async def _watch(ctx: Context, calendar: Calendar, connection: Connection) -> Connection:
    """A new channel before the old one ends, then the old one's end: in between there are two, never none."""
    now = ctx.clock.now()
    # No service sends its pushes over plain HTTP.
    if not ctx.settings.public_url.startswith("https://") or not connection.needs_channel(now):
        return connection
    old, identity = connection.channel, str(new_id())
    address = ctx.settings.public_url + PUSH_PATH.format(provider=connection.provider)
    try:
        channel = await calendar.watch(identity, channel_token(ctx, identity), address, now + CHANNEL_FOR)
    except CalendarRefused as error:
        log.warning("calendar_channel_refused", connection_id=str(connection.id), error=str(error))
        channel = None
    kept = channel or (old if old is not None and old.expires_at > now else None)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        await store.set_channel(conn, connection.id, kept, now)
        after = await store.locked(conn, connection.id)
    if channel is not None and old is not None:
        await calendar.unwatch(old)
    return after or connection


async def _farewell(ctx: Context, calendar: Calendar | None, connection: Connection) -> None:
    """Hand the permission back, or let it be after FAREWELLS attempts, and forget the connection."""
    try:
        if calendar is not None:
            if connection.channel is not None:
                await calendar.unwatch(connection.channel)
            await calendar.give_up()
    except CalendarAway:
        if connection.attempts + 1 < FAREWELLS:
            raise
        log.warning("calendar_left_without_goodbye", connection_id=str(connection.id))
    except CalendarError as error:
        log.info("calendar_was_left_before", connection_id=str(connection.id), error=str(error))
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        await store.forget(conn, connection.id)


async def _broken(ctx: Context, connection: Connection, lease_until: datetime, why: str) -> None:
    """We may no longer: what we knew blocks nobody, and the owner is told, once."""

    async def work(conn: Conn) -> None:
        found = await store.locked(conn, connection.id)
        # Connected again while we were told that the old tokens are worth nothing: the new ones are.
        if found is None or not await store.leased(conn, connection.id, lease_until):
            return
        now = ctx.clock.now()
        if found.status is ConnectionStatus.LEAVING:
            await store.forget(conn, connection.id)
        elif found.status is ConnectionStatus.ACTIVE:
            await store.set_status(conn, connection.id, ConnectionStatus.BROKEN, why[:500], None, now)
            await store.set_channel(conn, connection.id, None, now)
            await busy.replace_appointments(conn, connection.source, connection.user_id, [])
            fact = CalendarBroken(
                None, now, connection.id, connection.user_id, connection.provider, connection.account
            )
            await record(conn, fact)

    await in_transaction(ctx.pool, work)
    ctx.wake()
