"""Who may come into which room: room tokens and sessions, asked of the domain before anything else is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from server.attendance import actions as attendance
from server.base.context import Context
from server.base.errors import Forbidden, NotFound, Unauthenticated
from server.sessions import rooms
from server.sessions.model import Room, RoomPass, SessionStatus
from server.sessions.tokens import read_room_token
from signaling.messages import Close, Missing, SessionCard

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
    """How the room stands. ``over``: nobody has business in it any more. ``people``: (user id, name, role) of everybody
    it is for. ``elsewhere``: the session shares another room now. ``missing``: who was written to, having not come."""

    card: SessionCard
    people: tuple[tuple[UUID, str, str], ...]
    status: str
    outcome: str | None
    over: bool
    elsewhere: bool
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Admitted:
    room_pass: RoomPass
    standing: Standing

    @property
    def people(self) -> tuple[tuple[UUID, str, str], ...]:
        return self.standing.people


def check_token(ctx: Context, token: str, session_id: UUID) -> RoomPass:
    """Raises `Refused` for an expired, foreign or made-up token. Asks nobody: no database, no media."""
    try:
        return read_room_token(ctx.settings, token, session_id, ctx.clock.now())
    except Forbidden as refusal:
        raise Refused(Close.FOREIGN, refusal.code, refusal.detail) from refusal
    except Unauthenticated as refusal:
        raise Refused(Close.BAD_TOKEN, refusal.code, refusal.detail) from refusal


async def admit(ctx: Context, token: str, session_id: UUID) -> Admitted:
    """Check the token, then the room it is for. Raises `Refused`."""
    room_pass = check_token(ctx, token, session_id)
    try:
        room = await rooms.room(ctx, session_id)
    except NotFound as refusal:
        raise Refused(Close.NO_SESSION, refusal.code, refusal.detail) from refusal
    standing = await _with_missing(ctx, room, standing_of(room, session_id, ctx.clock.now()))
    if standing.elsewhere:
        raise Refused(
            Close.BAD_TOKEN, "room_token_invalid", "This session meets in another room now: join again."
        )
    if room.session_of(room_pass.user_id) is None:
        raise Refused(Close.FOREIGN, "not_a_participant", "This session is somebody else's.")
    if standing.over:
        raise Refused(Close.OVER, "session_over", "This session is over.")
    return Admitted(room_pass, standing)


async def look_again(ctx: Context, session_id: UUID) -> Standing:
    """How a room stands that was admitted to before; its session may have been moved, merged, cancelled or settled."""
    room = await rooms.room(ctx, session_id)
    return await _with_missing(ctx, room, standing_of(room, session_id, ctx.clock.now()))


async def _with_missing(ctx: Context, room: Room, standing: Standing) -> Standing:
    """Nobody is written to before the start, so nobody is asked about then."""
    if ctx.clock.now() < standing.card.start:
        return standing
    names = {user_id: name for user_id, name, _ in room.people}
    found = await attendance.nudges(ctx, [session.id for session in room.sessions])
    missing = tuple(
        Missing(n.user_id, names[n.user_id], n.minutes, n.at) for n in found if n.user_id in names
    )
    return replace(standing, missing=missing)


def standing_of(room: Room, session_id: UUID, now: datetime) -> Standing:
    """A settled session may be talked in until its room closes, so that nobody is cut off; a cancelled one may not."""
    first = room.first
    card = SessionCard(first.id, first.start, first.end, first.closes_at, first.topic or UNTITLED)
    over = room.status is SessionStatus.CANCELLED or now >= first.closes_at
    outcome = room.outcome.value if room.outcome is not None else None
    return Standing(card, room.people, room.status.value, outcome, over, elsewhere=room.id != session_id)
