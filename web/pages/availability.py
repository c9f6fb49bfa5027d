"""The editor of a mentor's hours, rules and terms; its script saves through the API."""

from __future__ import annotations

import json

from aiohttp import web as http

from server.availability import actions as availability
from server.availability import closed
from server.availability.documents import document
from server.booking import actions as booking
from server.conflicts import actions as conflicts
from server.people.model import Role
from web.access import RoleIs
from web.context import context
from web.pages.render import render, signed_in
from web.routing import page

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


async def editor(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    ctx = context(request)
    rules = await availability.get(ctx, user.id)
    today = reader.now.astimezone(reader.zone).date().isoformat()
    body = document(rules)
    # What has gone by is of no use to the editor, and saving forgets it.
    body["overrides"] = [it for it in body["overrides"] if it["date"] >= today]
    body["travel"] = [it for it in body["travel"] if it["to"] >= today]
    body["absences"] = [it for it in body["absences"] if it["end"] >= today]
    return await render(
        request,
        "availability.html",
        rules=rules,
        collisions=await conflicts.of_mentor(ctx, user.id),
        rules_json=json.dumps(body),
        today=today,
        weekdays=WEEKDAYS,
        countries=_countries(rules.holidays.country if rules.holidays else None),
        terms=await booking.terms(ctx, user.id),
    )


def _countries(chosen: str | None) -> list[str]:
    """The two-letter codes of the calendars (each has one of three letters, too), and the one that is chosen."""
    return sorted({code for code in closed.calendars() if len(code) == 2} | ({chosen} if chosen else set()))


ROUTES = (page("GET", "/availability", editor, access=RoleIs.of(Role.MENTOR)),)
