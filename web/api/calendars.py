"""Calendars that people keep elsewhere: what is connected, the way to connect one, and the private feed."""

from __future__ import annotations

from server.base.context import Context
from server.calendars import accounts, feed
from server.calendars import actions as calendars
from server.calendars.model import Connection, ConnectionStatus
from web.access import SignedIn
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import CALENDAR_CONNECTS
from web.schemas.base import NoQuery, Nothing
from web.schemas.calendars import (
    AccountIn,
    CalendarOut,
    CalendarsOut,
    ChoiceOut,
    ChooseIn,
    ConnectIn,
    ConsentOut,
    FeedOut,
)

TAG = "Calendars"


def _out(ctx: Context, it: Connection) -> CalendarOut:
    choices = accounts.choices_of(ctx, it)
    return CalendarOut(
        id=it.id,
        provider=it.provider.value,
        account=it.account,
        status="broken" if it.status is ConnectionStatus.BROKEN else "active",
        synced_at=it.synced_at,
        error=it.error,
        created_at=it.created_at,
        calendars=[
            ChoiceOut(url=each.url, name=each.name, writable=each.writable)
            for each in (choices.all if choices else ())
        ],
        write_to=choices.write_to if choices else None,
    )


async def listing(call: Call[Nothing, NoQuery]) -> CalendarsOut:
    """What one has connected. Busy times of these calendars count as conflicts, and sessions are written to them."""
    me = call.caller.user_id
    return CalendarsOut(
        items=[_out(call.ctx, it) for it in await calendars.of_person(call.ctx, me)],
        offered=[provider.value for provider in calendars.providers(call.ctx)],
        feed_url=call.ctx.settings.public_url + await feed.path_of(call.ctx, me),
    )


async def connect(call: Call[ConnectIn, NoQuery]) -> ConsentOut:
    """Begin to connect a calendar by consent. The service leads the browser back to us, where it has to be signed in as
    the same person."""
    return ConsentOut(authorize_url=await calendars.begin(call.ctx, call.caller.user_id, call.body.provider))


async def connect_account(call: Call[AccountIn, NoQuery]) -> CalendarOut:
    """Connect the calendars of a CalDAV account by its server's address, a name and a password. The server is asked at
    once; what is wrong is told at its field (`bad_url`, `address_refused`, `unreachable`, `no_calendar`,
    `bad_username`, `wrong_password`)."""
    me, body = call.caller.user_id, call.body
    identity = await accounts.connect_account(call.ctx, me, body.url, body.username, body.password)
    [made] = [it for it in await calendars.of_person(call.ctx, me) if it.id == identity]
    return _out(call.ctx, made)


async def choose(call: Call[ChooseIn, NoQuery]) -> CalendarOut:
    """Write sessions to another calendar of the account; those that are ahead move there."""
    me = call.caller.user_id
    await accounts.choose(call.ctx, me, call.id(), call.body.write_to)
    [changed] = [it for it in await calendars.of_person(call.ctx, me) if it.id == call.id()]
    return _out(call.ctx, changed)


async def disconnect(call: Call[Nothing, NoQuery]) -> None:
    """Neither read nor write it any more, and hand the permission back. Events that are there already stay."""
    await calendars.disconnect(call.ctx, call.caller.user_id, call.id())


async def new_feed(call: Call[Nothing, NoQuery]) -> FeedOut:
    """A new address for the private feed; the old one is good for nothing from now on."""
    path = await feed.renew(call.ctx, call.caller.user_id)
    return FeedOut(feed_url=call.ctx.settings.public_url + path)


_LIMITS = (LimitBy(CALENDAR_CONNECTS, by_caller),)

ROUTES = (
    endpoint(
        "GET", "/me/calendars", listing, access=SignedIn(), summary="Connected calendars", tag=TAG, reply=CalendarsOut
    ),
    endpoint(
        "POST", "/me/calendars", connect, access=SignedIn(), summary="Connect a calendar", tag=TAG, body=ConnectIn,
        reply=ConsentOut, limits=_LIMITS, refusals={404: ("calendar_not_offered",), 409: ("too_many_calendars",)},
    ),
    endpoint(
        "POST", "/me/calendars/caldav", connect_account, access=SignedIn(), summary="Connect a CalDAV account", tag=TAG,
        body=AccountIn, reply=CalendarOut, status=201, limits=_LIMITS, refusals={409: ("too_many_calendars",)},
    ),
    endpoint(
        "PATCH", "/me/calendars/{id}", choose, access=SignedIn(), summary="Choose which calendar is written to",
        tag=TAG, body=ChooseIn, reply=CalendarOut, limits=_LIMITS, refusals={404: ("calendar_not_found",)},
    ),
    endpoint(
        "DELETE", "/me/calendars/{id}", disconnect, access=SignedIn(), summary="Disconnect a calendar", tag=TAG,
        reply=None, refusals={404: ("calendar_not_found",)},
    ),
    endpoint(
        "POST", "/me/calendar-feed", new_feed, access=SignedIn(), summary="A new address for the feed", tag=TAG,
        reply=FeedOut, limits=_LIMITS,
    ),
)  # fmt: skip
