"""Show the board; pause, resume and run jobs; replay or discard what was given up: each with a line in the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from server.base import store as outbox
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import FieldError, Invalid, NotFound
from server.base.log import logger
from server.base.paging import (
    Page,
    decode_cursor,
    decode_position,
    encode_cursor,
    page_of,
    page_size,
)
from server.operations import model, store
from server.operations.model import Board, Card, DeadMessage, Deed, Run

log = logger(__name__)

# What the jobs say of themselves at an instant; handed in, because jobs are an edge that nobody below imports.
Catalogue: TypeAlias = Callable[[datetime], Sequence[Card]]
MOST_REPLAYED = 1000  # letters in one go; the rest is told, and takes another click


async def board(ctx: Context, catalogue: Catalogue) -> Board:
    """How everything stands now."""
    now = ctx.clock.now()
    cards = catalogue(now)
    async with (
        ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        return model.board(
            cards,
            await store.last_runs(conn, [card.name for card in cards]),
            await store.pauses(conn),
            await store.requests(conn),
            await store.queues(conn, now),
            await store.dead_kinds(conn),
            now,
        )


def _known(ctx: Context, catalogue: Catalogue, job: str) -> None:
    if job not in {card.name for card in catalogue(ctx.clock.now())}:
        raise NotFound("unknown_job", "There is no such job.")


async def runs(
    ctx: Context, catalogue: Catalogue, job: str, cursor: str | None = None, limit: int | None = None
) -> Page[Run]:
    """The job's runs, the newest tick first. Raises ``NotFound("unknown_job")``, ``Invalid``."""
    _known(ctx, catalogue, job)
    size = page_size(limit)
    before: datetime | None = None
    if cursor is not None:
        [key] = decode_cursor(cursor, datetime)
        assert isinstance(key, datetime)  # noqa: S101 - decode_cursor made it so
        before = key
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.runs(conn, job, before, size + 1)
    return page_of(found, size, lambda it: encode_cursor(it.scheduled_for))


async def pause(ctx: Context, catalogue: Catalogue, actor_id: UUID, job: str, reason: str) -> None:
    """No tick of the job is begun until it is resumed; one that runs is finished. Twice is fine.

    Raises ``NotFound("unknown_job")``.
    """
    _known(ctx, catalogue, job)

    async def work(conn: Conn) -> None:
        if await store.pause(conn, job, actor_id, ctx.clock.now()):
            await store.note(conn, actor_id, "pause", f"job:{job}", ctx.clock.now(), reason=reason)

    await in_transaction(ctx.pool, work)


async def resume(ctx: Context, catalogue: Catalogue, actor_id: UUID, job: str) -> None:
    """The ticks missed meanwhile are treated as the job declares. Twice is fine. Raises ``NotFound("unknown_job")``."""
    _known(ctx, catalogue, job)

    async def work(conn: Conn) -> None:
        if await store.resume(conn, job):
            await store.note(conn, actor_id, "resume", f"job:{job}", ctx.clock.now())

    await in_transaction(ctx.pool, work)
    ctx.wake()


async def run_now(ctx: Context, catalogue: Catalogue, actor_id: UUID, job: str) -> None:
    """A worker runs the job once within seconds, also while it is paused. Asked twice before that, it runs once.

    Raises ``NotFound("unknown_job")``.
    """
    _known(ctx, catalogue, job)

    async def work(conn: Conn) -> None:
        if await store.request(conn, job, actor_id, ctx.clock.now()):
            await store.note(conn, actor_id, "run", f"job:{job}", ctx.clock.now())

    await in_transaction(ctx.pool, work)
    ctx.wake()


# ---------------------------------------------------------------- dead letters


async def dead_messages(
    ctx: Context, cursor: str | None = None, limit: int | None = None
) -> Page[DeadMessage]:
    """Messages that were given up, the newest first. Raises ``Invalid``."""
    size = page_size(limit)
    before: UUID | None = None
    if cursor is not None:
        [key] = decode_cursor(cursor, UUID)
        assert isinstance(key, UUID)  # noqa: S101 - decode_cursor made it so
        before = key
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.dead_messages(conn, before, size + 1)
    return page_of(found, size, lambda it: encode_cursor(it.id))


async def replay_fact(ctx: Context, actor_id: UUID, fact_id: int) -> None:
    """Let the workers try again what failed of a fact. Raises ``NotFound("dead_letter_not_found")``."""

    async def work(conn: Conn) -> None:
        if not await outbox.revive(conn, fact_id):
            raise _gone()
        await store.note(conn, actor_id, "replay", f"fact:{fact_id}", ctx.clock.now())

    await in_transaction(ctx.pool, work)
    ctx.wake()


async def replay_message(ctx: Context, actor_id: UUID, message_id: UUID) -> None:
    """Let a message be sent from the start. Raises ``NotFound("dead_letter_not_found")``."""

    async def work(conn: Conn) -> None:
        if not await store.revive_messages(conn, [message_id]):
            raise _gone()
        await store.note(conn, actor_id, "replay", f"message:{message_id}", ctx.clock.now())

    await in_transaction(ctx.pool, work)
    ctx.wake()


async def replay_kind(ctx: Context, actor_id: UUID, what: str, kind: str, channel: str | None) -> int:
    """Replay up to MOST_REPLAYED letters of one kind (of one channel, for messages); returns how many."""
    now = ctx.clock.now()

    async def work(conn: Conn) -> int:
        match what:
            case "facts":
                ids = await store.dead_fact_ids(conn, kind, MOST_REPLAYED)
                count = sum([await outbox.revive(conn, fact_id) for fact_id in ids])
            case "messages":
                found = await store.dead_message_ids(conn, kind, channel, MOST_REPLAYED)
                count = await store.revive_messages(conn, found)
            case _:
                raise Invalid([FieldError("what", "unknown", "Say facts or messages.")])
        if count:
            subject = f"{what}:{kind}" + (f":{channel}" if channel else "")
            await store.note(conn, actor_id, "replay", subject, now, before={"count": count})
        return count

    count = await in_transaction(ctx.pool, work)
    log.info("dead_letters_replayed", what=what, kind=kind, count=count)
    ctx.wake()
    return count


async def discard_fact(ctx: Context, actor_id: UUID, fact_id: int, reason: str) -> None:
    """Give up for good what failed of a fact; the fact and its errors stay in the audit.

    Raises ``NotFound("dead_letter_not_found")``.
    """

    async def work(conn: Conn) -> None:
        before = await store.dead_fact(conn, fact_id)
        if before is None:
            raise _gone()
        await store.discard_fact(conn, fact_id)
        await store.note(
            conn, actor_id, "discard", f"fact:{fact_id}", ctx.clock.now(), reason=reason, before=before
        )

    await in_transaction(ctx.pool, work)


async def discard_message(ctx: Context, actor_id: UUID, message_id: UUID, reason: str) -> None:
    """Never send the message; what it was stays in the audit. Raises ``NotFound("dead_letter_not_found")``."""

    async def work(conn: Conn) -> None:
        found = await store.dead_message(conn, message_id)
        if found is None:
            raise _gone()
        await store.discard_message(conn, message_id)
        before = {
            "kind": found.kind, "channel": found.channel, "address": found.address, "subject": found.subject,
            "error": found.error, "attempts": found.attempts,
        }  # fmt: skip
        await store.note(
            conn, actor_id, "discard", f"message:{message_id}", ctx.clock.now(), reason=reason, before=before
        )

    await in_transaction(ctx.pool, work)


def _gone() -> NotFound:
    return NotFound("dead_letter_not_found", "There is no such dead letter (any more).")


async def audit(ctx: Context, cursor: str | None = None, limit: int | None = None) -> Page[Deed]:
    """What administrators did here, the newest first. Raises ``Invalid``."""
    size, before = page_size(limit), decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.deeds(conn, before, size + 1)
    return page_of(found, size, lambda it: encode_cursor(it.at, it.id))
