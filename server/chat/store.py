"""Chat messages in PostgreSQL; the session row's counter hands out the numbers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.db import Conn, Row
from server.chat.model import ChatMessage

_SELECT = (
    "SELECT m.session_id, m.seq, m.user_id, u.name, m.client_id, m.body, m.created_at"
    " FROM chat_messages m JOIN users u ON u.id = m.user_id"
)


def _message(row: Row) -> ChatMessage:
    return ChatMessage(
        session_id=row["session_id"],
        seq=row["seq"],
        user_id=row["user_id"],
        name=row["name"],
        client_id=row["client_id"],
        text=row["body"],
        at=row["created_at"],
    )


async def lock_counter(conn: Conn, session_id: UUID) -> tuple[UUID, int] | None:
    """In whose room the session meets and the last number given out there; the row stays locked until the transaction
    ends. None without such a session."""
    last: int | None = None
    room_id: UUID | None = session_id
    while room_id is not None:  # a room is its own: at most one step on, two if it goes to another meanwhile
        session_id = room_id
        row = await conn.fetchrow(
            "SELECT room_id, last_chat_seq FROM sessions WHERE id = $1 FOR NO KEY UPDATE", session_id
        )
        if row is None:
            return None
        room_id, last = row["room_id"], row["last_chat_seq"]
    return None if last is None else (session_id, last)


async def by_client_id(conn: Conn, session_id: UUID, user_id: UUID, client_id: str) -> ChatMessage | None:
    row = await conn.fetchrow(
        f"{_SELECT} WHERE m.session_id = $1 AND m.user_id = $2 AND m.client_id = $3",
        session_id, user_id, client_id,
    )  # fmt: skip
    return _message(row) if row else None


async def append(
    conn: Conn, session_id: UUID, seq: int, user_id: UUID, client_id: str, text: str, now: datetime
) -> None:
    """Store message number ``seq`` and move the counter to it; the counter must be locked."""
    await conn.execute("UPDATE sessions SET last_chat_seq = $2 WHERE id = $1", session_id, seq)
    await conn.execute(
        "INSERT INTO chat_messages (session_id, seq, user_id, client_id, body, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        session_id, seq, user_id, client_id, text, now,
    )  # fmt: skip


async def newest(conn: Conn, session_id: UUID, before: int | None, limit: int) -> list[ChatMessage]:
    """Up to ``limit`` messages below number ``before``, newest first."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE m.session_id = $1 AND ($2::bigint IS NULL OR m.seq < $2) ORDER BY m.seq DESC LIMIT $3",
        session_id, before, limit,
    )  # fmt: skip
    return [_message(row) for row in rows]
