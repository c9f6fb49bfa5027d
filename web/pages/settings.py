"""The settings page, its forms for those without scripts, and the pages behind links: an address, fewer mails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from aiohttp import web as http

from server.base.errors import NotFound, Refusal
from server.contact import address, choices, numbers
from server.contact.model import Change, Choice
from server.notifications.tongues import TONGUES
from server.people import actions as people
from server.people.model import Role
from web.access import Public, SignedIn
from web.context import context
from web.identity import caller
from web.limits import ADDRESS_MAILS, LINKS, NUMBER_WRITES, SETTINGS_WRITES, Limit, spend
from web.limits import address as network
from web.pages.calendars import calendars_of
from web.pages.render import render, signed_in
from web.routing import Contract, Route, Surface, page


async def settings(request: http.Request) -> http.StreamResponse:
    return await _settings(request)


async def _settings(request: http.Request, refusal: Refusal | None = None, place: str = "") -> http.Response:
    """``refusal`` of a form is told in the section called ``place``."""
    ctx = context(request)
    _, user = await signed_in(request)
    return await render(
        request,
        "settings.html",
        status=refusal.http_status if refusal else 200,
        profile=await people.profile(ctx, user.id) if user.role is Role.MENTOR else None,
        calendars=await calendars_of(ctx, user.id),
        contact=await choices.overview(ctx, user.id),
        languages=[(code, tongue.name) for code, tongue in TONGUES.items()],
        refused={"address": "", "messages": "", "numbers": ""} | ({place: _told(refusal)} if refusal else {}),
    )


def _told(refusal: Refusal) -> str:
    faults = getattr(refusal, "errors", ())
    return " ".join(fault.message for fault in faults) or refusal.detail


def _form(
    place: str, limit: Limit, act: Callable[[http.Request, dict[str, str]], Awaitable[Any]]
) -> Callable[[http.Request], Awaitable[http.StreamResponse]]:
    """A form without scripts: do it and show the section again, or say on the page why not."""

    async def serve(request: http.Request) -> http.StreamResponse:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        try:
            await spend(request, limit, str(caller(request).user_id))
            await act(request, form)
        except Refusal as refusal:
            return await _settings(request, refusal, place)
        raise http.HTTPSeeOther(f"/settings#{place}")

    return serve


async def _choose(request: http.Request, form: dict[str, str]) -> None:
    """All boxes come, ticked or not; only what differs is a choice."""
    ctx, me = context(request), caller(request).user_id
    now = await choices.overview(ctx, me)
    differing = [
        Choice(line.kind.value, cell.channel, ticked)
        for line in now.lines
        for cell in line.cells
        if not cell.fixed and (ticked := f"{line.kind}.{cell.channel}" in form) is not cell.on
    ]
    quiet = (form.get("quiet_start", ""), form.get("quiet_end", ""))
    wish = Change(form.get("language"), True, quiet if any(quiet) else None, tuple(differing))
    await choices.change(ctx, me, wish)


async def _add(request: http.Request, form: dict[str, str]) -> None:
    me = caller(request).user_id
    await numbers.add(context(request), me, form.get("channel", ""), form.get("address", ""))


async def _verify(request: http.Request, form: dict[str, str]) -> None:
    await numbers.verify(context(request), caller(request).user_id, _id(request), form.get("code", ""))


async def _remove(request: http.Request, _form: dict[str, str]) -> None:
    await numbers.remove(context(request), caller(request).user_id, _id(request))


async def _change_address(request: http.Request, form: dict[str, str]) -> None:
    me = caller(request).user_id
    await address.ask_change(context(request), me, form.get("email", ""), form.get("password", ""))


async def _resend(request: http.Request, _form: dict[str, str]) -> None:
    await address.resend(context(request), caller(request).user_id)


async def _keep_address(request: http.Request, _form: dict[str, str]) -> None:
    await address.cancel_change(context(request), caller(request).user_id)


def _id(request: http.Request) -> UUID:
    try:
        return UUID(request.match_info["id"])
    except ValueError:
        raise NotFound("destination_not_found", "There is no such number of yours.") from None


async def address_link(request: http.Request) -> http.StreamResponse:
    """Shows only: programs that look into mails open links, too."""
    token = request.match_info["token"]
    try:
        opened = await address.open_link(context(request), token)
    except Refusal as refusal:
        return await render(request, "address.html", status=refusal.http_status, refusal=refusal, it=None)
    return await render(request, "address.html", refusal=None, it=opened, token=token)


async def unsubscribe_link(request: http.Request) -> http.StreamResponse:
    """Shows only, as above: mail programs that mean it POST."""
    token = request.match_info["token"]
    try:
        it = await choices.open_unsubscribe(context(request), token)
    except Refusal as refusal:
        return await render(request, "unsubscribe.html", status=refusal.http_status, refusal=refusal, it=None)
    return await render(request, "unsubscribe.html", refusal=None, it=it, token=token)


async def unsubscribe(request: http.Request) -> http.StreamResponse:
    """Two callers: a mail program's one click (RFC 8058: no cookie, no token, no redirect), and our page's button."""
    await spend(request, LINKS, network(request))
    token = request.match_info["token"]
    form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    if form.get("from") != "page":
        await choices.subscribe(context(request), token, on=False)
        return http.Response(text="You get no more of these mails.\n")
    try:
        await choices.subscribe(context(request), token, on=form.get("undo") == "1")
    except Refusal as refusal:
        return await render(request, "unsubscribe.html", status=refusal.http_status, refusal=refusal, it=None)
    raise http.HTTPSeeOther(f"/unsubscribe/{token}")


ROUTES = (
    page("GET", "/settings", settings, access=SignedIn()),
    page("POST", "/settings/messages", _form("messages", SETTINGS_WRITES, _choose), access=SignedIn()),
    page("POST", "/settings/numbers", _form("numbers", NUMBER_WRITES, _add), access=SignedIn()),
    page("POST", "/settings/numbers/{id}/verify", _form("numbers", NUMBER_WRITES, _verify), access=SignedIn()),
    page("POST", "/settings/numbers/{id}/remove", _form("numbers", SETTINGS_WRITES, _remove), access=SignedIn()),
    page("POST", "/settings/address", _form("address", ADDRESS_MAILS, _change_address), access=SignedIn()),
    page("POST", "/settings/address/resend", _form("address", ADDRESS_MAILS, _resend), access=SignedIn()),
    page("POST", "/settings/address/keep", _form("address", SETTINGS_WRITES, _keep_address), access=SignedIn()),
    page("GET", "/address/{token}", address_link, access=Public(), summary="Prove an address"),
    page("GET", "/unsubscribe/{token}", unsubscribe_link, access=Public(), summary="Fewer mails"),
    Route(
        "POST", "/unsubscribe/{token}", unsubscribe, Public(), Surface.API, "End mails of a kind", "Messages",
        Contract(None, 200, sends="application/x-www-form-urlencoded", replies="text/plain",
                 refusals={409: ("kind_fixed",), 410: ("link_expired",)},
                 description="RFC 8058: `List-Unsubscribe=One-Click` to the address in a mail's List-Unsubscribe. The"
                 " link is the permission: no login, no CSRF token. Twice is fine."),
    ),
)  # fmt: skip
