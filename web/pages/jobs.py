"""The administrators' board of jobs, queues and dead letters. Its living part is a fragment that the page polls."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from aiohttp import web as http

from server.base import letters
from server.operations import actions as operations
from server.operations.model import Standing
from server.people.model import Role
from web.access import RoleIs
from web.api.jobs import CATALOGUE, etagged
from web.context import context
from web.pages.directory import text_cursor
from web.pages.render import TEMPLATES, reader_of, render
from web.routing import page

PAGE_SIZE = 30
WORDS = {
    Standing.SILENT: ("Runner is silent", "bad"),
    Standing.FAILED: ("Failed", "bad"),
    Standing.LATE: ("Late", "bad"),
    Standing.RUNNING: ("Runs now", "live"),
    Standing.PAUSED: ("Paused", "warn"),
    Standing.SKIPPED: ("Tick skipped", "warn"),
    Standing.OK: ("Ran", "good"),
    Standing.WAITING: ("Has not run yet", "info"),
}


async def _living(request: http.Request) -> dict[str, Any]:
    return {
        "board": await operations.board(context(request), request.app[CATALOGUE]),
        "words": WORDS,
        "reader": await reader_of(request),
    }


async def board(request: http.Request) -> http.StreamResponse:
    values = await _living(request)
    return await render(request, "jobs.html", **{k: v for k, v in values.items() if k != "reader"})


async def live(request: http.Request) -> http.StreamResponse:
    """The living part alone, with an ETag: it names no present instant, so it changes only when something happens."""
    text = request.app[TEMPLATES].get_template("parts/jobs_live.html").render(**await _living(request))
    return etagged(request, text, "text/html")


async def runs(request: http.Request) -> http.StreamResponse:
    name = request.match_info["name"]
    found = await operations.runs(
        context(request), request.app[CATALOGUE], name, text_cursor(request), PAGE_SIZE
    )
    card = next(it for it in request.app[CATALOGUE](context(request).clock.now()) if it.name == name)
    more = f"/admin/jobs/runs/{name}?" + urlencode({"cursor": found.next_cursor or ""})
    return await render(
        request, "job_runs.html", card=card, runs=found.items, next_href=more if found.next_cursor else None
    )


async def dead(request: http.Request) -> http.StreamResponse:
    """Facts by default, messages with ``?what=messages``."""
    ctx, what = context(request), request.query.get("what", "facts")
    cursor = text_cursor(request)
    items: list[dict[str, Any]]
    if what == "messages":
        messages = await operations.dead_messages(ctx, cursor, PAGE_SIZE)
        items = [
            {
                "href": f"/admin/dead-messages/{it.id}", "title": it.kind, "at": it.created_at,
                "errors": {it.channel: it.error or "gave up"}, "session_id": it.session_id,
                "payload": f"To: {it.address}\n{it.subject}\n\n{it.body}",
            }
            for it in messages.items
        ]  # fmt: skip
        following = messages.next_cursor
    else:
        what = "facts"
        before = (
            int(cursor) if cursor and cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else None
        )
        facts = await letters.listed(ctx, before, PAGE_SIZE + 1)
        items = [
            {
                "href": f"/admin/dead-letters/{it.id}", "title": it.kind, "at": it.at, "errors": it.errors,
                "session_id": it.session_id, "payload": json.dumps(it.data, indent=2, ensure_ascii=False),
            }
            for it in facts[:PAGE_SIZE]
        ]  # fmt: skip
        following = str(facts[PAGE_SIZE - 1].id) if len(facts) > PAGE_SIZE else None
    kinds = [it for it in (await operations.board(ctx, request.app[CATALOGUE])).dead if it.what == what]
    query = {"what": what, "cursor": following or ""}
    return await render(
        request, "dead_letters.html", what=what, items=items, kinds=kinds,
        next_href="/admin/jobs/dead?" + urlencode(query) if following else None,
    )  # fmt: skip


async def audit(request: http.Request) -> http.StreamResponse:
    found = await operations.audit(context(request), text_cursor(request), PAGE_SIZE)
    more = "/admin/jobs/audit?" + urlencode({"cursor": found.next_cursor or ""})
    return await render(
        request, "job_audit.html", deeds=found.items, next_href=more if found.next_cursor else None
    )


_ADMIN = RoleIs.of(Role.ADMIN)

ROUTES = (
    page("GET", "/admin/jobs", board, access=_ADMIN, summary="Jobs"),
    page("GET", "/admin/jobs/live", live, access=_ADMIN),
    page("GET", "/admin/jobs/dead", dead, access=_ADMIN, summary="Dead letters"),
    page("GET", "/admin/jobs/audit", audit, access=_ADMIN, summary="What was done by hand"),
    page("GET", "/admin/jobs/runs/{name}", runs, access=_ADMIN, summary="Runs of a job"),
)
