"""The 26th: every earning is paid once, by whatever road the job comes to run, and the ledger agrees."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.ledger import actions as ledger
from server.payroll import actions as payroll
from server.payroll.model import CLOSING_DAY, span_of, spans_to_close
from server.settings import Settings
from tests.support.story import Story, make_story

ZONES = st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland", "Europe/London"]).map(
    ZoneInfo
)
INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(INSTANTS, ZONES)
def test_periods_cover_all_time_without_a_gap(instant: datetime, zone: ZoneInfo) -> None:
    span = span_of(instant, zone)
    assert span.start <= instant < span.end
    assert span_of(span.end, zone).start == span.end
    for border in (span.start, span.end):
        local = border.astimezone(zone)
        assert (local.day, local.hour, local.minute) == (CLOSING_DAY, 0, 0)
    assert f"{span.end.astimezone(zone):%Y-%m}" == span.label


@given(INSTANTS, st.timedeltas(timedelta(0), timedelta(days=400)), ZONES)
def test_missed_months_are_closed_in_order(first: datetime, later: timedelta, zone: ZoneInfo) -> None:
    spans = list(spans_to_close(first, first + later, zone))
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert all(span.end <= first + later for span in spans)
    assert len(spans) in range(int(later.days / 31), int(later.days / 28) + 2)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


async def earn(story: Story, start: datetime) -> None:
    """A completed session at that time, settled at its end: 24 tokens for the mentor, 6 for the platform."""
    story.clock.set(start - timedelta(hours=3))
    booking = await story.session(start)
    end = start + timedelta(hours=1)
    for who in (story.mentor, story.mentee):
        await story.present(booking.session_id, who, start, end)
    story.clock.set(end)
    await attendance.settle(story.ctx, booking.session_id)


async def figures(story: Story) -> tuple[int, int, int]:
    """(payslips, their total, what the ledger has paid out)"""
    async with story.ctx.pool.acquire() as conn:
        row = await conn.fetchrow(
            "SELECT (SELECT count(*) FROM payslips), (SELECT coalesce(sum(total_tokens), 0) FROM payslips),"
            " (SELECT coalesce(sum(balance), 0) FROM accounts WHERE kind = 'payouts')"
        )
        assert row is not None
        assert await conn.fetchval("SELECT sum(balance) FROM accounts") == 0
        assert await conn.fetchval("SELECT sum(amount) FROM payslip_lines") == (row[1] or None)
    return row[0], int(row[1]), int(row[2])


async def test_a_period_is_closed_once(story: Story) -> None:
    await earn(story, datetime(2026, 3, 10, 10, tzinfo=UTC))
    await earn(story, datetime(2026, 3, 11, 10, tzinfo=UTC))
    await earn(story, datetime(2026, 3, 26, 0, tzinfo=UTC))  # settled on the 26th: the next period's
    story.clock.set(datetime(2026, 3, 26, 12, tzinfo=UTC))
    periods = await asyncio.gather(*(payroll.close_period(story.ctx) for _ in range(4)))
    assert [p.label for p in periods if p is not None] == ["2026-03"]
    assert await payroll.close_period(story.ctx) is None
    assert await figures(story) == (1, 48, 48)
    [slip] = await payroll.payslips(story.ctx, story.mentor.id)
    assert (slip.total_tokens, [line.amount for line in slip.lines], slip.period.label) == (
        48,
        [24, 24],
        "2026-03",
    )
    assert (slip.period.starts_at, slip.period.ends_at) == (
        datetime(2026, 2, 26, tzinfo=UTC),
        datetime(2026, 3, 26, tzinfo=UTC),
    )
    assert (await ledger.wallet(story.ctx, story.mentor.id)).earnings_tokens == 24


async def test_nothing_is_closed_before_its_time_or_without_earnings(story: Story) -> None:
    story.clock.set(datetime(2026, 3, 27, tzinfo=UTC))
    assert await payroll.close_period(story.ctx) is None
    await earn(story, datetime(2026, 3, 28, 10, tzinfo=UTC))
    story.clock.set(datetime(2026, 4, 25, 23, 59, 59, tzinfo=UTC))
    assert await payroll.close_period(story.ctx) is None
    story.clock.step(timedelta(seconds=1))
    period = await payroll.close_period(story.ctx)
    assert period is not None and period.label == "2026-04"


async def test_the_26th_is_the_business_zones(story: Story) -> None:
    ctx = Context(
        story.ctx.pool, story.clock, replace(story.ctx.settings, timezone=ZoneInfo("America/New_York"))
    )
    await earn(story, datetime(2026, 3, 10, 10, tzinfo=UTC))
    story.clock.set(datetime(2026, 3, 26, 3, 59, tzinfo=UTC))
    assert await payroll.close_period(ctx) is None
    story.clock.step(timedelta(minutes=1))
    period = await payroll.close_period(ctx)
    assert period is not None and period.ends_at == datetime(2026, 3, 26, 4, tzinfo=UTC)


async def test_a_missed_26th_is_made_up_for(story: Story) -> None:
    await earn(story, datetime(2026, 3, 10, 10, tzinfo=UTC))
    await earn(story, datetime(2026, 4, 10, 10, tzinfo=UTC))
    story.clock.set(datetime(2026, 4, 28, 9, tzinfo=UTC))
    await payroll.close_period(story.ctx)
    slips = await payroll.payslips(story.ctx)
    assert [(slip.period.label, slip.total_tokens) for slip in slips] == [("2026-04", 24), ("2026-03", 24)]
    assert [p.label for p in await payroll.periods(story.ctx)] == ["2026-04", "2026-03"]
    assert await figures(story) == (2, 48, 48)


async def test_an_earning_dated_into_a_closed_period_goes_onto_the_next_payslip(story: Story) -> None:
    await earn(story, datetime(2026, 3, 10, 10, tzinfo=UTC))
    story.clock.set(datetime(2026, 3, 26, 12, tzinfo=UTC))
    await payroll.close_period(story.ctx)
    await earn(story, datetime(2026, 3, 20, 10, tzinfo=UTC))  # as `jobs run --at` in the past does
    story.clock.set(datetime(2026, 3, 27, tzinfo=UTC))
    assert await payroll.close_period(story.ctx) is None
    story.clock.set(datetime(2026, 4, 26, 12, tzinfo=UTC))
    period = await payroll.close_period(story.ctx)
    assert period is not None and period.label == "2026-04"
    assert await figures(story) == (2, 48, 48)
