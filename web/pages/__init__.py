"""The pages: server-rendered, then enhanced by the modules of static/js, which call the API like any other client."""

from __future__ import annotations

from aiohttp import web as http

from server.inbox.model import told
from web.assets import Assets
from web.pages import (
    account,
    admin,
    availability,
    bookings,
    calendars,
    conduct,
    confirmations,
    dev_inbox,
    directory,
    home,
    inbox,
    jobs,
    links,
    money,
    reports,
    room,
    sessions,
    settings,
    templates,
    testimonials,
    verdicts,
)
from web.pages.render import TEMPLATES, render
from web.problems import REQUEST_ID, Problem
from web.rendering import make_environment
from web.routing import Route, asset

HEADINGS = {
    401: "Please log in",
    403: "This is not yours to see",
    404: "There is nothing here",
    405: "That does not work here",
    409: "That did not work",
    413: "That was too much",
    422: "Something is not right",
    429: "A little slower, please",
    500: "Something broke on our side",
    503: "Back in a moment",
}


def setup(app: http.Application) -> tuple[Route, ...]:
    """Put the templates on ``app`` and return the routes of all pages and files."""
    assets = Assets.read()
    app[TEMPLATES] = make_environment(assets.url)
    app[TEMPLATES].filters["told"] = told
    return (
        *account.ROUTES,
        *settings.ROUTES,
        *home.ROUTES,
        *directory.ROUTES,
        *availability.ROUTES,
        *bookings.ROUTES,
        *links.ROUTES,
        *confirmations.ROUTES,
        *calendars.ROUTES,
        *sessions.ROUTES,
        *testimonials.ROUTES,
        *conduct.ROUTES,
        *room.ROUTES,
        *admin.ROUTES,
        *verdicts.ROUTES,
        *jobs.ROUTES,
        *templates.ROUTES,
        *reports.ROUTES,
        *money.ROUTES,
        *inbox.ROUTES,
        *dev_inbox.ROUTES,
        asset(
            "/sw.js", assets.worker, summary="The service worker, at the root so that its scope is every page"
        ),
        asset("/static/{version}/{path:.+}", assets.serve, summary="Files of the pages"),
    )


async def error_page(request: http.Request, problem: Problem) -> http.StreamResponse:
    """A refusal as a page with a way on."""
    return await render(
        request,
        "error.html",
        status=problem.status,
        problem=problem,
        heading=HEADINGS.get(problem.status, problem.title),
        request_id=request.get(REQUEST_ID, "") if problem.status >= 500 else "",
    )
