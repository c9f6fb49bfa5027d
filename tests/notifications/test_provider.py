"""Providers are asked no faster than they like, left alone while they are down, and one line adds another."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from server.base.clock import SteppedClock
from server.base.db import Pool
from server.integrations.channel import (
    Deferred,
    Dials,
    Form,
    Message,
    NotificationChannel,
    Rate,
    Traits,
    Unavailable,
)
from server.integrations.channels import REGISTRY, Channels, make_channels
from server.integrations.provider import LONGEST_REST, TRIP_AFTER, Breaker, Bucket
from server.notifications.actions import notify_in, post_in
from server.notifications.delivery import deliver_due
from server.notifications.model import LONGEST_DELAY, Delivery, Draft, Kind, backoff
from server.settings import Settings
from tests.support.reach import give_number
from tests.support.story import Story, make_story

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(slots=True)
class Pigeons:
    """A channel that the product has never heard of; ``says`` is raised instead of flying."""

    rate: Rate = field(default_factory=lambda: Rate(per_second=1, burst=3))
    flown: list[Message] = field(default_factory=list)
    asked: int = 0
    says: Exception | None = None

    async def send(self, message: Message) -> str:
        self.asked += 1
        if self.says is not None:
            raise self.says
        self.flown.append(message)
        return f"pigeon-{len(self.flown)}"


@dataclass(frozen=True, slots=True)
class Loft:
    """What the module of such a channel would hold."""

    pigeons: Pigeons

    @property
    def TRAITS(self) -> Traits:
        return Traits("Pigeon", Form.SHORT, Dials.NUMBER, disturbs=True)

    def channel(self, settings: Settings) -> NotificationChannel | None:
        return self.pigeons


async def loft(
    pool: Pool, clock: SteppedClock, settings: Settings, count: int
) -> tuple[Story, Pigeons, Channels]:
    story, pigeons = await make_story(pool, clock, settings), Pigeons()
    async with pool.acquire() as conn:
        drafts = [
            Draft(
                str(n), None, "reminder", "pigeon", story.mentee.id, "mentee", "the third roof", f"S{n}", "B"
            )
            for n in range(count)
        ]
        assert await post_in(conn, story.ctx, drafts) == count
    return story, pigeons, make_channels(settings, {**REGISTRY, "pigeon": Loft(pigeons)})


async def test_a_channel_is_one_module_and_one_line(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    """Those who gave an address for it are told by it, with a text made for short channels."""
    story, pigeons, channels = await loft(pool, clock, settings, 0)
    registry = {**REGISTRY, "pigeon": Loft(pigeons)}
    async with pool.acquire() as conn, conn.transaction():
        await give_number(conn, story.mentee.id, "pigeon", "the third roof", clock.now())
        for person, role in ((story.mentor, "mentor"), (story.mentee, "mentee")):
            assert await notify_in(
                conn, story.ctx, kind=Kind.CALENDAR_BROKEN, recipient=person, role=role, dedup_key="once",
                values={"name": person.name, "service": "Google", "account": "a@b.c", "url": "u"}, link="u",
                registry=registry,
            )  # fmt: skip
            # A telephone buzzes unasked for pressing kinds only: this one has to be chosen.
        await conn.execute(
            "INSERT INTO notification_preferences VALUES ($1, 'calendar_broken', 'pigeon', true, $2)",
            story.mentee.id, clock.now(),
        )  # fmt: skip
        assert await notify_in(
            conn, story.ctx, kind=Kind.CALENDAR_BROKEN, recipient=story.mentee, role="mentee", dedup_key="twice",
            values={"name": "Jonas", "service": "Google", "account": "a@b.c", "url": "u"}, link="u",
            registry=registry,
        )  # fmt: skip
    assert (await deliver_due(story.ctx, channels)).sent == 1
    [message] = pigeons.flown
    assert (message.to, message.text, message.url) == ("the third roof", "u\n", "u")
    assert message.subject.endswith("a@b.c")


async def test_a_channel_is_never_asked_faster_than_it_likes(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    """Neither the schema nor the sender knows its name; a rate of three at once and one a second is kept."""
    story, pigeons, channels = await loft(pool, clock, settings, 5)
    assert await deliver_due(story.ctx, channels) == Delivery(sent=3)
    assert await deliver_due(story.ctx, channels) == Delivery()
    story.clock.step(timedelta(seconds=2))
    assert await deliver_due(story.ctx, channels) == Delivery(sent=2)
    assert [message.subject for message in pigeons.flown] == [f"S{n}" for n in range(5)]
    assert {message.to for message in pigeons.flown} == {"the third roof"}
    names = await pool.fetch("SELECT provider_message_id FROM notifications WHERE status = 'sent' ORDER BY 1")
    assert [row[0] for row in names] == [f"pigeon-{n}" for n in range(1, 6)]


async def test_a_provider_that_names_a_time_is_left_alone_until_then(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    story, pigeons, channels = await loft(pool, clock, settings, 2)
    pigeons.says = Unavailable("moulting", retry_after=timedelta(minutes=20))
    assert await deliver_due(story.ctx, channels) == Delivery(postponed=1)
    pigeons.says = None
    story.clock.step(timedelta(minutes=19, seconds=59))
    assert await deliver_due(story.ctx, channels) == Delivery()
    assert pigeons.asked == 1
    story.clock.step(timedelta(seconds=1))
    assert await deliver_due(story.ctx, channels) == Delivery(sent=2)


async def test_one_message_that_has_to_wait_holds_up_no_other(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    story, pigeons, channels = await loft(pool, clock, settings, 2)
    pigeons.says = Deferred("not this one")
    assert await deliver_due(story.ctx, channels) == Delivery(postponed=2)
    pigeons.says = None
    story.clock.step(timedelta(minutes=1))
    assert await deliver_due(story.ctx, channels) == Delivery(sent=2)


def test_a_breaker_opens_tries_once_and_closes() -> None:
    breaker = Breaker()
    for _ in range(TRIP_AFTER - 1):
        breaker = breaker.failed(NOW)
        assert breaker.allows(NOW)
    breaker = breaker.failed(NOW)
    assert not breaker.allows(NOW + timedelta(seconds=29))
    later = NOW + timedelta(seconds=30)
    assert breaker.allows(later)
    again = breaker.failed(later)  # half open: one failure is enough, and the rest is longer
    assert not again.allows(later + timedelta(seconds=59))
    assert again.allows(later + timedelta(seconds=60))
    assert again.succeeded() == Breaker()


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 10**6))
def test_a_breaker_never_locks_anybody_out_for_good(outcomes: list[bool], wish: int) -> None:
    breaker, now = Breaker(), NOW
    for good in outcomes:
        breaker = breaker.succeeded() if good else breaker.failed(now)
        assert breaker.allows(now + LONGEST_REST)
        now += timedelta(seconds=7)
    breaker = breaker.failed(now, timedelta(seconds=wish))
    assert breaker.allows(now + max(LONGEST_REST, timedelta(hours=2)))


@given(st.lists(st.floats(0, 5), max_size=200), st.floats(0.1, 50), st.integers(1, 20))
def test_a_bucket_lets_out_its_rate_and_a_burst(gaps: list[float], per_second: float, burst: int) -> None:
    bucket, now, out = Bucket(Rate(per_second, burst), burst, NOW), NOW, 0
    for gap in gaps:
        now += timedelta(seconds=gap)
        bucket = bucket.filled(now)
        if bucket.has_one:
            bucket, out = bucket.taken(), out + 1
    assert out <= burst + (now - NOW).total_seconds() * per_second + 1e-6


@given(st.integers(1, 50), st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_a_wish_is_honoured_up_to_the_longest_delay(attempts: int, wish: int, dice: Random) -> None:
    wanted = min(timedelta(seconds=wish), LONGEST_DELAY)
    assert wanted <= backoff(attempts, dice, timedelta(seconds=wish)) <= LONGEST_DELAY
