"""Room tokens: proof, without asking the database, that a person may be in a session's room."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from server.base.errors import Forbidden, Unauthenticated
from server.people.model import User
from server.people.tokens import TokenExpired, TokenInvalid, sign, verify
from server.sessions.model import RoomPass, Session
from server.settings import Settings

_ROOM: Final = "visavis:room"


def room_token(settings: Settings, session: Session, user: User, now: datetime) -> tuple[str, datetime]:
    """A token for the socket, WHIP and WHEP of the room the session meets in, and when it expires: as the
    room closes, so that nobody is cut off.

    Raises ``Forbidden("not_a_participant")``.
    """
    role = session.role_of(user.id)
    if role is None:
        raise Forbidden("not_a_participant", "This session is somebody else's.")
    claims = {"sub": str(user.id), "sid": str(session.room_id), "name": user.name, "role": role}
    return sign(settings, _ROOM, claims, now, session.closes_at), session.closes_at


def read_room_token(settings: Settings, token: str, session_id: UUID, now: datetime) -> RoomPass:
    """Who comes with the token.

    Raises ``Unauthenticated("room_token_expired")``, ``Unauthenticated("room_token_invalid")``, and
    ``Forbidden("room_token_foreign")`` for a good token of another session.
    """
    try:
        claims = verify(settings, _ROOM, token, now)
        found = RoomPass(UUID(claims["sid"]), UUID(claims["sub"]), str(claims["name"]), str(claims["role"]))
    except TokenExpired as error:
        raise Unauthenticated("room_token_expired", "The room token has expired: join again.") from error
    except (TokenInvalid, KeyError, ValueError, AttributeError, TypeError) as error:
        raise Unauthenticated("room_token_invalid", "This is not a room token of ours.") from error
    if found.session_id != session_id:
        raise Forbidden("room_token_foreign", "This token is for another session.")
    return found
