"""A session's page: before, the way to the room; afterwards, who was there, what was said and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from aiohttp import web as http

from server.attendance import amending
from server.base.context import Context
from server.base.errors import NotFound
from server.booking import actions as booking
from server.booking.model import Status
from server.chat import actions as chat
from server.chat.model import ChatMessage
from server.confirmations import actions as confirmations
from server.ledger import actions as ledger
from server.ledger.model import Split
from server.meetinglog import actions as meetinglog
from server.people.model import Principal, Role
from server.sessions import actions as sessions
from server.sessions.model import Outcome
from server.testimonials import actions as testimonials
from server.testimonials.model import LONGEST, Testimonial
from web.access import Owner
from web.context import context
from web.pages.render import render, signed_in
from web.pages.timeline import bars_of
from web.pages.views import BookingView, principal_of, view_of
from web.routing import page

CHAT_PAGES = 20  # of 50 messages: a transcript longer than a thousand lines is read through the API
BOOKING_PAGES = 3  # of 100


@dataclass(frozen=True, slots=True)
class SettlementLine:
    words: str
    amount: int


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
            if view.status == Status.HELD:
                return "Our service was out of order. The session counts against nobody, and the tokens went back."
            return "The session was cancelled. The tokens went back."
    return ""


def settlement(view: BookingView, paid: Split) -> list[SettlementLine]:
    """Where the price went, as this reader may see it; ``paid`` is what stands in the ledger."""
    if not view.price_tokens or view.outcome is None:
        return []
    lines = []
    if spent := paid.earning + paid.fee:
        if view.i_am_mentee:
            words = (
                "Paid for the session"
                if view.outcome == Outcome.COMPLETED
                else "Paid for the time that was kept"
            )
            lines.append(SettlementLine(words, spent))
        else:
            earned = "Your earning" if view.i_am_mentor else f"Earned by {view.mentor.name}"
            lines += [SettlementLine(earned, paid.earning), SettlementLine("Platform fee", paid.fee)]
    if (back := view.price_tokens - spent) > 0:
        words = "Returned to your wallet" if view.i_am_mentee else f"Returned to {view.mentee.name}"
        lines.append(SettlementLine(words, back))
    return lines


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
    said = await confirmations.of_sessions(ctx, [session.id])
    booked = await booking.get(ctx, who, session.booking_id)
    view = view_of(booked, user, reader.now, session, said.get(session.id))
    bars = bars_of(await amending.evidence(ctx, session.id), view.mentor, view.mentee) if view.started else []
    steps = await amending.of_session(ctx, who, session.id) if view.outcome else ()
    reviews = (
        [r for r in await amending.reviews_of(ctx, session.id) if r.asked_by == user.id] if steps else []
    )
    asking = user.role is not Role.ADMIN and amending.may_ask(steps, reviews, user.id, reader.now)
    return await render(
        request,
        "session.html",
        view=view,
        bars=bars if view.over or any(it.parts or it.waiting for it in bars) or view.outcome else [],
        outcome_words=outcome_words(view),
        steps=steps,
        reviews=reviews,
        may_ask=asking,
        settlement=settlement(view, await ledger.standing(ctx, session.id)),
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
