"""Who may come into which room: room tokens and sessions, asked of the domain before anything else is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.context import Context
from server.base.errors import Forbidden, NotFound, Unauthenticated
from server.people.model import Principal, Role
from server.sessions import actions as sessions
from server.sessions.model import RoomPass, Session, SessionStatus
from server.sessions.tokens import read_room_token
from signaling.messages import Close, SessionCard

UNTITLED = "Mentoring session"


class Refused(Exception):
    """No entrance: ``close`` is what the socket says last."""

    def __init__(self, close: Close, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.close = close
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Standing:
    """How the session stands. ``over``: nobody has business in its room any more."""

    card: SessionCard
    mentor_id: UUID
    status: str
    outcome: str | None
    over: bool


@dataclass(frozen=True, slots=True)
class Admitted:
    room_pass: RoomPass
    standing: Standing
    people: tuple[tuple[UUID, str, str], ...]  # (user id, name, role) of everybody the session is for


def check_token(ctx: Context, token: str, session_id: UUID) -> RoomPass:
    """Raises `Refused` for an expired, foreign or made-up token. Asks nobody: no database, no media."""
    try:
        return read_room_token(ctx.settings, token, session_id, ctx.clock.now())
    except Forbidden as refusal:
        raise Refused(Close.FOREIGN, refusal.code, refusal.detail) from refusal
    except Unauthenticated as refusal:
        raise Refused(Close.BAD_TOKEN, refusal.code, refusal.detail) from refusal


async def admit(ctx: Context, token: str, session_id: UUID) -> Admitted:
    """Check the token, then the session it is for. Raises `Refused`."""
    room_pass = check_token(ctx, token, session_id)
    try:
        session = await sessions.get(ctx, Principal(room_pass.user_id, Role(room_pass.role)), session_id)
    except NotFound as refusal:
        raise Refused(Close.NO_SESSION, refusal.code, refusal.detail) from refusal
    except Forbidden as refusal:
        raise Refused(Close.FOREIGN, refusal.code, refusal.detail) from refusal
    standing = standing_of(session, ctx.clock.now())
    if standing.over:
        raise Refused(Close.OVER, "session_over", "This session is over.")
    people = (
        (session.mentor_id, session.mentor_name, Role.MENTOR.value),
        (session.mentee_id, session.mentee_name, Role.MENTEE.value),
    )
    return Admitted(room_pass, standing, people)


async def look_again(ctx: Context, session_id: UUID, known: Standing) -> Standing:
    """How a session stands that was admitted to before; it may have been moved, cancelled or settled meanwhile."""
    session = await sessions.get(ctx, Principal(known.mentor_id, Role.MENTOR), session_id)
    return standing_of(session, ctx.clock.now())


def standing_of(session: Session, now: datetime) -> Standing:
    """A settled session may be talked in until its room closes, so that nobody is cut off; a cancelled one may not."""
    card = SessionCard(session.id, session.start, session.end, session.closes_at, session.topic or UNTITLED)
    over = session.status is SessionStatus.CANCELLED or now >= session.closes_at
    outcome = session.outcome.value if session.outcome is not None else None
    return Standing(card, session.mentor_id, session.status.value, outcome, over)
