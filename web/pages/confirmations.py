"""The page behind Yes, No or Another time in a mail: what was said so far, and the button that says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web as http

from server.base.context import Context
from server.base.errors import Refusal
from server.confirmations import actions as confirmations
from server.confirmations.tickets import Purpose, Verb, read, write
from server.people import actions as people
from server.sessions.links import links_for
from web.access import Public
from web.context import context
from web.pages.render import reader_of, render
from web.routing import page
from web.wording import ENGLISH, Voice, voice_of

_ANSWERS: Final = (Verb.YES, Verb.NO, Verb.MOVE)


async def by_link(request: http.Request) -> http.StreamResponse:
    """Shows only: programs that look into mails open links, too."""
    ctx, token = context(request), request.match_info["token"]
    try:
        opened = await confirmations.open_link(ctx, token)
    except Refusal as refusal:
        return await render(
            request, "confirm.html", status=refusal.http_status, refusal=refusal, opened=None,
            voice=await _voice_behind(ctx, token),
        )  # fmt: skip
    reader, ticket, of = await reader_of(request), opened.ticket, opened.booking
    person = await people.get_user(ctx, ticket.user_id)
    others = {
        verb: write(ctx.settings, Purpose.LINK, replace(ticket, verb=verb))
        for verb in _ANSWERS
        if verb is not ticket.verb
    }
    steps = links_for(ctx.settings, of, person.id, reader.now)
    base, voice = ctx.settings.public_url, await voice_of(ctx, person)
    mine = opened.confirmation.of(person.id)
    return await render(
        request,
        "confirm.html",
        refusal=None,
        opened=opened,
        token=token,
        verb=ticket.verb.value,
        voice=voice,
        others=[(voice.say(f"button_{verb}"), f"/confirm/{other}") for verb, other in others.items()],
        other=of.mentee_name if person.id == of.mentor_id else of.mentor_name,
        mine=mine,
        said=mine.answer.value if mine is not None and mine.answer is not None else "",
        fee=of.cancellation_fee(of.party(person.id), reader.now),
        cancel=steps.get("cancel", "").removeprefix(base),
        move=steps.get("move", "").removeprefix(base),
    )


async def _voice_behind(ctx: Context, token: str) -> Voice:
    """A link that is good no longer still says whose it was."""
    ticket = read(ctx.settings, Purpose.LINK, token)
    return ENGLISH if ticket is None else await voice_of(ctx, await people.get_user(ctx, ticket.user_id))


ROUTES = (page("GET", "/confirm/{token}", by_link, access=Public(), summary="What a mail asks to confirm"),)
