"""Which room a session meets in: its own, or one it shares with the other seats of its group."""

from __future__ import annotations

from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn
from server.base.errors import Forbidden, NotFound
from server.people.model import Principal
from server.sessions import store
from server.sessions.model import Room, Session, SessionStatus


async def room(ctx: Context, session_id: UUID) -> Room:
    """The room a session meets in, whoever asks. Raises ``NotFound("session_not_found")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await room_in(conn, session_id)


async def room_in(conn: Conn, session_id: UUID) -> Room:
    """`room` in the caller's transaction."""
    found = await store.in_room(conn, session_id)
    if not found:
        raise NotFound("session_not_found", "There is no such session.")
    coming = tuple(session for session in found if session.status is not SessionStatus.CANCELLED)
    return Room(coming or tuple(found))


async def own_session(ctx: Context, principal: Principal, session_id: UUID) -> tuple[Room, Session]:
    """The room a session meets in and the person's own session there; links to any session of a room lead into it.

    Raises ``NotFound("session_not_found")`` and ``Forbidden("not_a_participant")``.
    """
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await own_session_in(conn, principal.user_id, session_id)


async def own_session_in(conn: Conn, user_id: UUID, session_id: UUID) -> tuple[Room, Session]:
    """`own_session` in the caller's transaction."""
    asked = await store.session(conn, session_id)
    found = await room_in(conn, session_id)
    own = asked if asked is not None and asked.role_of(user_id) is not None else None
    if own is None or own.status is SessionStatus.CANCELLED:
        own = found.session_of(user_id) or own  # the mentor of a seat that was given up meets the others
    if own is None:
        raise Forbidden("not_a_participant", "This session is somebody else's.")
    return found, own


async def enter_in(conn: Conn, session_id: UUID) -> None:
    """A session that was published or moved meets where the others of its group do; the mentor must be locked."""
    room_id = await store.room_of_group(conn, session_id)
    if room_id is not None:
        await store.set_room(conn, [session_id], room_id)


async def leave_in(conn: Conn, session_id: UUID) -> None:
    """A session that was cancelled or moves away leaves the others alone. If the room was its own, it goes to the next
    of them, with what was said and who was seen in it; a cancelled one goes on leading there, for the people who are
    in it just now. The mentor must be locked."""
    meeting = await store.in_room(conn, session_id)
    leaver = next(session for session in meeting if session.id == session_id)
    others = [session for session in meeting if session.id != session_id]
    coming = [session for session in others if session.status is not SessionStatus.CANCELLED]
    if not coming:
        return
    if leaver.room_id != leaver.id:
        await store.set_room(conn, [session_id], None)
        return
    # Settled ones need no room any more.
    heir = min(coming, key=lambda session: session.status is not SessionStatus.SCHEDULED)
    await store.set_room(conn, [session.id for session in others], heir.id)
    await store.hand_over(conn, leaver.id, heir.id, leaver.mentee_id)
    await store.set_room(conn, [session_id], heir.id if leaver.status is SessionStatus.CANCELLED else None)
