"""Accounts and transfers in PostgreSQL; a trigger keeps the balances, constraints refuse overdrafts and repeats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from server.base.db import Conn, Row
from server.base.errors import Conflict, InsufficientFunds
from server.base.ids import new_id
from server.ledger.model import AccountKind, Entry, Transfer, TransferKind, Wallet

_TRANSFER = "id, key, kind, debit_account, credit_account, amount, session_id, memo, created_at"


def _transfer(row: Row) -> Transfer:
    return Transfer(
        id=row["id"],
        key=row["key"],
        kind=TransferKind(row["kind"]),
        debit=row["debit_account"],
        credit=row["credit_account"],
        amount=row["amount"],
        session_id=row["session_id"],
        memo=row["memo"],
        created_at=row["created_at"],
    )


async def account(conn: Conn, kind: AccountKind, owner: UUID | None, now: datetime) -> UUID:
    """The account of that kind and owner (None: the platform), opened if there is none."""
    find = "SELECT id FROM accounts WHERE kind = $1 AND owner_id IS NOT DISTINCT FROM $2"
    found: UUID | None = await conn.fetchval(find, kind, owner)
    if found is None:
        found = await conn.fetchval(
            "INSERT INTO accounts (id, kind, owner_id, created_at) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (kind, owner_id) DO NOTHING RETURNING id",
            new_id(), kind, owner, now,
        )  # fmt: skip
    if found is None:  # somebody else has just opened it
        found = await conn.fetchval(find, kind, owner)
    if found is None:
        raise LookupError(f"no account {kind} of {owner}")
    return found


async def lock_accounts(conn: Conn, accounts: Sequence[UUID]) -> None:
    """Lock account rows in id order, before several transfers touch them one after the other.

    The trigger locks the two accounts of one transfer in this order by itself.
    """
    await conn.fetch(
        "SELECT id FROM accounts WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE", accounts
    )


async def post(
    conn: Conn,
    key: str,
    kind: TransferKind,
    debit: UUID,
    credit: UUID,
    amount: int,
    session_id: UUID | None,
    memo: str,
    now: datetime,
) -> Transfer:
    """Move ``amount`` (> 0) from ``debit`` to ``credit``, once per ``key``: again returns the transfer there is.

    Raises ``InsufficientFunds("insufficient_tokens")`` (the transaction is then lost) and ``Conflict("key_reused")``
    when the key stands for another transfer.
    """
    try:
        row = await conn.fetchrow(
            "INSERT INTO transfers (id, key, kind, debit_account, credit_account, amount, session_id, memo, created_at)"
            f" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (key) DO NOTHING RETURNING {_TRANSFER}",
            new_id(), key, kind, debit, credit, amount, session_id, memo, now,
        )  # fmt: skip
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "accounts_no_overdraft":
            raise InsufficientFunds(
                "insufficient_tokens", "There are not enough tokens.", needed_tokens=amount
            ) from error
        raise
    if row is None:
        row = await conn.fetchrow(f"SELECT {_TRANSFER} FROM transfers WHERE key = $1", key)
    if row is None:
        raise LookupError(f"transfer {key} is neither new nor there")
    transfer = _transfer(row)
    if (transfer.kind, transfer.debit, transfer.credit, transfer.amount) != (kind, debit, credit, amount):
        raise Conflict("key_reused", "This transfer was made already, with other figures.")
    return transfer


async def standing(conn: Conn, session_id: UUID) -> tuple[int, int]:
    """(earning, fee) of a session: what was paid less what was taken back."""
    row = await conn.fetchrow(
        "SELECT coalesce(sum(t.amount) FILTER (WHERE t.kind = 'earning'), 0)"
        " - coalesce(sum(t.amount) FILTER (WHERE t.kind = 'reversal' AND d.kind = 'earnings'), 0) AS earning,"
        " coalesce(sum(t.amount) FILTER (WHERE t.kind = 'fee'), 0)"
        " - coalesce(sum(t.amount) FILTER (WHERE t.kind = 'reversal' AND d.kind = 'fees'), 0) AS fee"
        " FROM transfers t JOIN accounts d ON d.id = t.debit_account WHERE t.session_id = $1",
        session_id,
    )
    assert row is not None  # noqa: S101 - an aggregate has a row
    return int(row["earning"]), int(row["fee"])


async def exists(conn: Conn, key: str) -> bool:
    found: bool = await conn.fetchval("SELECT EXISTS (SELECT FROM transfers WHERE key = $1)", key)
    return found


async def is_mentee(conn: Conn, user_id: UUID) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM users WHERE id = $1 AND role = 'mentee')", user_id
    )
    return found


async def wallet(conn: Conn, user_id: UUID) -> Wallet:
    """Accounts that were never opened hold nothing."""
    rows = await conn.fetch("SELECT kind, balance FROM accounts WHERE owner_id = $1", user_id)
    balance: dict[str, int] = {row["kind"]: row["balance"] for row in rows}
    return Wallet(
        balance.get(AccountKind.WALLET, 0),
        balance.get(AccountKind.HELD, 0),
        balance.get(AccountKind.EARNINGS, 0),
    )


async def entries(conn: Conn, user_id: UUID, before: tuple[datetime, UUID] | None, limit: int) -> list[Entry]:
    """The person's transfers, newest first, older than (created_at, id) ``before``."""
    rows = await conn.fetch(
        "SELECT t.id, t.kind, t.amount, t.session_id, t.memo, t.created_at,"
        " CASE WHEN d.owner_id = $1 THEN d.kind END AS taken, CASE WHEN c.owner_id = $1 THEN c.kind END AS given"
        " FROM transfers t JOIN accounts d ON d.id = t.debit_account JOIN accounts c ON c.id = t.credit_account"
        " WHERE (t.debit_account IN (SELECT id FROM accounts WHERE owner_id = $1)"
        " OR t.credit_account IN (SELECT id FROM accounts WHERE owner_id = $1))"
        " AND ($2::timestamptz IS NULL OR (t.created_at, t.id) < ($2, $3::uuid))"
        " ORDER BY t.created_at DESC, t.id DESC LIMIT $4",
        user_id, before and before[0], before and before[1], limit,
    )  # fmt: skip
    return [_entry(row) for row in rows]


def _entry(row: Row) -> Entry:
    def change(kind: AccountKind) -> int:
        amount: int = row["amount"]
        return amount * (int(row["given"] == kind) - int(row["taken"] == kind))

    return Entry(
        id=row["id"],
        kind=TransferKind(row["kind"]),
        amount_tokens=row["amount"],
        wallet_change=change(AccountKind.WALLET),
        held_change=change(AccountKind.HELD),
        earnings_change=change(AccountKind.EARNINGS),
        session_id=row["session_id"],
        memo=row["memo"],
        created_at=row["created_at"],
    )
