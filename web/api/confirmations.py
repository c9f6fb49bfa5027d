"""Whether people come: read and answered by login, and answered by the link in a mail."""

from __future__ import annotations

from aiohttp import web as http
from pydantic import BaseModel

from server.confirmations import actions as confirmations
from server.confirmations.model import Answer
from server.people.model import Role
from web.access import Owner, Public
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import BOOKING_WRITES, LINKS, address
from web.schemas.base import NoQuery, Nothing
from web.schemas.confirmations import AnsweredOut, ConfirmationIn, ConfirmationOut

TAG = "Sessions"


async def one(call: Call[Nothing, NoQuery]) -> ConfirmationOut:
    """What both were asked some hours before, and what they said."""
    return ConfirmationOut.of(*await confirmations.of_session(call.ctx, call.caller, call.id()))


async def answer(call: Call[ConfirmationIn, NoQuery]) -> ConfirmationOut:
    """Say whether one comes, or say it otherwise, until the session begins. "no" and "move" do nothing by themselves:
    cancel the booking, or propose another time. The same again changes nothing."""
    said = Answer(call.body.answer)
    await confirmations.answer(call.ctx, call.caller.user_id, call.id(), said, confirmations.PAGE)
    return ConfirmationOut.of(*await confirmations.of_session(call.ctx, call.caller, call.id()))


async def follow(call: Call[Nothing, NoQuery]) -> AnsweredOut:
    """Answer what the link says. The link is the permission: no login, and as often as one likes until the start."""
    done = await confirmations.follow(call.ctx, call.request.match_info["token"])
    return AnsweredOut(session_id=done.session.id, answer=done.answer.value, late=done.late)


def _by_address(request: http.Request, _body: BaseModel) -> tuple[str, ...]:
    return (address(request),)


_CLOSED = ("session_cancelled", "session_begun", "not_asked")

ROUTES = (
    endpoint(
        "GET", "/sessions/{id}/confirmation", one, access=Owner.of("session"), summary="Who comes", tag=TAG,
        reply=ConfirmationOut,
    ),
    endpoint(
        "PUT", "/sessions/{id}/confirmation", answer, access=Owner.of("session", Role.MENTOR, Role.MENTEE),
        summary="Say whether one comes", tag=TAG, body=ConfirmationIn, reply=ConfirmationOut,
        limits=(LimitBy(BOOKING_WRITES, by_caller),), refusals={409: _CLOSED},
    ),
    endpoint(
        "POST", "/confirmations/{token}", follow, access=Public(), summary="Say it by the link in a mail", tag=TAG,
        reply=AnsweredOut, limits=(LimitBy(LINKS, _by_address),),
        refusals={404: ("link_invalid",), 409: _CLOSED, 410: ("session_moved",)},
    ),
)  # fmt: skip
