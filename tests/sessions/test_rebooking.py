"""The way back after a missed session: times that are really open, booked by one link of the mail, once."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.after import follow_up_in
from jobs.outbox import drain
from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import Conflict, Gone, InsufficientFunds, Invalid
from server.booking.model import Booking, Status
from server.ledger import actions as ledger
from server.sessions import links
from server.sessions.model import Outcome
from server.sessions.rebooking import GOOD_FOR, OFFERED, Span, choose
from server.settings import Settings
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings, tokens=60)


async def missed(story: Story, *, by: str) -> Booking:
    """A session that one side missed (or both), settled."""
    booking = await story.session(START)
    for who in (story.mentor, story.mentee):
        if who.role.value != by and by != "both":
            await story.present(booking.session_id, who, START, START + HOUR)
    story.clock.set(START + HOUR + timedelta(minutes=20))
    await attendance.settle(story.ctx, booking.session_id)
    await drain(story.ctx)
    return booking


async def letter(story: Story, role: str) -> tuple[str, str]:
    [row] = await story.ctx.pool.fetch(
        "SELECT subject, body FROM notifications WHERE channel = 'email' AND kind = 'follow_up' AND role = $1",
        role,
    )
    return row["subject"], row["body"]


def offered(body: str) -> list[tuple[str, datetime]]:
    """The links with a time: (token, start)."""
    return [
        (token, datetime.fromtimestamp(int(at), UTC))
        for token, at in re.findall(r"/links/(\S+)\?at=(\d+)", body)
    ]


spans = st.integers(0, 24 * 20).map(lambda n: Span(START + n * HOUR, START + (n + 1) * HOUR))


@given(st.sets(spans, max_size=60), st.lists(spans, max_size=6), st.sampled_from(["UTC", "Asia/Tokyo"]))
@hypothesis_settings(max_examples=60)
def test_what_is_offered_is_open_free_and_spread(times: set[Span], busy: list[Span], zone: str) -> None:
    chosen = choose(times, busy, ZoneInfo(zone))
    free = [span for span in times if span not in busy]
    days = {span.start.astimezone(ZoneInfo(zone)).date() for span in free}
    assert set(chosen) <= set(free) and list(chosen) == sorted(chosen, key=lambda span: span.start)
    assert len(chosen) == min(OFFERED, len(free))
    assert len({span.start.astimezone(ZoneInfo(zone)).date() for span in chosen}) == min(
        len(chosen), len(days)
    )


async def test_an_apology_with_three_times_one_of_which_is_booked_once(story: Story) -> None:
    ctx, booking = story.ctx, await missed(story, by="mentor")
    subject, body = await letter(story, "mentee")
    assert subject.startswith("We are sorry") and "We apologise" in body and "Europe/Berlin" in body
    times = offered(body)
    assert len(times) == OFFERED and len({start.date() for _, start in times}) == OFFERED
    token, _ = times[1]
    opened = await links.open_link(ctx, token)
    assert (opened.link.action, opened.booking.id, opened.used) == ("rebook", booking.id, False)
    with pytest.raises(Invalid):
        await links.follow(ctx, token)
    results = await asyncio.gather(
        *(links.follow(ctx, each, start=at, end=at + HOUR) for each, at in times * 2), return_exceptions=True
    )
    made = [result for result in results if isinstance(result, Booking)]
    assert len(made) == 1 and sum(isinstance(result, Gone) for result in results) == 5
    assert (made[0].mentor_id, made[0].mentee_id, made[0].status) == (
        booking.mentor_id, booking.mentee_id, Status.REQUESTED,
    )  # fmt: skip
    wallet = await ledger.wallet(ctx, story.mentee.id)
    assert (wallet.balance_tokens, wallet.held_tokens) == (30, 30)
    assert (await links.open_link(ctx, times[0][0])).used
    assert "What was observed" in (await letter(story, "mentor"))[1]


async def test_a_time_that_was_taken_and_a_wallet_that_is_short_leave_the_link_good(story: Story) -> None:
    ctx = story.ctx
    await missed(story, by="mentee")  # 30 of 60 tokens went to the mentor
    subject, body = await letter(story, "mentee")
    assert subject.startswith("We missed you") and "30 tokens went to Asha Rao" in body
    assert "24 tokens" in (await letter(story, "mentor"))[1]
    [(token, start), (_, later), _] = offered(body)
    other = await make_story(ctx.pool, story.clock, ctx.settings, name="other")
    taken = Story(ctx, story.clock, story.mentor, other.mentee)
    await taken.request(start)
    with pytest.raises(Conflict) as conflict:
        await links.follow(ctx, token, start=start, end=start + HOUR)
    assert conflict.value.code == "booking_conflict"
    spent = await story.request(START + timedelta(days=30))
    with pytest.raises(InsufficientFunds) as short:
        await links.follow(ctx, token, start=later, end=later + HOUR)
    assert "30 tokens" in short.value.detail and not (await links.open_link(ctx, token)).used
    assert spent.price_tokens == 30
    story.clock.step(GOOD_FOR)
    with pytest.raises(Gone):
        await links.open_link(ctx, token)


async def test_each_outcome_of_a_session_is_told_once(story: Story) -> None:
    """However often a verdict is amended and comes back."""
    booking = await missed(story, by="both")
    session = booking.session_id
    for outcome in (Outcome.BOTH_ABSENT, Outcome.COMPLETED, Outcome.BOTH_ABSENT, Outcome.COMPLETED):
        async with story.ctx.pool.acquire() as conn, conn.transaction():
            await follow_up_in(conn, story.ctx, session, outcome, 24, 6, 0)
    rows = await story.ctx.pool.fetch(
        "SELECT role, dedup_key FROM notifications WHERE channel = 'email' AND kind = 'follow_up'"
        " ORDER BY dedup_key, role"
    )
    assert [(row["role"], row["dedup_key"]) for row in rows] == [
        (role, f"{session}:{outcome}")
        for outcome in ("both_absent", "completed")
        for role in ("mentee", "mentor")
    ]
