"""Where a message goes and when: defaults, choices, quiet hours across zones, and what lapses."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import Gone, NotFound
from server.base.ids import new_id
from server.integrations.channel import Message, Rate, Unreachable
from server.integrations.channels import REGISTRY, Channels
from server.integrations.provider import Provider
from server.notifications.actions import notify_in, post_in
from server.notifications.delivery import deliver_due
from server.notifications.kinds import KINDS
from server.notifications.model import Delivery, Draft, Kind
from server.notifications.preferences import LINK_LIFE, read_unsubscribe, unsubscribe_url
from server.notifications.reach import Destination, Quiet, Reach, quiet_until, ways
from server.settings import Settings
from tests.support.reach import give_number
from tests.support.story import Story, make_story

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ALL = [(name, module.TRAITS) for name, module in REGISTRY.items()]
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Quiet(time(22, 0), time(7, 0))
PHONE = Destination(new_id(), "sms", "+491701234567")
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "UTC",
)


def test_every_kind_is_described() -> None:
    assert set(KINDS) == set(Kind)


def told(kind: Kind, reach: Reach, now: datetime = NOW, expires_at: datetime | None = None) -> list[str]:
    return [way.channel for way in ways(kind, reach, ALL, now, expires_at)]


def test_mail_and_inbox_for_everything_and_a_buzz_for_what_presses() -> None:
    bare, phone = Reach("a@b.c", BERLIN), Reach("a@b.c", BERLIN, destinations=(PHONE,))
    assert told(Kind.FOLLOW_UP, bare) == told(Kind.FOLLOW_UP, phone) == ["email", "in_app"]
    assert told(Kind.REMINDER, bare) == ["email", "in_app"]
    assert told(Kind.REMINDER, phone) == ["email", "in_app", "sms"]


def test_choices_hold_but_for_the_mails_that_everybody_gets() -> None:
    none = {(kind.value, name): False for kind in Kind for name, _ in ALL}
    reach = Reach("a@b.c", BERLIN, choices=none, destinations=(PHONE,))
    assert told(Kind.REMINDER, reach) == []
    assert told(Kind.BOOKING_CANCELLED, reach) == ["email"]
    more = Reach("a@b.c", BERLIN, choices={("follow_up", "sms"): True}, destinations=(PHONE,))
    assert told(Kind.FOLLOW_UP, more) == ["email", "in_app", "sms"]


def test_each_device_is_told_and_only_the_newest_number() -> None:
    newer = Destination(new_id(), "sms", "+4915112345678")
    reach = Reach("a@b.c", BERLIN, destinations=(PHONE, newer))
    assert [w.address for w in ways(Kind.REMINDER, reach, ALL, NOW, None)] == ["a@b.c", "", newer.address]


def test_quiet_hours_hold_a_buzz_back_unless_it_would_come_too_late() -> None:
    reach = Reach("a@b.c", BERLIN, quiet=NIGHT, destinations=(PHONE,))
    late = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)  # 23:30 in Berlin
    morning = datetime(2026, 3, 3, 6, 0, tzinfo=UTC)
    by_channel = {w.channel: w.not_before for w in ways(Kind.REMINDER, reach, ALL, late, None)}
    assert by_channel == {"email": None, "in_app": None, "sms": morning}
    soon = {
        w.channel: w.not_before for w in ways(Kind.REMINDER, reach, ALL, late, late + timedelta(minutes=30))
    }
    assert soon["sms"] is None


times = st.builds(time, st.integers(0, 23), st.integers(0, 59))


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    times,
    times,
    st.sampled_from(ZONES),
)
def test_quiet_hours_end_at_the_end_on_the_wall(naive: datetime, start: time, end: time, zone: str) -> None:
    if start == end:
        return
    now, there = naive.replace(tzinfo=UTC), ZoneInfo(zone)
    until = quiet_until(now, Quiet(start, end), there)
    wall = now.astimezone(there).time()
    inside = start <= wall < end if start < end else wall >= start or wall < end
    changes = {now.astimezone(there).utcoffset(), (now - timedelta(days=1)).astimezone(there).utcoffset()}
    changes |= {(now + timedelta(days=1)).astimezone(there).utcoffset()}
    if len(changes) == 1:  # the oracle by wall time knows nothing of changing clocks
        assert (until is not None) == inside
        assert until is None or until.astimezone(there).time() == end
    if until is not None:
        assert now < until <= now + timedelta(hours=26)
        assert quiet_until(until, Quiet(start, end), there) is None or start == end


def test_quiet_hours_in_the_night_of_a_change() -> None:
    spring = date(2026, 3, 29)  # 02:00 becomes 03:00 in Berlin
    now = datetime.combine(spring, time(0, 30), BERLIN).astimezone(UTC)
    assert quiet_until(now, Quiet(time(0, 0), time(2, 30)), BERLIN) == datetime(
        2026, 3, 29, 1, 30, tzinfo=UTC
    )
    autumn = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)  # 02:45 for the first time
    assert quiet_until(autumn, Quiet(time(1, 0), time(2, 30)), BERLIN) == datetime(
        2026, 10, 25, 1, 30, tzinfo=UTC
    )


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


async def say(story: Story, kind: Kind, key: str, expires_at: datetime | None = None) -> bool:
    async with story.ctx.pool.acquire() as conn, conn.transaction():
        return await notify_in(
            conn, story.ctx, kind=kind, recipient=story.mentor, role="mentor", dedup_key=key, link="https://v/x",
            values={"name": "Asha", "service": "Google", "account": "a@b.c", "url": "https://v/x"},
            expires_at=expires_at,
        )  # fmt: skip


async def test_the_inbox_has_it_at_once_and_the_mail_once(story: Story) -> None:
    assert await say(story, Kind.CALENDAR_BROKEN, "a")
    assert not await say(story, Kind.CALENDAR_BROKEN, "a")
    rows = await story.ctx.pool.fetch("SELECT channel, status, body, url FROM notifications ORDER BY channel")
    assert [(r["channel"], r["status"]) for r in rows] == [("email", "pending"), ("in_app", "sent")]
    assert "https://v/x" in rows[0]["body"] and "/settings#messages" in rows[0]["body"]
    assert (rows[1]["body"], rows[1]["url"]) == ("https://v/x\n", "https://v/x")


async def test_what_is_too_late_lapses_and_never_leaves(story: Story) -> None:
    await say(story, Kind.CALENDAR_BROKEN, "a", story.clock.now() + timedelta(minutes=5))
    story.clock.step(timedelta(minutes=5))
    assert await deliver_due(story.ctx, Channels(inbox=True)) == Delivery()
    rows = await story.ctx.pool.fetch("SELECT status, error FROM notifications WHERE channel = 'email'")
    assert [tuple(row) for row in rows] == [("lapsed", "too late")]


async def test_what_waits_behind_a_slow_one_and_is_too_late_then_does_not_leave(story: Story) -> None:
    class Slow:
        rate = Rate(10, 10)

        def __init__(self) -> None:
            self.taken: list[str] = []

        async def send(self, message: Message) -> str:
            self.taken.append(message.subject)
            story.clock.step(timedelta(minutes=6))
            return f"name-{len(self.taken)}"

    for key in ("a", "b"):
        await say(story, Kind.CALENDAR_BROKEN, key, story.clock.now() + timedelta(minutes=5))
    slow = Slow()
    assert await deliver_due(story.ctx, Channels({"email": Provider(slow)})) == Delivery(sent=1)
    assert len(slow.taken) == 1
    await deliver_due(story.ctx, Channels({"email": Provider(slow)}))
    rows = await story.ctx.pool.fetch(
        "SELECT status FROM notifications WHERE channel = 'email' ORDER BY status"
    )
    assert [row["status"] for row in rows] == ["lapsed", "sent"] and len(slow.taken) == 1


async def test_an_address_that_is_no_more_is_forgotten(story: Story) -> None:
    class Gone:
        rate = Rate(10, 10)

        async def send(self, message: Message) -> str:
            raise Unreachable("410")

    async with story.ctx.pool.acquire() as conn:
        device = await give_number(conn, story.mentor.id, "push", "https://push.example/1", story.clock.now())
        draft = Draft(
            "a", None, "reminder", "push", story.mentor.id, "mentor", "https://push.example/1", "S", "B",
            destination_id=device,
        )  # fmt: skip
        await post_in(conn, story.ctx, [draft])
    assert await deliver_due(story.ctx, Channels({"push": Provider(Gone())})) == Delivery(dead=1)
    assert (
        await story.ctx.pool.fetchval("SELECT ended_reason FROM destinations WHERE id = $1", device) == "gone"
    )


def test_one_click_ends_mails_of_a_kind_and_no_other(settings: Settings) -> None:
    who = new_id()
    assert unsubscribe_url(settings, who, Kind.PAYSLIP, NOW) is None
    url = unsubscribe_url(settings, who, Kind.REMINDER, NOW)
    assert url is not None and url == unsubscribe_url(settings, who, Kind.REMINDER, NOW + timedelta(hours=3))
    token = url.rpartition("/")[2]
    assert read_unsubscribe(settings, token, NOW) == (who, Kind.REMINDER)
    with pytest.raises(Gone, match="link_expired"):
        read_unsubscribe(settings, token, NOW + LINK_LIFE)
    with pytest.raises(NotFound, match="link_invalid"):
        read_unsubscribe(settings, token[:-3], NOW)
