"""A month's report counts what started in it, once, in the business zone."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.periodic import run_job
from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import NotFound
from server.integrations.channels import Channels
from server.journey import actions as journey
from server.journey.model import Line, begin, following, months_to_report
from server.notifications.actions import inbox
from server.people import actions as people
from server.sessions import actions as sessions
from server.settings import Settings
from tests.support.story import PASSWORD, make_story

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland"]).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(INSTANTS, ZONES)
def test_a_month_is_reported_when_it_is_over_and_none_is_left_out(now: datetime, zone: ZoneInfo) -> None:
    [month] = months_to_report(None, now, zone)
    assert begin(following(month), zone) <= now < begin(following(following(month)), zone)
    assert months_to_report(month, now, zone) == []
    three = months_to_report(date(month.year - (month.month <= 3), (month.month - 4) % 12 + 1, 1), now, zone)
    assert three[-1] == month and len(three) == 3
    assert all(following(one) == other for one, other in pairwise(three))


async def test_a_month_with_one_of_everything(pool: Pool, clock: SteppedClock, settings: Settings) -> None:
    story = await make_story(pool, clock, settings)
    ctx = replace(story.ctx, settings=replace(story.ctx.settings, timezone=BERLIN))
    await make_story(pool, clock, settings, name="=idle")  # somebody who did nothing
    start = datetime(2026, 3, 3, 10, tzinfo=UTC)
    held, missed, by_mentor, called_off, _, later = [
        await story.session(at)
        for at in (
            start, start + timedelta(days=1), start + timedelta(days=2), start + timedelta(days=3),
            datetime(2026, 3, 31, 22, tzinfo=UTC),  # midnight of 1 April in Berlin
                datetime(2026, 4, 5, 10, tzinfo=UTC),
        )
    ]  # fmt: skip
    await sessions.cancel(ctx, story.mentee.id, called_off.id, "ill")
    for booking, present in (
        (held, (story.mentor, story.mentee)), (missed, (story.mentor,)), (by_mentor, (story.mentee,)),
    ):  # fmt: skip
        for person in present:
            await story.present(booking.session_id, person, booking.start, booking.end)
    clock.set(datetime(2026, 3, 31, 21, tzinfo=UTC))
    await attendance.settle_due(ctx)
    with pytest.raises(NotFound):
        await journey.get(ctx, None)

    # 23:30 on the 31st: February's is due, and nobody was here then.
    clock.set(datetime(2026, 3, 31, 21, 30, tzinfo=UTC))
    assert await journey.report_due(ctx) == 0
    assert [it.label for it in await journey.reports(ctx)] == ["2026-02"]
    clock.set(datetime(2026, 4, 1, 4, tzinfo=UTC))
    await people.create_admin(ctx, "root@example.org", PASSWORD)
    for rows in (2, 0):
        run = await run_job(ctx, Channels(inbox=True), "mentee_journey", clock.now())
        assert (run.ok, run.rows) == (True, rows)
    report = await journey.get(ctx, None)
    assert (report.label, report.starts_at) == ("2026-03", datetime(2026, 2, 28, 23, tzinfo=UTC))
    idle, busy = sorted((await journey.lines(ctx, report)).items, key=lambda it: it.booked)
    assert busy == Line(
        mentee_id=story.mentee.id, name="Jonas Weber", booked=4, held=1, missed=1, missed_by_mentor=1, cancelled=1,
        seconds=3600, tokens=60, mentors=("Asha Rao",), next_session_at=later.start,
    )  # fmt: skip
    assert (idle.booked, idle.mentors, idle.next_session_at) == (0, (), None)
    assert await journey.totals(ctx, report) == {
        "mentees": 2, "booked": 4, "held": 1, "missed": 1, "seconds": 3600, "tokens": 60,
    }  # fmt: skip
    first = await journey.lines(ctx, report, limit=1)
    assert (await journey.lines(ctx, report, first.next_cursor)).items == (
        await journey.lines(ctx, report)
    ).items[1:]
    _, body = await journey.file(ctx, "2026-03")
    told = list(csv.DictReader(io.StringIO(body, newline="")))
    assert {row["hours"] for row in told} == {"1.00", "0.00"}
    [mail] = [it for it in await inbox(ctx) if it.kind == "journey" and "2026-03" in it.subject]
    assert (mail.recipient, mail.role) == ("root@example.org", "admin")
    assert f"{ctx.settings.public_url}/admin/journey?month=2026-03" in mail.text
