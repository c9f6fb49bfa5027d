"""Where providers report to: WhatsApp's handshake and posts, Twilio's status callbacks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web as http
from prometheus_client import Counter

from server.base.errors import Unauthenticated
from server.notifications import receipts
from web.access import Public
from web.context import context
from web.limits import WEBHOOKS, address, spend
from web.routing import Contract, Route, Surface

REJECTED: http.AppKey[Counter] = http.AppKey("webhook posts rejected", Counter)


@contextlib.asynccontextmanager
async def guarded(request: http.Request, channel: str) -> AsyncIterator[None]:
    """Within the limit; and a post that nobody we know has signed lately leaves no trace but a counter."""
    await spend(request, WEBHOOKS, channel, address(request))
    try:
        yield
    except Unauthenticated:
        request.app[REJECTED].labels(channel).inc()
        raise


async def greet_whatsapp(request: http.Request) -> http.StreamResponse:
    await spend(request, WEBHOOKS, "whatsapp", address(request))
    return http.Response(text=receipts.greet_whatsapp(context(request), request.query))


async def whatsapp(request: http.Request) -> http.StreamResponse:
    signature = request.headers.get("X-Hub-Signature-256", "")
    async with guarded(request, "whatsapp"):
        await receipts.from_whatsapp(context(request), await request.read(), signature)
    return http.Response(text="ok")


async def twilio(request: http.Request) -> http.StreamResponse:
    async with guarded(request, "sms"):
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        signature = request.headers.get("X-Twilio-Signature", "")
        await receipts.from_twilio(context(request), form, request.rel_url.raw_query_string, signature)
    return http.Response(status=204)


_UNSIGNED = {401: ("bad_signature", "stale_signature"), 429: ("rate_limited",)}

ROUTES = (
    Route(
        "GET", "/webhooks/whatsapp", greet_whatsapp, Public(), Surface.API, "Verify the WhatsApp webhook", "Webhooks",
        Contract(None, 200, replies="text/plain", refusals={403: ("bad_verify_token",)},
                 description="Meta's handshake: answers `hub.challenge` to whoever knows `hub.verify_token`."),
    ),
    Route(
        "POST", "/webhooks/whatsapp", whatsapp, Public(), Surface.API, "WhatsApp receipts and replies", "Webhooks",
        Contract(None, 200, sends="application/json", replies="text/plain", refusals=_UNSIGNED,
                 description="Signed by `X-Hub-Signature-256`. Each event counts once, in any order."),
    ),
    Route(
        "POST", "/webhooks/twilio", twilio, Public(), Surface.API, "SMS receipts", "Webhooks",
        Contract(None, 204, sends="application/x-www-form-urlencoded", refusals=_UNSIGNED,
                 description="Twilio's status callback, signed by `X-Twilio-Signature`."),
    ),
)  # fmt: skip
