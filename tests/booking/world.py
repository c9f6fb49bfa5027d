"""A small world for tests of the domain: people without slow password hashes, tokens, and opening hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server.availability import actions as availability
from server.availability.model import Availability, Window
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Conn, Pool
from server.base.ids import new_id
from server.booking.model import Booking
from server.ledger import actions as ledger
from server.people import store
from server.people.model import Principal, ProfileChange, Role, User
from server.sessions import actions as sessions
from server.settings import Settings

PRICE = 10
ALL_WEEK = Availability("UTC", weekly=tuple((day, Window(0, 1440)) for day in range(7)))


@pytest.fixture
def ctx(pool: Pool, clock: SteppedClock, settings: Settings) -> Context:
    return Context(pool, clock, settings)


async def person(
    ctx: Context, name: str, role: Role = Role.MENTEE, *, tokens: int = 100, timezone: str = "UTC"
) -> User:
    """Somebody who cannot log in, with some tokens if a mentee."""
    user = User(new_id(), f"{name.lower()}.{new_id().hex}@example.com", name, role, timezone, ctx.clock.now())
    async with ctx.pool.acquire() as conn, conn.transaction():
        assert await store.insert_user(conn, user, "no password")
        if role is Role.MENTOR:
            await store.insert_profile(conn, user.id)
        if role is Role.MENTEE and tokens:
            await grant(conn, user, tokens, ctx.clock.now())
    return user


async def grant(conn: Conn, user: User, tokens: int, now: datetime) -> None:
    await ledger.grant_in(
        conn, key=f"grant:test:{user.id}", user_id=user.id, amount=tokens, memo="for a test", now=now
    )


async def mentor(
    ctx: Context, name: str = "Ada", *, rules: Availability = ALL_WEEK, price: int = PRICE
) -> User:
    """A mentor who can be booked at any full hour, unless the rules say otherwise."""
    user = await person(ctx, name, Role.MENTOR)
    async with ctx.pool.acquire() as conn:
        await store.update_profile(conn, user.id, ProfileChange(price_tokens=price))
    await availability.put(ctx, user.id, rules)
    return user


def who(user: User) -> Principal:
    return Principal(user.id, user.role)


def hour(number: float) -> datetime:
    """So many hours after midnight of Tuesday 3 March 2026 UTC, the day after the tests' clock."""
    return datetime(2026, 3, 3, tzinfo=UTC) + timedelta(hours=number)


async def booked(ctx: Context, mentor_id: UUID, mentee_id: UUID, at: datetime, **more: Any) -> Booking:
    """An hour, asked for."""
    return await sessions.book(
        ctx, mentee_id, mentor_id=mentor_id, start=at, end=at + timedelta(hours=1), **more
    )


async def fact_kinds(ctx: Context, session_id: UUID) -> list[str]:
    rows = await ctx.pool.fetch("SELECT kind FROM facts WHERE session_id = $1 ORDER BY id", session_id)
    return [row["kind"] for row in rows]


async def fact(ctx: Context, session_id: UUID, kind: str) -> dict[str, Any]:
    """The newest fact of that kind."""
    data: dict[str, Any] = await ctx.pool.fetchval(
        "SELECT data FROM facts WHERE session_id = $1 AND kind = $2 ORDER BY id DESC LIMIT 1",
        session_id,
        kind,
    )
    return data


async def books_balance(ctx: Context) -> None:
    """Accounts are the sums of their transfers, all sum to nothing, and what is held is what live bookings cost."""
    wrong = await ctx.pool.fetch(
        "SELECT a.id, a.kind, a.balance, s.total FROM accounts a, LATERAL (SELECT"
        " coalesce(sum(amount) FILTER (WHERE credit_account = a.id), 0)"
        " - coalesce(sum(amount) FILTER (WHERE debit_account = a.id), 0) AS total FROM transfers"
        " WHERE a.id IN (debit_account, credit_account)) s WHERE a.balance <> s.total"
    )
    assert not wrong
    assert await ctx.pool.fetchval("SELECT coalesce(sum(balance), 0) FROM accounts") == 0
    assert not await ctx.pool.fetch("SELECT FROM accounts WHERE balance < 0 AND kind <> 'issuance'")
    held = await ctx.pool.fetchval("SELECT coalesce(sum(balance), 0) FROM accounts WHERE kind = 'held'")
    price = await ctx.pool.fetchval(
        "SELECT coalesce(sum(price_tokens), 0) FROM bookings WHERE status IN ('requested', 'approved')"
    )
    assert held == price
