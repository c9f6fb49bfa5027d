"""Where the team has no channel, each administrator is told by name, as each chooses, once, over real SMTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.confirmations import sweep
from jobs.outbox import drain
from jobs.reminders import remind
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.confirmations import actions as confirmations
from server.confirmations.model import Answer
from server.contact import choices
from server.contact.model import Change, Choice
from server.integrations.channels import make_channels
from server.notifications.delivery import deliver_due
from server.notifications.model import Kind
from server.people import actions as people
from server.people.model import User
from server.settings import Settings, Smtp, SmtpSecurity
from tests.support.smtp import SmtpServer
from tests.support.story import PASSWORD, Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
ABOUT_IT = "kind IN ('confirmation_missing', 'confirmation_amended')"


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


async def admin(story: Story, name: str) -> User:
    return await people.create_admin(story.ctx, f"{name}@example.org", PASSWORD)


async def go(story: Story, minutes: float) -> None:
    story.clock.set(START + timedelta(minutes=minutes))
    await remind(story.ctx)
    await sweep(story.ctx)
    await drain(story.ctx)


async def rows(story: Story) -> list[tuple[str | None, str, str]]:
    found = await story.ctx.pool.fetch(
        "SELECT u.email, n.kind, n.channel FROM notifications n LEFT JOIN users u ON u.id = n.recipient_id"
        f" WHERE {ABOUT_IT} ORDER BY n.kind, u.email, n.channel"
    )
    return [tuple(row) for row in found]


async def test_a_missing_answer_is_mailed_to_each_open_administrator_once(
    story: Story, smtp_server: SmtpServer
) -> None:
    anna, ben, gone = [await admin(story, name) for name in ("anna", "ben", "gone")]
    await story.ctx.pool.execute("UPDATE users SET disabled_at = $2 WHERE id = $1", gone.id, START)
    await people.update_me(story.ctx, anna.id, timezone="Asia/Kolkata")
    await choices.change(story.ctx, anna.id, Change(language="de"))
    quiet = Change(choices=(Choice(Kind.CONFIRMATION_AMENDED, "email", False),))
    await choices.change(story.ctx, ben.id, quiet)

    booking = await story.session(START)
    await go(story, -240)
    await confirmations.answer(story.ctx, story.mentee.id, booking.session_id, Answer.YES, "page")
    await drain(story.ctx)
    assert await rows(story) == []
    story.clock.set(START - timedelta(minutes=120))
    await asyncio.gather(*(sweep(story.ctx) for _ in range(20)))
    await asyncio.gather(*(drain(story.ctx) for _ in range(3)))
    await go(story, -119)
    missing = [(it.email, "confirmation_missing", way) for it in (anna, ben) for way in ("email", "in_app")]
    assert await rows(story) == missing
    await confirmations.answer(story.ctx, story.mentor.id, booking.session_id, Answer.MOVE, "page")
    await drain(story.ctx)
    late = [("anna@example.org", "email"), ("anna@example.org", "in_app"), ("ben@example.org", "in_app")]
    assert await rows(story) == [(who, "confirmation_amended", way) for who, way in late] + missing

    smtp = Smtp(smtp_server.host, smtp_server.port, None, None, SmtpSecurity.OPPORTUNISTIC)
    channels = make_channels(replace(story.ctx.settings, smtp=smtp))
    await asyncio.gather(*(deliver_due(story.ctx, channels) for _ in range(3)))
    mails = [mail for mail in smtp_server.messages if mail.rcpt_tos[0] in (anna.email, ben.email)]
    told = {(mail.rcpt_tos[0], mail.message["Subject"]): mail.message for mail in mails}
    assert len(mails) == len(told) and sorted(told) == [
        (
            "anna@example.org",
            "Geändert: jetzt bittet um eine andere Zeit (Jonas Weber mit Asha Rao, 15:30 Uhr)",
        ),
        ("anna@example.org", "Keine Antwort: Jonas Weber mit Asha Rao, 15:30 Uhr"),
        ("ben@example.org", "No answer: Jonas Weber with Asha Rao, 10:00"),
    ]
    german = told["anna@example.org", "Keine Antwort: Jonas Weber mit Asha Rao, 15:30 Uhr"].get_content()
    assert "von Asha Rao (Mentor):" in german and "15:30 bis 16:30 Uhr (Asia/Kolkata" in german
    assert f"/sessions/{booking.session_id}" in german
    mail = told["ben@example.org", "No answer: Jonas Weber with Asha Rao, 10:00"]
    assert "Asha Rao (mentor)" in mail.get_content() and "/unsubscribe/" in mail["List-Unsubscribe"]


async def test_administrators_choose_it_only_where_the_team_has_no_channel(story: Story) -> None:
    root = await admin(story, "root")
    mine = {line.kind for line in (await choices.overview(story.ctx, root.id)).lines}
    assert {Kind.CONFIRMATION_MISSING, Kind.CONFIRMATION_AMENDED, Kind.REPLY_UNCLEAR} <= mine
    providers = replace(story.ctx.settings.providers, slack_webhook_url="http://127.0.0.1:9/services/T0/B0/x")
    slack = replace(story.ctx, settings=replace(story.ctx.settings, providers=providers))
    assert {line.kind for line in (await choices.overview(slack, root.id)).lines} == {Kind.JOURNEY}
    await story.session(START)
    team = replace(story, ctx=slack)
    await go(team, -240)
    await go(team, -120)
    assert await rows(team) == [(None, "confirmation_missing", "slack")]
