"""A small town to look at: people, bookings in every state, two held sessions, a payslip, mails."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from jobs.periodic import run_job
from server.attendance import actions as attendance
from server.availability import actions as availability
from server.availability.model import Availability, Window
from server.base.clock import SteppedClock
from server.base.context import Context
from server.booking.model import Booking
from server.chat import actions as chat
from server.integrations.channels import Channels
from server.ledger import actions as ledger
from server.people import actions as people
from server.people import store as people_store
from server.people.model import User
from server.sessions import actions as sessions

PASSWORD = "visavis-demo"
NOW = datetime(2026, 3, 27, 9, 20, tzinfo=UTC)  # a Friday, the day after payroll
OFFICE = tuple((day, Window(9 * 60, 17 * 60)) for day in range(5))
OTHERS = (
    ("Mei-Lin Tan", "Asia/Singapore", "Design lead, ex-agency", ("design", "portfolio"), ("en", "zh"), 8),
    (
        "Sofia Rossi",
        "Europe/Rome",
        "I hire data people and tell you how",
        ("data", "interviews"),
        ("it", "en"),
        15,
    ),
    (
        "Kwame Mensah",
        "Africa/Accra",
        "Founder; two exits, one crash",
        ("startups", "fundraising", "leadership"),
        ("en",),
        40,
    ),
    ("Ines Duarte", "America/Sao_Paulo", "Engineering manager", ("leadership", "career"), ("pt", "en"), 0),
    ("Ravi Iyer", "Asia/Kolkata", "", (), ("en", "ta"), 10),
)


@dataclass(frozen=True, slots=True)
class World:
    """Everybody's password is PASSWORD; the clock stands at NOW."""

    mentor: User
    mentee: User
    admin: User
    completed: Booking
    no_show: Booking
    open_now: Booking
    requested: Booking
    cancelled: Booking


async def build(ctx: Context, clock: SteppedClock) -> World:
    mentor = await _mentor(
        ctx, "mentor@demo.visavis.test", "Amara Okafor", "Europe/Berlin", "Staff engineer who likes career questions",
        ("career", "system design", "interviews", "writing", "python"), ("en", "de", "fr"), 12,
    )  # fmt: skip
    await people.update_me(
        ctx,
        mentor.id,
        bio="I have built payment systems for fifteen years and interviewed some four hundred people.\n\n"
        "Bring a question that keeps you awake. We take it apart together, and you leave with a next step.",
    )
    for name, zone, headline, topics, languages, price in OTHERS:
        email = name.split()[0].lower() + "@demo.visavis.test"
        await _mentor(ctx, email, name, zone, headline, topics, languages, price)
    mentee = await _person(ctx, "mentee@demo.visavis.test", "Jonas Weber", "mentee", "America/New_York")
    admin = await people.create_admin(ctx, "admin@demo.visavis.test", PASSWORD)

    completed = await _held(ctx, clock, mentor, mentee, datetime(2026, 3, 10, 14, tzinfo=UTC), both=True)
    no_show = await _held(ctx, clock, mentor, mentee, datetime(2026, 3, 17, 14, tzinfo=UTC), both=False)
    await _run(ctx, clock, "payroll", datetime(2026, 3, 26, 1, tzinfo=UTC))

    await _run(ctx, clock, "transaction_export", datetime(2026, 3, 26, 1, 30, tzinfo=UTC))
    await _run(ctx, clock, "mentee_journey", datetime(2026, 4, 1, 6, tzinfo=UTC))
    clock.set(NOW)
    open_now = await _book(
        ctx, mentor, mentee, datetime(2026, 3, 27, 9, 30, tzinfo=UTC), "Preparing the onsite interview"
    )
    await sessions.approve(ctx, mentor.id, open_now.id)
    requested = await _book(
        ctx, mentor, mentee, datetime(2026, 3, 31, 13, 0, tzinfo=UTC), "How to ask for a promotion"
    )
    cancelled = await _book(ctx, mentor, mentee, datetime(2026, 4, 1, 8, 30, tzinfo=UTC), "Reading my résumé")
    await sessions.cancel(ctx, mentee.id, cancelled.id, "Something came up at work, sorry.")
    await _run(ctx, clock, "reminders", NOW)
    return World(mentor, mentee, admin, completed, no_show, open_now, requested, cancelled)


async def _person(ctx: Context, email: str, name: str, role: str, zone: str) -> User:
    user = await people.register(ctx, email=email, password=PASSWORD, name=name, role=role, timezone=zone)
    await ledger.open_wallet(ctx, user.id)
    async with ctx.pool.acquire() as conn:
        await people_store.verify_address(conn, user.id, ctx.clock.now())
    return user


async def _mentor(
    ctx: Context,
    email: str,
    name: str,
    zone: str,
    headline: str,
    topics: tuple[str, ...],
    languages: tuple[str, ...],
    price: int,
) -> User:
    user = await _person(ctx, email, name, "mentor", zone)
    await people.update_me(
        ctx, user.id, headline=headline, topics=topics, languages=languages, price_tokens=price
    )
    rules = Availability(
        zone, weekly=OFFICE, slot_minutes=30, buffer_after_minutes=15, booking_window_days=30
    )
    await availability.put(ctx, user.id, rules if headline else replace(rules, weekly=()))
    return user


async def _book(ctx: Context, mentor: User, mentee: User, start: datetime, topic: str) -> Booking:
    note = "I have two offers and cannot decide.\nThe details are in my mail."
    end = start + timedelta(minutes=30)
    return await sessions.book(
        ctx, mentee.id, mentor_id=mentor.id, start=start, end=end, topic=topic, note=note
    )


async def _held(
    ctx: Context, clock: SteppedClock, mentor: User, mentee: User, start: datetime, *, both: bool
) -> Booking:
    """A session that took place: both came (the mentee reloaded once), or only the mentor."""
    clock.set(start - timedelta(days=2))
    held = await _book(ctx, mentor, mentee, start, "Career paths" if both else "")
    await sessions.approve(ctx, mentor.id, held.id)
    await _run(ctx, clock, "reminders", start - timedelta(minutes=20))
    sid = held.session_id
    await _present(ctx, sid, mentor.id, "m1", start - timedelta(minutes=2), 33)
    if both:
        await _present(ctx, sid, mentee.id, "e1", start + timedelta(minutes=1), 12)
        await _present(ctx, sid, mentee.id, "e2", start + timedelta(minutes=14), 16)
        clock.set(start + timedelta(minutes=5))
        await chat.say(ctx, sid, mentor.id, "1", "Hello Jonas! Can you hear me?")
        await chat.say(
            ctx,
            sid,
            mentee.id,
            "2",
            "Yes, perfectly. I brought my questions:\n1. Staff or manager?\n2. When?",
        )
        await chat.say(
            ctx,
            sid,
            mentor.id,
            "3",
            "Good ones. Read this before we talk again: https://staffeng.example/guides",
        )
    await _run(ctx, clock, "session_status", start + timedelta(minutes=50))
    return held


async def _run(ctx: Context, clock: SteppedClock, job: str, at: datetime) -> None:
    """A periodic job and whatever follows from it, with the clock at ``at``."""
    clock.set(at)
    assert (await run_job(ctx, Channels(inbox=True), job, at)).ok


async def _present(
    ctx: Context, session_id: UUID, user_id: UUID, peer: str, start: datetime, minutes: int
) -> None:
    end = start + timedelta(minutes=minutes)
    await attendance.joined(ctx, session_id, user_id, peer, start)
    await attendance.seen(ctx, [(session_id, peer, end, minutes * 60.0, minutes * 22.0)])
    await attendance.left(ctx, session_id, user_id, peer, end, "closed")
