"""Write messages, deliver those that are due, and show what landed in the development inbox."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parseaddr
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import FieldError, Invalid
from server.base.log import logger
from server.integrations.channel import Button, Dials, Message, NotSent, Refused, Unavailable, Unreachable
from server.integrations.channels import REGISTRY, Channels, Registry, in_use, team_channels
from server.integrations.provider import Provider
from server.notifications import preferences, replies, store
from server.notifications.calendar import Method, invitation
from server.notifications.model import (
    EMAIL,
    MAX_ATTEMPTS,
    MAX_ATTEMPTS_DOWN,
    Attendee,
    Delivery,
    InboxItem,
    Kind,
    Occasion,
    Outgoing,
    backoff,
)
from server.notifications.reach import LANGUAGE, Destination, Quiet, Reach, ways
from server.notifications.receipts import apply_in
from server.notifications.texts import Text, render
from server.people import store as people
from server.people.model import Role, User

log = logger(__name__)

BATCH = 50  # development-inbox messages per transaction
INBOX_LIMIT = 500

_dice = random.Random()  # noqa: S311 - spreads retries, guards nothing


async def enqueue_in(
    conn: Conn,
    *,
    dedup_key: str,
    session_id: UUID | None,
    kind: Kind,
    recipient: User,
    role: str,
    text: Text,
    calendar: str | None,
    ctx: Context,
    channel: str = EMAIL,
    address: str | None = None,
    expires_at: datetime | None = None,
) -> bool:
    """Write one message by one channel, whatever the person chose; False when it was written before. ``address`` is
    the account's mail address unless said otherwise."""
    return await store.insert(
        conn,
        dedup_key=dedup_key,
        session_id=session_id,
        kind=kind,
        channel=channel,
        recipient_id=recipient.id,
        role=role,
        address=recipient.email if address is None else address,
        subject=text.subject,
        body=text.body,
        calendar=calendar,
        now=ctx.clock.now(),
        expires_at=expires_at,
    )


async def reach_in(conn: Conn, person: User) -> Reach:
    """How the person is reached."""
    row = await store.reach(conn, person.id)
    assert row is not None  # noqa: S101 - the outer join always returns one
    quiet = Quiet(row["quiet_start"], row["quiet_end"]) if row["quiet_start"] is not None else None
    return Reach(
        email=person.email,
        zone=ZoneInfo(person.timezone),
        language=row["language"] or LANGUAGE,
        quiet=quiet,
        choices={(kind, channel): on for kind, channel, on in row["choices"] or ()},
        destinations=tuple(
            Destination(UUID(id_), channel, address) for id_, channel, address in row["destinations"] or ()
        ),
        verified=row["verified"],
    )


async def notify_in(
    conn: Conn,
    ctx: Context,
    *,
    kind: Kind,
    recipient: User,
    role: str,
    dedup_key: str,
    values: Mapping[str, Any],
    link: str,
    template: str | None = None,
    session_id: UUID | None = None,
    calendar: str | None = None,
    buttons: Sequence[Button] = (),
    expires_at: datetime | None = None,
    zone: ZoneInfo | None = None,
    registry: Registry = REGISTRY,
) -> bool:
    """Tell a person, by every channel that fits the person's choices, once per ``dedup_key``; False when all of it
    was written before.

    ``template`` is the kind's own unless said otherwise, ``link`` where a click leads, ``zone`` the reader's unless
    the times are somebody else's. From ``expires_at`` on it is of no use and does not leave any more. A text that
    cannot be filled raises, so that nobody is told by halves.
    """
    now = ctx.clock.now()
    reach = await reach_in(conn, recipient)
    open_to_us = in_use(ctx.settings, registry)
    channels = [(name, module.TRAITS) for name, module in registry.items() if name in open_to_us]
    unsubscribe_url = preferences.unsubscribe_url(ctx.settings, recipient.id, kind, now)
    told = False
    for way in ways(kind, reach, channels, now, expires_at):
        text = render(
            template or kind, role, zone or reach.zone, values,
            channel=way.channel, form=way.form, language=reach.language, link=link,
        )  # fmt: skip
        mail = way.channel == EMAIL
        told |= await store.insert(
            conn,
            dedup_key=dedup_key,
            session_id=session_id,
            kind=kind,
            channel=way.channel,
            recipient_id=recipient.id,
            role=role,
            address=way.address,
            subject=text.subject,
            body=preferences.signed_off(ctx.settings, text.body, reach.language) if mail else text.body,
            calendar=calendar if mail else None,
            now=now,
            buttons=buttons,
            unsubscribe_url=unsubscribe_url if mail else None,
            not_before=way.not_before,
            destination_id=way.destination_id,
            url=link,
            expires_at=expires_at,
            there=registry[way.channel].TRAITS.dials is Dials.PERSON,
        )
    return told


async def tell_ops_in(
    conn: Conn,
    ctx: Context,
    *,
    kind: Kind,
    dedup_key: str,
    session_id: UUID | None,
    values: Mapping[str, Any],
    link: str,
    registry: Registry = REGISTRY,
) -> bool:
    """Tell the people who run the place: in their team's channel, times in the business zone, or, without one, each
    administrator as each chooses. False when they were told before, or there is nobody."""
    teams = {name: registry[name] for name in team_channels(ctx.settings, registry)}
    told = False
    for admin in () if teams else await people.administrators(conn):
        told |= await notify_in(
            conn, ctx, kind=kind, recipient=admin, role=Role.ADMIN.value, dedup_key=dedup_key, link=link,
            values={**values, "name": admin.name}, session_id=session_id, registry=registry,
        )  # fmt: skip
    for name, module in teams.items():
        text = render(
            kind, "ops", ctx.settings.timezone, values, channel=name, form=module.TRAITS.form, link=link
        )
        told |= await store.insert(
            conn,
            dedup_key=dedup_key,
            session_id=session_id,
            kind=kind,
            channel=name,
            recipient_id=None,
            role="ops",
            address="ops",
            subject=text.subject,
            body=text.body,
            calendar=None,
            now=ctx.clock.now(),
            url=link,
        )
    return told


async def withdraw_in(conn: Conn, session_id: UUID, kind: Kind, keep_prefix: str | None = None) -> int:
    """Let messages of a kind about a session lapse that have not left yet, but for keys that begin with
    ``keep_prefix``; returns how many."""
    return await store.withdraw(conn, session_id, kind, keep_prefix)


async def tell_in(
    conn: Conn,
    ctx: Context,
    *,
    kind: Kind,
    template: str | None = None,
    recipient: User,
    role: str,
    occasion: Occasion,
    dedup_key: str,
    method: Method | None = None,
    values: Mapping[str, Any] | None = None,
    buttons: Sequence[Button] = (),
    expires_at: datetime | None = None,
) -> bool:
    """Tell one participant (``role``: mentor or mentee) about a session, once per ``dedup_key``, with an invitation
    if a ``method`` is given.

    ``template`` is the kind's own unless said otherwise; ``values`` are for the text on top of the occasion's.
    """
    base = ctx.settings.public_url
    calendar = None
    if method is not None:
        name, address = parseaddr(ctx.settings.mail_from)
        calendar = invitation(occasion, method, Attendee(name or "Visavis", address), ctx.clock.now())
    return await notify_in(
        conn,
        ctx,
        kind=kind,
        template=template,
        recipient=recipient,
        role=role,
        dedup_key=dedup_key,
        session_id=occasion.session_id,
        calendar=calendar,
        link=occasion.url if occasion.confirmed else occasion.booking_url,
        buttons=buttons,
        expires_at=expires_at,
        values={
            "name": recipient.name,
            "mentor": occasion.mentor,
            "mentee": occasion.mentee,
            "start": occasion.start,
            "end": occasion.end,
            "topic": occasion.topic,
            "note": occasion.note,
            "price_tokens": occasion.price_tokens,
            "confirmed": occasion.confirmed,
            "reason": occasion.reason,
            "url": occasion.url,
            "booking_url": occasion.booking_url,
            "mentors_url": f"{base}/mentors",
            **(values or {}),
        },
    )


async def deliver_due(ctx: Context, channels: Channels, limit: int = 1000, senders: int = 1) -> Delivery:
    """Deliver up to ``limit`` messages that are due, ``senders`` at once, and say what became of them. Fresh ones leave
    in the order in which they were written, and before those that are tried again.

    Into the development inbox: in the same transaction as the state, so exactly once. By a provider: the attempt is
    committed as ``sending`` first, under a lock that the sender's connection holds while we talk. A sender that dies
    loses the lock and the next one repeats the message under the same id. One window therefore remains in which a
    message leaves twice: the provider has said yes (or its answer got lost), and our process or the database dies
    before ``sent`` is committed. SMTP offers nothing to close it (RFC 1047), nor do the others.

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
    async with asyncio.TaskGroup() as tasks:
        for _ in range(senders):
            tasks.create_task(_sender(ctx, channels, state))
    return Delivery(state.sent, state.postponed, state.dead)


@dataclass(slots=True)
class _Round:
    """What the senders of one round share. ``down``: channels whose provider takes nothing for now."""

    left: int
    down: set[str] = field(default_factory=set)
    sent: int = 0
    postponed: int = 0
    dead: int = 0


async def _sender(ctx: Context, channels: Channels, state: _Round) -> None:
    """Send one message after the other over one connection, which holds the lease, until there is none.

    Several senders may find the last free place of a provider's rate at once: its bucket is then in debt by as many
    messages, and pays them back before the next.
    """
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        while state.left > 0:
            state.left -= 1
            ready = channels.ready(ctx.clock.now()) - state.down
            message = await store.claim(conn, ctx.clock.now(), sorted(ready)) if ready else None
            if message is None:
                state.left += 1
                return
            try:
                became = await _send(conn, ctx, channels.providers[message.channel], message)
            finally:
                if not conn.is_closed():
                    await store.let_go(conn, message.id)
            match became:
                case "sent":
                    state.sent += 1
                case "dead":
                    state.dead += 1
                case "postponed":
                    state.postponed += 1
                case Down(name):
                    state.postponed += 1
                    state.down.add(name)


@dataclass(frozen=True, slots=True)
class Down:
    """The channel's provider takes nothing for now."""

    channel: str


async def _into_inbox(ctx: Context, channels: Channels, limit: int) -> int:
    async def work(conn: Conn) -> int:
        now = ctx.clock.now()
        due = await store.lock_due(conn, now, min(BATCH, limit), beyond=list(channels.providers))
        for message in due:
            await store.mark_sending(conn, message.id, now)
            await store.into_inbox(conn, message.id, now)
            await store.mark_sent(conn, message.id, now)
        return len(due)

    sent = 0
    while sent < limit:
        count = await in_transaction(ctx.pool, work)
        sent += count
        if count == 0:
            break
    return sent


async def _send(conn: Conn, ctx: Context, provider: Provider, outgoing: Outgoing) -> str | Down:
    now, attempts = ctx.clock.now(), outgoing.attempts
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
        provider_message_id = await provider.send(message, now)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with this message must not stop the others
        log.warning(
            "message_not_sent",
            notification_id=str(message.id),
            channel=outgoing.channel,
            attempts=attempts,
            error=repr(error),
        )
        down = isinstance(error, Unavailable)
        tired = attempts >= (MAX_ATTEMPTS_DOWN if down else MAX_ATTEMPTS)
        final = tired or isinstance(error, Refused)
        wish = error.retry_after if isinstance(error, NotSent) else None
        later = None if final else now + backoff(attempts, _dice, wish)
        await store.mark_failed(conn, message.id, str(error)[:500] or repr(error), later)
        if isinstance(error, Unreachable) and outgoing.destination_id is not None:
            await store.end_destination(conn, outgoing.destination_id, "gone", now)
        if down:
            return Down(outgoing.channel)
        return "dead" if final else "postponed"
    async with conn.transaction():
        # A receipt can be faster than this line: whoever comes second sees what the first has written.
        await store.lock_provider_message(conn, outgoing.channel, provider_message_id)
        await store.mark_sent(conn, message.id, ctx.clock.now(), provider_message_id)
        await apply_in(conn, ctx, outgoing.channel, provider_message_id)
        await replies.hand_over_in(conn, ctx, outgoing.channel, provider_message_id)
    return "sent"


async def inbox(ctx: Context, limit: int = INBOX_LIMIT) -> list[InboxItem]:
    """The development inbox, newest first; who may look is the caller's check."""
    if not 1 <= limit <= INBOX_LIMIT:
        raise Invalid([FieldError("limit", "out_of_range", f"Between 1 and {INBOX_LIMIT}.")])
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.inbox(conn, limit)
