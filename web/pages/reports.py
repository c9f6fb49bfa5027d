"""The administrators' pages of what is written down regularly: the ledger's exports and the mentee journey."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web as http

from server.exports import actions as exports
from server.journey import actions as journey
from server.people.model import Role
from web.access import RoleIs
from web.api.reports import csv_file
from web.context import context
from web.pages.directory import text_cursor
from web.pages.render import render
from web.routing import page

PAGE_SIZE = 50


async def list_exports(request: http.Request) -> http.StreamResponse:
    ctx = context(request)
    found = await exports.listed(ctx, text_cursor(request), PAGE_SIZE)
    return await render(
        request,
        "exports.html",
        exports=found.items,
        business_zone=ctx.settings.timezone,
        next_href="/admin/exports?" + urlencode({"cursor": found.next_cursor}) if found.next_cursor else None,
    )


async def export_file(request: http.Request) -> http.StreamResponse:
    found, body = await exports.file(context(request), request.match_info["day"])
    return csv_file(request, found.file_name, body, found.sha256)


async def journeys(request: http.Request) -> http.StreamResponse:
    """The latest month, or the one asked for."""
    ctx = context(request)
    reports = await journey.reports(ctx)
    wanted = request.query.get("month")
    report = await journey.get(ctx, wanted) if wanted or reports else None
    if report is None:
        return await render(
            request, "journey.html", reports=[], report=None, business_zone=ctx.settings.timezone
        )
    found = await journey.lines(ctx, report, text_cursor(request), PAGE_SIZE)
    query = {"month": report.label, "cursor": found.next_cursor or ""}
    return await render(
        request,
        "journey.html",
        reports=reports,
        report=report,
        lines=found.items,
        totals=await journey.totals(ctx, report),
        business_zone=ctx.settings.timezone,
        next_href="/admin/journey?" + urlencode(query) if found.next_cursor else None,
    )


async def journey_file(request: http.Request) -> http.StreamResponse:
    report, body = await journey.file(context(request), request.match_info["month"])
    return csv_file(request, report.file_name, body)


_ADMIN = RoleIs.of(Role.ADMIN)

ROUTES = (
    page("GET", "/admin/exports", list_exports, access=_ADMIN, summary="Ledger exports"),
    page("GET", "/admin/exports/{day}.csv", export_file, access=_ADMIN),
    page("GET", "/admin/journey", journeys, access=_ADMIN, summary="Mentee journey"),
    page("GET", "/admin/journey/{month}.csv", journey_file, access=_ADMIN),
)
