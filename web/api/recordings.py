"""What the media server's flight recorder has of a session, for administrators and for `visavis trace --media`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

from aiohttp import web as http

from server.base.errors import NotFound
from server.people.model import Role
from web.access import RoleIs
from web.api.endpoint import BASE
from web.routing import Contract, Route, Surface

# From a room's name to its recording; None if there is none.
Recordings: TypeAlias = Callable[[str], Awaitable[bytes | None]]
RECORDINGS: http.AppKey[Recordings] = http.AppKey("recordings", object)  # type: ignore[arg-type]
KIND = "application/octet-stream"


async def recording(request: http.Request) -> http.StreamResponse:
    try:
        room = str(UUID(request.match_info["id"]))
    except ValueError:
        raise NotFound("not_found", "There is nothing here.") from None
    data = await request.app[RECORDINGS](room)
    if data is None:
        raise NotFound("nothing_recorded", "The media server has not seen this session lately.")
    return http.Response(body=data, content_type=KIND, headers={"Cache-Control": "no-store"})


ROUTES = (
    Route(
        "GET",
        f"{BASE}/sessions/{{id}}/media",
        recording,
        RoleIs.of(Role.ADMIN),
        Surface.API,
        "The flight recording of a session's media",
        "sessions",
        Contract(
            None,
            200,
            replies=KIND,
            refusals={404: ("nothing_recorded",)},
            description=(
                "Headers of the packets that came in lately, never a payload, and what was decided about them: of a"
                " session that runs or has lately ended. `media/recorder.py` describes the format."
            ),
        ),
    ),
)
