"""The log of merges in PostgreSQL, and the chats that are brought together or taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from server.base.db import Conn, Row
from server.merging.model import Merge, Merged, Place

# Numbers of chat lines on their way to new ones: beyond every line of a room, so that no two are ever the same.
_APART: Final = 1 << 40
_BEYOND: Final = 1 << 50


async def lock_sessions(conn: Conn, sessions: Sequence[UUID]) -> None:
    """Always in the same order, and before their bookings, as settling does."""
    await conn.execute(
        "SELECT FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE", sorted(sessions)
    )


async def place(conn: Conn, session_id: UUID) -> Place:
    """Of a published session."""
    row = await conn.fetchrow(
        "SELECT s.starts_at, s.ends_at, coalesce(s.room_id, s.id) AS room_id, b.seat_group, b.seat FROM sessions s"
        " JOIN bookings b ON b.session_id = s.id WHERE s.id = $1",
        session_id,
    )
    assert row is not None  # noqa: S101 - the caller holds it
    return Place(*row.values())


async def seats_of(conn: Conn, group: UUID) -> set[int]:
    """The seats of a group that are taken."""
    rows = await conn.fetch(
        "SELECT seat FROM bookings WHERE seat_group = $1 AND status IN ('hold', 'requested', 'approved')",
        group,
    )
    return {row["seat"] for row in rows}


async def write(
    conn: Conn,
    merge_id: UUID,
    step: str,
    room_id: UUID,
    actor_id: UUID,
    reason: str,
    of: Merged,
    now: datetime,
) -> None:
    await conn.execute(
        "INSERT INTO session_merge_log (merge_id, session_id, step, room_id, actor_id, reason, before, after, at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        merge_id, of.session_id, step, room_id, actor_id, reason, of.before.document(), of.after.document(), now,
    )  # fmt: skip


async def merge_chats(conn: Conn, room_id: UUID, sessions: Sequence[UUID]) -> None:
    """Bring what was said in these sessions into the room, all in the order in which it was said.

    Two messages of one person with one name for both keep apart by a new name for the later comer.
    """
    for number, session_id in enumerate(sessions, 1):
        await conn.execute(
            "UPDATE chat_messages m SET session_id = $1, said_in = coalesce(m.said_in, $2), seq = m.seq + $3::bigint,"
            " client_id = CASE WHEN EXISTS (SELECT FROM chat_messages o WHERE o.session_id = $1"
            " AND o.user_id = m.user_id AND o.client_id = m.client_id)"
            " THEN 'm:' || m.session_id || ':' || m.seq ELSE m.client_id END WHERE m.session_id = $2",
            room_id, session_id, number * _APART,
        )  # fmt: skip
    await _number(conn, [room_id, *sessions])


async def split_chat(conn: Conn, session_id: UUID) -> None:
    """Take what was said in this session first out of the room it was brought to."""
    rows = await conn.fetch(
        "SELECT DISTINCT session_id FROM chat_messages WHERE said_in = $1 AND session_id <> $1", session_id
    )
    await conn.execute(
        "UPDATE chat_messages SET session_id = $1, said_in = NULL, seq = seq + $2::bigint WHERE said_in = $1",
        session_id, _APART,
    )  # fmt: skip
    await _number(conn, [session_id, *(row["session_id"] for row in rows)])


async def _number(conn: Conn, sessions: Sequence[UUID]) -> None:
    """Number what was said in each of these 1, 2, 3 ... again."""
    await conn.execute(
        "UPDATE chat_messages SET seq = seq + $2::bigint WHERE session_id = ANY($1::uuid[])",
        sessions,
        _BEYOND,
    )
    await conn.execute(
        "UPDATE chat_messages m SET seq = n.number FROM (SELECT session_id, seq, row_number()"
        " OVER (PARTITION BY session_id ORDER BY created_at, seq) AS number FROM chat_messages"
        " WHERE session_id = ANY($1::uuid[])) n WHERE m.session_id = n.session_id AND m.seq = n.seq",
        sessions,
    )
    await conn.execute(
        "UPDATE sessions s SET last_chat_seq = (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id)"
        " WHERE s.id = ANY($1::uuid[])",
        sessions,
    )


_SELECT = (
    "SELECT l.merge_id, l.session_id, l.room_id, l.actor_id, l.reason, l.before, l.after, l.at,"
    " (SELECT max(u.at) FROM session_merge_log u WHERE u.merge_id = l.merge_id AND u.step = 'unmerged') AS undone_at"
    " FROM session_merge_log l WHERE l.step = 'merged'"
)


async def merge(conn: Conn, merge_id: UUID) -> Merge | None:
    rows = await conn.fetch(f"{_SELECT} AND l.merge_id = $1 ORDER BY l.session_id", merge_id)
    return _merge(rows) if rows else None


async def latest_of(conn: Conn, sessions: Sequence[UUID]) -> UUID | None:
    """The newest merge that touched one of these sessions."""
    found: UUID | None = await conn.fetchval(
        "SELECT merge_id FROM session_merge_log WHERE session_id = ANY($1::uuid[]) AND step = 'merged'"
        " ORDER BY at DESC, merge_id DESC LIMIT 1",
        sessions,
    )
    return found


async def merges(conn: Conn, before: tuple[datetime, UUID] | None, limit: int) -> list[Merge]:
    """The newest first, from the (at, id) ``before`` on."""
    rows = await conn.fetch(
        f"{_SELECT} AND l.merge_id IN (SELECT merge_id FROM session_merge_log WHERE step = 'merged'"
        " AND ($1::timestamptz IS NULL OR (at, merge_id) < ($1, $2::uuid))"
        " GROUP BY at, merge_id ORDER BY at DESC, merge_id DESC LIMIT $3)"
        " ORDER BY l.at DESC, l.merge_id DESC, l.session_id",
        before and before[0], before and before[1], limit,
    )  # fmt: skip
    grouped: dict[UUID, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["merge_id"], []).append(row)
    return [_merge(each) for each in grouped.values()]


def _merge(rows: Sequence[Row]) -> Merge:
    first = rows[0]
    return Merge(
        id=first["merge_id"],
        room_id=first["room_id"],
        actor_id=first["actor_id"],
        reason=first["reason"],
        at=first["at"],
        undone_at=first["undone_at"],
        sessions=tuple(
            Merged(row["session_id"], Place.read(row["before"]), Place.read(row["after"])) for row in rows
        ),
    )
