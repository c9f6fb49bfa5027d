"""Plays a script: steps the clock, does what people do, kills what can be killed, and waits until the workers rest."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeAlias, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from jobs.periodic import JOBS, run_job
from jobs.schedule import zone_of
from server.attendance import actions as attendance
from server.attendance import outages
from server.attendance.model import ORPHAN_AFTER
from server.availability import actions as availability
from server.availability.model import MIDNIGHT, Availability, Window
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Conn, create_pool, in_transaction
from server.base.errors import Refusal
from server.base.ids import new_id
from server.confirmations import actions as confirmations
from server.confirmations.model import Answer
from server.integrations.channels import Channels
from server.integrations.wake import arq_waker
from server.integrations.whatsapp import signed
from server.ledger import actions as ledger
from server.notifications import receipts
from server.people import actions as people
from server.people import store as people_store
from server.people.model import Role, User
from server.sessions import actions as sessions
from server.settings import load_settings
from tests.simulation import store
from tests.simulation.clock import SharedClock
from tests.simulation.house import House, running_house
from tests.simulation.meta import receipt, reply, yes_of
from tests.simulation.script import LENGTH, PRICE, Conduct, Person, Script, Stay, Story
from tests.support.providers import APP_SECRET
from tests.support.reach import give_number

T = TypeVar("T")
Event: TypeAlias = tuple[datetime, int, Callable[[], Awaitable[object]]]  # the number keeps the order

TOKENS = 100_000  # of each mentee
MOST_STEP = timedelta(minutes=11)  # what a tick may be late
REST_TRIES = 3000  # looks, 20 ms apart: a minute of real time for one step, PostgreSQL's recovery included
STUCK = 50  # looks without a change at messages that stay due, before the clock goes on: a second
# On a clock that stands still no rate lets more through and no breaker closes, and a worker takes seconds to start. So
# the clock goes on in small steps until all has left; not for long after a provider's trouble, which takes minutes.
PUSH = timedelta(seconds=3)
PUSHES, PUSHES_IN_TROUBLE = 25, 3
TROUBLE_LASTS = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely something happens in a step."""

    worker: float = 0.12
    redis: float = 0.04
    postgres: float = 0.03
    trouble: float = 0.10
    twice: float = 0.10  # a tick that is run again by hand


HARSH = Chances(worker=0.25, redis=0.1, postgres=0.08, trouble=0.1, twice=0.15)


@dataclass(slots=True)
class Played:
    """What the checker needs to know beside the script. ``rests``: the instants at which everything was done;
    ``troubled`` those of them at which no provider took anything."""

    script: Script
    house: House
    rests: list[datetime] = field(default_factory=list)
    troubled: set[datetime] = field(default_factory=set)
    receipts: dict[str, set[str]] = field(default_factory=dict)  # what WhatsApp told, by wamid
    refused: set[int] = field(default_factory=set)  # stories that ended because somebody is restricted
    runs: Sequence[Any] = ()
    messages: Sequence[Any] = ()
    strangers: set[str] = field(default_factory=set)  # mails that had no row at the rest after them
    logs: dict[str, str] = field(default_factory=dict)  # what PostgreSQL and the workers wrote, by file
    verdicts: dict[str, str | None] = field(default_factory=dict)
    balances: dict[tuple[str, str], int] = field(default_factory=dict)
    sessions: dict[int, UUID] = field(default_factory=dict)  # by story
    dead: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Day:
    """The driver."""

    ctx: Context
    clock: SharedClock
    played: Played
    dice: Random
    chances: Chances
    users: dict[str, User] = field(default_factory=dict)
    bookings: dict[int, UUID] = field(default_factory=dict)
    sessions: dict[int, UUID] = field(default_factory=dict)
    coming: deque[Event] = field(default_factory=deque)
    here: dict[str, tuple[UUID, datetime]] = field(default_factory=dict)  # peer -> (session, since)
    late: list[tuple[datetime, bytes]] = field(default_factory=list)  # webhooks on their way
    seen_by_whatsapp: int = 0
    seen_by_mail: int = 0
    serving: UUID | None = None  # the web process, while there is one

    async def settle_in(self) -> None:
        """People with hours, tokens and telephone numbers."""
        script, now = self.played.script, self.clock.now()
        for person in (*script.mentors, *script.mentees):
            await self._person(person, now)
        for person in script.mentors:
            mentor = self.users[person.email]
            await people.update_me(self.ctx, mentor.id, price_tokens=PRICE)
            await availability.put(self.ctx, mentor.id, always(person.zone, now))

    async def _person(self, person: Person, now: datetime) -> None:
        user = User(new_id(), person.email, person.name, Role(person.role), person.zone, now)
        self.users[person.email] = user

        async def work(conn: Conn) -> None:
            await people_store.insert_user(conn, user, "no password")
            if user.role is Role.MENTOR:
                await people_store.insert_profile(conn, user.id)
            else:
                await ledger.grant_in(
                    conn, key=f"grant:{user.id}", user_id=user.id, amount=TOKENS, memo="simulation", now=now
                )
            for channel, number in (("whatsapp", person.whatsapp), ("sms", person.sms)):
                if number is not None:
                    await give_number(conn, user.id, channel, number, now)

        await in_transaction(self.ctx.pool, work)

    def events(self) -> list[Event]:
        """Everything people do, in order."""
        found: list[Event] = []
        numbers = itertools.count()

        def at(when: datetime | None, do: Callable[[Story], Awaitable[object]], story: Story) -> None:
            if when is not None:
                found.append((when, next(numbers), partial(self._try, do, story)))

        for story in self.played.script.stories:
            at(story.booked_at, self._book, story)
            at(story.approved_at, self._approve, story)
            at(story.rejected_at, self._reject, story)
            at(story.move_at, self._propose, story)
            at(story.moved_at, self._agree, story)
            at(story.cancelled_at, self._cancel, story)
            for role, when in story.answers:
                if when < (story.cancelled_at or when + LENGTH):
                    at(when, partial(self._answer, role), story)
            if story.held:
                for stay in story.stays(self.played.script.outages):
                    found.append((stay.came, next(numbers), partial(self._come, story, stay)))
                    if stay.told:
                        found.append((stay.went, next(numbers), partial(self._go, story, stay)))
        for outage in self.played.script.outages:
            found.append((outage.since, next(numbers), self._die))
            found.append((outage.since + ORPHAN_AFTER, next(numbers), self._be_missed))
            found.append((outage.until, next(numbers), self._serve))
        return sorted(found, key=lambda it: it[:2])

    def _mentor(self, story: Story) -> UUID:
        return self.users[self.played.script.mentors[story.mentor].email].id

    def _mentee(self, story: Story) -> UUID:
        return self.users[self.played.script.mentees[story.mentee].email].id

    async def _book(self, story: Story) -> None:
        booking = await sessions.book(
            self.ctx, self._mentee(story), mentor_id=self._mentor(story), start=story.start,
            end=story.start + LENGTH, topic=story.topic,
        )  # fmt: skip
        self.bookings[story.number], self.sessions[story.number] = booking.id, booking.session_id

    async def _approve(self, story: Story) -> None:
        await sessions.approve(self.ctx, self._mentor(story), self.bookings[story.number])

    async def _reject(self, story: Story) -> None:
        await sessions.reject(self.ctx, self._mentor(story), self.bookings[story.number], "No time.")

    async def _propose(self, story: Story) -> None:
        assert story.moved_start is not None
        await sessions.reschedule(
            self.ctx, self._mentor(story), self.bookings[story.number], start=story.moved_start,
            end=story.moved_start + LENGTH, reason="A train.",
        )  # fmt: skip

    async def _agree(self, story: Story) -> None:
        await sessions.approve(self.ctx, self._mentee(story), self.bookings[story.number])

    async def _cancel(self, story: Story) -> None:
        actor = self._mentor(story) if story.by_mentor else self._mentee(story)
        await sessions.cancel(self.ctx, actor, self.bookings[story.number], "Something came up.")

    async def _answer(self, role: str, story: Story) -> None:
        """By the button in WhatsApp where it was sent there, else on the page."""
        session_id = self.sessions[story.number]
        person = (
            self.played.script.mentors[story.mentor]
            if role == "mentor"
            else self.played.script.mentees[story.mentee]
        )
        taken = self.played.house.fakes.taken
        # The newest question: the buttons of one about another time are good no longer.
        for number in range(len(taken), 0, -1) if person.whatsapp is not None else ():
            payload = yes_of(taken[number - 1], person.whatsapp, str(session_id))
            if payload is not None:
                self.played.house.fakes.wrote.add(str(taken[number - 1]["to"]))
                pressed = reply(
                    f"in.{story.number}.{role}", f"wamid.{number}", person.whatsapp or "", payload
                )
                for _ in range(1 + (self.dice.random() < 0.3)):
                    await receipts.from_whatsapp(self.ctx, pressed, signed(APP_SECRET, pressed))
                break
        else:
            who = self.users[person.email].id
            await confirmations.answer(self.ctx, who, session_id, Answer.YES, "page")

    async def _come(self, story: Story, stay: Stay) -> None:
        if story.number not in self.played.refused:
            session_id = self.sessions[story.number]
            self.here[stay.peer] = session_id, stay.came
            await attendance.joined(self.ctx, session_id, self._who(story, stay), stay.peer, stay.came)

    async def _go(self, story: Story, stay: Stay) -> None:
        if stay.peer in self.here:
            session_id, _ = self.here.pop(stay.peer)
            await attendance.left(
                self.ctx, session_id, self._who(story, stay), stay.peer, stay.went, "closed"
            )

    def _who(self, story: Story, stay: Stay) -> UUID:
        return self._mentor(story) if stay.role == "mentor" else self._mentee(story)

    async def _serve(self) -> None:
        """The web process starts."""
        self.serving = new_id()
        await outages.begin(self.ctx, self.serving)

    async def _die(self) -> None:
        """It dies, and with it the sight of everybody."""
        self.serving = None
        self.here.clear()

    async def _be_missed(self) -> None:
        """What a worker's watch does after half a minute, by a clock that this test does not move."""
        latest = await outages.latest_beat(self.ctx)
        assert latest is not None
        await outages.gone_since(self.ctx, latest)

    def _restricted(self, story: Story) -> bool:
        """Whether either of the two stayed away three times, by the script: then a refusal is right."""
        now = self.clock.now()
        missed = {"mentor": 0, "mentee": 0}
        for other in self.played.script.stories:
            if other.held and other.final_start + LENGTH <= now:
                missed["mentor"] += other.mentor == story.mentor and other.conduct is Conduct.MENTEE_ONLY
                missed["mentee"] += other.mentee == story.mentee and other.conduct is Conduct.MENTOR_ONLY
        return max(missed.values()) >= 3

    async def _try(self, do: Callable[[Story], Awaitable[object]], story: Story) -> None:
        if story.number in self.played.refused:
            return
        try:
            await do(story)
        except Refusal:
            if not self._restricted(story):
                raise
            self.played.refused.add(story.number)
            if story.number in self.bookings:  # what was agreed before does not go on without them
                await sessions.cancel(self.ctx, self._mentee(story), self.bookings[story.number], "Refused.")

    async def move_to(self, now: datetime) -> None:
        """The SFU reports whom it sees, and only then the clock moves: nobody is missed for a step's length."""
        beats = [
            (session_id, peer, now, (now - since).total_seconds(), 1.0)
            for peer, (session_id, since) in self.here.items()
        ]
        await attendance.seen(self.ctx, beats)
        if self.serving is not None:
            then = replace(self.ctx, clock=SteppedClock(now))
            await outages.beat(then, self.serving, timedelta())
        self.clock.set(now)

    async def play(self) -> None:
        """The whole script, and then until everything is settled."""
        await self._serve()
        self.coming = deque(self.events())
        now, end = self.played.script.begin, self.played.script.end
        while now < end:
            step = timedelta(seconds=self.dice.randrange(120, int(MOST_STEP.total_seconds())))
            now = await self._step(min(now + step, end))
        await self._calm()

    async def _step(self, target: datetime) -> datetime:
        """Play until ``target``, and a little further while something has not left; returns until when."""
        await self._go_on(target)
        await self._webhooks(target)
        trouble = await self._hinder(target)
        done = await self._until_done(target, trouble)
        since = max(self.played.troubled, default=None)
        lately = trouble or (since is not None and target < since + TROUBLE_LASTS)
        for _ in range(PUSHES_IN_TROUBLE if lately else PUSHES):
            if done or trouble:
                break
            target += PUSH
            await self._go_on(target)
            done = await self._until_done(target, trouble)
        await self._know_mails()
        self.played.rests.append(target)
        if trouble:
            self.played.troubled.add(target)
        return target

    async def _know_mails(self) -> None:
        """Each mail taken since the last rest has a row by now. Looked at here, and not only at the end, so that one
        without can be told from one whose row has gone later."""
        mails = self.played.house.smtp.messages[self.seen_by_mail :]
        self.seen_by_mail += len(mails)
        names = [UUID(message_id(mail.message)) for mail in mails]

        async def look() -> None:
            async with self.ctx.pool.acquire(timeout=5) as conn:
                self.played.strangers |= {str(name) for name in await store.unknown(conn, names)}

        await patiently(look)

    async def _go_on(self, target: datetime) -> None:
        """What people do until then."""
        while self.coming and self.coming[0][0] <= target:
            when, _, do = self.coming.popleft()
            await self.move_to(max(when, self.clock.now()))
            await do()
        await self.move_to(target)

    async def _hinder(self, now: datetime) -> bool:
        """Whom fate strikes at this instant; returns whether the providers have trouble."""
        dice, chances, house = self.dice, self.chances, self.played.house
        trouble = dice.random() < chances.trouble
        house.trouble(trouble)
        if dice.random() < chances.worker:
            await asyncio.sleep(dice.uniform(0, 0.15))
            await house.kill_worker(dice)
        if dice.random() < chances.redis:
            await house.kill_redis()
        if dice.random() < chances.postgres:
            await asyncio.sleep(dice.uniform(0, 0.1))
            await house.kill_postgres()
        if dice.random() < chances.twice:
            name = dice.choice([name for name, job in JOBS.items() if job.schedule.text == "every minute"])
            minute = now.replace(second=0, microsecond=0)
            # By hand as an operator would: the mails stay for the workers.
            await patiently(lambda: run_job(self.ctx, Channels(), name, minute))
        return trouble

    async def _until_done(self, now: datetime, trouble: bool) -> bool:
        """Wait until the workers have nothing left to do at this instant; False when messages wait for a later one."""
        zone = self.ctx.settings.timezone
        ticks = {name: job.schedule.latest(now, zone_of(job.zone, zone)) for name, job in JOBS.items()}
        messages, same = -1, 0
        for _ in range(REST_TRIES):
            self.played.house.hire()  # one that starts while PostgreSQL recovers ends; a supervisor starts the next
            facts, waiting, jobs = await patiently(lambda: self._at_rest(now, ticks))
            same = same + 1 if waiting == messages else 0
            messages = waiting
            if facts == jobs == 0 and (waiting == 0 or same > STUCK or (trouble and same > 15)):
                return waiting == 0
            await asyncio.sleep(0.02)
        raise AssertionError(
            f"at {now} there were still {facts} facts, {waiting} messages and {jobs} jobs to do"
        )

    async def _at_rest(self, now: datetime, ticks: dict[str, datetime]) -> tuple[int, int, int]:
        async with self.ctx.pool.acquire(timeout=5) as conn:
            return await store.at_rest(conn, now, ticks)

    async def _calm(self) -> None:
        """An hour without accidents, for what waits for its next attempt."""
        self.chances = Chances(0, 0, 0, 0, 0)
        for _ in range(5):
            await self._step(self.clock.now() + timedelta(minutes=10))

    async def _webhooks(self, now: datetime) -> None:
        """Receipts of what WhatsApp took: late, some twice, in any order."""
        taken = self.played.house.fakes.taken
        fresh = taken[self.seen_by_whatsapp :]
        first = self.seen_by_whatsapp
        self.seen_by_whatsapp = len(taken)
        for number, body in enumerate(fresh, first + 1):
            if "messaging_product" not in body:
                continue
            wamid = f"wamid.{number}"
            told = ["sent", "delivered", "read"] if self.dice.random() < 0.95 else ["sent", "failed"]
            self.played.receipts[wamid] = set(told)
            for status in told * (2 if self.dice.random() < 0.2 else 1):
                due = now + timedelta(seconds=self.dice.randrange(0, 1500))
                self.late.append((due, receipt(wamid, status, now)))
        due_now = [document for when, document in self.late if when <= now]
        self.late = [it for it in self.late if it[0] > now]
        self.dice.shuffle(due_now)
        for document in due_now:
            signature = signed(APP_SECRET, document)
            await patiently(partial(receipts.from_whatsapp, self.ctx, document, signature))

    async def look_back(self) -> Played:
        """What the checker compares with the script."""
        played = self.played
        async with self.ctx.pool.acquire() as conn:
            played.runs, played.messages = await store.all_runs(conn), await store.all_messages(conn)
            played.verdicts, played.balances = (
                dict(await store.verdicts(conn)),
                dict(await store.balances(conn)),
            )
            played.dead = await store.dead(conn)
        played.sessions = self.sessions
        for log in played.house.directory.rglob("*.log"):
            played.logs[log.name] = log.read_text(errors="replace")
        return played


def message_id(message: EmailMessage) -> str:
    """Of one of our mails: the id of its row."""
    return str(message["Message-ID"]).strip("<>").partition("@")[0]


def always(zone: str, now: datetime) -> Availability:
    """Every hour of the clock in UTC is a slot: the hours of Kathmandu begin a quarter after ours, and as no slot lies
    in two windows, the day's window begins there, too."""
    offset = now.astimezone(ZoneInfo(zone)).utcoffset()
    assert offset is not None
    since = int(offset.total_seconds()) // 60 % 60
    weekly = tuple((weekday, Window(since, since + MIDNIGHT)) for weekday in range(7))
    return Availability(timezone=zone, weekly=weekly, start_increment_minutes=15)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do it, again while PostgreSQL is on its way back."""
    for attempt in range(300):
        try:
            return await work()
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError):
            if attempt == 299:
                raise
        except asyncpg.PostgresError as error:
            # 57P01-57P03: the server shuts down, crashed, starts.
            if not (error.sqlstate or "").startswith("57P"):
                raise
        await asyncio.sleep(0.05)
    raise AssertionError("unreachable")


@contextlib.asynccontextmanager
async def playing(script: Script, chances: Chances, directory: Path) -> AsyncIterator[Day]:
    clock = SharedClock.create(directory / "clock", script.begin)
    async with running_house(directory, directory / "clock") as house:
        settings = load_settings(house.environ)
        pool = await create_pool(settings.database_url)
        try:
            async with arq_waker(settings.redis_url) as waker:
                day = Day(
                    Context(pool, clock, settings, waker),
                    clock,
                    Played(script, house),
                    Random(script.seed),
                    chances,
                )
                await day.settle_in()
                house.hire()
                yield day
        finally:
            pool.terminate()


async def play(script: Script, chances: Chances) -> Played:
    """Play the script in a house of its own and say what has become of it."""
    with tempfile.TemporaryDirectory(prefix="visavis-day-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL runs as somebody else under root
        async with playing(script, chances, directory) as day:
            await day.play()
            return await day.look_back()
