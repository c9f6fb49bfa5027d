"""Deliver what is due: into the development inbox, or by the channels' providers, several at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.log import logger
from server.integrations.channel import Message, NotSent, Refused, Unavailable, Unreachable
from server.integrations.channels import Channels
from server.integrations.provider import Provider
from server.notifications import replies, store
from server.notifications.model import MAX_ATTEMPTS, MAX_ATTEMPTS_DOWN, Delivery, Outgoing, backoff
from server.notifications.receipts import apply_in

log = logger(__name__)

BATCH = 50  # development-inbox messages per transaction

_dice = random.Random()  # noqa: S311 - spreads retries, guards nothing


async def deliver_due(ctx: Context, channels: Channels, limit: int = 1000, senders: int = 1) -> Delivery:
    """Deliver up to ``limit`` messages that are due, ``senders`` at once, and say what became of them. Fresh ones leave
    in the order in which they were written, and before those that are tried again.

    Into the development inbox: in the same transaction as the state, so exactly once. By a provider: the attempt is
    committed as ``sending`` first, under a lock that our connection holds while we talk. A process that dies loses
    the lock and the next one repeats the message under the same id. One window therefore remains in which a message
    leaves twice: the provider has said yes (or its answer got lost), and our process or the database dies before
    ``sent`` is committed. SMTP offers nothing to close it (RFC 1047), nor do the others. At most ``senders`` messages
    are in it.

    A provider that is down ends its channel's round: the others of it would only wait for the same timeout. One that
    has had enough for now (its rate, its Retry-After, its breaker) is not asked. What has no provider waits.
    """
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        if lapsed := await store.lapse(conn, ctx.clock.now()):
            log.warning("messages_lapsed", count=lapsed)
    state = _Round(limit)
    if channels.inbox:
        state.sent = await _into_inbox(ctx, channels, limit)
        state.left -= state.sent
    # The lease of all that is on its way. A connection given back lets go of what it still holds.
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        await store.read_in_order(conn)
        await _send_due(conn, ctx, channels, state, senders)
    return Delivery(state.sent, state.postponed, state.dead)


@dataclass(slots=True)
class _Round:
    """How far one round has come. ``down``: channels whose provider takes nothing for now."""

    left: int
    down: set[str] = field(default_factory=set)
    sent: int = 0
    postponed: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What the provider said: its name of the message, or an error."""

    message: Outgoing
    name: str | None = None
    error: Exception | None = None


async def _send_due(conn: Conn, ctx: Context, channels: Channels, state: _Round, senders: int) -> None:
    """Keep ``senders`` messages on their way; what has come back meanwhile is noted together, and its places are filled
    together: three statements for many messages rather than for each.

    The last free place of a provider's rate may be given to several at once: its bucket is then in debt by as many
    messages, and pays them back before the next.
    """
    under_way: dict[asyncio.Task[_Attempt], Outgoing] = {}
    async with asyncio.TaskGroup() as tasks:
        while True:
            free = min(senders - len(under_way), state.left)
            ready = channels.ready(ctx.clock.now()) - state.down if free else set()
            if ready:
                held = [message.id for message in under_way.values()]
                for message in await store.claim(conn, ctx.clock.now(), ready, free, held):
                    state.left -= 1
                    task = tasks.create_task(_attempt(ctx, channels.providers[message.channel], message))
                    under_way[task] = message
            if not under_way:
                return
            back, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in back:
                del under_way[task]
            attempts = [task.result() for task in back]
            await _settle(conn, ctx, state, attempts)
            await store.let_go(conn, [it.message.id for it in attempts])


async def _attempt(ctx: Context, provider: Provider, outgoing: Outgoing) -> _Attempt:
    """Hand the message over, once; whatever is wrong with it must not stop the others."""
    now = ctx.clock.now()
    message = Message(
        id=outgoing.id,
        to=outgoing.address,
        subject=outgoing.subject,
        text=outgoing.body,
        calendar=outgoing.calendar,
        date=now,
        kind=outgoing.kind,
        buttons=outgoing.buttons,
        unsubscribe_url=outgoing.unsubscribe_url,
        url=outgoing.url,
        answers=outgoing.answers,
        expires_at=outgoing.expires_at,
    )
    try:
        return _Attempt(outgoing, name=await provider.send(message, now))
    except Exception as error:  # noqa: BLE001 - noted by `_settle`
        return _Attempt(outgoing, error=error)


async def _settle(conn: Conn, ctx: Context, state: _Round, attempts: Sequence[_Attempt]) -> None:
    """Note what became of them; what was sent first, for as long as that is not committed it may leave twice."""
    sent = [(it.message, it.name) for it in attempts if it.error is None]
    try:
        await _note_sent(conn, ctx, sent)
    except asyncpg.DataError:
        await _note_each(conn, ctx, sent)
    except asyncpg.DeadlockDetectedError:  # a webhook told of several of them in another order
        await _note_sent(conn, ctx, sent)
    state.sent += len(sent)
    for it in attempts:
        if it.error is not None:
            await _note_failed(conn, ctx, state, it.message, it.error)


async def _note_sent(conn: Conn, ctx: Context, sent: Sequence[tuple[Outgoing, str | None]]) -> None:
    if not sent:
        return
    names: dict[str, list[str]] = {}
    for message, name in sent:
        if name is not None:
            names.setdefault(message.channel, []).append(name)
    async with conn.transaction():
        # A receipt can be faster than this: whoever comes second sees what the first has written.
        for channel in sorted(names):
            await store.lock_provider_messages(conn, channel, names[channel])
        await store.mark_sent(conn, [(message.id, name) for message, name in sent], ctx.clock.now())
        for channel in sorted(names):
            for name in await store.spoken_of(conn, channel, names[channel]):
                await apply_in(conn, ctx, channel, name)
                await replies.hand_over_in(conn, ctx, channel, name)


async def _note_each(conn: Conn, ctx: Context, sent: Sequence[tuple[Outgoing, str | None]]) -> None:
    """A provider has given a message a name that cannot be written down: better to have none than to send it again."""
    for message, name in sent:
        try:
            await _note_sent(conn, ctx, [(message, name)])
        except asyncpg.DataError:
            log.exception("provider_message_id_unusable", notification_id=str(message.id))
            await _note_sent(conn, ctx, [(message, None)])


async def _note_failed(conn: Conn, ctx: Context, state: _Round, outgoing: Outgoing, error: Exception) -> None:
    now, attempts = ctx.clock.now(), outgoing.attempts
    log.warning(
        "message_not_sent",
        notification_id=str(outgoing.id),
        channel=outgoing.channel,
        attempts=attempts,
        error=repr(error),
    )
    down = isinstance(error, Unavailable)
    tired = attempts >= (MAX_ATTEMPTS_DOWN if down else MAX_ATTEMPTS)
    final = tired or isinstance(error, Refused)
    wish = error.retry_after if isinstance(error, NotSent) else None
    later = None if final else now + backoff(attempts, _dice, wish)
    await store.mark_failed(conn, outgoing.id, str(error)[:500] or repr(error), later)
    if isinstance(error, Unreachable) and outgoing.destination_id is not None:
        await store.end_destination(conn, outgoing.destination_id, "gone", now)
    if down:
        state.postponed += 1
        state.down.add(outgoing.channel)
    elif final:
        state.dead += 1
    else:
        state.postponed += 1


async def _into_inbox(ctx: Context, channels: Channels, limit: int) -> int:
    async def work(conn: Conn) -> int:
        now = ctx.clock.now()
        due = await store.lock_due(conn, now, min(BATCH, limit), beyond=list(channels.providers))
        for message in due:
            await store.mark_sending(conn, message.id, now)
            await store.into_inbox(conn, message.id, now)
        await store.mark_sent(conn, [(message.id, None) for message in due], now)
        return len(due)

    sent = 0
    while sent < limit:
        count = await in_transaction(ctx.pool, work)
        sent += count
        if count == 0:
            break
    return sent
