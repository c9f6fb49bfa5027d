"""What a link in a mail does, when its page's button is pressed."""

from __future__ import annotations

from aiohttp import web as http
from pydantic import BaseModel

from server.sessions import links
from web.access import Public
from web.api.bookings import shown
from web.api.endpoint import Call, LimitBy, endpoint
from web.limits import LINKS, address
from web.schemas.base import NoQuery
from web.schemas.sessions import BookingOut, LinkIn


async def follow(call: Call[LinkIn, NoQuery]) -> BookingOut:
    """Take the one step the link is for. The link is the permission: no login, and once."""
    body = call.body
    return shown(
        await links.follow(
            call.ctx,
            call.request.match_info["token"],
            start=body.start,
            end=body.end,
            reason=body.reason,
        )
    )


def _by_address(request: http.Request, _body: BaseModel) -> tuple[str, ...]:
    return (address(request),)


ROUTES = (
    endpoint(
        "POST", "/links/{token}", follow, access=Public(), summary="Follow a mail's link", tag="Bookings", body=LinkIn,
        reply=BookingOut, limits=(LimitBy(LINKS, _by_address),),
        refusals={
            402: ("insufficient_tokens",),
            403: ("booking_restricted",),
            409: ("illegal_transition", "booking_conflict", "request_expired", "proposal_expired", "session_begun"),
            410: ("link_used", "link_expired"),
        },
    ),
)  # fmt: skip
