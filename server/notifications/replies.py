"""What people write back: handed on once, when what it answers is known; and our answers to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.store import record
from server.integrations.channel import Button, Event, Form
from server.notifications import store
from server.notifications.model import Draft, Kind, ReplyReceived
from server.notifications.reach import Reach
from server.notifications.store import Ours, Reply
from server.notifications.texts import render
from server.people.model import User

WINDOW: Final = timedelta(hours=24)  # after a person's message WhatsApp takes free text
PATIENCE: Final = timedelta(
    minutes=2
)  # for our own note that the message was sent, which a reply can overtake
LONGEST_CHAIN: Final = 20  # replies to replies; longer ones are somebody's game
BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Chain:
    """What a reply goes back to: the first message of ours on the way, and the first that is about a session."""

    answered: Ours | None = None
    about: Ours | None = None


async def received_in(conn: Conn, ctx: Context, channel: str, event: Event) -> None:
    """Hand a new reply on, unless we have yet to note the message it answers; the caller holds both their locks."""
    if event.context_id is None or await store.knows_message(conn, channel, event.context_id):
        now = ctx.clock.now()
        await _record(conn, now, await store.hand_replies(conn, now, channel=channel, name=event.id))


async def hand_over_in(conn: Conn, ctx: Context, channel: str, provider_message_id: str) -> None:
    """Hand on the replies that came before our note that this message was sent; the caller holds its lock."""
    now = ctx.clock.now()
    await _record(
        conn, now, await store.hand_replies(conn, now, channel=channel, context=provider_message_id)
    )


async def hand_over_late(ctx: Context) -> int:
    """Hand on replies to what nobody knows: they answer a message that was never noted, or not ours. Returns how many.
    Safe to run anywhere at once."""

    async def work(conn: Conn) -> int:
        now = ctx.clock.now()
        found = await store.hand_old_replies(conn, now, now - PATIENCE, BATCH)
        await _record(conn, now, found)
        return len(found)

    handed = 0
    while count := await in_transaction(ctx.pool, work):
        handed += count
    return handed


async def _record(conn: Conn, now: datetime, events: Sequence[UUID]) -> None:
    for event_id in events:
        await record(conn, ReplyReceived(None, now, event_id))


async def chain_of(conn: Conn, reply: Reply) -> Chain:
    """Follow the ids back: a reply names the message it answers, which is one of ours, or one of theirs that answers
    another; ours remember the reply that they answer."""
    answered: Ours | None = None
    name, seen = reply.context_id, set[str]()
    while name is not None and name not in seen and len(seen) < LONGEST_CHAIN:
        seen.add(name)
        if (ours := await store.ours(conn, reply.channel, name)) is not None:
            answered = answered or ours
            if ours.session_id is not None:
                return Chain(answered, ours)
            name = ours.answers
        else:
            name = await store.context_of(conn, reply.channel, name)
    return Chain(answered)


async def answer_in(
    conn: Conn,
    ctx: Context,
    reply: Reply,
    *,
    recipient: User,
    reach: Reach,
    role: str,
    values: Mapping[str, Any],
    link: str,
    session_id: UUID | None,
    buttons: Sequence[Button] = (),
) -> bool:
    """Answer a reply where it came from, once; False when it was answered before, or too long ago. Quiet hours do not
    hold: the person has the telephone in the hand."""
    expires_at = (reply.said_at or reply.received_at) + WINDOW
    if ctx.clock.now() >= expires_at:
        return False
    text = render(
        Kind.REPLY, role, reach.zone, values,
        channel=reply.channel, form=Form.SHORT, language=reach.language, link=link,
    )  # fmt: skip
    draft = Draft(
        dedup_key=f"reply:{reply.id}",
        session_id=session_id,
        kind=Kind.REPLY,
        channel=reply.channel,
        recipient_id=recipient.id,
        role=role,
        address=reply.sender,
        subject=text.subject,
        body=text.body,
        buttons=tuple(buttons),
        url=link,
        expires_at=expires_at,
        in_reply_to=reply.id,
        answers=reply.provider_message_id,
    )
    return bool(await store.insert(conn, [draft], ctx.clock.now()))
