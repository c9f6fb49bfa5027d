"""Fills an empty database with people and a few weeks of their history, by letting it happen on a stepped clock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, cast
from uuid import UUID

from jobs.outbox import drain
from jobs.periodic import close_payroll
from jobs.reminders import remind
from server.attendance import actions as attendance
from server.availability import actions as availability
from server.availability.model import Availability
from server.base.clock import Clock, SteppedClock
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, Pool
from server.base.errors import Conflict
from server.base.ids import new_id
from server.booking.model import Booking
from server.chat import actions as chat
from server.conduct import actions as conduct
from server.demo import store
from server.demo.people import ADMIN, HOURS, MENTEES, MENTOR, MENTORS, PASSWORD, THE_MENTOR, DemoMentor
from server.demo.session import arrange
from server.integrations.channels import Channels
from server.ledger import actions as ledger
from server.notifications.delivery import deliver_due
from server.payroll.model import spans_to_close
from server.people import actions as people
from server.people import store as people_store
from server.people.model import Role, User
from server.people.passwords import hash_password
from server.sessions import actions as sessions
from server.sessions.model import JOIN_CLOSES, Outcome
from server.settings import Settings
from server.testimonials import actions as testimonials

HISTORY: Final = timedelta(days=45)  # long enough to hold a closed payroll period on every day of a month
TOKENS: Final = 600  # for each mentee
NOW_LENGTH: Final = timedelta(minutes=60)
NOW_GRID: Final = 300  # seconds: the session that can be joined right now starts at the next five minutes


@dataclass(frozen=True, slots=True)
class Past:
    """A session so many days ago (or the next open slot after that) and what became of it; ``said``, stars and words of
    its mentee, is published the next day, unless it is still to be ``read``."""

    days_ago: float
    mentee: int
    mentor: int
    outcome: Outcome
    topic: str
    said: tuple[int, str] | None = None
    read: bool = True


# Mentee and mentor by number; mentor 0 is the demo mentor, mentee 0 the demo mentee.
PAST: Final = (
    Past(
        41, 0, 0, Outcome.COMPLETED, "Where to go after senior",
        (5, "Asha asked three questions, and I knew what I had been avoiding. I left with a plan for a month."),
    ),
    Past(
        39, 1, 5, Outcome.COMPLETED, "Becoming a manager",
        (4, "Kind and precise. We went through my numbers line by line; a second hour would have been good."),
    ),
    Past(
        36, 3, 0, Outcome.COMPLETED, "Design review practice",
        (4, "She reviewed my design as if it were to be built on Monday.\n\nHard, fair, and useful."),
    ),
    Past(32, 4, 13, Outcome.MENTEE_NO_SHOW, "Why my page is slow"),
    Past(34, 0, 0, Outcome.COMPLETED, "Saying no to your manager"),
    Past(27, 0, 0, Outcome.MENTEE_NO_SHOW, "Promotion packet"),
    Past(
        24, 2, 8, Outcome.COMPLETED, "Error budgets",
        (5, "We wrote the first error budget of my team together. It is on our wall."),
    ),
    Past(21, 4, 5, Outcome.MENTEE_NO_SHOW, "Reading my analysis"),
    Past(20, 0, 0, Outcome.COMPLETED, "Promotion packet, second try"),
    Past(17, 0, 1, Outcome.COMPLETED, "Roadmaps for engineers"),
    Past(13, 0, 0, Outcome.MENTOR_NO_SHOW, "System design interview"),
    Past(9, 4, 12, Outcome.MENTEE_NO_SHOW, "A threat model"),
    Past(10, 4, 0, Outcome.BOTH_ABSENT, "Team topologies"),
    Past(8, 0, 0, Outcome.CANCELLED, "Writing design documents"),
    Past(5, 0, 0, Outcome.COMPLETED, "System design interview"),
    Past(
        3, 1, 0, Outcome.COMPLETED, "Leading without authority",
        (5, "The best hour of my week. I have used her sentence in two meetings already."), read=False,
    ),
)  # fmt: skip
ABSENT: Final = 4  # the mentee who has missed so many that he cannot book, and appeals
APPEAL: Final = "My train stood still for two hours and the line was gone. I wrote to them all afterwards."

CHAT: Final = (
    ("mentor", "Good to see you! How did the week go?"),
    ("mentee", "Better than expected. I wrote the document we talked about."),
    ("mentor", "Great, paste the outline here and we will go through it."),
    ("mentee", "1. Problem 2. What we tried 3. Proposal 4. What could go wrong"),
    ("mentor", "Put the proposal first, then the problem it solves. Shall we try?"),
)


class _OnePool:
    """Looks like a pool and always hands out one connection, so that everything loads in one transaction or not at all.

    The actions' own transactions become savepoints in it. For one task at a time.
    """

    def __init__(self, conn: Conn) -> None:
        self._conn = conn

    @contextlib.asynccontextmanager
    async def acquire(self, *, timeout: float | None = None) -> AsyncIterator[Conn]:
        del timeout
        yield self._conn


async def load_demo(pool: Pool, clock: Clock, settings: Settings) -> bool:
    """Load the demo data, once, and only into a database without people; False when there were some.

    All in one transaction: killed in the middle, it leaves an empty database and is done by the next start.
    """
    password_hash = await hash_password(PASSWORD)
    async with pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        # Before the transaction: its snapshot has to show what another loader has just committed.
        await store.lock(conn)
        try:
            # Repeatable read, since some of the actions inside ask for it and a savepoint cannot have its own level.
            async with conn.transaction(isolation="repeatable_read"):
                if not await store.empty(conn):
                    return False
                stepped = SteppedClock(clock.now() - HISTORY)
                ctx = Context(cast("Pool", _OnePool(conn)), stepped, replace(settings, demo=True))
                await _Loader(ctx, stepped, clock.now(), password_hash).load()
            return True
        finally:
            if not conn.is_closed():
                await store.unlock(conn)


class _Loader:
    def __init__(self, ctx: Context, clock: SteppedClock, now: datetime, password_hash: str) -> None:
        self.ctx, self.clock, self.now, self.password_hash = ctx, clock, now, password_hash
        self.admin: User | None = None
        self.mentors: list[User] = []
        self.mentees: list[User] = []
        # What will happen: (when, number, what). The number keeps plans made for one instant in order.
        self.plans: list[tuple[datetime, int, Callable[[], Awaitable[object]]]] = []

    def plan(self, when: datetime, what: Callable[[], Awaitable[object]]) -> None:
        self.plans.append((when, len(self.plans), what))

    async def load(self) -> None:
        await self._people()
        for past in PAST:
            await self._plan_past(past)
        # Every 26th of that time, five minutes after midnight in the business zone, as the payroll job has it.
        for span in spans_to_close(self.clock.now(), self.now, self.ctx.settings.timezone):
            self.plan(span.end + timedelta(minutes=5), lambda: close_payroll(self.ctx))
        self.plan(self.now - timedelta(hours=30), self._appeal)
        while self.plans:
            self.plans.sort(key=lambda plan: plan[:2])
            when, _, what = self.plans.pop(0)
            if when > self.now:
                break
            self.clock.set(when)
            await what()
            await self._react()
        await self._present()

    async def _react(self) -> None:
        """The worker's part; demo mails never leave, whatever is configured."""
        await drain(self.ctx, lanes=1)  # all of the demo data is one transaction, on one connection
        await deliver_due(self.ctx, Channels(inbox=True))

    async def _people(self) -> None:
        self.admin = await self._person(
            ADMIN, "Robin Admin", Role.ADMIN, self.ctx.settings.timezone.key or "UTC"
        )
        for mentor in (THE_MENTOR, *MENTORS):
            email = MENTOR if mentor is THE_MENTOR else mentor.email
            user = await self._person(email, mentor.name, Role.MENTOR, mentor.timezone)
            await self._profile(user, mentor)
            self.mentors.append(user)
        for email, name, timezone in MENTEES:
            user = await self._person(email, name, Role.MENTEE, timezone)
            async with self.ctx.pool.acquire() as conn, conn.transaction():
                await ledger.grant_in(
                    conn, key=f"grant:demo-data:{user.id}", user_id=user.id, amount=TOKENS,
                    memo="Demo tokens", now=self.clock.now(),
                )  # fmt: skip
            self.mentees.append(user)

    async def _person(self, email: str, name: str, role: Role, timezone: str) -> User:
        """As `people.actions.register`, but with one hash for all: forty of them would take seconds."""
        user = User(new_id(), email, name, role, timezone, self.clock.now())
        async with self.ctx.pool.acquire() as conn, conn.transaction():
            await people_store.insert_user(conn, user, self.password_hash)
            await people_store.verify_address(conn, user.id, self.clock.now())
            if role is Role.MENTOR:
                await people_store.insert_profile(conn, user.id)
        return user

    async def _profile(self, user: User, mentor: DemoMentor) -> None:
        await people.update_me(
            self.ctx, user.id, headline=mentor.headline, bio=mentor.bio, topics=mentor.topics,
            languages=mentor.languages, price_tokens=mentor.price_tokens,
        )  # fmt: skip
        hours = HOURS[mentor.hours]
        short = mentor.hours == "early"
        rules = Availability(timezone=mentor.timezone, weekly=hours, slot_minutes=30 if short else 60)
        await availability.put(self.ctx, user.id, rules)

    async def _book(self, mentee: User, mentor: User, wanted: datetime, topic: str) -> Booking:
        """The first slot of the mentor's from then on, in the week after, at which the mentee is free too."""
        for slot in await availability.open_slots(self.ctx, mentor.id, wanted, wanted + timedelta(days=8)):
            start, end = datetime.fromtimestamp(slot.start, UTC), datetime.fromtimestamp(slot.end, UTC)
            with contextlib.suppress(Conflict):
                return await sessions.book(
                    self.ctx, mentee.id, mentor_id=mentor.id, start=start, end=end, topic=topic
                )
        raise LookupError(f"{mentor.name} has no time for {mentee.name} in the week after {wanted}")

    async def _plan_past(self, past: Past) -> None:
        mentor, mentee = self.mentors[past.mentor], self.mentees[past.mentee]
        wanted = self.now - timedelta(days=past.days_ago)

        async def book() -> None:
            booking = await self._book(mentee, mentor, wanted, past.topic)
            start, end = booking.start, booking.end
            self.plan(
                self.clock.now() + timedelta(hours=5),
                lambda: sessions.approve(self.ctx, mentor.id, booking.id),
            )
            if past.outcome is Outcome.CANCELLED:
                self.plan(
                    start - timedelta(hours=20),
                    lambda: sessions.cancel(self.ctx, mentee.id, booking.id, "I have to travel that day."),
                )
                return
            self.plan(start - timedelta(minutes=30), lambda: remind(self.ctx, lanes=1))
            self.plan(start - timedelta(minutes=2), lambda: self._meet(booking, mentor, mentee, past.outcome))
            self.plan(end + JOIN_CLOSES, lambda: attendance.settle(self.ctx, booking.session_id))
            if past.said is not None:
                self._plan_said(booking, past)

        self.plan(max(wanted - timedelta(days=3), self.clock.now()), book)

    def _plan_said(self, booking: Booking, past: Past) -> None:
        """The mentee writes in the evening, an administrator reads it the next day."""
        assert past.said is not None and self.admin is not None  # noqa: S101 - the caller has looked
        session_id, (stars, words), admin_id = booking.session_id, past.said, self.admin.id
        self.plan(
            booking.end + timedelta(hours=3),
            lambda: testimonials.write(self.ctx, booking.mentee_id, session_id, stars, words),
        )
        if past.read:
            self.plan(
                booking.end + timedelta(hours=21),
                lambda: testimonials.publish(self.ctx, admin_id, session_id),
            )

    async def _appeal(self) -> None:
        absent = self.mentees[ABSENT].id
        if (await conduct.standing(self.ctx, absent)).can_appeal:
            await conduct.appeal(self.ctx, absent, APPEAL)

    async def _meet(self, booking: Booking, mentor: User, mentee: User, outcome: Outcome) -> None:
        """What the SFU would have seen of the session, told at once."""
        minutes = (booking.end - booking.start) / timedelta(minutes=1)
        # (came, went) in minutes after the start; the mentee reloads once.
        stays: dict[Outcome, dict[UUID, tuple[tuple[float, float], ...]]] = {
            Outcome.COMPLETED: {
                mentor.id: ((-2, minutes + 0.5),),
                mentee.id: ((0.4, minutes / 2), (minutes / 2 + 0.2, minutes + 0.3)),
            },
            Outcome.MENTEE_NO_SHOW: {mentor.id: ((-1, 16),)},
            Outcome.MENTOR_NO_SHOW: {mentee.id: ((-1.5, 14),)},
        }
        for user_id, spans in stays.get(outcome, {}).items():
            for number, (came, went) in enumerate(spans):
                joined_at, left_at = (booking.start + timedelta(minutes=m) for m in (came, went))
                await self._stay(booking.session_id, user_id, f"demo-{number}-{user_id}", joined_at, left_at)
        if outcome is Outcome.COMPLETED:
            for number, (role, text) in enumerate(CHAT):
                speaker = mentor if role == "mentor" else mentee
                self.clock.set(booking.start + timedelta(minutes=3 + 2 * number))
                await chat.say(self.ctx, booking.session_id, speaker.id, f"demo-{number}", text)

    async def _stay(self, session_id: UUID, user_id: UUID, peer: str, came: datetime, went: datetime) -> None:
        seconds = (went - came).total_seconds()
        await attendance.joined(self.ctx, session_id, user_id, peer, came)
        await attendance.seen(self.ctx, [(session_id, peer, went, seconds * 0.99, seconds * 0.4)])
        await attendance.left(self.ctx, session_id, user_id, peer, went, "closed")

    async def _present(self) -> None:
        """What the people of the demo find when they sign in: something to join, to look forward to, to decide."""
        asha, jonas = self.mentors[0], self.mentees[0]
        self.clock.set(self.now - timedelta(days=1))
        for mentee, mentor, days, topic in (
            (0, 0, 2, "Mock promotion panel"),
            (1, 0, 3, "Feedback that lands"),
            (0, 4, 4, "Reading statistics"),
        ):
            booking = await self._request(mentee, mentor, days, topic)
            await sessions.approve(self.ctx, self.mentors[mentor].id, booking.id)
        self.clock.set(self.now - timedelta(hours=3))
        await self._request(2, 0, 5, "From team lead to architect")
        await self._request(0, 0, 6, "Planning the next quarter")
        await self._request(0, 9, 7, "A colder look at my design")
        start = datetime.fromtimestamp((self.now.timestamp() // NOW_GRID + 1) * NOW_GRID, UTC)
        await arrange(self.ctx, asha, jonas, start, start + NOW_LENGTH, "Try me: this room is open now")
        await self._react()

    async def _request(self, mentee: int, mentor: int, days: float, topic: str) -> Booking:
        wanted = self.now + timedelta(days=days)
        return await self._book(self.mentees[mentee], self.mentors[mentor], wanted, topic)
