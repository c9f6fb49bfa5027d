"""Every transfer is in exactly one day's file, whenever it was committed, and a file never changes."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.periodic import run_job
from server.base import csvs
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Conn, Pool, in_transaction
from server.base.errors import NotFound
from server.base.ids import new_id
from server.exports import actions as exports
from server.exports import store
from server.exports.model import HEADING, MOST_DAYS, day_end, days_to_export, file_of
from server.integrations.channels import Channels
from server.ledger import actions as ledger
from server.settings import Settings
from tests.support.story import make_story

KOLKATA = ZoneInfo("Asia/Kolkata")
MIDNIGHT = datetime(2026, 3, 2, 18, 30, tzinfo=UTC)  # ends 2 March there
ZONES = st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe"]).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))


@pytest.fixture
def ctx(pool: Pool, clock: SteppedClock, settings: Settings) -> Context:
    return Context(pool, clock, replace(settings, timezone=KOLKATA))


@pytest.fixture
async def person(pool: Pool, clock: SteppedClock, settings: Settings) -> UUID:
    return (await make_story(pool, clock, settings, tokens=5)).mentee.id


async def grant(ctx: Context, person: UUID, amount: int, at: datetime, conn: Conn | None = None) -> None:
    async def work(conn: Conn) -> None:
        await ledger.grant_in(
            conn, key=f"grant:test:{new_id()}", user_id=person, amount=amount, memo="=1+1", now=at
        )

    await (work(conn) if conn is not None else in_transaction(ctx.pool, work))


async def amounts(ctx: Context) -> dict[str, list[int]]:
    """Day -> the amounts in its file."""
    found = {}
    for it in (await exports.listed(ctx)).items:
        made, body = await exports.file(ctx, it.day.isoformat())
        rows = list(csv.DictReader(io.StringIO(body, newline="")))
        assert tuple(rows[0].keys() if rows else HEADING) == HEADING
        assert made.sha256 == hashlib.sha256(body.encode()).hexdigest()
        assert made.tokens == sum(int(row["debit_tokens"]) for row in rows)
        assert made.tokens == sum(int(row["credit_tokens"]) for row in rows)
        assert [int(row["line"]) for row in rows] == list(range(1, made.transfers + 1))
        assert all(row["memo"] == "'=1+1" for row in rows if int(row["debit_tokens"]) > 5)
        found[it.day.isoformat()] = [int(row["debit_tokens"]) for row in rows]
    return found


@given(INSTANTS, INSTANTS, ZONES)
def test_no_day_is_forgotten_and_none_is_early(first: datetime, now: datetime, zone: ZoneInfo) -> None:
    days = days_to_export(first, None, now, zone)
    assert len(days) <= MOST_DAYS
    assert all(day_end(day, zone) <= now for day in days)
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))
    if days:
        assert day_end(days[0] - timedelta(days=1), zone) <= first < day_end(days[0], zone)
        rest = days_to_export(first, days[0], now, zone)
        assert rest[: len(days) - 1] == days[1:]
    if len(days) < MOST_DAYS:
        next_day = (days[-1] if days else first.astimezone(zone).date() - timedelta(days=1)) + timedelta(
            days=1
        )
        assert day_end(next_day, zone) > now
    assert days_to_export(None, None, now, zone) == []


async def test_each_transfer_is_in_the_file_of_its_business_day(
    ctx: Context, clock: SteppedClock, person: UUID
) -> None:
    """Also when the job was not run for days, and when it is run twice, or twice at once."""
    await grant(ctx, person, 10, MIDNIGHT - timedelta(microseconds=1))
    await grant(ctx, person, 20, MIDNIGHT)
    await grant(ctx, person, 30, MIDNIGHT + timedelta(days=2))
    clock.set(MIDNIGHT + timedelta(days=3, minutes=30))
    first, second = await asyncio.gather(exports.export_due(ctx), exports.export_due(ctx))
    assert first + second == 4
    files = {"2026-03-02": [5, 10], "2026-03-03": [20], "2026-03-04": [], "2026-03-05": [30]}
    assert await amounts(ctx) == files
    bytes_before = [(await exports.file(ctx, day))[1] for day in files]
    assert (await run_job(ctx, Channels(inbox=True), "transaction_export", clock.now())).rows == 0
    assert [(await exports.file(ctx, day))[1] for day in files] == bytes_before
    async with ctx.pool.acquire() as conn:
        again = [file_of(await store.exported(conn, date.fromisoformat(day))) for day in files]
    assert again == bytes_before


async def test_what_is_committed_late_is_in_the_next_file(
    ctx: Context, clock: SteppedClock, person: UUID
) -> None:
    async with ctx.pool.acquire() as late:
        transaction = late.transaction()
        await transaction.start()
        await grant(ctx, person, 10, MIDNIGHT - timedelta(minutes=1), late)
        clock.set(MIDNIGHT + timedelta(minutes=30))
        assert await exports.export_due(ctx) == 1
        await transaction.commit()
    assert await exports.export_due(ctx) == 0
    clock.step(timedelta(days=1))
    assert await exports.export_due(ctx) == 1
    assert await amounts(ctx) == {"2026-03-02": [5], "2026-03-03": [10]}


async def test_files_cannot_be_changed(ctx: Context, clock: SteppedClock, person: UUID) -> None:
    clock.set(MIDNIGHT + timedelta(minutes=30))
    await exports.export_due(ctx)
    for statement in ("UPDATE transaction_exports SET body = ''", "DELETE FROM exported_transfers"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await ctx.pool.execute(statement)
    for day in ("2026-03-03", "yesterday"):
        with pytest.raises(NotFound):
            await exports.file(ctx, day)


def test_no_spreadsheet_computes_a_name() -> None:
    body = csvs.write(("name",), [('=HYPERLINK("x")',), ("-1",), ("a,b\n",), (None,), (-1,)])
    assert body == 'name\r\n"\'=HYPERLINK(""x"")"\r\n\'-1\r\n"a,b\n"\r\n""\r\n-1\r\n'
