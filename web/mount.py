"""Puts the whole edge on an application: middlewares, stores, routes, headers, reference."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web as http
from aiohttp_session import session_middleware
from prometheus_client import Counter, Histogram
from redis.asyncio import Redis

from server.base.context import Context
from web import live, pages
from web.api import (
    admin,
    bookings,
    calendars,
    conduct,
    confirmations,
    contact,
    dev_inbox,
    inbox,
    jobs,
    letters,
    links,
    mentors,
    money,
    operations,
    people,
    push,
    recordings,
    reference,
    reports,
    sessions,
    templates,
    testimonials,
    verdicts,
    waitlist,
    webhooks,
)
from web.api.whip import declare_doors
from web.assets import Assets
from web.context import CONTEXT, STORES, Stores
from web.identity import LOGINS, LoginStorage
from web.middleware import REQUEST_SECONDS, dress, gate, observer
from web.problems import ERROR_PAGE
from web.problems import middleware as problems
from web.routing import install

MAX_BODY = 1024 * 1024  # bytes; what is larger is refused with 413

API = (
    *people.ROUTES,
    *contact.ROUTES,
    *mentors.ROUTES,
    *bookings.ROUTES,
    *links.ROUTES,
    *waitlist.ROUTES,
    *calendars.ROUTES,
    *sessions.ROUTES,
    *confirmations.ROUTES,
    *recordings.ROUTES,
    *testimonials.ROUTES,
    *conduct.ROUTES,
    *money.ROUTES,
    *admin.ROUTES,
    *verdicts.ROUTES,
    *jobs.ROUTES,
    *letters.ROUTES,
    *templates.ROUTES,
    *reports.ROUTES,
    *inbox.ROUTES,
    *push.ROUTES,
    *dev_inbox.ROUTES,
    *webhooks.ROUTES,
    *reference.ROUTES,
    *operations.ROUTES,
)


def application() -> http.Application:
    """An empty application of the right size; the edges are then set up on it."""
    return http.Application(client_max_size=MAX_BODY)


def setup(
    app: http.Application,
    ctx: Context,
    redis: Redis,
    *,
    checks: Mapping[str, operations.Check],
    figures: operations.Figures,
    request_seconds: Histogram,
    uncounted: Counter,
    webhook_rejected: Counter,
    recordings_of: recordings.Recordings,
    catalogue: jobs.Catalogue,
) -> None:
    """Install everything on ``app``, which must not be started yet.

    ``redis`` is for logins and limits; ``checks`` are what /readyz asks, ``figures`` what /metrics shows, and
    ``request_seconds`` the histogram (labels route, method, status) that requests are counted in, ``uncounted`` the
    counter of what passed a rate limit because Redis was away, ``webhook_rejected`` that of forged posts;
    ``recordings_of`` asks the media server for a session's flight recording, ``catalogue`` what the jobs are.
    """
    settings = ctx.settings
    logins = LoginStorage(redis, secure=settings.public_url.startswith("https:"))
    app[CONTEXT] = ctx
    app[STORES] = Stores(redis, uncounted)
    app[LOGINS] = logins
    app[operations.CHECKS] = checks
    app[operations.FIGURES] = figures
    app[REQUEST_SECONDS] = request_seconds
    app[webhooks.REJECTED] = webhook_rejected
    app[recordings.RECORDINGS] = recordings_of
    app[jobs.CATALOGUE] = catalogue
    app[ERROR_PAGE] = pages.error_page
    # From the outside in. Refusals are answered inside the login session, so that an error page's form has its token;
    # and once more outside of it, for a Redis that fails while the session is saved.
    app.middlewares.extend((observer(), problems(), session_middleware(logins), problems(), gate()))
    dress(app, settings)
    install(app, API)
    install(app, pages.setup(app))
    install(app, live.ROUTES)
    declare_doors(app)
    reference.publish(app, server_url=settings.public_url, stylesheets=_stylesheets())


def _stylesheets() -> tuple[str, ...]:
    assets = Assets.read()
    return tuple(assets.url(f"css/{name}.css") for name in ("tokens", "base", "components"))
