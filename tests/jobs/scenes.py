"""What the kill tests play: people with every channel, and one scene for each job, reaction and webhook."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs.confirmations import buttons_for, sweep
from jobs.outbox import drain
from jobs.periodic import JOBS
from jobs.reminders import remind
from jobs.watch import Watch
from server.attendance import actions as attendance
from server.attendance import amending, outages
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool, in_transaction
from server.base.ids import new_id
from server.booking.model import Booking
from server.conduct import actions as conduct
from server.confirmations.tickets import Verb
from server.integrations.channel import Message, Rate
from server.integrations.channels import Channels
from server.integrations.provider import Provider
from server.integrations.whatsapp import signed
from server.ledger import actions as ledger
from server.meetinglog import store as meetinglog
from server.meetinglog.model import Event
from server.notifications import receipts
from server.notifications.delivery import deliver_due
from server.notifications.model import MAX_ATTEMPTS_DOWN
from server.people import store as people_store
from server.people.model import Principal, Role, User
from server.providers import Providers, WhatsApp
from server.sessions.model import Outcome
from server.settings import Settings
from server.testimonials import actions as testimonials
from tests.booking.world import mentor, person
from tests.support.reach import give_number
from tests.support.story import Story

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
SECRET = "app-secret"
RATE = Rate(per_second=1000, burst=1000)

Step = Callable[[Context], Awaitable[Any]]


@dataclass(slots=True)
class Taker:
    """A provider that takes everything, and notes every copy."""

    rate: Rate = RATE
    taken: list[UUID] = field(default_factory=list)

    async def send(self, message: Message) -> str:
        self.taken.append(message.id)
        return f"wamid.{message.id}"


@dataclass(slots=True)
class World:
    """Two people with WhatsApp, an administrator, a team's channel, and a development inbox for all of it."""

    ctx: Context
    clock: SteppedClock
    story: Story
    admin: User
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def session(self, story: Story | None = None) -> Booking:
        """Agreed, a day from now."""
        start = self.clock.now().replace(minute=0, second=0) + DAY
        booking = await (story or self.story).session(start)
        await settle(self.ctx)
        return booking

    async def asked(self, channels: Channels | None = None) -> Booking:
        """One whose people were asked four hours before whether they come."""
        booking = await self.session()
        self.clock.set(booking.start - 4 * HOUR)
        await remind(self.ctx)
        if channels is not None:
            await deliver_due(self.ctx, channels)
        await settle(self.ctx)
        return booking

    async def over(self, *present: str, story: Story | None = None) -> Booking:
        """One that is over, and who of ``mentor`` and ``mentee`` was there."""
        its = story or self.story
        booking = await self.session(its)
        for role in present:
            who = its.mentor if role == "mentor" else its.mentee
            await its.present(booking.session_id, who, booking.start, booking.end)
        self.clock.set(booking.end + 20 * MINUTE)
        return booking

    async def judged(self, *present: str) -> Booking:
        booking = await self.over(*present)
        await attendance.settle(self.ctx, booking.session_id)
        await settle(self.ctx)
        return booking

    async def others(self) -> Story:
        """Two who have missed nothing yet."""
        return await two(self.ctx, self.clock)

    def post(self, text: str = "", *, context: str | None = None, payload: str = "") -> tuple[bytes, str]:
        """What the mentee writes, as Meta posts it, and its signature."""
        at = str(int(self.clock.now().timestamp()))
        message: dict[str, Any] = {
            "from": "15550100002",
            "id": f"wamid.in{next(self.numbers)}",
            "timestamp": at,
        }
        if payload:
            message |= {"type": "button", "button": {"payload": payload, "text": text}}
        else:
            message |= {"type": "text", "text": {"body": text}}
        if context is not None:
            message["context"] = {"id": context}
        entry = {"id": "1", "changes": [{"field": "messages", "value": {"messages": [message]}}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        return body, signed(SECRET, body)


async def settle(ctx: Context) -> None:
    """Reactions until there are none, and every message into the development inbox."""
    await drain(ctx, lanes=1)
    await deliver_due(ctx, Channels(inbox=True))


async def two(ctx: Context, clock: SteppedClock) -> Story:
    """A mentor and a mentee with proved addresses; nobody logs in, so there are no passwords to hash."""
    story = Story(ctx, clock, await mentor(ctx, "Asha"), await person(ctx, "Jonas", tokens=100_000))
    await prove(ctx, story.mentor, story.mentee)
    return story


async def prove(ctx: Context, *users: User) -> None:
    async with ctx.pool.acquire() as conn:
        for user in users:
            await people_store.verify_address(conn, user.id, ctx.clock.now())


@pytest.fixture
async def world(pool: Pool, clock: SteppedClock, settings: Settings) -> World:
    whatsapp = WhatsApp("http://127.0.0.1:9/v23.0", "1", "token", SECRET, "verify", "visavis_notice", "en")
    # In demo mode messages are written for every channel there is.
    ctx = Context(pool, clock, replace(settings, demo=True, providers=Providers(whatsapp=whatsapp)))
    story = await two(ctx, clock)
    async with pool.acquire() as conn:
        await give_number(conn, story.mentor.id, "whatsapp", "+15550100001", clock.now())
        await give_number(conn, story.mentee.id, "whatsapp", "+15550100002", clock.now())
    admin = await person(ctx, "Root", Role.ADMIN)
    await prove(ctx, admin)
    return World(ctx, clock, story, admin)


# ---------------------------------------------------------------- around a session


async def reminder_asks(world: World) -> Step:
    booking = await world.session()
    world.clock.set(booking.start - 4 * HOUR)

    async def step(ctx: Context) -> None:
        await remind(ctx)
        await settle(ctx)

    return step


async def nobody_answered(world: World) -> Step:
    """Operators hear of who is silent; a reply to a message that nobody knows is handed on."""
    booking = await world.asked()
    world.clock.set(booking.start - 2 * HOUR - 5 * MINUTE)
    body, signature = world.post("Is there parking?", context=f"wamid.lost{next(world.numbers)}")
    await receipts.from_whatsapp(world.ctx, body, signature)
    world.clock.set(booking.start - 2 * HOUR)

    async def step(ctx: Context) -> None:
        await sweep(ctx)
        await settle(ctx)

    return step


def replying(verb: Verb, *, late: bool = False) -> Callable[[World], Awaitable[Step]]:
    """A button is pressed; the webhook is posted again until it was answered."""

    async def scene(world: World) -> Step:
        booking = await world.asked(Channels({"whatsapp": Provider(Taker())}))
        mentee = world.story.mentee.id
        asked = await world.ctx.pool.fetchval(
            "SELECT provider_message_id FROM notifications WHERE session_id = $1 AND recipient_id = $2"
            " AND kind = 'reminder' AND channel = 'whatsapp'",
            booking.session_id, mentee,
        )  # fmt: skip
        assert asked is not None
        world.clock.set(booking.start - 2 * HOUR)
        if late:
            await sweep(world.ctx)
            await settle(world.ctx)
        [button] = buttons_for(world.ctx.settings, booking.session_id, mentee, booking.revision, [verb])
        body, signature = world.post("x", context=asked, payload=button.payload)

        async def step(ctx: Context) -> None:
            await receipts.from_whatsapp(ctx, body, signature)
            await settle(ctx)

        return step

    return scene


async def nudge(world: World) -> Step:
    booking = await world.session()
    await world.story.present(booking.session_id, world.story.mentor, booking.start, None)
    world.clock.set(booking.start + 4 * MINUTE)

    async def step(ctx: Context) -> None:
        await JOBS["no_show"].run(ctx)
        await settle(ctx)

    return step


async def verdicts(world: World) -> Step:
    """Both sessions of two people are over: the mentee missed the second, which the server did not see the end of."""
    others = await world.others()
    await world.over("mentor", "mentee", story=others)
    start = world.clock.now().replace(minute=0, second=0) + DAY
    booking = await others.session(start)
    await attendance.joined(world.ctx, booking.session_id, others.mentor.id, "peer", start)
    await attendance.seen(world.ctx, [(booking.session_id, "peer", booking.end, 3600.0, 0.0)])
    await settle(world.ctx)
    world.clock.set(booking.end + 20 * MINUTE)

    async def step(ctx: Context) -> None:
        await JOBS["session_status"].run(ctx)
        await settle(ctx)

    return step


async def misses(world: World, others: Story, times: int) -> None:
    for _ in range(times):
        await world.over("mentor", story=others)
        await JOBS["session_status"].run(world.ctx)
        await settle(world.ctx)


async def restriction(world: World) -> Step:
    """The second and the third no-show are judged in one night: a warning, then a restriction."""
    others = await world.others()
    await misses(world, others, 1)
    await world.over("mentor", story=others)
    await world.over("mentor", story=others)

    async def step(ctx: Context) -> None:
        await JOBS["session_status"].run(ctx)
        await settle(ctx)

    return step


async def appeal(world: World) -> Step:
    others = await world.others()
    await misses(world, others, 3)

    async def step(ctx: Context) -> None:
        await conduct.appeal(ctx, others.mentee.id, "My line was down.")
        await settle(ctx)

    return step


async def appeal_accepted(world: World) -> Step:
    others = await world.others()
    await misses(world, others, 3)
    await conduct.appeal(world.ctx, others.mentee.id, "My line was down.")
    await settle(world.ctx)
    [case] = (await conduct.cases(world.ctx, appeals=True)).items

    async def step(ctx: Context) -> None:
        await conduct.accept(ctx, world.admin.id, case.restriction.id, "So it was.")
        await settle(ctx)

    return step


async def amendment(world: World) -> Step:
    """The money goes back and forth by new transfers; a review that waits is answered by it."""
    booking = await world.judged("mentor")
    mentee = Principal(world.story.mentee.id, world.story.mentee.role)
    await amending.ask(world.ctx, mentee, booking.session_id, "We met by telephone.")
    await settle(world.ctx)

    async def step(ctx: Context) -> None:
        await amending.amend(
            ctx, world.admin.id, booking.session_id, Outcome.COMPLETED, "They met by telephone."
        )
        await settle(ctx)

    return step


async def review_upheld(world: World) -> Step:
    booking = await world.judged("mentor", "mentee")
    mentee = Principal(world.story.mentee.id, world.story.mentee.role)
    review = await amending.ask(world.ctx, mentee, booking.session_id, "It was dull.")
    await settle(world.ctx)

    async def step(ctx: Context) -> None:
        await amending.uphold(ctx, world.admin.id, review.id, "They met.")
        await settle(ctx)

    return step


async def published_words(world: World) -> Step:
    booking = await world.judged("mentor", "mentee")
    await testimonials.write(world.ctx, world.story.mentee.id, booking.session_id, 5, "Well spent.")

    async def step(ctx: Context) -> None:
        await testimonials.publish(ctx, world.admin.id, booking.session_id)
        await settle(ctx)

    return step


async def outage(world: World) -> Step:
    """No web process beats any more, as a worker notices, and another one starts."""
    await outages.begin(world.ctx, new_id())
    world.clock.step(10 * MINUTE)
    successor = new_id()

    async def step(ctx: Context) -> None:
        await Watch(ctx).look()
        await outages.begin(ctx, successor)

    return step


# ---------------------------------------------------------------- jobs


async def journey(world: World) -> Step:
    now = world.clock.now()
    world.clock.set(datetime(now.year + now.month // 12, now.month % 12 + 1, 1, 6, tzinfo=UTC))

    async def step(ctx: Context) -> None:
        await JOBS["mentee_journey"].run(ctx)
        await settle(ctx)

    return step


async def export(world: World) -> Step:
    now = world.clock.now()
    for amount in (3, 4):
        await in_transaction(
            world.ctx.pool,
            lambda conn, amount=amount: ledger.grant_in(  # type: ignore[misc]
                conn,
                key=f"grant:{new_id()}",
                user_id=world.story.mentee.id,
                amount=amount,
                memo="test",
                now=now,
            ),
        )
    world.clock.set((now + DAY).replace(hour=0, minute=30))
    return JOBS["transaction_export"].run


async def partitions(world: World) -> Step:
    """One is made, with rows that came before it, one detached, one dropped."""
    for _ in range(2):  # enough for a month to go at each step
        await JOBS["partitions"].run(world.ctx)
        world.clock.step(DAY * 31)
    async with world.ctx.pool.acquire() as conn:
        ahead = world.clock.now() + 5 * 31 * DAY
        await meetinglog.write(conn, [Event(next(world.numbers), 0, new_id(), "joined", ahead)])
    return JOBS["partitions"].run


async def retention(world: World) -> Step:
    long_ago = world.clock.now() - 1000 * DAY
    async with world.ctx.pool.acquire() as conn:
        for number in range(3):
            await conn.execute(
                "INSERT INTO job_runs (id, job, scheduled_for, started_at, heartbeat_at, finished_at, result)"
                " VALUES (gen_random_uuid(), 'sample', $1, $1, $1, $1, 'ok')", long_ago + number * MINUTE,
            )  # fmt: skip
            await conn.execute(
                "INSERT INTO provider_events (id, channel, event_key, kind, result, received_at, handed_at)"
                " VALUES (gen_random_uuid(), 'whatsapp', $1, 'reply', 'stranger', $2, $2)", str(new_id()), long_ago,
            )  # fmt: skip
            fact = await conn.fetchval(
                "INSERT INTO facts (kind, at, data, handled_at, next_attempt_at)"
                " VALUES ('session_published', $1, '{}', $1, $1) RETURNING id", long_ago,
            )  # fmt: skip
            await conn.execute("INSERT INTO fact_reactions VALUES ($1, 'plan_reminders', $2)", fact, long_ago)
    return JOBS["retention"].run


async def mail_retry(world: World) -> Step:
    """Messages that a week's outage has killed get another round, and leave."""
    world.clock.step(DAY)
    await world.story.session(world.clock.now().replace(minute=0) + 20 * DAY)
    await drain(world.ctx)
    await world.ctx.pool.execute(
        "UPDATE notifications SET status = 'dead', attempts = $1, error = 'away' WHERE status = 'pending'",
        MAX_ATTEMPTS_DOWN,
    )

    async def step(ctx: Context) -> None:
        await JOBS["mail_retry"].run(ctx)
        await settle(ctx)

    return step


SCENES: dict[str, Callable[[World], Awaitable[Step]]] = {
    "reminder asks": reminder_asks,
    "nobody answered": nobody_answered,
    "reply says no, late": replying(Verb.NO, late=True),
    "reply cancels": replying(Verb.CANCEL_NOW),
    "nudge": nudge,
    "verdicts and letters": verdicts,
    "restriction": restriction,
    "appeal": appeal,
    "appeal accepted": appeal_accepted,
    "amendment": amendment,
    "review upheld": review_upheld,
    "testimonial": published_words,
    "outage": outage,
    "mentee_journey": journey,
    "transaction_export": export,
    "partitions": partitions,
    "retention": retention,
    "mail_retry": mail_retry,
}
