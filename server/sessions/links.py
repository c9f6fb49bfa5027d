"""Links in mails that agree, decline, cancel or move without a login: signed, for one person, one step, one time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn
from server.base.errors import FieldError, Gone, InsufficientFunds, Invalid, NotFound
from server.base.ids import new_id
from server.booking import steps
from server.booking.model import Booking, Party, Status
from server.people.tokens import TokenExpired, TokenInvalid, sign, verify
from server.sessions import actions as sessions
from server.sessions import rebooking, store
from server.settings import Settings

_AUDIENCE: Final = "visavis:link"


class Action(StrEnum):
    APPROVE = "approve"  # a request, or the other side's proposal
    REJECT = "reject"
    CONFIRM = "confirm"  # a time that is kept
    CANCEL = "cancel"
    MOVE = "move"
    REBOOK = "rebook"  # another time for a session that was missed


@dataclass(frozen=True, slots=True)
class Link:
    """What a token allows: this person may take this step of this booking, once."""

    id: UUID
    booking_id: UUID
    user_id: UUID
    action: Action


@dataclass(frozen=True, slots=True)
class Opened:
    """A link as its page shows it; ``used`` when it has done its work."""

    link: Link
    booking: Booking
    used: bool


def links_for(settings: Settings, of: Booking, user_id: UUID, now: datetime) -> Mapping[str, str]:
    """The addresses of what this person can do about the booking now, by action; good until it is too late for that."""
    found: dict[Action, datetime] = {}
    mentor = of.party(user_id) is Party.MENTOR
    if of.proposal is not None and of.proposal.by != user_id:
        found |= {Action.APPROVE: of.proposal.expires_at, Action.REJECT: of.proposal.expires_at}
    elif of.status is Status.REQUESTED and mentor and of.expires_at is not None:
        found |= {Action.APPROVE: of.expires_at, Action.REJECT: of.expires_at}
    if of.status is Status.HOLD and not mentor and of.expires_at is not None:
        found |= {Action.CONFIRM: of.expires_at, Action.CANCEL: of.expires_at}
    if of.status is Status.APPROVED or (of.status is Status.REQUESTED and not mentor):
        found |= {Action.CANCEL: of.start, Action.MOVE: of.start}
    return _Signed(settings, of.id, user_id, now, {it: until for it, until in found.items() if until > now})


class _Signed(Mapping[str, str]):
    """Links by action, each signed when it is first asked for: most texts show two or none, and a signature costs
    50 µs."""

    def __init__(
        self,
        settings: Settings,
        booking_id: UUID,
        user_id: UUID,
        now: datetime,
        until: Mapping[Action, datetime],
    ) -> None:
        self._sign = partial(_token, settings, booking_id, user_id, now=now)
        self._base, self._until = settings.public_url, {action.value: end for action, end in until.items()}
        self._signed: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._signed:
            token = self._sign(action=Action(name), until=self._until[name])
            self._signed[name] = f"{self._base}/links/{token}"
        return self._signed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._until)

    def __len__(self) -> int:
        return len(self._until)


def rebook_link(settings: Settings, missed: Booking, now: datetime) -> str:
    """Where the mentee of a missed session books another time; with ``?at=`` and Unix seconds one is chosen already."""
    until, once = now + rebooking.GOOD_FOR, rebooking.once(missed)
    token = _token(settings, missed.id, missed.mentee_id, Action.REBOOK, now, until, once)
    return f"{settings.public_url}/links/{token}"


def _token(
    settings: Settings,
    booking_id: UUID,
    user_id: UUID,
    action: Action,
    now: datetime,
    until: datetime,
    identity: UUID | None = None,
) -> str:
    jti = str(identity or new_id())
    claims = {"sub": str(user_id), "bid": str(booking_id), "act": action.value, "jti": jti}
    return sign(settings, _AUDIENCE, claims, now, until)


def read_link(settings: Settings, token: str, now: datetime) -> Link:
    """What the token allows. Raises ``Gone("link_expired")`` and ``NotFound("link_invalid")``."""
    try:
        claims = verify(settings, _AUDIENCE, token, now)
        return Link(UUID(claims["jti"]), UUID(claims["bid"]), UUID(claims["sub"]), Action(claims["act"]))
    except TokenExpired:
        raise Gone("link_expired", "This link has run out. Log in to see your bookings.") from None
    except (TokenInvalid, KeyError, ValueError, AttributeError, TypeError):
        raise NotFound(
            "link_invalid", "This is not a link of ours; perhaps the mail cut it in two."
        ) from None


async def open_link(ctx: Context, token: str) -> Opened:
    """What the link is for, without doing it: programs that look into mails open links, too. Raises as `read_link`."""
    link = read_link(ctx.settings, token, ctx.clock.now())
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return Opened(
            link, await steps.booking_in(conn, link.booking_id), await store.link_used(conn, link.id)
        )


async def follow(
    ctx: Context, token: str, *, start: datetime | None = None, end: datetime | None = None, reason: str = ""
) -> Booking:
    """Take the link's step, once; ``start`` and ``end`` are for moving, and for booking anew: then it returns the new
    booking.

    Raises ``Gone("link_used")``, what `read_link` raises, and what the step itself raises; then it is good still.
    """
    link = read_link(ctx.settings, token, ctx.clock.now())

    async def once(conn: Conn) -> None:
        if not await store.use_link(conn, link.id, link.booking_id, ctx.clock.now()):
            raise Gone("link_used", "This link has done its work.")

    match link.action:
        case Action.APPROVE:
            return await sessions.approve(ctx, link.user_id, link.booking_id, also=once)
        case Action.REJECT:
            return await sessions.reject(ctx, link.user_id, link.booking_id, reason, also=once)
        case Action.CONFIRM:
            return await sessions.confirm(ctx, link.user_id, link.booking_id, also=once)
        case Action.CANCEL:
            return await sessions.cancel(ctx, link.user_id, link.booking_id, reason, also=once)
        case Action.MOVE:
            if start is None or end is None:
                raise Invalid([FieldError("start", "required", "Choose a time.")])
            return await sessions.reschedule(
                ctx, link.user_id, link.booking_id, start=start, end=end, reason=reason, also=once
            )
        case Action.REBOOK:
            if start is None or end is None:
                raise Invalid([FieldError("start", "required", "Choose a time.")])
            return await _rebook(ctx, link, start, end, once)


async def _rebook(ctx: Context, link: Link, start: datetime, end: datetime, once: sessions.Also) -> Booking:
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        missed = await steps.booking_in(conn, link.booking_id)
    try:
        return await sessions.book(
            ctx, link.user_id, mentor_id=missed.mentor_id, start=start, end=end, topic=missed.topic, also=once
        )
    except InsufficientFunds as short:
        needed = short.extra.get("needed_tokens")
        raise InsufficientFunds(
            short.code, f"This takes {needed} tokens, and there are fewer in your wallet.", **short.extra
        ) from None
