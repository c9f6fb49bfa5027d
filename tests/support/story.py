"""Two people and their sessions, made through the product's own actions, for tests that start in mid-story."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from server.attendance import actions as attendance
from server.availability import actions as availability
from server.availability.model import Availability, Window
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.booking.model import Booking
from server.ledger import actions as ledger
from server.people import actions as people
from server.people import store as people_store
from server.people.model import User
from server.sessions import actions as sessions
from server.settings import Settings

PASSWORD = "correct horse battery"
ALWAYS = tuple((weekday, Window(0, 1440)) for weekday in range(7))


@dataclass(frozen=True, slots=True)
class Story:
    """A mentor who is always free, and a mentee with 1,000 tokens; the clock is the test's to step."""

    ctx: Context
    clock: SteppedClock
    mentor: User
    mentee: User

    async def request(self, start: datetime, *, minutes: int = 60, topic: str = "Careers") -> Booking:
        """A requested booking; ``start`` must lie on the hour."""
        return await sessions.book(
            self.ctx, self.mentee.id, mentor_id=self.mentor.id, start=start,
            end=start + timedelta(minutes=minutes), topic=topic, note="",
        )  # fmt: skip

    async def session(self, start: datetime, *, minutes: int = 60) -> Booking:
        """An approved one."""
        booking = await self.request(start, minutes=minutes)
        return await sessions.approve(self.ctx, self.mentor.id, booking.id)

    async def present(
        self, session_id: UUID, who: User, came: datetime, went: datetime | None, *, peer: str | None = None
    ) -> None:
        """What the SFU would have reported of one peer."""
        peer = peer or f"{who.role}-{came.timestamp():.0f}"
        await attendance.joined(self.ctx, session_id, who.id, peer, came)
        if went is not None:
            seconds = (went - came).total_seconds()
            await attendance.seen(self.ctx, [(session_id, peer, went, seconds, 0.0)])
            await attendance.left(self.ctx, session_id, who.id, peer, went, "closed")


async def make_story(
    pool: Pool,
    clock: SteppedClock,
    settings: Settings,
    *,
    name: str = "one",
    tokens: int = 1000,
    price: int = 30,
    slot_minutes: int = 60,
) -> Story:
    ctx = Context(pool, clock, replace(settings, demo=False))
    mentor = await people.register(
        ctx, email=f"mentor-{name}@example.org", password=PASSWORD, name="Asha Rao", role="mentor",
        timezone="Asia/Kolkata",
    )  # fmt: skip
    mentee = await people.register(
        ctx, email=f"mentee-{name}@example.org", password=PASSWORD, name="Jonas Weber", role="mentee",
        timezone="Europe/Berlin",
    )  # fmt: skip
    await people.update_me(ctx, mentor.id, price_tokens=price)
    await availability.put(
        ctx, mentor.id,
        Availability(timezone="UTC", weekly=ALWAYS, slot_minutes=slot_minutes, booking_window_days=365),
    )  # fmt: skip
    async with pool.acquire() as conn, conn.transaction():
        for person in (mentor, mentee):  # who has followed the link in the first mail
            await people_store.verify_address(conn, person.id, clock.now())
        await ledger.grant_in(
            conn,
            key=f"grant:test:{mentee.id}",
            user_id=mentee.id,
            amount=tokens,
            memo="test",
            now=clock.now(),
        )
    return Story(ctx, clock, mentor, mentee)
