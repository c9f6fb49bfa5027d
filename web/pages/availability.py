"""The editor of a mentor's weekly hours, single days and rules; its script saves through the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web as http

from server.availability import actions as availability
from server.availability.documents import document
from server.conflicts import actions as conflicts
from server.people.model import Role
from web.access import RoleIs
from web.context import context
from web.pages.render import render, signed_in
from web.routing import page

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Hours:
    """As a time field shows them: it knows no 24:00, so the midnight at the end is 00:00."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class SingleDay:
    date: str
    windows: tuple[Hours, ...]


def hours(window: dict[str, Any]) -> Hours:
    end = str(window["end"])
    return Hours(str(window["start"]), "00:00" if end == "24:00" else end)


async def editor(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    rules = await availability.get(context(request), user.id)
    body = document(rules)
    today = reader.now.astimezone(reader.zone).date().isoformat()
    return await render(
        request,
        "availability.html",
        rules=rules,
        collisions=await conflicts.of_mentor(context(request), user.id),
        week=[
            (name, [hours(w) for w in body["weekly"] if w["weekday"] == number])
            for number, name in enumerate(WEEKDAYS)
        ],
        # Days gone by are of no use to the editor, and saving forgets them.
        overrides=[
            SingleDay(it["date"], tuple(hours(w) for w in it["windows"]))
            for it in body["overrides"]
            if it["date"] >= today
        ],
    )


ROUTES = (page("GET", "/availability", editor, access=RoleIs.of(Role.MENTOR)),)
