"""Move tokens: grants, holds, releases and settlements, each once; and what a person may see of it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.ledger import model, store
from server.ledger.model import DEMO_GRANT, AccountKind, Entry, Split, Transfer, TransferKind, Wallet

account = store.account
post = store.post


async def open_wallet(ctx: Context, user_id: UUID) -> None:
    """In demo mode a mentee gets DEMO_GRANT tokens, once, however often this is called."""
    if not ctx.settings.demo:
        return
    key = f"grant:demo:{user_id}"

    async def work(conn: Conn) -> None:
        if await store.exists(conn, key) or not await store.is_mentee(conn, user_id):
            return
        await grant_in(
            conn, key=key, user_id=user_id, amount=DEMO_GRANT, memo="Demo tokens", now=ctx.clock.now()
        )

    await in_transaction(ctx.pool, work)


async def grant_in(conn: Conn, *, key: str, user_id: UUID, amount: int, memo: str, now: datetime) -> Transfer:
    """New tokens for a person: issuance -> wallet."""
    issuance = await store.account(conn, AccountKind.ISSUANCE, None, now)
    wallet_ = await store.account(conn, AccountKind.WALLET, user_id, now)
    return await store.post(conn, key, TransferKind.GRANT, issuance, wallet_, amount, None, memo, now)


async def hold_in(
    conn: Conn, *, session_id: UUID, mentee_id: UUID, amount: int, now: datetime
) -> Transfer | None:
    """Set the price of a session aside; None for a free one. Raises ``InsufficientFunds("insufficient_tokens")``."""
    if amount == 0:
        return None
    wallet_ = await store.account(conn, AccountKind.WALLET, mentee_id, now)
    held = await store.account(conn, AccountKind.HELD, mentee_id, now)
    return await store.post(
        conn,
        f"hold:{session_id}",
        TransferKind.HOLD,
        wallet_,
        held,
        amount,
        session_id,
        "Held for a session",
        now,
    )


async def release_in(
    conn: Conn, *, session_id: UUID, mentee_id: UUID, amount: int, now: datetime
) -> Transfer | None:
    """Give the hold of a session back, or what of it is not owed; None for nothing."""
    if amount == 0:
        return None
    held = await store.account(conn, AccountKind.HELD, mentee_id, now)
    wallet_ = await store.account(conn, AccountKind.WALLET, mentee_id, now)
    return await store.post(
        conn,
        f"release:{session_id}",
        TransferKind.RELEASE,
        held,
        wallet_,
        amount,
        session_id,
        "Given back",
        now,
    )


async def settle_in(
    conn: Conn,
    *,
    session_id: UUID,
    mentor_id: UUID,
    mentee_id: UUID,
    price: int,
    fee_percent: int,
    now: datetime,
) -> Split:
    """Turn ``price`` of the hold of a session into the mentor's earning and the platform's fee."""
    parts = model.split(price, fee_percent)
    held = await store.account(conn, AccountKind.HELD, mentee_id, now)
    earnings = await store.account(conn, AccountKind.EARNINGS, mentor_id, now)
    fees = await store.account(conn, AccountKind.FEES, None, now)
    # All three at once: transfer by transfer, two settlements could lock them in opposite orders.
    await store.lock_accounts(conn, (held, earnings, fees))
    for kind, to, amount, memo in (
        (TransferKind.EARNING, earnings, parts.earning, "Earned with a session"),
        (TransferKind.FEE, fees, parts.fee, "Platform fee"),
    ):
        if amount:
            await store.post(conn, f"{kind}:{session_id}", kind, held, to, amount, session_id, memo, now)
    return parts


async def standing_in(conn: Conn, session_id: UUID) -> Split:
    """What the mentor has of a session and what the platform, after every correction."""
    earning, fee = await store.standing(conn, session_id)
    return Split(earning, fee)


async def resettle_in(
    conn: Conn,
    *,
    session_id: UUID,
    mentor_id: UUID,
    mentee_id: UUID,
    owed: int,
    fee_percent: int,
    seq: int,
    now: datetime,
) -> Split:
    """Take back what was settled, and settle ``owed`` tokens out of the mentee's wallet; once per ``seq``.

    Nothing that was moved is touched: earning and fee go to the mentee's wallet, from there the new price is held and
    paid. Raises ``InsufficientFunds("insufficient_tokens")`` when the wallet cannot pay it.
    """
    stands = await standing_in(conn, session_id)
    wallet_ = await store.account(conn, AccountKind.WALLET, mentee_id, now)
    held = await store.account(conn, AccountKind.HELD, mentee_id, now)
    earnings = await store.account(conn, AccountKind.EARNINGS, mentor_id, now)
    fees = await store.account(conn, AccountKind.FEES, None, now)
    await store.lock_accounts(conn, (wallet_, held, earnings, fees))
    parts = model.split(owed, fee_percent)
    memo = "The verdict was changed"
    for kind, name, debit, credit, amount in (
        (TransferKind.REVERSAL, "earning", earnings, wallet_, stands.earning),
        (TransferKind.REVERSAL, "fee", fees, wallet_, stands.fee),
        (TransferKind.HOLD, "", wallet_, held, owed),
        (TransferKind.EARNING, "", held, earnings, parts.earning),
        (TransferKind.FEE, "", held, fees, parts.fee),
    ):
        if amount:
            key = ":".join(part for part in (kind, name, str(session_id), str(seq)) if part)
            await store.post(conn, key, kind, debit, credit, amount, session_id, memo, now)
    return parts


async def wallet(ctx: Context, user_id: UUID) -> Wallet:
    """What the person has, in tokens; in demo mode including the grant a mentee starts with."""
    await open_wallet(ctx, user_id)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.wallet(conn, user_id)


async def standing(ctx: Context, session_id: UUID) -> Split:
    """What was paid for a session, less what was taken back; who may see it is the caller's check."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return Split(*await store.standing(conn, session_id))


async def transfers_of(
    ctx: Context, user_id: UUID, cursor: str | None = None, limit: int | None = None
) -> Page[Entry]:
    """The person's transfers, newest first. Raises ``Invalid`` for a bad cursor or limit."""
    size = page_size(limit)
    before = decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.entries(conn, user_id, before, size + 1)
    return page_of(found, size, lambda entry: encode_cursor(entry.created_at, entry.id))
