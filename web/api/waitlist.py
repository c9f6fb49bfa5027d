"""Waiting for a mentor that has no time: stand in line, look, leave."""

from __future__ import annotations

from server.base.db import Conn
from server.people.model import Role
from server.waitlist import actions as waitlist
from server.waitlist.model import Place
from web.access import RoleIs
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import BOOKING_WRITES
from web.schemas.base import NoQuery, Nothing, Person
from web.schemas.waitlist import PlaceOut, PlacesOut, WaitIn

TAG = "Bookings"


def _shown(it: Place) -> PlaceOut:
    return PlaceOut(
        id=it.id,
        mentor=Person(id=it.mentor_id, name=it.mentor_name),
        earliest=it.earliest,
        latest=it.latest,
        status="offered" if it.booking_id is not None and it.status == "offered" else "waiting",
        booking_id=it.booking_id,
        ahead=it.ahead,
        created_at=it.created_at,
    )


async def join(call: Call[WaitIn, NoQuery]) -> PlaceOut:
    """Wait for any time of the mentor's in a span that has none open. What becomes free is kept for the first in line
    for two hours."""
    body = call.body

    async def keep(conn: Conn, made: Place) -> None:
        await call.keep(conn, _shown(made))

    made = await waitlist.join(
        call.ctx, call.caller.user_id, call.id(), body.earliest, body.latest, then=keep
    )
    return _shown(made)


async def places(call: Call[Nothing, NoQuery]) -> PlacesOut:
    return PlacesOut(items=[_shown(it) for it in await waitlist.of_person(call.ctx, call.caller.user_id)])


async def leave(call: Call[Nothing, NoQuery]) -> None:
    """Wait no more. Twice is fine."""
    await waitlist.leave(call.ctx, call.caller.user_id, call.id())


_MENTEE = RoleIs.of(Role.MENTEE)
_LIMITS = (LimitBy(BOOKING_WRITES, by_caller),)

ROUTES = (
    endpoint(
        "POST", "/mentors/{id}/waitlist", join, access=_MENTEE, summary="Wait for a time", tag=TAG, body=WaitIn,
        reply=PlaceOut, status=201, limits=_LIMITS, idempotent=True,
        refusals={
            409: ("slots_open", "already_waiting", "too_many_places", "idempotency_in_progress"),
            422: ("idempotency_key_reused",),
        },
    ),
    endpoint("GET", "/me/waitlist", places, access=_MENTEE, summary="Where one waits", tag=TAG, reply=PlacesOut),
    endpoint(
        "DELETE", "/me/waitlist/{id}", leave, access=_MENTEE, summary="Wait no more", tag=TAG, reply=None,
        limits=_LIMITS,
    ),
)  # fmt: skip
