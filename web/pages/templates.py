"""Message texts as pages: which file serves whom, and how a text reads in a language and a zone."""

from __future__ import annotations

from aiohttp import web as http

from server.notifications.preview import catalogue, preview
from server.notifications.reach import LANGUAGE
from server.notifications.tongues import TONGUES
from server.people.model import Role
from web.access import RoleIs
from web.api.templates import zone_of
from web.context import context
from web.pages.render import reader_of, render
from web.routing import page


def _language(request: http.Request) -> str:
    asked = request.query.get("language", LANGUAGE)
    return asked if asked in TONGUES else LANGUAGE


async def texts(request: http.Request) -> http.StreamResponse:
    language = _language(request)
    entries = catalogue()
    channels = list(dict.fromkeys(channel for it in entries for channel, _ in it.files))
    served = [file for it in entries for (_, spoken), file in it.files.items() if spoken == language]
    return await render(
        request,
        "templates.html",
        entries=entries,
        channels=channels,
        language=language,
        languages=[(code, tongue.name) for code, tongue in TONGUES.items()],
        translated=sum(file.startswith(f"{language}/") for file in served),
        total=len(served),
        default=LANGUAGE,
    )


async def one(request: http.Request) -> http.StreamResponse:
    path, ctx = request.match_info, context(request)
    reader = await reader_of(request)
    zone = zone_of(request.query["timezone"]) if "timezone" in request.query else reader.zone
    language = _language(request)
    shown = preview(ctx.settings, path["template"], path["role"], path["channel"], language, zone, reader.now)
    others = [it for it in catalogue() if it.template == shown.entry.template and it.role == shown.entry.role]
    return await render(
        request,
        "template.html",
        it=shown,
        channels=list(dict.fromkeys(channel for it in others for channel, _ in it.files)),
        languages=[(code, tongue.name) for code, tongue in TONGUES.items()],
    )


_ADMIN = RoleIs.of(Role.ADMIN)

ROUTES = (
    page("GET", "/admin/templates", texts, access=_ADMIN, summary="Message texts"),
    page("GET", "/admin/templates/{template}/{role}/{channel}", one, access=_ADMIN, summary="A message text"),
)
