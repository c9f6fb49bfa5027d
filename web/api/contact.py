"""How one is reached: choices, numbers and their codes, the account's address."""

from __future__ import annotations

from aiohttp import web as http
from pydantic import BaseModel

from server.base.db import Conn
from server.contact import address, choices, numbers
from server.contact.model import Number
from web.access import Owner, Public, SignedIn
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import ADDRESS_MAILS, LINKS, NUMBER_WRITES, SETTINGS_WRITES
from web.limits import address as network
from web.schemas.base import NoQuery, Nothing, Out
from web.schemas.contact import (
    CodeIn,
    DestinationIn,
    DestinationOut,
    EmailIn,
    EmailOut,
    NotificationsIn,
    NotificationsOut,
)

TAG = "Messages"


async def show(call: Call[Nothing, NoQuery]) -> NotificationsOut:
    """What one is told and where, with what is fixed, the defaults, and what each channel still needs."""
    return NotificationsOut.of(await choices.overview(call.ctx, call.caller.user_id))


async def change(call: Call[NotificationsIn, NoQuery]) -> NotificationsOut:
    """Change what is given, leave the rest."""
    return NotificationsOut.of(await choices.change(call.ctx, call.caller.user_id, call.body.change()))


async def add(call: Call[DestinationIn, NoQuery]) -> DestinationOut:
    """Send a code to a number; again for another code, after a minute. Once verified, it replaces the channel's old
    one."""

    async def keep(conn: Conn, number: Number) -> None:
        await call.keep(conn, DestinationOut.of(number))

    body = call.body
    made = await numbers.add(call.ctx, call.caller.user_id, body.channel, body.address, keep)
    return DestinationOut.of(made)


async def verify(call: Call[CodeIn, NoQuery]) -> DestinationOut:
    """Prove a number by its code: 10 minutes, 5 tries. Twice is fine."""
    return DestinationOut.of(await numbers.verify(call.ctx, call.caller.user_id, call.id(), call.body.code))


async def remove(call: Call[Nothing, NoQuery]) -> None:
    """Nothing goes there any more. Twice is fine."""
    await numbers.remove(call.ctx, call.caller.user_id, call.id())


async def ask_change(call: Call[EmailIn, NoQuery]) -> EmailOut:
    """Send a link to a new address. It replaces the account's when it is followed, and the old one is told."""
    body = call.body
    return EmailOut.of(await address.ask_change(call.ctx, call.caller.user_id, body.email, body.password))


async def resend(call: Call[Nothing, NoQuery]) -> EmailOut:
    """Send the link again, after a minute; does nothing where nothing waits for it."""
    return EmailOut.of(await address.resend(call.ctx, call.caller.user_id))


async def cancel_change(call: Call[Nothing, NoQuery]) -> EmailOut:
    """Keep the address as it is. Twice is fine."""
    return EmailOut.of(await address.cancel_change(call.ctx, call.caller.user_id))


class ProvedOut(Out):
    email: str
    verified: bool


async def follow(call: Call[Nothing, NoQuery]) -> ProvedOut:
    """Prove an address by the link that was sent there. The link is the permission: no login. Twice is fine."""
    opened = await address.follow(call.ctx, call.request.match_info["token"])
    return ProvedOut(email=opened.email, verified=opened.done)


def _by_address(request: http.Request, _body: BaseModel) -> tuple[str, ...]:
    return (network(request),)


_WRITES = (LimitBy(SETTINGS_WRITES, by_caller),)
_CODES = (LimitBy(NUMBER_WRITES, by_caller),)
_MAILS = (LimitBy(ADDRESS_MAILS, by_caller),)
_OWN = Owner.of("destination")

ROUTES = (
    endpoint(
        "GET", "/me/notifications", show, access=SignedIn(), summary="What one is told, and where", tag=TAG,
        reply=NotificationsOut,
    ),
    endpoint(
        "PUT", "/me/notifications", change, access=SignedIn(), summary="Choose what one is told, and where", tag=TAG,
        body=NotificationsIn, reply=NotificationsOut, limits=_WRITES,
    ),
    endpoint(
        "POST", "/me/destinations", add, access=SignedIn(), summary="Send a code to a number", tag=TAG,
        body=DestinationIn, reply=DestinationOut, status=201, limits=_CODES, idempotent=True,
        refusals={409: ("number_verified",), 429: ("code_too_soon", "too_many_codes", "too_many_numbers")},
    ),
    endpoint(
        "POST", "/me/destinations/{id}/verify", verify, access=_OWN, summary="Verify a number", tag=TAG,
        body=CodeIn, reply=DestinationOut, limits=_CODES,
        refusals={404: ("destination_not_found",), 409: ("code_missing", "code_expired", "code_used_up")},
    ),
    endpoint(
        "DELETE", "/me/destinations/{id}", remove, access=_OWN, summary="Remove a number or device", tag=TAG,
        reply=None, limits=_WRITES, refusals={404: ("destination_not_found",)},
    ),
    endpoint(
        "POST", "/me/email", ask_change, access=SignedIn(), summary="Change one's address", tag=TAG,
        body=EmailIn, reply=EmailOut, limits=_MAILS, refusals={409: ("email_taken",), 429: ("link_too_soon",)},
    ),
    endpoint(
        "POST", "/me/email/resend", resend, access=SignedIn(), summary="Send the link again", tag=TAG,
        reply=EmailOut, limits=_MAILS, refusals={429: ("link_too_soon",)},
    ),
    endpoint(
        "DELETE", "/me/email/pending", cancel_change, access=SignedIn(), summary="Keep one's address", tag=TAG,
        reply=EmailOut, limits=_WRITES,
    ),
    endpoint(
        "POST", "/addresses/{token}", follow, access=Public(), summary="Prove an address by its link", tag=TAG,
        reply=ProvedOut, limits=(LimitBy(LINKS, _by_address),),
        refusals={409: ("email_taken",), 410: ("link_expired", "link_used")},
    ),
)  # fmt: skip
