"""A session's page: before, the way to the room; afterwards, who was there, what was said and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aiohttp import web as http

from server.attendance import actions as attendance
from server.attendance.model import PersonAttendance
from server.base.context import Context
from server.base.errors import NotFound
from server.booking import actions as booking
from server.chat import actions as chat
from server.chat.model import ChatMessage
from server.ledger.model import split
from server.meetinglog import actions as meetinglog
from server.people.model import Principal, Role
from server.sessions import actions as sessions
from server.sessions.model import JOIN_CLOSES, JOIN_OPENS, Outcome
from server.testimonials import actions as testimonials
from server.testimonials.model import LONGEST, Testimonial
from web.access import Owner
from web.context import context
from web.pages.render import render, signed_in
from web.pages.views import BookingView, Person, principal_of, view_of
from web.rendering import spoken_duration
from web.routing import page

BAR_WIDTH = 1000  # units of the picture's view box
CHAT_PAGES = 20  # of 50 messages: a transcript longer than a thousand lines is read through the API
BOOKING_PAGES = 3  # of 100
SLIVER = 4.0  # units: a presence of seconds must still be seen


@dataclass(frozen=True, slots=True)
class Bar:
    """One person's presence from the opening of the room to its closing, in units of BAR_WIDTH."""

    person: Person
    words: str
    from_at: datetime
    to_at: datetime
    plan_x: float
    plan_width: float
    parts: tuple[tuple[float, float], ...]  # (x, width)


@dataclass(frozen=True, slots=True)
class SettlementLine:
    words: str
    amount: int


def bar(person: Person, seen: PersonAttendance, start: datetime, end: datetime) -> Bar:
    """Where the person's intervals lie between the room's opening and its closing."""
    opens, closes = start - JOIN_OPENS, end + JOIN_CLOSES
    whole = closes - opens

    def x(at: datetime) -> float:
        return round(BAR_WIDTH * ((min(max(at, opens), closes) - opens) / whole), 1)

    parts = tuple((x(i.start), max(SLIVER, round(x(i.end) - x(i.start), 1))) for i in seen.intervals)
    if not seen.intervals:
        words = "was not there"
    else:
        words = f"{spoken_duration(seen.present_seconds)} present"
        if seen.talk_seconds >= 1:
            words += f", {spoken_duration(seen.talk_seconds)} talking"
    return Bar(person, words, opens, closes, x(start), round(x(end) - x(start), 1), parts)


def outcome_words(view: BookingView) -> str:
    mentor = "You" if view.i_am_mentor else view.mentor.name
    mentee = "You" if view.i_am_mentee else view.mentee.name
    match view.outcome:
        case Outcome.COMPLETED:
            return "You met." if not view.both else "They met."
        case Outcome.MENTEE_NO_SHOW:
            return f"{mentor} came, {mentee if mentee != 'You' else 'you'} did not. The mentor is paid for the time."
        case Outcome.MENTOR_NO_SHOW:
            return f"{mentee} came, {mentor if mentor != 'You' else 'you'} did not. The tokens went back."
        case Outcome.BOTH_ABSENT:
            return "Nobody came. The tokens went back."
        case Outcome.CANCELLED:
            return "The session was cancelled. The tokens went back."
    return ""


def settlement(view: BookingView, fee_percent: int) -> list[SettlementLine]:
    """Where the price went, as this reader may see it."""
    if not view.price_tokens or view.outcome is None:
        return []
    if view.outcome not in (Outcome.COMPLETED, Outcome.MENTEE_NO_SHOW):
        back = "Returned to your wallet" if view.i_am_mentee else f"Returned to {view.mentee.name}"
        return [SettlementLine(back, view.price_tokens)]
    if view.i_am_mentee:
        return [SettlementLine("Paid for the session", view.price_tokens)]
    parts = split(view.price_tokens, fee_percent)
    earned = "Your earning" if view.i_am_mentor else f"Earned by {view.mentor.name}"
    return [SettlementLine(earned, parts.earning), SettlementLine("Platform fee", parts.fee)]


async def one(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    ctx, who = context(request), principal_of(user)
    try:
        session_id = UUID(request.match_info["id"])
        session = await sessions.get(ctx, who, session_id)
    except ValueError:
        raise NotFound("session_not_found", "There is no such session.") from None
    except NotFound:
        # Mails and transfers carry the session's id from the booking on; before the approval the booking has the page.
        if (asked := await _booking_of(ctx, who, session_id)) is None:
            raise
        raise http.HTTPSeeOther(f"/bookings/{asked}") from None
    view = view_of(await booking.get(ctx, who, session.booking_id), user, reader.now, session)
    seen = await attendance.of_session(ctx, who, session.id) if view.started else ()
    people = {view.mentor.id: view.mentor, view.mentee.id: view.mentee}
    bars = [bar(people[it.user_id], it, session.start, session.end) for it in seen]
    return await render(
        request,
        "session.html",
        view=view,
        bars=bars if view.over or any(it.parts for it in bars) or view.outcome else [],
        outcome_words=outcome_words(view),
        settlement=settlement(view, ctx.settings.platform_fee_percent),
        written=await _written(ctx, view),
        longest=LONGEST,
        log=await meetinglog.of_session(ctx, session.id) if user.role is Role.ADMIN else [],
        chat=await _transcript(request, session.chat_id) if view.started else [],
    )


async def _written(ctx: Context, view: BookingView) -> Testimonial | None:
    """What the reader, its mentee, said of a session that took place."""
    if not view.i_am_mentee or view.outcome != Outcome.COMPLETED:
        return None
    return (await testimonials.of_session(ctx, view.reader_id, view.session_id)).written


async def _booking_of(ctx: Context, who: Principal, session_id: UUID) -> UUID | None:
    """One's own booking for which a session was never published, among the latest few hundred."""
    cursor: str | None = None
    for _ in range(BOOKING_PAGES):
        found = await booking.list_for(ctx, who, cursor=cursor, limit=100)
        for it in found.items:
            if it.session_id == session_id:
                return it.id
        if (cursor := found.next_cursor) is None:
            break
    return None


async def _transcript(request: http.Request, session_id: UUID) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    before: int | None = None
    for _ in range(CHAT_PAGES):
        history = await chat.recent(context(request), session_id, before)
        messages = [*history.items, *messages]
        if not history.more:
            break
        before = history.items[0].seq
    return messages


ROUTES = (page("GET", "/sessions/{id}", one, access=Owner.of("session")),)
