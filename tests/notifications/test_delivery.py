"""A message is written once and leaves once, over real SMTP, whatever refuses or dies on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from server.base.clock import SteppedClock
from server.base.db import Pool
from server.embedded.postgres import free_port
from server.integrations.channel import Message, Rate
from server.integrations.channels import Channels, make_channels
from server.integrations.mail import SmtpMailer
from server.integrations.provider import Provider
from server.notifications import actions as notifications
from server.notifications.actions import enqueue_in, inbox
from server.notifications.delivery import deliver_due
from server.notifications.model import MAX_ATTEMPTS, Delivery, Kind
from server.notifications.texts import Text
from server.settings import Settings, Smtp, SmtpSecurity
from tests.support.smtp import SmtpServer
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


def mail_at(host: str, port: int) -> Channels:
    smtp = Smtp(host, port, None, None, SmtpSecurity.OPPORTUNISTIC)
    return Channels({"email": Provider(SmtpMailer(smtp, "Visavis <noreply@example.org>"))})


def mailer_to(server: SmtpServer) -> Channels:
    return mail_at(server.host, server.port)


async def write(story: Story, key: str, address: str | None = None) -> bool:
    recipient = replace(story.mentee, email=address) if address else story.mentee
    async with story.ctx.pool.acquire() as conn:
        return await enqueue_in(
            conn, dedup_key=key, session_id=None, kind=Kind.REMINDER, recipient=recipient, role="mentee",
            text=Text(f"Subject {key}", "Body\n"), calendar=None, ctx=story.ctx,
        )  # fmt: skip


async def states(story: Story) -> dict[str, tuple[str, int]]:
    async with story.ctx.pool.acquire() as conn:
        rows = await conn.fetch("SELECT dedup_key, status, attempts FROM notifications")
    return {row["dedup_key"]: (row["status"], row["attempts"]) for row in rows}


def subjects(server: SmtpServer) -> list[str]:
    return sorted(mail.message["Subject"] for mail in server.messages)


async def test_written_once_and_sent_once_by_many_senders(story: Story, smtp_server: SmtpServer) -> None:
    for n in range(12):
        assert await write(story, str(n))
        assert not await write(story, str(n))
    mailer = mailer_to(smtp_server)
    rounds = await asyncio.gather(*(deliver_due(story.ctx, mailer) for _ in range(4)))
    assert sum(r.sent for r in rounds) == 12
    assert subjects(smtp_server) == sorted(f"Subject {n}" for n in range(12))
    assert await deliver_due(story.ctx, mailer) == Delivery()
    assert set((await states(story)).values()) == {("sent", 1)}


async def test_a_later_is_heard_and_the_same_message_comes_again(
    story: Story, smtp_server: SmtpServer
) -> None:
    await write(story, "a")
    mailer = mailer_to(smtp_server)
    smtp_server.reply = "451 4.3.0 Try again later"
    assert await deliver_due(story.ctx, mailer) == Delivery(postponed=1)
    assert await deliver_due(story.ctx, mailer) == Delivery()  # not at once
    assert await states(story) == {"a": ("retrying", 1)}
    smtp_server.reply = None
    story.clock.step(timedelta(seconds=31))
    assert await deliver_due(story.ctx, mailer) == Delivery(sent=1)
    assert await states(story) == {"a": ("sent", 2)}


async def test_a_no_is_final_and_harms_no_other(story: Story, smtp_server: SmtpServer) -> None:
    await write(story, "a")
    smtp_server.reply = "554 5.7.1 No"
    assert await deliver_due(story.ctx, mailer_to(smtp_server)) == Delivery(dead=1)
    await write(story, "broken", address="not an address\r\nat all")
    await write(story, "b")
    smtp_server.reply = None
    delivery = await deliver_due(story.ctx, mailer_to(smtp_server))
    assert delivery.sent == 1
    assert subjects(smtp_server) == ["Subject b"]
    seen = await states(story)
    assert (seen["a"][0], seen["b"][0]) == ("dead", "sent")
    assert seen["broken"][0] in ("dead", "retrying")


async def test_patience_ends(story: Story, smtp_server: SmtpServer) -> None:
    await write(story, "a")
    smtp_server.reply = "451 4.3.0 Try again later"
    for _ in range(MAX_ATTEMPTS):
        await deliver_due(story.ctx, mailer_to(smtp_server))
        story.clock.step(timedelta(hours=3))
    assert await states(story) == {"a": ("dead", MAX_ATTEMPTS)}
    assert smtp_server.attempts == MAX_ATTEMPTS


async def test_a_server_that_is_down_ends_the_round(story: Story, smtp_server: SmtpServer) -> None:
    for key in "abc":
        await write(story, key)
    nobody = mail_at("127.0.0.1", free_port())
    assert await deliver_due(story.ctx, nobody) == Delivery(postponed=1)
    assert sorted(status for status, _ in (await states(story)).values()) == [
        "pending",
        "pending",
        "retrying",
    ]
    story.clock.step(timedelta(minutes=1))
    assert await deliver_due(story.ctx, mailer_to(smtp_server)) == Delivery(sent=3)


async def test_a_sender_that_goes_away_in_the_middle_is_replaced_at_once(
    story: Story, smtp_server: SmtpServer
) -> None:
    """A lock of the sender's connection is the lease: as long as the sender talks nobody else does, and no longer."""
    await write(story, "a")
    holding = asyncio.Event()

    class Hanging:
        rate = Rate(10, 10)

        async def send(self, message: Message) -> str:
            holding.set()
            await asyncio.Event().wait()
            return "never"

    first = asyncio.create_task(deliver_due(story.ctx, Channels({"email": Provider(Hanging())})))
    await holding.wait()
    assert await states(story) == {"a": ("sending", 1)}
    assert await deliver_due(story.ctx, mailer_to(smtp_server)) == Delivery()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await deliver_due(story.ctx, mailer_to(smtp_server)) == Delivery(sent=1)
    assert await states(story) == {"a": ("sent", 2)}


class Counting:
    """Takes a moment for each message, and counts how many are with it at once; some it names as nobody can."""

    rate = Rate(1000, 1000)

    def __init__(self, unspeakable: str = "") -> None:
        self.taken: list[str] = []
        self.most = self.now = 0
        self._unspeakable = unspeakable

    async def send(self, message: Message) -> str:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.002 + 0.004 * (len(self.taken) % 3))
        self.now -= 1
        self.taken.append(message.subject)
        return "\0" if message.subject == self._unspeakable else f"name of {message.subject}"


async def test_several_leave_at_once_and_none_of_them_twice(story: Story) -> None:
    """One connection holds many leases, and would be given each of its own again, were it to ask."""
    for n in range(40):
        await write(story, str(n))
    provider = Counting()
    channels = Channels({"email": Provider(provider)})
    rounds = await asyncio.gather(*(deliver_due(story.ctx, channels, 30, 6) for _ in range(2)))
    assert sum(r.sent for r in rounds) == 40
    assert sorted(provider.taken) == sorted(f"Subject {n}" for n in range(40))
    assert 1 < provider.most <= 12
    assert set((await states(story)).values()) == {("sent", 1)}
    names = await story.ctx.pool.fetch("SELECT subject, provider_message_id AS name FROM notifications")
    assert all(row["name"] == f"name of {row['subject']}" for row in names)


async def test_a_name_that_cannot_be_written_down_makes_nothing_leave_again(story: Story) -> None:
    """Messages that come back together are noted together, unless one of them spoils it."""
    for n in range(6):
        await write(story, str(n))
    provider = Counting(unspeakable="Subject 2")
    assert await deliver_due(story.ctx, Channels({"email": Provider(provider)}), senders=6) == Delivery(
        sent=6
    )
    assert len(provider.taken) == 6
    assert set((await states(story)).values()) == {("sent", 1)}
    names = await story.ctx.pool.fetch(
        "SELECT provider_message_id AS name FROM notifications ORDER BY subject"
    )
    assert [row["name"] for row in names] == [None if n == 2 else f"name of Subject {n}" for n in range(6)]


async def test_without_a_provider_messages_wait_outside_demo_mode(story: Story) -> None:
    await write(story, "a")
    channels = make_channels(story.ctx.settings)
    assert await deliver_due(story.ctx, channels) == Delivery()
    assert await states(story) == {"a": ("pending", 0)}


async def test_without_a_provider_mail_lands_in_the_development_inbox(story: Story) -> None:
    demo = replace(story.ctx, settings=replace(story.ctx.settings, demo=True))
    channels = make_channels(demo.settings)
    assert channels == Channels(inbox=True)
    for n in range(60):
        await write(story, str(n))
    rounds = await asyncio.gather(*(deliver_due(story.ctx, channels) for _ in range(3)))
    assert sum(r.sent for r in rounds) == 60
    items = await inbox(story.ctx)
    assert {item.subject for item in items} == {f"Subject {n}" for n in range(60)}
    assert {(i.recipient, i.role, i.kind, i.channel, i.text) for i in items} == {
        (story.mentee.email, "mentee", "reminder", "email", "Body\n")
    }
    assert len(await notifications.inbox(story.ctx, 10)) == 10
