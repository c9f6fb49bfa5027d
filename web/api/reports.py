"""For administrators: the ledger's exports, the mentee journey, and a session's meeting log."""

from __future__ import annotations

from aiohttp import web as http

from server.exports import actions as exports
from server.exports.model import Export
from server.journey import actions as journey
from server.journey.model import Line, Report
from server.meetinglog import actions as meetinglog
from server.people.model import Role
from web.access import RoleIs
from web.api.endpoint import BASE, Call, endpoint
from web.context import context
from web.routing import Contract, Route, Surface
from web.schemas.base import NoQuery, Nothing, Page, PageQuery
from web.schemas.reports import ExportOut, JourneyLineOut, JourneyOut, MeetingEventOut

TAG = "Administration"
KIND = "text/csv"


def csv_file(request: http.Request, name: str, body: str, checksum: str | None = None) -> http.Response:
    """A download. With a ``checksum`` (SHA-256, hexadecimal) of a file that never changes, it is its ETag as well."""
    response = http.Response(
        body=body.encode(),
        content_type=KIND,
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    if checksum is not None:
        response.etag = checksum
        if request.if_none_match and any(tag.value in (checksum, "*") for tag in request.if_none_match):
            return http.Response(status=304, headers={"ETag": response.headers["ETag"]})
    return response


def _export(it: Export) -> ExportOut:
    return ExportOut(
        day=it.day, zone=it.zone, ends_at=it.ends_at, transfers=it.transfers, tokens=it.tokens, sha256=it.sha256,
        created_at=it.created_at, href=f"{BASE}/admin/exports/{it.day.isoformat()}",
    )  # fmt: skip


def _report(it: Report) -> JourneyOut:
    return JourneyOut(
        month=it.label, zone=it.zone, starts_at=it.starts_at, ends_at=it.ends_at, created_at=it.created_at,
        href=f"{BASE}/admin/journeys/{it.label}/csv",
    )  # fmt: skip


def _line(it: Line) -> JourneyLineOut:
    return JourneyLineOut(
        mentee_id=it.mentee_id, name=it.name, booked=it.booked, held=it.held, missed=it.missed,
        missed_by_mentor=it.missed_by_mentor, cancelled=it.cancelled, seconds=it.seconds, tokens=it.tokens,
        mentors=list(it.mentors), next_session_at=it.next_session_at,
    )  # fmt: skip


async def list_exports(call: Call[Nothing, PageQuery]) -> Page[ExportOut]:
    """One per business day, the newest first. A transfer is in exactly one."""
    page = await exports.listed(call.ctx, call.query.cursor, call.query.limit)
    return Page(items=[_export(it) for it in page.items], next_cursor=page.next_cursor)


async def export_file(request: http.Request) -> http.StreamResponse:
    found, body = await exports.file(context(request), request.match_info["day"])
    return csv_file(request, found.file_name, body, found.sha256)


async def list_journeys(call: Call[Nothing, NoQuery]) -> Page[JourneyOut]:
    """The months that were reported, the newest first."""
    return Page(items=[_report(it) for it in await journey.reports(call.ctx)], next_cursor=None)


async def journey_lines(call: Call[Nothing, PageQuery]) -> Page[JourneyLineOut]:
    """A month's report, a line for each mentee, by name."""
    report = await journey.get(call.ctx, call.request.match_info["month"])
    page = await journey.lines(call.ctx, report, call.query.cursor, call.query.limit)
    return Page(items=[_line(it) for it in page.items], next_cursor=page.next_cursor)


async def journey_file(request: http.Request) -> http.StreamResponse:
    report, body = await journey.file(context(request), request.match_info["month"])
    return csv_file(request, report.file_name, body)


async def meeting_log(call: Call[Nothing, NoQuery]) -> Page[MeetingEventOut]:
    """What happened in and around the session's room, in order; empty for a session that never was."""
    return Page(
        items=[
            MeetingEventOut(
                at=it.event.at, kind=it.event.kind, user_id=it.event.user_id, peer_id=it.event.peer_id,
                detail=it.event.detail,
            )
            for it in await meetinglog.of_session(call.ctx, call.id())
        ],
        next_cursor=None,
    )  # fmt: skip


_ADMIN = RoleIs.of(Role.ADMIN)

ROUTES = (
    endpoint(
        "GET", "/admin/exports", list_exports, access=_ADMIN, summary="The ledger's exports", tag=TAG,
        query=PageQuery, reply=Page[ExportOut],
    ),
    Route(
        "GET", f"{BASE}/admin/exports/{{day}}", export_file, _ADMIN, Surface.API, "An export's file", TAG,
        Contract(
            None, 200, replies=KIND, refusals={404: ("export_not_found",)},
            description="CSV with CRLF, a line for each transfer with its debit and its credit side.",
            headers={"ETag": "The file's SHA-256: it never changes."},
        ),
    ),
    endpoint(
        "GET", "/admin/journeys", list_journeys, access=_ADMIN, summary="Months of the mentee journey", tag=TAG,
        reply=Page[JourneyOut],
    ),
    endpoint(
        "GET", "/admin/journeys/{month}", journey_lines, access=_ADMIN, summary="The mentee journey of a month",
        tag=TAG, query=PageQuery, reply=Page[JourneyLineOut], refusals={404: ("report_not_found",)},
    ),
    Route(
        "GET", f"{BASE}/admin/journeys/{{month}}/csv", journey_file, _ADMIN, Surface.API,
        "The mentee journey of a month as CSV", TAG,
        Contract(None, 200, replies=KIND, refusals={404: ("report_not_found",)}),
    ),
    endpoint(
        "GET", "/admin/sessions/{id}/events", meeting_log, access=_ADMIN, summary="A session's meeting log", tag=TAG,
        reply=Page[MeetingEventOut],
    ),
)  # fmt: skip
