"""Money: it is only ever moved, never made or lost, never twice, never below zero."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.errors import Conflict, InsufficientFunds, Invalid
from server.base.ids import new_id
from server.ledger import actions, store
from server.ledger.model import AccountKind, Split, TransferKind, Wallet, split
from server.people.model import Role, User
from tests.booking.world import person


async def balances(ctx: Context, user: User) -> tuple[int, int, int]:
    wallet = await actions.wallet(ctx, user.id)
    return wallet.balance_tokens, wallet.held_tokens, wallet.earnings_tokens


async def platform(ctx: Context, kind: AccountKind) -> int:
    balance: int | None = await ctx.pool.fetchval(
        "SELECT balance FROM accounts WHERE kind = $1 AND owner_id IS NULL", kind
    )
    return balance or 0


async def hold(ctx: Context, session: UUID, mentee: User, amount: int) -> None:
    async def work(conn: Conn) -> None:
        await actions.hold_in(
            conn, session_id=session, mentee_id=mentee.id, amount=amount, now=ctx.clock.now()
        )

    await in_transaction(ctx.pool, work)


async def release(ctx: Context, session: UUID, mentee: User, amount: int) -> None:
    async def work(conn: Conn) -> None:
        await actions.release_in(
            conn, session_id=session, mentee_id=mentee.id, amount=amount, now=ctx.clock.now()
        )

    await in_transaction(ctx.pool, work)


async def settle(
    ctx: Context, session: UUID, mentor: User, mentee: User, price: int, fee_percent: int = 20
) -> Split:
    async def work(conn: Conn) -> Split:
        return await actions.settle_in(
            conn,
            session_id=session,
            mentor_id=mentor.id,
            mentee_id=mentee.id,
            price=price,
            fee_percent=fee_percent,
            now=ctx.clock.now(),
        )

    return await in_transaction(ctx.pool, work)


async def test_the_life_of_a_price(ctx: Context) -> None:
    bo, ada = await person(ctx, "Bo", tokens=100), await person(ctx, "Ada", Role.MENTOR)
    session = new_id()
    await hold(ctx, session, bo, 33)
    assert await balances(ctx, bo) == (67, 33, 0)
    assert await settle(ctx, session, ada, bo, 33) == Split(earning=27, fee=6)
    assert await balances(ctx, bo) == (67, 0, 0)
    assert await balances(ctx, ada) == (0, 0, 27)
    assert await platform(ctx, AccountKind.FEES) == 6
    assert await platform(ctx, AccountKind.ISSUANCE) == -100
    rows = await ctx.pool.fetch("SELECT key, session_id FROM transfers WHERE kind <> 'grant' ORDER BY id")
    assert [tuple(row) for row in rows] == [(f"{k}:{session}", session) for k in ("hold", "earning", "fee")]


async def test_a_hold_goes_back_whole(ctx: Context) -> None:
    bo = await person(ctx, "Bo", tokens=10)
    session = new_id()
    await hold(ctx, session, bo, 10)
    await release(ctx, session, bo, 10)
    await release(ctx, session, bo, 10)  # once only
    assert await balances(ctx, bo) == (10, 0, 0)


async def test_a_free_session_moves_nothing(ctx: Context) -> None:
    bo, ada = await person(ctx, "Bo", tokens=0), await person(ctx, "Ada", Role.MENTOR)
    session = new_id()
    await hold(ctx, session, bo, 0)
    await release(ctx, session, bo, 0)
    assert await settle(ctx, session, ada, bo, 0) == Split(0, 0)
    assert await ctx.pool.fetchval("SELECT count(*) FROM transfers") == 0


async def test_nobody_spends_what_he_does_not_have(ctx: Context) -> None:
    bo = await person(ctx, "Bo", tokens=10)
    with pytest.raises(InsufficientFunds) as refused:
        await hold(ctx, new_id(), bo, 11)
    assert refused.value.code == "insufficient_tokens"
    assert await balances(ctx, bo) == (10, 0, 0)
    results = await asyncio.gather(*(hold(ctx, new_id(), bo, 3) for _ in range(8)), return_exceptions=True)
    assert sum(result is None for result in results) == 3
    assert sum(isinstance(result, InsufficientFunds) for result in results) == 5
    assert await balances(ctx, bo) == (1, 9, 0)


async def test_the_same_key_moves_money_once_also_at_the_same_time(ctx: Context) -> None:
    bo = await person(ctx, "Bo", tokens=100)
    session = new_id()
    await asyncio.gather(*(hold(ctx, session, bo, 7) for _ in range(10)))
    assert await balances(ctx, bo) == (93, 7, 0)
    with pytest.raises(Conflict) as refused:
        await hold(ctx, session, bo, 8)
    assert refused.value.code == "key_reused"


async def test_many_settlements_at_once_share_the_platforms_account(ctx: Context) -> None:
    """Every one of them writes to the one account of fees."""
    ada = await person(ctx, "Ada", Role.MENTOR)
    mentees = [await person(ctx, f"Bo{n}", tokens=10) for n in range(20)]
    sessions = [new_id() for _ in mentees]
    for session, mentee in zip(sessions, mentees, strict=True):
        await hold(ctx, session, mentee, 10)
    before = await ctx.pool.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    await asyncio.gather(*(settle(ctx, s, ada, m, 10) for s, m in zip(sessions, mentees, strict=True)))
    assert await balances(ctx, ada) == (0, 0, 160)
    assert await platform(ctx, AccountKind.FEES) == 40
    await ctx.pool.execute("SELECT pg_stat_force_next_flush()")
    after = await ctx.pool.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert after == before


async def test_transfers_cannot_be_changed_or_deleted(ctx: Context) -> None:
    await person(ctx, "Bo", tokens=10)
    for statement in ("UPDATE transfers SET amount = 1", "DELETE FROM transfers"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await ctx.pool.execute(statement)


async def test_the_platforms_accounts_exist_once(ctx: Context) -> None:
    async def work(conn: Conn) -> UUID:
        return await store.account(conn, AccountKind.FEES, None, ctx.clock.now())

    ids = await asyncio.gather(*(in_transaction(ctx.pool, work) for _ in range(8)))
    assert len(set(ids)) == 1


async def test_a_mentee_of_the_demo_starts_with_tokens_once(ctx: Context) -> None:
    bo, ada = await person(ctx, "Bo", tokens=0), await person(ctx, "Ada", Role.MENTOR)
    assert await actions.wallet(ctx, bo.id) == Wallet(0, 0, 0)
    demo = replace(ctx, settings=replace(ctx.settings, demo=True))
    await asyncio.gather(*(actions.open_wallet(demo, bo.id) for _ in range(5)))
    assert await actions.wallet(demo, bo.id) == Wallet(100, 0, 0)
    assert await actions.wallet(demo, ada.id) == Wallet(0, 0, 0)


async def test_everybody_sees_the_own_side_of_the_transfers(ctx: Context) -> None:
    bo, ada = await person(ctx, "Bo", tokens=100), await person(ctx, "Ada", Role.MENTOR)
    eve = await person(ctx, "Eve", tokens=5)
    session = new_id()
    await hold(ctx, session, bo, 10)
    await settle(ctx, session, ada, bo, 10)

    async def seen(user: User) -> set[tuple[str, int, int, int]]:
        page = await actions.transfers_of(ctx, user.id)
        return {(e.kind.value, e.wallet_change, e.held_change, e.earnings_change) for e in page.items}

    assert await seen(bo) == {
        ("grant", 100, 0, 0),
        ("hold", -10, 10, 0),
        ("earning", 0, -8, 0),
        ("fee", 0, -2, 0),
    }
    assert await seen(ada) == {("earning", 0, 0, 8)}
    assert await seen(eve) == {("grant", 5, 0, 0)}


async def test_transfers_are_paged_newest_first_also_within_one_instant(ctx: Context) -> None:
    bo = await person(ctx, "Bo", tokens=100)
    sessions = [new_id() for _ in range(6)]
    for session in sessions:
        await hold(ctx, session, bo, 1)
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        page = await actions.transfers_of(ctx, bo.id, cursor, 3)
        seen += [entry.session_id for entry in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [*reversed(sessions), None]
    with pytest.raises(Invalid):
        await actions.transfers_of(ctx, bo.id, "bm9uc2Vuc2U")


@given(st.integers(0, 10**6), st.integers(0, 100))
def test_a_price_is_split_without_remainder_and_the_odd_token_is_the_mentors(
    price: int, percent: int
) -> None:
    parts = split(price, percent)
    assert parts.earning + parts.fee == price
    assert 0 <= parts.fee * 100 <= price * percent
    assert price * percent < (parts.fee + 1) * 100


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(("grant", "hold", "hold again", "release", "settle")),
        st.integers(0, 1),  # whose
        st.integers(0, 40),
    ),
    max_size=14,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
async def test_whatever_happens_the_books_balance(
    ctx: Context, operations: list[tuple[str, int, int]]
) -> None:
    """Random lives of two mentees, kept beside in three numbers each; the ledger must agree after every step."""
    ada = await person(ctx, "Ada", Role.MENTOR)
    mentees = [await person(ctx, name, tokens=20) for name in ("Bo", "Cy")]
    wallet, held, earned = [20, 20], [0, 0], 0
    fees = await platform(ctx, AccountKind.FEES)
    open_holds: list[list[tuple[UUID, int]]] = [[], []]
    for what, whose, amount in operations:
        bo = mentees[whose]
        match what:
            case "grant" if amount:

                async def work(conn: Conn, to: UUID = bo.id, tokens: int = amount) -> None:
                    key = f"grant:test:{new_id()}"
                    await actions.grant_in(
                        conn, key=key, user_id=to, amount=tokens, memo="", now=ctx.clock.now()
                    )

                await in_transaction(ctx.pool, work)
                wallet[whose] += amount
            case "hold" if amount > wallet[whose]:
                with pytest.raises(InsufficientFunds):
                    await hold(ctx, new_id(), bo, amount)
            case "hold":
                session = new_id()
                await hold(ctx, session, bo, amount)
                open_holds[whose].append((session, amount))
                wallet[whose] -= amount
                held[whose] += amount
            case "hold again" if open_holds[whose]:
                await hold(ctx, *_with(bo, open_holds[whose][0]))
            case "release" if open_holds[whose]:
                session, price = open_holds[whose].pop()
                await release(ctx, session, bo, price)
                wallet[whose] += price
                held[whose] -= price
            case "settle" if open_holds[whose]:
                session, price = open_holds[whose].pop(0)
                parts = await settle(ctx, session, ada, bo, price)
                assert await settle(ctx, session, ada, bo, price) == parts  # twice changes nothing
                held[whose] -= price
                earned += parts.earning
                fees += parts.fee
        for number, mentee in enumerate(mentees):
            assert await balances(ctx, mentee) == (wallet[number], held[number], 0)
        assert await balances(ctx, ada) == (0, 0, earned)
        assert await platform(ctx, AccountKind.FEES) == fees
        assert await ctx.pool.fetchval("SELECT sum(balance) FROM accounts") == 0


def _with(mentee: User, of: tuple[UUID, int]) -> tuple[UUID, User, int]:
    return of[0], mentee, of[1]


async def test_a_transfer_of_nothing_or_to_oneself_is_impossible(ctx: Context) -> None:
    bo = await person(ctx, "Bo", tokens=10)

    async def post(amount: int, *, same: bool) -> None:
        async def work(conn: Conn) -> None:
            wallet = await store.account(conn, AccountKind.WALLET, bo.id, ctx.clock.now())
            held = await store.account(conn, AccountKind.HELD, bo.id, ctx.clock.now())
            to = wallet if same else held
            await store.post(conn, "k", TransferKind.HOLD, wallet, to, amount, None, "", ctx.clock.now())

        await in_transaction(ctx.pool, work)

    for amount, same in ((0, False), (-5, False), (5, True)):
        with pytest.raises(asyncpg.CheckViolationError):
            await post(amount, same=same)
    assert await balances(ctx, bo) == (10, 0, 0)
