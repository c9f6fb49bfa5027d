"""Exports in PostgreSQL: the files, and which transfer is in which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from server.base.db import Conn
from server.exports.model import Export, Posting

_EXPORT = "day, zone, ends_at, transfers, tokens, sha256, created_at"
_POSTING = (
    "t.id AS transfer_id, t.created_at AS posted_at, t.kind, d.kind AS debit_account, d.owner_id AS debit_owner,"
    " c.kind AS credit_account, c.owner_id AS credit_owner, t.amount, t.session_id, t.key, t.memo"
    " FROM transfers t JOIN accounts d ON d.id = t.debit_account JOIN accounts c ON c.id = t.credit_account"
)


async def lock(conn: Conn) -> None:
    """One export at a time, until the transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('visavis.export'), 0)")


async def bounds(conn: Conn) -> tuple[datetime | None, date | None]:
    """(the first transfer's instant, the last exported day)"""
    row = await conn.fetchrow(
        "SELECT (SELECT min(created_at) FROM transfers), (SELECT max(day) FROM transaction_exports)"
    )
    assert row is not None  # noqa: S101 - a select without FROM always returns a row
    return row[0], row[1]


async def unexported(conn: Conn, before: datetime) -> list[Posting]:
    """Transfers dated before then that are in no export, whenever they were committed."""
    rows = await conn.fetch(
        f"SELECT {_POSTING} WHERE t.created_at < $1"
        " AND NOT EXISTS (SELECT FROM exported_transfers e WHERE e.transfer_id = t.id) ORDER BY t.created_at, t.id",
        before,
    )
    return [Posting(**row) for row in rows]


async def exported(conn: Conn, day: date) -> list[Posting]:
    """The transfers of an export, in its order."""
    rows = await conn.fetch(
        f"SELECT {_POSTING} JOIN exported_transfers e ON e.transfer_id = t.id WHERE e.day = $1 ORDER BY e.line",
        day,
    )
    return [Posting(**row) for row in rows]


async def insert(conn: Conn, export: Export, body: str, transfer_ids: Sequence[UUID]) -> bool:
    """False when the day has its export already."""
    row = await conn.fetchrow(
        f"INSERT INTO transaction_exports ({_EXPORT}, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (day) DO NOTHING RETURNING day",
        export.day, export.zone, export.ends_at, export.transfers, export.tokens, export.sha256, export.created_at,
        body,
    )  # fmt: skip
    if row is not None:
        await conn.execute(
            "INSERT INTO exported_transfers (transfer_id, day, line)"
            " SELECT id, $2, line FROM unnest($1::uuid[]) WITH ORDINALITY AS t (id, line)",
            transfer_ids, export.day,
        )  # fmt: skip
    return row is not None


async def listed(conn: Conn, before: date | None, limit: int) -> list[Export]:
    """The newest first, of days before that one."""
    rows = await conn.fetch(
        f"SELECT {_EXPORT} FROM transaction_exports WHERE $1::date IS NULL OR day < $1 ORDER BY day DESC LIMIT $2",
        before, limit,
    )  # fmt: skip
    return [Export(**row) for row in rows]


async def file(conn: Conn, day: date) -> tuple[Export, str] | None:
    row = await conn.fetchrow(f"SELECT {_EXPORT}, body FROM transaction_exports WHERE day = $1", day)
    if row is None:
        return None
    fields = dict(row)
    body: str = fields.pop("body")
    return Export(**fields), body
