"""Messages in PostgreSQL: written once per occasion and person, claimed by one sender at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from server.base.db import Conn, Row, rows_affected
from server.base.ids import new_id
from server.integrations.channel import Button, Event
from server.notifications.model import Draft, InboxItem, Outgoing, Receipts

_DUE = "status IN ('pending', 'retrying', 'sending') AND next_attempt_at <= $1"
# What a dead sender has left in doubt is settled also when it is late; nothing else begins too late.
_OF_USE = "(status = 'sending' OR expires_at IS NULL OR expires_at > $1)"
_OUTGOING = (
    "id, channel, kind, address, subject, body, calendar, buttons, unsubscribe_url, url, destination_id, attempts,"
    " answers, expires_at"
)
_FIELDS = _OUTGOING.split(", ")


async def insert(conn: Conn, drafts: Sequence[Draft], now: datetime) -> set[tuple[str, UUID | None]]:
    """(key, recipient) of what was not written before."""
    rows = await conn.fetch(
        "INSERT INTO notifications (id, dedup_key, session_id, kind, channel, recipient_id, role, address, subject,"
        " body, calendar, status, sent_at, next_attempt_at, created_at, buttons, unsubscribe_url, destination_id, url,"
        " expires_at, in_reply_to, answers)"
        " SELECT id, dedup_key, session_id, kind, channel, recipient_id, role, address, subject, body, calendar,"
        " CASE WHEN there THEN 'sent' ELSE 'pending' END, CASE WHEN there THEN $1::timestamptz END,"
        " coalesce(not_before, to_timestamp(0)), $1, buttons::jsonb, unsubscribe_url, destination_id, url, expires_at,"
        " in_reply_to, answers"
        " FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::uuid[], $8::text[], $9::text[],"
        " $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::timestamptz[], $16::uuid[],"
        " $17::text[], $18::timestamptz[], $19::bool[], $20::uuid[], $21::text[])"
        " AS d (id, dedup_key, session_id, kind, channel, recipient_id, role, address, subject, body, calendar,"
        " buttons, unsubscribe_url, not_before, destination_id, url, expires_at, there, in_reply_to, answers)"
        " ON CONFLICT (dedup_key, kind, recipient_id, channel, destination_id) DO NOTHING"
        " RETURNING dedup_key, recipient_id",
        now,
        [new_id() for _ in drafts],
        *zip(
            *(
                (
                    it.dedup_key, it.session_id, it.kind, it.channel, it.recipient_id, it.role, it.address, it.subject,
                    it.body, it.calendar, json.dumps([asdict(button) for button in it.buttons]), it.unsubscribe_url,
                    it.not_before, it.destination_id, it.url, it.expires_at, it.there, it.in_reply_to, it.answers,
                )
                for it in drafts
            ),
            strict=True,
        ),
    )  # fmt: skip
    return {(row["dedup_key"], row["recipient_id"]) for row in rows}


async def reaches(conn: Conn, users: Collection[UUID]) -> dict[UUID, Row]:
    """What `Reach` needs to know of people beside their accounts: settings, choices, verified destinations."""
    rows = await conn.fetch(
        "SELECT u.user_id, s.quiet_start, s.quiet_end, s.language, a.email_verified_at IS NOT NULL AS verified,"
        " (SELECT jsonb_agg(jsonb_build_array(p.kind, p.channel, p.wanted)) FROM notification_preferences p"
        "  WHERE p.user_id = u.user_id) AS choices,"
        " (SELECT jsonb_agg(jsonb_build_array(d.id, d.channel, d.address) ORDER BY d.verified_at, d.id)"
        "  FROM destinations d WHERE d.user_id = u.user_id AND d.verified_at IS NOT NULL AND d.ended_at IS NULL)"
        " AS destinations"
        " FROM unnest($1::uuid[]) AS u (user_id) LEFT JOIN notification_settings s USING (user_id)"
        " LEFT JOIN users a ON a.id = u.user_id",
        list(users),
    )
    return {row["user_id"]: row for row in rows}


async def end_destination(conn: Conn, destination_id: UUID, reason: str, now: datetime) -> None:
    await conn.execute(
        "UPDATE destinations SET ended_at = $3, ended_reason = $2 WHERE id = $1 AND ended_at IS NULL",
        destination_id, reason, now,
    )  # fmt: skip


async def lapse(conn: Conn, now: datetime) -> int:
    """Put away what has not left in time."""
    return rows_affected(
        await conn.execute(
            "UPDATE notifications SET status = 'lapsed', error = coalesce(error, 'too late')"
            " WHERE status IN ('pending', 'retrying') AND expires_at <= $1",
            now,
        )
    )


async def withdraw(conn: Conn, session_id: UUID, kind: str, keep_prefix: str | None) -> int:
    """Put away what is still here of a kind about a session, but for keys that begin so."""
    return rows_affected(
        await conn.execute(
            "UPDATE notifications SET status = 'lapsed', error = coalesce(error, 'overtaken')"
            " WHERE session_id = $1 AND kind = $2 AND status IN ('pending', 'retrying')"
            " AND ($3::text IS NULL OR NOT starts_with(dedup_key, $3))",
            session_id, kind, keep_prefix,
        )
    )  # fmt: skip


def _outgoing(row: Row | Mapping[str, Any]) -> Outgoing:
    return Outgoing(**{**row, "buttons": tuple(Button(**button) for button in row["buttons"])})


async def lock_due(conn: Conn, now: datetime, limit: int, *, beyond: Sequence[str]) -> list[Outgoing]:
    """Up to ``limit`` messages of other channels than ``beyond`` that are due and that nobody is sending, locked until
    the transaction ends."""
    rows = await conn.fetch(
        f"SELECT {_OUTGOING} FROM notifications WHERE {_DUE} AND channel <> ALL ($3)"
        " ORDER BY created_at, id LIMIT $2 FOR UPDATE SKIP LOCKED",
        now, limit, beyond,
    )  # fmt: skip
    return [_outgoing(row) for row in rows]


async def read_in_order(conn: Conn) -> None:
    """Let `claim` follow its index, until the connection is given back.

    A surge is there before PostgreSQL has counted it: believing that few messages are due, it would fetch and sort them
    all for each claim (20,000: 25 to 45 ms; in the order of the index: 1 ms).
    """
    await conn.execute("SET enable_bitmapscan = off")


async def claim(
    conn: Conn, now: datetime, channels: Collection[str], limit: int, held: Collection[UUID]
) -> list[Outgoing]:
    """Choose up to ``limit`` due messages of these channels that nobody is sending, mark them as ``sending``, count the
    attempt, and become their sender until `let_go` or the connection's end. ``held`` are those it has already.

    An advisory lock of the session is the lease: a killed sender loses it at once. The rows are looked at one by one,
    in the order of an index, until enough locks are free: only those are taken. A row that another sender has finished
    between our look and our lock is not ours: then we look again.
    """
    while True:
        rows = await conn.fetch(
            "WITH due AS MATERIALIZED (SELECT id, next_attempt_at AS due_at FROM notifications"
            f" WHERE {_DUE} AND {_OF_USE} AND channel = ANY ($2) AND id <> ALL ($4)"
            " ORDER BY next_attempt_at, id LIMIT 200),"
            " mine AS MATERIALIZED (SELECT id, due_at FROM due"
            " WHERE pg_try_advisory_lock(hashtext('visavis.mail'), hashtext(id::text)) LIMIT $3),"
            " begun AS (UPDATE notifications n SET status = 'sending', sending_since = $1, attempts = n.attempts + 1"
            f" FROM mine WHERE n.id = mine.id AND n.{_DUE} RETURNING n.*)"
            f" SELECT mine.id AS locked, {', '.join(f'begun.{name}' for name in _FIELDS)}"
            " FROM mine LEFT JOIN begun ON begun.id = mine.id ORDER BY mine.due_at, mine.id",
            now, list(channels), limit, list(held),
        )  # fmt: skip
        if passed := [row["locked"] for row in rows if row["id"] is None]:
            await let_go(conn, passed)
        if len(passed) < len(rows) or not rows:
            return [_outgoing({name: row[name] for name in _FIELDS}) for row in rows if row["id"] is not None]


async def let_go(conn: Conn, messages: Sequence[UUID]) -> None:
    await conn.execute(
        "SELECT pg_advisory_unlock(hashtext('visavis.mail'), hashtext(id::text)) FROM unnest($1::uuid[]) AS m (id)",
        messages,
    )


async def mark_sending(conn: Conn, notification_id: UUID, now: datetime) -> int:
    """Count the attempt; returns its number."""
    attempts: int = await conn.fetchval(
        "UPDATE notifications SET status = 'sending', sending_since = $2, attempts = attempts + 1"
        " WHERE id = $1 RETURNING attempts",
        notification_id, now,
    )  # fmt: skip
    return attempts


async def mark_sent(conn: Conn, sent: Sequence[tuple[UUID, str | None]], now: datetime) -> None:
    """(message, the provider's name of it)"""
    await conn.execute(
        "UPDATE notifications n SET status = 'sent', sent_at = $3, sending_since = NULL, error = NULL,"
        " provider_message_id = s.name FROM unnest($1::uuid[], $2::text[]) AS s (id, name) WHERE n.id = s.id",
        [message_id for message_id, _ in sent], [name for _, name in sent], now,
    )  # fmt: skip


async def lock_provider_messages(conn: Conn, channel: str, names: Collection[str]) -> None:
    """Until the transaction ends: a receipt and the note that the message was sent wait for each other."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtext('visavis.receipt'), hashtext(name))"
        " FROM (SELECT name FROM unnest($1::text[]) AS n (name) ORDER BY name) AS sorted",
        [f"{channel} {name}" for name in names],
    )


async def spoken_of(conn: Conn, channel: str, names: Collection[str]) -> list[str]:
    """Those of our messages that a receipt or a waiting reply is about."""
    rows = await conn.fetch(
        "SELECT name FROM unnest($2::text[]) AS n (name) WHERE"
        " EXISTS (SELECT FROM provider_events WHERE channel = $1 AND provider_message_id = name)"
        " OR EXISTS (SELECT FROM provider_events WHERE channel = $1 AND context_id = name AND kind = 'reply'"
        " AND handed_at IS NULL)",
        channel, list(names),
    )  # fmt: skip
    return [row["name"] for row in rows]


async def insert_event(conn: Conn, channel: str, event: Event, now: datetime) -> bool:
    """False when the provider has told it before."""
    row = await conn.fetchrow(
        "INSERT INTO provider_events (id, channel, event_key, kind, provider_message_id, context_id, sender, body,"
        " permanent, received_at, said_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        " ON CONFLICT (channel, event_key) DO NOTHING RETURNING id",
        new_id(), channel, f"{event.id}:{event.kind}", event.kind, event.id, event.context_id, event.sender, event.body,
        event.permanent, now, event.said_at,
    )  # fmt: skip
    return row is not None


async def receipts(conn: Conn, channel: str, provider_message_id: str) -> Receipts | None:
    """All that is told of a message; None when there is no such message or nothing can change any more."""
    row = await conn.fetchrow(
        "SELECT n.id AS notification_id, n.attempts,"
        " max(e.received_at) FILTER (WHERE e.kind = 'delivered') AS delivered_at,"
        " max(e.received_at) FILTER (WHERE e.kind = 'failed') AS failed_at,"
        " coalesce(bool_or(e.permanent) FILTER (WHERE e.kind = 'failed'), false) AS permanent,"
        " max(e.body) FILTER (WHERE e.kind = 'failed') AS error"
        " FROM notifications n JOIN provider_events e ON e.channel = n.channel"
        " AND e.provider_message_id = n.provider_message_id"
        " WHERE n.channel = $1 AND n.provider_message_id = $2 AND n.status IN ('sent', 'failed', 'retrying')"
        " GROUP BY n.id",
        channel, provider_message_id,
    )  # fmt: skip
    return Receipts(**row) if row else None


async def settle_delivery(
    conn: Conn,
    notification_id: UUID,
    status: str,
    at: datetime,
    next_attempt_at: datetime | None,
    error: str | None,
) -> None:
    """``delivered``, ``failed`` for good, or ``retrying`` then."""
    await conn.execute(
        "UPDATE notifications SET status = $2, error = $5, next_attempt_at = coalesce($4, next_attempt_at),"
        " delivered_at = CASE WHEN $2 = 'delivered' THEN $3 ELSE delivered_at END,"
        " failed_at = CASE WHEN $2 = 'delivered' THEN failed_at ELSE $3 END WHERE id = $1",
        notification_id, status, at, next_attempt_at, error,
    )  # fmt: skip


async def mark_failed(
    conn: Conn, notification_id: UUID, error: str, next_attempt_at: datetime | None
) -> None:
    """Retry then, or never again when ``next_attempt_at`` is None."""
    await conn.execute(
        "UPDATE notifications SET status = CASE WHEN $3::timestamptz IS NULL THEN 'dead' ELSE 'retrying' END,"
        " next_attempt_at = coalesce($3, next_attempt_at), error = $2, sending_since = NULL WHERE id = $1",
        notification_id, error, next_attempt_at,
    )  # fmt: skip


async def into_inbox(conn: Conn, notification_id: UUID, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO dev_inbox (id, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING", notification_id, now
    )


async def inbox(conn: Conn, limit: int) -> list[InboxItem]:
    """The development inbox, newest first."""
    rows = await conn.fetch(
        "SELECT n.id, n.session_id, n.kind, n.channel, n.address AS recipient, n.role, n.subject, n.body AS text,"
        " n.calendar, d.created_at FROM dev_inbox d JOIN notifications n ON n.id = d.id"
        " ORDER BY d.created_at DESC, d.id DESC LIMIT $1",
        limit,
    )
    return [InboxItem(**row) for row in rows]


async def another_round(
    conn: Conn, now: datetime, attempts: int, died_at: int, written_after: datetime, limit: int
) -> int:
    """Give up to ``limit`` dead messages their attempts back down to ``attempts``, due at once: those that died at the
    ``died_at``-th attempt or later, were written after then, are still of use, and have never left. How many."""
    return rows_affected(
        await conn.execute(
            "UPDATE notifications SET status = 'retrying', attempts = $2, next_attempt_at = $1 WHERE id IN ("
            "SELECT id FROM notifications WHERE status = 'dead' AND attempts >= $3 AND created_at > $4"
            " AND sent_at IS NULL AND (expires_at IS NULL OR expires_at > $1)"
            " ORDER BY id LIMIT $5 FOR UPDATE SKIP LOCKED)",
            now, attempts, died_at, written_after, limit,
        )
    )  # fmt: skip


async def bring_forward(conn: Conn, now: datetime, attempts: int, back_since: datetime, limit: int) -> int:
    """Make up to ``limit`` messages due that have failed ``attempts`` times or more and wait, where their channel has
    sent something since ``back_since`` and after their last failure was scheduled. How many."""
    return rows_affected(
        await conn.execute(
            "UPDATE notifications SET next_attempt_at = $1 WHERE id IN ("
            "SELECT n.id FROM notifications n WHERE n.status = 'retrying' AND n.attempts >= $2"
            " AND n.next_attempt_at > $1 AND EXISTS (SELECT FROM notifications s WHERE s.channel = n.channel"
            " AND s.sent_at > $3 AND s.provider_message_id IS NOT NULL)"
            " ORDER BY n.id LIMIT $4 FOR UPDATE SKIP LOCKED)",
            now, attempts, back_since, limit,
        )
    )  # fmt: skip


# ---------------------------------------------------------------- what people write back


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's message; ``context_id`` is the provider's name of the one it answers."""

    id: UUID
    channel: str
    provider_message_id: str
    context_id: str | None
    sender: str
    body: str
    said_at: datetime | None
    received_at: datetime


async def reply(conn: Conn, event_id: UUID) -> Reply:
    row = await conn.fetchrow(
        "SELECT id, channel, provider_message_id, context_id, coalesce(sender, '') AS sender, body, said_at,"
        " received_at FROM provider_events WHERE id = $1 AND kind = 'reply'",
        event_id,
    )
    if row is None:
        raise LookupError(f"no reply {event_id}")
    return Reply(**row)


async def knows_message(conn: Conn, channel: str, provider_message_id: str) -> bool:
    """Whether it is one of ours, as far as we have noted, or a reply we have got."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM notifications WHERE channel = $1 AND provider_message_id = $2)"
        " OR EXISTS (SELECT FROM provider_events WHERE channel = $1 AND provider_message_id = $2 AND kind = 'reply')",
        channel, provider_message_id,
    )  # fmt: skip
    return found


async def hand_replies(
    conn: Conn, now: datetime, *, channel: str, name: str | None = None, context: str | None = None
) -> list[UUID]:
    """Mark the waiting reply of that ``name``, or those that answer ``context``, as handed on; returns them."""
    rows = await conn.fetch(
        "UPDATE provider_events SET handed_at = $4 WHERE kind = 'reply' AND handed_at IS NULL AND channel = $1"
        " AND ($2::text IS NULL OR provider_message_id = $2) AND ($3::text IS NULL OR context_id = $3) RETURNING id",
        channel, name, context, now,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def hand_old_replies(conn: Conn, now: datetime, before: datetime, limit: int) -> list[UUID]:
    """Mark up to ``limit`` replies that have waited since ``before`` as handed on; returns them."""
    rows = await conn.fetch(
        "UPDATE provider_events SET handed_at = $1 WHERE id IN (SELECT id FROM provider_events"
        " WHERE kind = 'reply' AND handed_at IS NULL AND received_at <= $2 ORDER BY received_at LIMIT $3"
        " FOR UPDATE SKIP LOCKED) RETURNING id",
        now, before, limit,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def settle_reply(conn: Conn, event_id: UUID, result: str, session_id: UUID | None) -> None:
    await conn.execute(
        "UPDATE provider_events SET result = $2, session_id = $3 WHERE id = $1", event_id, result, session_id
    )


@dataclass(frozen=True, slots=True)
class Ours:
    """A message of ours as a reply finds it; ``answers`` is the person's message that it answers."""

    session_id: UUID | None
    recipient_id: UUID | None
    kind: str
    buttons: tuple[Button, ...]
    created_at: datetime
    answers: str | None


async def ours(conn: Conn, channel: str, provider_message_id: str) -> Ours | None:
    row = await conn.fetchrow(
        "SELECT n.session_id, n.recipient_id, n.kind, n.buttons, n.created_at, n.answers"
        " FROM notifications n"
        " WHERE n.channel = $1 AND n.provider_message_id = $2 ORDER BY n.id LIMIT 1",
        channel, provider_message_id,
    )  # fmt: skip
    return Ours(**{**row, "buttons": tuple(Button(**it) for it in row["buttons"])}) if row else None


async def context_of(conn: Conn, channel: str, provider_message_id: str) -> str | None:
    """The message that a person's message answers, if it does."""
    found: str | None = await conn.fetchval(
        "SELECT context_id FROM provider_events WHERE channel = $1 AND provider_message_id = $2 AND kind = 'reply'",
        channel, provider_message_id,
    )  # fmt: skip
    return found


async def owners(conn: Conn, channel: str, address: str) -> frozenset[UUID]:
    """Whose verified number it is."""
    rows = await conn.fetch(
        "SELECT DISTINCT user_id FROM destinations WHERE channel = $1 AND address = $2 AND verified_at IS NOT NULL"
        " AND ended_at IS NULL",
        channel, address,
    )  # fmt: skip
    return frozenset(row["user_id"] for row in rows)


async def last_buttons(conn: Conn, channel: str, recipient_id: UUID, session_id: UUID) -> tuple[Button, ...]:
    """Those of the latest message to the person about the session by that channel."""
    found = await conn.fetchval(
        "SELECT buttons FROM notifications WHERE session_id = $3 AND recipient_id = $2 AND channel = $1"
        " AND status <> 'lapsed' ORDER BY created_at DESC, id DESC LIMIT 1",
        channel, recipient_id, session_id,
    )  # fmt: skip
    return tuple(Button(**it) for it in found or ())
