"""The page of a session's room: pre-join, call and end. What happens in it is static/room/ and signaling/."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aiohttp import web as http

from server.base.errors import NotFound
from server.people.model import Role, User
from server.sessions import rooms
from server.sessions.model import Room, Session
from web.access import Owner
from web.context import context
from web.pages.render import render, signed_in
from web.pages.views import Person, principal_of
from web.routing import page


@dataclass(frozen=True, slots=True)
class RoomView:
    """A room for one of its people; ``id`` is that person's own session, the names are in the order of the room."""

    id: UUID
    people: tuple[Person, ...]
    me: Person
    mentor: Person
    mentee: Person
    start: datetime
    end: datetime
    opens_at: datetime
    closes_at: datetime
    topic: str

    @property
    def other(self) -> str:
        """Whom the reader comes to meet."""
        if self.me.id != self.mentor.id:
            return self.mentor.name
        mentees = len(self.people) - 1
        return self.mentee.name if mentees == 1 else f"{mentees} mentees"


def room_view(found: Room, session: Session, reader: User) -> RoomView:
    return RoomView(
        id=session.id,
        people=tuple(Person(user_id, name) for user_id, name, _ in found.people),
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
    found, session = await rooms.own_session(context(request), principal_of(me), session_id)
    if found.id != session_id:
        raise http.HTTPSeeOther(f"/sessions/{found.id}/room")
    return await render(request, "room/room.html", view=room_view(found, session, me))


ROUTES = (
    page(
        "GET",
        "/sessions/{id}/room",
        room,
        access=Owner.of("session", Role.MENTOR, Role.MENTEE),
        summary="The room of a session",
    ),
)
