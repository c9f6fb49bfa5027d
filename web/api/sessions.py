"""Sessions: what was agreed, the way into the room, who was there, and what was said."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web as http

from server.attendance import actions as attendance
from server.attendance.model import PersonAttendance
from server.chat import actions as chat
from server.people.model import Role
from server.sessions import actions as sessions
from server.sessions.model import Session
from server.turn import ice_servers
from web.access import Owner, SignedIn
from web.api.endpoint import Call, endpoint
from web.context import context
from web.schemas.base import NoQuery, Nothing, Page, PageQuery
from web.schemas.sessions import (
    AttendanceOut,
    ChatOut,
    ChatPage,
    ChatQuery,
    IntervalOut,
    JoinOut,
    Participant,
    SessionOut,
)

TAG = "Sessions"


def shown(it: Session) -> SessionOut:
    return SessionOut(
        id=it.id,
        booking_id=it.booking_id,
        room_id=it.room_id,
        topic=it.topic,
        start=it.start,
        end=it.end,
        status=it.status.value,
        outcome=None if it.outcome is None else it.outcome.value,
        settled_at=it.settled_at,
        participants=[
            Participant(user_id=it.mentor_id, name=it.mentor_name, role="mentor"),
            Participant(user_id=it.mentee_id, name=it.mentee_name, role="mentee"),
        ],
        join_opens_at=it.opens_at,
        join_closes_at=it.closes_at,
    )


async def upcoming(call: Call[Nothing, PageQuery]) -> Page[SessionOut]:
    """The caller's sessions that are not over, soonest first."""
    query = call.query
    page = await sessions.upcoming(call.ctx, call.caller.user_id, query.cursor, query.limit)
    return Page(items=[shown(it) for it in page.items], next_cursor=page.next_cursor)


async def one(call: Call[Nothing, NoQuery]) -> SessionOut:
    return shown(await sessions.get(call.ctx, call.caller, call.id()))


async def join(call: Call[Nothing, NoQuery]) -> JoinOut:
    """Get a pass into the room, from 15 minutes before the start to 15 minutes after the end."""
    session, token, expires_at = await sessions.join(call.ctx, call.caller, call.id())
    relays = ice_servers(call.ctx.settings.turn, str(call.caller.user_id), call.ctx.clock.now())
    return JoinOut(
        room_token=token,
        room_id=session.room_id,
        ws_url=socket_url(call.request, session),
        ice_servers=[server.as_json() for server in relays],
        expires_at=expires_at,
    )


def socket_url(request: http.Request, session: Session) -> str:
    """Where the room's socket is, by the name under which the caller reached us.

    Behind a proxy that ends TLS only the public URL knows the scheme.
    """
    public = urlsplit(context(request).settings.public_url)
    if public.scheme == "https" or public.netloc == request.host:
        scheme, host = public.scheme, public.netloc
    else:
        scheme, host = request.scheme, request.host
    return f"{'wss' if scheme == 'https' else 'ws'}://{host}/ws/sessions/{session.room_id}"


async def who_was_there(call: Call[Nothing, NoQuery]) -> Page[AttendanceOut]:
    """Presence as the media server saw it, one item per person."""
    people = await attendance.of_session(call.ctx, call.caller, call.id())
    return Page(items=[_seen(person) for person in people], next_cursor=None)


def _seen(person: PersonAttendance) -> AttendanceOut:
    return AttendanceOut(
        user_id=person.user_id,
        role="mentor" if person.role == "mentor" else "mentee",
        first_joined_at=person.first_joined_at,
        last_left_at=person.last_left_at,
        present_seconds=person.present_seconds,
        media_seconds=person.media_seconds,
        talk_seconds=person.talk_seconds,
        intervals=[IntervalOut.model_validate({"from": i.start, "to": i.end}) for i in person.intervals],
    )


async def said(call: Call[Nothing, ChatQuery]) -> ChatPage:
    """The chat, newest page first, each page in order."""
    session = await sessions.get(call.ctx, call.caller, call.id())
    history = await chat.recent(call.ctx, session.chat_id, call.query.before, call.query.limit)
    return ChatPage(
        items=[
            ChatOut(seq=m.seq, client_id=m.client_id, user_id=m.user_id, name=m.name, text=m.text, at=m.at)
            for m in history.items
        ],
        more=history.more,
    )


ROUTES = (
    endpoint(
        "GET", "/sessions", upcoming, access=SignedIn(), summary="One's sessions", tag=TAG,
        query=PageQuery, reply=Page[SessionOut],
    ),
    endpoint("GET", "/sessions/{id}", one, access=Owner.of("session"), summary="A session", tag=TAG, reply=SessionOut),
    endpoint(
        "POST", "/sessions/{id}/join", join, access=Owner.of("session", Role.MENTOR, Role.MENTEE), summary="Join",
        tag=TAG, reply=JoinOut, refusals={409: ("too_early", "session_over", "session_cancelled")},
    ),
    endpoint(
        "GET", "/sessions/{id}/attendance", who_was_there, access=Owner.of("session"), summary="Who was there", tag=TAG,
        reply=Page[AttendanceOut],
    ),
    endpoint(
        "GET", "/sessions/{id}/chat", said, access=Owner.of("session"), summary="What was said", tag=TAG,
        query=ChatQuery, reply=ChatPage,
    ),
)  # fmt: skip
