"""The page behind a link in a mail: what it will do, and the button that does it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web as http

from server.availability import actions as availability
from server.base.db import COMMAND_TIMEOUT
from server.base.errors import Refusal
from server.booking.model import Booking, Party, price_of
from server.people import actions as people
from server.sessions import links, rebooking
from server.sessions.links import Action
from web.access import Public
from web.context import context
from web.pages.render import reader_of, render
from web.routing import page
from web.wording import ENGLISH, voice_of

_AHEAD: Final = timedelta(days=28)


async def one(request: http.Request) -> http.StreamResponse:
    """Shows only: programs that look into mails open links, too."""
    ctx = context(request)
    try:
        opened = await links.open_link(ctx, request.match_info["token"])
    except Refusal as refusal:
        return await render(
            request, "link.html", status=refusal.http_status, refusal=refusal, opened=None, voice=ENGLISH
        )
    link, of = opened.link, opened.booking
    reader = await reader_of(request)
    person = await people.get_user(ctx, link.user_id)
    mentor = of.party(link.user_id) is Party.MENTOR
    proposed = of.proposal if link.action in (Action.APPROVE, Action.REJECT) else None
    times = []
    if link.action is Action.MOVE and not opened.used:
        length = int((of.end - of.start).total_seconds()) // 60
        found = await availability.open_slots(ctx, of.mentor_id, reader.now, reader.now + _AHEAD, length)
        times = [
            (datetime.fromtimestamp(slot.start, UTC), datetime.fromtimestamp(slot.end, UTC)) for slot in found
        ]
    chosen, gone = None, False
    if link.action is Action.REBOOK and not opened.used:
        times = await _rebook_times(request, of)
        if at := _seconds(request.query.get("at")):
            chosen = next((span for span in times if span[0].timestamp() == at), None)
            gone = chosen is None
    return await render(
        request,
        "link.html",
        refusal=None,
        opened=opened,
        token=request.match_info["token"],
        voice=await voice_of(ctx, person),
        step="propose" if link.action is Action.MOVE else link.action.value,
        danger=link.action in (Action.CANCEL, Action.REJECT),
        asks_reason=link.action in (Action.CANCEL, Action.REJECT, Action.MOVE),
        other=of.mentee_name if mentor else of.mentor_name,
        start=proposed.start if proposed else of.start,
        end=proposed.end if proposed else of.end,
        stands=(of.start, of.end) if proposed else None,
        fee=of.cancellation_fee(of.party(link.user_id), reader.now) if link.action is Action.CANCEL else 0,
        times=times,
        minutes=int((times[0][1] - times[0][0]).total_seconds()) // 60 if times else 0,
        chosen=chosen,
        gone=gone,
        price=await _price(request, of, chosen or next(iter(times), None)),
    )


async def _rebook_times(request: http.Request, missed: Booking) -> list[tuple[datetime, datetime]]:
    ctx = context(request)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return [(span.start, span.end) for span in await rebooking.times_in(conn, missed, ctx.clock.now())]


async def _price(request: http.Request, of: Booking, span: tuple[datetime, datetime] | None) -> int:
    """What a session of that length costs now."""
    if span is None:
        return 0
    ctx = context(request)
    mentor, rules = await people.profile(ctx, of.mentor_id), await availability.get(ctx, of.mentor_id)
    return price_of(mentor.price_tokens, rules.slot_minutes, int((span[1] - span[0]).total_seconds()) // 60)


def _seconds(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


ROUTES = (page("GET", "/links/{token}", one, access=Public(), summary="What a mail's link does"),)
