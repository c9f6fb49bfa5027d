"""The page behind Yes, No or Another time in a mail: what was said so far, and the button that says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web as http

from server.base.errors import Refusal
from server.confirmations import actions as confirmations
from server.confirmations.tickets import Purpose, Verb, write
from server.people import actions as people
from server.sessions.links import links_for
from web.access import Public
from web.context import context
from web.pages.render import reader_of, render
from web.rendering import zone_or_utc
from web.routing import page

_TITLES: Final = {
    Verb.YES: "Are you coming?",
    Verb.NO: "Can you not come?",
    Verb.MOVE: "Another time?",
}
_BUTTONS: Final = {
    Verb.YES: "Yes, I am coming",
    Verb.NO: "No, I cannot come",
    Verb.MOVE: "Ask for another time",
}
_DONE: Final = {
    Verb.YES: "Thanks, noted.",
    Verb.NO: "Noted. Cancel it, or propose another time.",
    Verb.MOVE: "Noted. Now choose the time.",
}


async def by_link(request: http.Request) -> http.StreamResponse:
    """Shows only: programs that look into mails open links, too."""
    ctx, token = context(request), request.match_info["token"]
    try:
        opened = await confirmations.open_link(ctx, token)
    except Refusal as refusal:
        return await render(request, "confirm.html", status=refusal.http_status, refusal=refusal, opened=None)
    reader, ticket, of = await reader_of(request), opened.ticket, opened.booking
    person = await people.get_user(ctx, ticket.user_id)
    others = {
        verb: write(ctx.settings, Purpose.LINK, replace(ticket, verb=verb))
        for verb in _BUTTONS
        if verb is not ticket.verb
    }
    steps = links_for(ctx.settings, of, person.id, reader.now)
    base = ctx.settings.public_url
    mine = opened.confirmation.of(person.id)
    return await render(
        request,
        "confirm.html",
        refusal=None,
        opened=opened,
        token=token,
        verb=ticket.verb.value,
        title=_TITLES[ticket.verb],
        button=_BUTTONS[ticket.verb],
        done=_DONE[ticket.verb],
        others=[(_BUTTONS[verb], f"/confirm/{other}") for verb, other in others.items()],
        other=of.mentee_name if person.id == of.mentor_id else of.mentor_name,
        mine=mine,
        said=mine.answer.value if mine is not None and mine.answer is not None else "",
        fee=of.cancellation_fee(of.party(person.id), reader.now),
        cancel=steps.get("cancel", "").removeprefix(base),
        move=steps.get("move", "").removeprefix(base),
        zone=zone_or_utc(person.timezone),
    )


ROUTES = (page("GET", "/confirm/{token}", by_link, access=Public(), summary="What a mail asks to confirm"),)
