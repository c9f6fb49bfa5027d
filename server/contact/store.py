"""Addresses, numbers, codes and choices in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from server.base.db import Conn, Row
from server.contact.model import Number, SentCode
from server.notifications.reach import Quiet

_NUMBER = "id, user_id, channel, address, label, created_at, verified_at, code_hash, code_sent_at, code_tries AS tries"


@dataclass(frozen=True, slots=True)
class Address:
    """The account's mail address. ``pending`` replaces it when its owner follows the link sent there."""

    email: str
    verified_at: datetime | None
    pending: str | None
    link_sent_at: datetime | None


async def lock_person(conn: Conn, user_id: UUID) -> None:
    """One change of a person's addresses and numbers at a time, until the transaction ends."""
    await conn.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)


async def address(conn: Conn, user_id: UUID) -> Address | None:
    row = await conn.fetchrow(
        "SELECT email, email_verified_at AS verified_at, email_pending AS pending,"
        " email_link_sent_at AS link_sent_at FROM users WHERE id = $1",
        user_id,
    )
    return Address(**row) if row else None


async def email_taken(conn: Conn, email: str) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM users WHERE email = $1::text::citext)", email
    )
    return found


async def set_pending(conn: Conn, user_id: UUID, email: str | None) -> None:
    await conn.execute("UPDATE users SET email_pending = $2::text::citext WHERE id = $1", user_id, email)


async def link_sent(conn: Conn, user_id: UUID, now: datetime) -> None:
    await conn.execute("UPDATE users SET email_link_sent_at = $2 WHERE id = $1", user_id, now)


async def replace_address(conn: Conn, user_id: UUID, now: datetime) -> bool:
    """The pending address becomes the account's; False when somebody else has it meanwhile."""
    try:
        async with conn.transaction():
            await conn.execute(
                "UPDATE users SET email = email_pending, email_verified_at = $2, email_pending = NULL"
                " WHERE id = $1 AND email_pending IS NOT NULL",
                user_id, now,
            )  # fmt: skip
    except asyncpg.UniqueViolationError:
        return False
    return True


def _number(row: Row) -> Number:
    return Number(**row)


async def numbers(conn: Conn, user_id: UUID) -> list[Number]:
    """All that are live: verified ones, and those that wait for their code."""
    rows = await conn.fetch(
        f"SELECT {_NUMBER} FROM destinations WHERE user_id = $1 AND ended_at IS NULL"
        " ORDER BY channel, verified_at NULLS LAST, id",
        user_id,
    )
    return [_number(row) for row in rows]


async def owned(conn: Conn, user_id: UUID, number_id: UUID) -> bool:
    """Whether it is or was this person's."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM destinations WHERE id = $1 AND user_id = $2)", number_id, user_id
    )
    return found


async def insert_number(conn: Conn, number: Number) -> None:
    await conn.execute(
        "INSERT INTO destinations (id, user_id, channel, address, label, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        number.id, number.user_id, number.channel, number.address, number.label, number.created_at,
    )  # fmt: skip


async def end_others(
    conn: Conn, number: Number, *, verified: bool, now: datetime, reason: str = "replaced"
) -> None:
    """End the person's other numbers of the channel: the verified ones, or those that wait for a code."""
    await conn.execute(
        "UPDATE destinations SET ended_at = $4, ended_reason = $5 WHERE user_id = $1 AND channel = $2 AND id <> $3"
        " AND ended_at IS NULL AND (verified_at IS NOT NULL) = $6",
        number.user_id, number.channel, number.id, now, reason, verified,
    )  # fmt: skip


async def end_number(conn: Conn, user_id: UUID, number_id: UUID, now: datetime) -> None:
    await conn.execute(
        "UPDATE destinations SET ended_at = $3, ended_reason = 'removed'"
        " WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
        number_id, user_id, now,
    )  # fmt: skip


async def set_code(conn: Conn, number_id: UUID, code_hash: bytes, now: datetime) -> None:
    await conn.execute(
        "UPDATE destinations SET code_hash = $2, code_sent_at = $3, code_tries = 0 WHERE id = $1",
        number_id, code_hash, now,
    )  # fmt: skip


async def note_code(conn: Conn, code_id: UUID, sent: SentCode) -> None:
    await conn.execute(
        "INSERT INTO destination_codes (id, user_id, channel, address, sent_at) VALUES ($1, $2, $3, $4, $5)",
        code_id, sent.user_id, sent.channel, sent.address, sent.sent_at,
    )  # fmt: skip


async def sent_codes(
    conn: Conn, user_id: UUID, channel: str, address: str, since: datetime
) -> list[SentCode]:
    """This person's, and everybody's to this number."""
    rows = await conn.fetch(
        "SELECT user_id, channel, address, sent_at FROM destination_codes"
        " WHERE sent_at > $4 AND (user_id = $1 OR (channel = $2 AND address = $3))",
        user_id, channel, address, since,
    )  # fmt: skip
    return [SentCode(**row) for row in rows]


async def lock_number(conn: Conn, channel: str, address: str) -> None:
    """Codes to one number are counted one after the other, whoever asks, until the transaction ends."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtext('visavis.number'), hashtext($1))", f"{channel} {address}"
    )


async def wrong_code(conn: Conn, number_id: UUID) -> None:
    await conn.execute("UPDATE destinations SET code_tries = code_tries + 1 WHERE id = $1", number_id)


async def verify_number(conn: Conn, number_id: UUID, now: datetime) -> None:
    await conn.execute(
        "UPDATE destinations SET verified_at = $2, code_hash = NULL, code_sent_at = NULL, code_tries = 0"
        " WHERE id = $1",
        number_id, now,
    )  # fmt: skip


async def set_choices(
    conn: Conn, user_id: UUID, choices: Sequence[tuple[str, str, bool | None]], now: datetime
) -> None:
    """``(kind, channel, wanted)``; None forgets the choice."""
    await conn.executemany(
        "INSERT INTO notification_preferences (user_id, kind, channel, wanted, updated_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (user_id, kind, channel)"
        " DO UPDATE SET wanted = EXCLUDED.wanted, updated_at = EXCLUDED.updated_at",
        [(user_id, kind, channel, on, now) for kind, channel, on in choices if on is not None],
    )
    await conn.executemany(
        "DELETE FROM notification_preferences WHERE user_id = $1 AND kind = $2 AND channel = $3",
        [(user_id, kind, channel) for kind, channel, on in choices if on is None],
    )


async def set_settings(conn: Conn, user_id: UUID, language: str, quiet: Quiet | None, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO notification_settings (user_id, language, quiet_start, quiet_end, updated_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id) DO UPDATE SET language = EXCLUDED.language,"
        " quiet_start = EXCLUDED.quiet_start, quiet_end = EXCLUDED.quiet_end, updated_at = EXCLUDED.updated_at",
        user_id, language, quiet.start if quiet else None, quiet.end if quiet else None, now,
    )  # fmt: skip
