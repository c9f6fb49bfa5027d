"""Message texts for administrators: which file serves whom, how it reads, and a test to oneself."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from server.base.db import Conn
from server.base.errors import FieldError, Invalid
from server.contact.trial import Trial, send_test
from server.notifications.preview import catalogue, preview
from server.people.model import Role, zone_faults
from web.access import RoleIs
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import TEST_MESSAGES
from web.schemas.base import NoQuery, Nothing
from web.schemas.templates import PreviewOut, PreviewQuery, TestIn, TestOut, TextOut, TextsOut

TAG = "Messages"


async def texts(call: Call[Nothing, NoQuery]) -> TextsOut:
    """Every text by role, channel and language, with the file that serves it."""
    return TextsOut(items=[TextOut.of(it) for it in catalogue()])


def zone_of(name: str) -> ZoneInfo:
    faults: list[FieldError] = zone_faults("timezone", name)
    if faults:
        raise Invalid(faults)
    return ZoneInfo(name)


async def show(call: Call[Nothing, PreviewQuery]) -> PreviewOut:
    """A text filled with sample values, in a language and a zone."""
    query, path, ctx = call.query, call.request.match_info, call.ctx
    zone, now = zone_of(query.timezone), ctx.clock.now()
    return PreviewOut.of(
        preview(ctx.settings, path["template"], path["role"], path["channel"], query.language, zone, now)
    )


async def test(call: Call[TestIn, NoQuery]) -> TestOut:
    """Send it to one's own verified address, number or devices, marked as a test; a text for operators goes to the
    team's channel."""

    async def keep(conn: Conn, trial: Trial) -> None:
        await call.keep(conn, TestOut.of(trial))

    body, path = call.body, call.request.match_info
    return TestOut.of(
        await send_test(
            call.ctx, call.caller.user_id, path["template"], path["role"], path["channel"], body.language,
            zone_of(body.timezone), keep,
        )
    )  # fmt: skip


_ADMIN = RoleIs.of(Role.ADMIN)
_NONE = {404: ("template_not_found",)}

ROUTES = (
    endpoint(
        "GET", "/admin/templates", texts, access=_ADMIN, summary="Message texts", tag=TAG, reply=TextsOut
    ),
    endpoint(
        "GET", "/admin/templates/{template}/{role}/{channel}", show, access=_ADMIN, summary="Preview a text", tag=TAG,
        query=PreviewQuery, reply=PreviewOut, refusals=_NONE,
    ),
    endpoint(
        "POST", "/admin/templates/{template}/{role}/{channel}/test", test, access=_ADMIN, summary="Send a test",
        tag=TAG, body=TestIn, reply=TestOut, status=201, idempotent=True, limits=(LimitBy(TEST_MESSAGES, by_caller),),
        refusals=_NONE | {409: ("channel_not_set_up", "address_unverified", "no_destination")},
    ),
)  # fmt: skip
