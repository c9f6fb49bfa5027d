"""Numbers and addresses against the database: what is sent, what counts, what replaces what, all of it twice."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from jobs.retention import retain
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.base.errors import Conflict, Gone, Invalid, NotFound, TooMany, Unauthenticated
from server.contact import address, choices, numbers
from server.contact.address import LINK_LIFE
from server.contact.model import Change, Choice, Number
from server.notifications.actions import notify_in, reach_in
from server.notifications.model import Kind
from server.notifications.preferences import unsubscribe_url
from server.people import actions as people
from server.people.model import User
from server.settings import Settings
from tests.support.story import PASSWORD, Story, make_story

NUMBER, NEWER = "+491701234567", "+4915112345678"


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    made = await make_story(pool, clock, settings)
    return replace(
        made, ctx=replace(made.ctx, settings=replace(settings, demo=True))
    )  # every channel is in use


async def code_of(ctx: Context, address_: str) -> str:
    """The code that was sent there last, as its owner reads it."""
    body = await ctx.pool.fetchval(
        "SELECT subject || body FROM notifications WHERE kind = 'verify_number' AND address = $1"
        " ORDER BY id DESC LIMIT 1",
        address_,
    )
    found = re.search(r"\b\d{6}\b", body)
    assert found is not None
    return found.group()


async def link_of(ctx: Context, kind: Kind, to: str) -> str:
    """The token of the link that was mailed there last."""
    body = await ctx.pool.fetchval(
        "SELECT body FROM notifications WHERE kind = $1 AND address = $2 ORDER BY id DESC LIMIT 1", kind, to
    )
    found = re.search(r"/address/(\S+)", body)
    assert found is not None
    return found.group(1)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def dialled(story: Story, who: User) -> list[tuple[str, str]]:
    async with story.ctx.pool.acquire() as conn:
        return [(it.channel, it.address) for it in (await reach_in(conn, who)).destinations]


async def verified(story: Story, number: str, channel: str = "sms") -> Number:
    made = await numbers.add(story.ctx, story.mentor.id, channel, number)
    return await numbers.verify(story.ctx, story.mentor.id, made.id, await code_of(story.ctx, number))


async def test_a_number_is_reached_once_its_code_was_typed_and_the_old_one_until_then(story: Story) -> None:
    ctx, me = story.ctx, story.mentor
    made = await numbers.add(ctx, me.id, "sms", "0049 170 1234567")
    row = await ctx.pool.fetchrow("SELECT * FROM notifications WHERE kind = 'verify_number'")
    assert row is not None
    assert (row["channel"], row["address"], row["status"]) == ("sms", NUMBER, "pending")
    assert row["expires_at"] == story.clock.now() + timedelta(minutes=10)
    code = await code_of(ctx, NUMBER)
    assert code.encode() not in await ctx.pool.fetchval("SELECT code_hash FROM destinations")
    assert await dialled(story, me) == []
    await numbers.verify(ctx, me.id, made.id, code)
    await numbers.verify(ctx, me.id, made.id, "twice is fine")
    assert await dialled(story, me) == [("sms", NUMBER)]
    with pytest.raises(Conflict, match="number_verified"):
        await numbers.add(ctx, me.id, "sms", NUMBER)
    second = await numbers.add(ctx, me.id, "sms", NEWER)
    assert await dialled(story, me) == [("sms", NUMBER)]
    await numbers.verify(ctx, me.id, second.id, await code_of(ctx, NEWER))
    assert await dialled(story, me) == [("sms", NEWER)]
    await verified(story, NEWER, "whatsapp")
    assert await dialled(story, me) == [("sms", NEWER), ("whatsapp", NEWER)]
    for _ in range(2):
        await numbers.remove(ctx, me.id, second.id)
    assert await dialled(story, me) == [("whatsapp", NEWER)]


async def test_wrong_codes_are_counted_though_they_are_refused(story: Story) -> None:
    ctx, me = story.ctx, story.mentor
    made = await numbers.add(ctx, me.id, "sms", NUMBER)
    code = await code_of(ctx, NUMBER)
    results = await asyncio.gather(
        *(numbers.verify(ctx, me.id, made.id, wrong(code)) for _ in range(8)), return_exceptions=True
    )
    assert Counter(type(it) for it in results) == {Invalid: 5, Conflict: 3}
    with pytest.raises(Conflict, match="code_used_up"):
        await numbers.verify(ctx, me.id, made.id, code)
    with pytest.raises(TooMany, match="code_too_soon"):
        await numbers.add(ctx, me.id, "sms", NUMBER)
    story.clock.step(timedelta(seconds=60))
    again = await numbers.add(ctx, me.id, "sms", NUMBER)
    assert again.id == made.id
    with pytest.raises(NotFound, match="destination_not_found"):
        await numbers.verify(ctx, story.mentee.id, made.id, code)
    with pytest.raises(NotFound, match="destination_not_found"):
        await numbers.remove(ctx, story.mentee.id, made.id)
    story.clock.step(timedelta(minutes=10))
    with pytest.raises(Conflict, match="code_expired"):
        await numbers.verify(ctx, me.id, made.id, await code_of(ctx, NUMBER))
    with pytest.raises(Invalid):
        await numbers.add(ctx, me.id, "email", NUMBER)


async def test_two_at_once_send_one_code_and_leave_one_number(story: Story) -> None:
    ctx, me = story.ctx, story.mentor
    results = await asyncio.gather(
        *(numbers.add(ctx, me.id, "sms", NUMBER) for _ in range(5)), return_exceptions=True
    )
    assert Counter(type(it) for it in results) == {Number: 1, TooMany: 4}
    assert await ctx.pool.fetchval("SELECT count(*) FROM notifications WHERE kind = 'verify_number'") == 1
    other = await numbers.add(ctx, me.id, "sms", NEWER)
    assert [it.address for it in (await choices.overview(ctx, me.id)).numbers] == [NEWER]
    assert other.verified_at is None


async def test_codes_are_forgotten_when_they_count_no_more(story: Story) -> None:
    await numbers.add(story.ctx, story.mentor.id, "sms", NUMBER)
    story.clock.step(timedelta(days=2))
    await retain(story.ctx)
    assert await story.ctx.pool.fetchval("SELECT count(*) FROM destination_codes") == 1
    story.clock.step(timedelta(seconds=1))
    await retain(story.ctx)
    assert await story.ctx.pool.fetchval("SELECT count(*) FROM destination_codes") == 0


async def test_choices_keep_only_what_differs(story: Story) -> None:
    ctx, me = story.ctx, story.mentor
    wish = Change(
        "de", True, ("22:00", "07:00"), (Choice("reminder", "sms", False), Choice("reminder", "email", True))
    )
    for _ in range(2):
        seen = await choices.change(ctx, me.id, wish)
    assert (seen.language, str(seen.quiet and seen.quiet.end)) == ("de", "07:00:00")
    kept = await ctx.pool.fetch("SELECT kind, channel, wanted FROM notification_preferences")
    assert [tuple(row) for row in kept] == [("reminder", "sms", False)]
    seen = await choices.change(ctx, me.id, Change(choices=(Choice("reminder", "sms", None),)))
    assert seen.quiet is not None and seen.language == "de"
    assert await ctx.pool.fetchval("SELECT count(*) FROM notification_preferences") == 0
    with pytest.raises(Invalid):
        await choices.change(ctx, me.id, Change("xx", choices=(Choice("reminder", "sms", False),)))
    assert await ctx.pool.fetchval("SELECT count(*) FROM notification_preferences") == 0
    await verified(story, NUMBER)
    assert "ist Ihr Visavis-Code" in await ctx.pool.fetchval(
        "SELECT subject FROM notifications WHERE kind = 'verify_number'"
    )


async def test_one_click_ends_a_kind_and_another_brings_it_back(story: Story) -> None:
    ctx, me = story.ctx, story.mentor
    url = unsubscribe_url(ctx.settings, me.id, Kind.REMINDER, story.clock.now())
    assert url is not None
    token = url.rpartition("/")[2]
    assert (await choices.open_unsubscribe(ctx, token)).on
    for _ in range(2):
        assert not (await choices.subscribe(ctx, token, on=False)).on
    async with ctx.pool.acquire() as conn:
        assert (await reach_in(conn, me)).choices == {("reminder", "email"): False}
    for _ in range(2):
        assert (await choices.subscribe(ctx, token, on=True)).on
    assert await ctx.pool.fetchval("SELECT count(*) FROM notification_preferences") == 0


async def registered(story: Story, email: str = "new@example.org") -> User:
    return await address.register(
        story.ctx, email=email, password=PASSWORD, name="Nina", role="mentee", timezone="Europe/Berlin"
    )


async def mails(story: Story, user: User, kind: Kind) -> int:
    """How many mails of a kind a person is written."""
    values = {"name": "N", "url": "u", "mentor": user, "mentor_url": "u", "start": story.clock.now()}
    values |= {"end": story.clock.now(), "testimonial_url": "", "price_tokens": 0}
    template = "follow_up_completed" if kind is Kind.FOLLOW_UP else None
    async with story.ctx.pool.acquire() as conn, conn.transaction():
        await notify_in(
            conn, story.ctx, kind=kind, template=template, recipient=user, role="mentee", dedup_key="a",
            values=values, link="u",
        )  # fmt: skip
    count: int = await story.ctx.pool.fetchval(
        "SELECT count(*) FROM notifications WHERE kind = $1 AND recipient_id = $2 AND channel = 'email'",
        kind, user.id,
    )  # fmt: skip
    return count


async def test_bookings_are_told_from_the_beginning_and_anything_else_once_the_link_was_followed(
    story: Story,
) -> None:
    ctx = story.ctx
    user = await registered(story)
    assert await mails(story, user, Kind.FOLLOW_UP) == 1
    assert await mails(story, user, Kind.TESTIMONIAL_PUBLISHED) == 0
    token = await link_of(ctx, Kind.WELCOME, "new@example.org")
    assert not (await address.open_link(ctx, token)).done
    for _ in range(2):
        assert (await address.follow(ctx, token)).done
    await ctx.pool.execute("DELETE FROM notifications WHERE kind = 'testimonial_published'")
    assert await mails(story, user, Kind.TESTIMONIAL_PUBLISHED) == 1
    assert await ctx.pool.fetchval("SELECT count(*) FROM notifications WHERE kind = 'welcome'") == 1


async def test_a_registration_that_fails_greets_nobody(story: Story) -> None:
    await registered(story)
    with pytest.raises(Conflict, match="email_taken"):
        await registered(story, "NEW@example.org")
    assert await story.ctx.pool.fetchval("SELECT count(*) FROM notifications WHERE kind = 'welcome'") == 1


async def test_links_are_sent_again_after_a_minute_and_run_out(story: Story) -> None:
    ctx = story.ctx
    user = await registered(story)
    with pytest.raises(TooMany, match="link_too_soon"):
        await address.resend(ctx, user.id)
    story.clock.step(timedelta(seconds=60))
    await address.resend(ctx, user.id)
    token = await link_of(ctx, Kind.VERIFY_ADDRESS, user.email)
    story.clock.step(LINK_LIFE)
    with pytest.raises(Gone, match="link_expired"):
        await address.follow(ctx, token)
    with pytest.raises(NotFound, match="link_invalid"):
        await address.follow(ctx, token[:-4])
    await address.resend(ctx, user.id)
    await address.follow(ctx, await link_of(ctx, Kind.VERIFY_ADDRESS, user.email))
    story.clock.step(timedelta(minutes=2))
    before = await ctx.pool.fetchval("SELECT count(*) FROM notifications")
    assert (await address.resend(ctx, user.id)).verified_at is not None
    assert await ctx.pool.fetchval("SELECT count(*) FROM notifications") == before


async def test_a_new_address_replaces_the_old_one_when_it_is_proved_and_the_old_one_is_told(
    story: Story,
) -> None:
    ctx, me = story.ctx, story.mentor
    with pytest.raises(Invalid) as refused:
        await address.ask_change(ctx, me.id, me.email.upper(), "a wrong password")
    assert [it.code for it in refused.value.errors] == ["same_address", "wrong_password"]
    with pytest.raises(Conflict, match="email_taken"):
        await address.ask_change(ctx, me.id, story.mentee.email, PASSWORD)
    pending = await address.ask_change(ctx, me.id, "asha@new.example", PASSWORD)
    assert (pending.email, pending.pending) == (me.email, "asha@new.example")
    token = await link_of(ctx, Kind.VERIFY_ADDRESS, "asha@new.example")
    await address.cancel_change(ctx, me.id)
    with pytest.raises(Gone, match="link_used"):
        await address.follow(ctx, token)
    story.clock.step(timedelta(minutes=1))
    await address.ask_change(ctx, me.id, "asha@new.example", PASSWORD)
    assert (await address.open_link(ctx, token)).replaces == me.email
    for _ in range(2):
        assert (await address.follow(ctx, token)).done
    assert (await people.authenticate(ctx, "asha@new.example", PASSWORD)).id == me.id
    with pytest.raises(Unauthenticated):
        await people.authenticate(ctx, me.email, PASSWORD)
    told = await ctx.pool.fetch("SELECT address, body FROM notifications WHERE kind = 'address_changed'")
    assert [row["address"] for row in told] == [me.email] and "asha@new.example" in told[0]["body"]
    assert "/address/" not in told[0]["body"]


async def test_an_address_that_somebody_else_took_meanwhile_stays_theirs(story: Story) -> None:
    ctx, me = story.ctx, story.mentor
    await address.ask_change(ctx, me.id, "wanted@example.org", PASSWORD)
    token = await link_of(ctx, Kind.VERIFY_ADDRESS, "wanted@example.org")
    await registered(story, "wanted@example.org")
    with pytest.raises(Conflict, match="email_taken"):
        await address.follow(ctx, token)
    assert (await people.get_user(ctx, me.id)).email == me.email
    assert await ctx.pool.fetchval("SELECT count(*) FROM notifications WHERE kind = 'address_changed'") == 0
