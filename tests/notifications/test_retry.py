"""What an outage has killed gets another round; what somebody refused, what has left and what is of no use does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobs.outbox import drain
from jobs.periodic import run_job
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.integrations.channel import Message, Rate, Refused, Unavailable
from server.integrations.channels import Channels
from server.integrations.provider import Provider
from server.notifications.delivery import deliver_due
from server.notifications.model import MAX_ATTEMPTS, MAX_ATTEMPTS_DOWN
from server.notifications.retry import ROUND, TIRED, WORTH
from server.settings import Settings
from tests.support.story import Story, make_story


class Outage:
    """A provider that is away, says no, or takes everything."""

    rate = Rate(per_second=1000, burst=1000)

    def __init__(self) -> None:
        self.fault: Exception | None = Unavailable("away")
        self.taken: list[str] = []

    async def send(self, message: Message) -> str:
        if self.fault is not None:
            raise self.fault
        self.taken.append(str(message.id))
        return str(message.id)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


@pytest.fixture
async def outage(story: Story) -> Outage:
    """Two messages in front of it."""
    await story.session(story.clock.now() + timedelta(days=30))
    await drain(story.ctx)
    return Outage()


async def fail(story: Story, outage: Outage, rounds: int) -> None:
    for _ in range(rounds):
        # A breaker of its own each time, so that every message is asked for.
        for _ in range(2):
            await deliver_due(story.ctx, Channels({"email": Provider(outage)}))
        story.clock.step(timedelta(hours=3))


async def statuses(story: Story) -> dict[str, int]:
    rows = await story.ctx.pool.fetch(
        "SELECT status, count(*) AS n FROM notifications WHERE channel = 'email' GROUP BY status"
    )
    return {row["status"]: row["n"] for row in rows}


async def retry(story: Story) -> int:
    # Nobody delivers: the run by hand has no provider of mail.
    return (await run_job(story.ctx, Channels(), "mail_retry", story.clock.now())).rows


async def test_an_outage_of_a_week_loses_no_message_and_sends_none_twice(
    story: Story, outage: Outage
) -> None:
    await fail(story, outage, MAX_ATTEMPTS_DOWN)
    assert await statuses(story) == {"dead": 2}
    for _ in range(2):
        assert await retry(story) == 2
        assert await retry(story) == 0
        await fail(story, outage, ROUND)
        assert await statuses(story) == {"dead": 2}
    assert await retry(story) == 2
    outage.fault = None
    await fail(story, outage, 1)
    assert await statuses(story) == {"sent": 2}
    assert await retry(story) == 0
    await fail(story, outage, 1)
    assert len(outage.taken) == len(set(outage.taken)) == 2


async def test_a_no_stays_a_no(story: Story, outage: Outage) -> None:
    outage.fault = Refused("no such mailbox")
    await fail(story, outage, 1)
    assert await statuses(story) == {"dead": 2}
    await story.ctx.pool.execute("UPDATE notifications SET attempts = $1", MAX_ATTEMPTS)
    assert await retry(story) == 0


@pytest.mark.parametrize(
    "change", ["sent_at = created_at", "expires_at = created_at", "created_at = created_at - $1::interval"]
)
async def test_what_has_left_or_is_of_no_use_is_left_alone(story: Story, outage: Outage, change: str) -> None:
    await fail(story, outage, MAX_ATTEMPTS_DOWN)
    values = [WORTH] if "$1" in change else []
    await story.ctx.pool.execute(f"UPDATE notifications SET {change}", *values)
    assert await retry(story) == 0


async def test_what_sleeps_is_woken_when_the_provider_is_back(story: Story, outage: Outage) -> None:
    await fail(story, outage, TIRED)
    await deliver_due(story.ctx, Channels({"email": Provider(outage)}))
    await story.ctx.pool.execute(
        "UPDATE notifications SET next_attempt_at = $1", story.clock.now() + timedelta(hours=2)
    )
    assert await retry(story) == 0  # nobody knows that it is back
    one, other = [
        row["id"]
        for row in await story.ctx.pool.fetch("SELECT id FROM notifications WHERE channel = 'email'")
    ]
    await story.ctx.pool.execute(
        "UPDATE notifications SET status = 'sent', sent_at = $2, provider_message_id = 'x' WHERE id = $1",
        one, story.clock.now(),
    )  # fmt: skip
    assert await retry(story) == 1
    outage.fault = None
    await deliver_due(story.ctx, Channels({"email": Provider(outage)}))
    assert outage.taken == [str(other)]
