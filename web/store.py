"""SQL of the HTTP edge: idempotency keys and the readiness question."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, Json


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What is known under a key: ``status`` None while its first request is still running."""

    route: str
    request_hash: bytes
    status: int | None
    response: Json | None


async def claim_key(
    conn: Conn,
    user_id: UUID,
    key: str,
    *,
    route: str,
    request_hash: bytes,
    now: datetime,
    stuck_before: datetime,
    forgotten_before: datetime,
) -> KeptAnswer | None:
    """Claim ``key`` for a request: None when it is ours now, else what is known under it.

    A claim without an answer from before ``stuck_before`` (its process died) and any row from before
    ``forgotten_before`` are taken over.
    """
    row = await conn.fetchrow(
        "INSERT INTO idempotency_keys AS k (user_id, key, route, request_hash, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (user_id, key) DO UPDATE SET route = $3, request_hash = $4, created_at = $5,"
        " status = NULL, response = NULL"
        " WHERE k.created_at < $7 OR (k.status IS NULL AND k.created_at < $6 AND k.request_hash = $4)"
        " RETURNING 1",
        user_id, key, route, request_hash, now, stuck_before, forgotten_before,
    )  # fmt: skip
    if row is not None:
        return None
    kept = await conn.fetchrow(
        "SELECT route, request_hash, status, response FROM idempotency_keys WHERE user_id = $1 AND key = $2",
        user_id, key,
    )  # fmt: skip
    # Gone between the two statements: its first request was refused and released the key; say "in progress".
    return KeptAnswer(**kept) if kept is not None else KeptAnswer(route, request_hash, None, None)


async def keep_answer(
    conn: Conn, user_id: UUID, key: str, *, claimed_at: datetime, status: int, response: Json
) -> bool:
    """Remember the answer; False when there is one, or somebody took the claim over in the meantime."""
    tag = await conn.execute(
        "UPDATE idempotency_keys SET status = $4, response = $5"
        " WHERE user_id = $1 AND key = $2 AND created_at = $3 AND status IS NULL",
        user_id, key, claimed_at, status, response,
    )  # fmt: skip
    return tag != "UPDATE 0"


async def release_key(conn: Conn, user_id: UUID, key: str, *, claimed_at: datetime) -> None:
    """Forget a claim that led to no answer worth repeating."""
    await conn.execute(
        "DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2 AND created_at = $3 AND status IS NULL",
        user_id, key, claimed_at,
    )  # fmt: skip


async def answers(conn: Conn) -> bool:
    """Does the database answer at all?"""
    return bool(await conn.fetchval("SELECT 1") == 1)
