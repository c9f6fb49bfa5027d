"""The page of a session's room: pre-join, call and end. What happens in it is static/room/ and signaling/."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aiohttp import web as http

from server.base.errors import Forbidden, NotFound
from server.people.model import Role, User
from server.sessions import actions as sessions
from server.sessions.model import Session
from web.access import Owner
from web.context import context
from web.pages.render import render, signed_in
from web.pages.views import Person, principal_of
from web.routing import page


@dataclass(frozen=True, slots=True)
class RoomView:
    """A session's room for one of its two people."""

    id: UUID
    me: Person
    mentor: Person
    mentee: Person
    start: datetime
    end: datetime
    opens_at: datetime
    closes_at: datetime
    topic: str

    @property
    def other(self) -> Person:
        return self.mentee if self.me.id == self.mentor.id else self.mentor


def room_view(session: Session, reader: User) -> RoomView:
    """Raises Forbidden ``not_a_participant``, for administrators too: a room is for its two people."""
    if session.role_of(reader.id) is None:
        raise Forbidden("not_a_participant", "This session is between other people.")
    return RoomView(
        id=session.id,
        me=Person(reader.id, reader.name),
        mentor=Person(session.mentor_id, session.mentor_name),
        mentee=Person(session.mentee_id, session.mentee_name),
        start=session.start,
        end=session.end,
        opens_at=session.opens_at,
        closes_at=session.closes_at,
        topic=session.topic,
    )


async def room(request: http.Request) -> http.StreamResponse:
    _, me = await signed_in(request)
    try:
        session_id = UUID(request.match_info["id"])
    except ValueError:
        raise NotFound("session_not_found", "There is no such session.") from None
    session = await sessions.get(context(request), principal_of(me), session_id)
    return await render(request, "room/room.html", view=room_view(session, me))


ROUTES = (
    page(
        "GET",
        "/sessions/{id}/room",
        room,
        access=Owner.of("session", Role.MENTOR, Role.MENTEE),
        summary="The room of a session",
    ),
)
