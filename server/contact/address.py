"""The account's mail address: greeted, proved by a link that goes there, replaced by another one that was proved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, FieldError, Gone, Invalid, NotFound, TooMany, Unauthenticated
from server.base.ids import new_id
from server.contact import store
from server.contact.store import Address
from server.notifications.actions import enqueue_in, reach_in
from server.notifications.model import Kind
from server.notifications.texts import render
from server.people import actions as people
from server.people import store as people_store
from server.people.model import User, normal_email
from server.people.tokens import TokenExpired, TokenInvalid, sign, verify
from server.settings import Settings

LINK_LIFE: Final = timedelta(days=7)
RESEND_AFTER: Final = timedelta(seconds=60)
_AUDIENCE: Final = "visavis:address"


async def register(ctx: Context, *, email: str, password: str, name: str, role: str, timezone: str) -> User:
    """`people.register`, and the first mail, whose link proves the address, in the same transaction."""
    user = await people.register_with(
        ctx, partial(_welcome_in, ctx), email=email, password=password, name=name, role=role, timezone=timezone
    )  # fmt: skip
    ctx.wake()
    return user


async def _welcome_in(ctx: Context, conn: Conn, user: User) -> None:
    await _send_in(conn, ctx, user, Kind.WELCOME, user.email, f"welcome:{user.id}")
    await store.link_sent(conn, user.id, ctx.clock.now())


def verify_url(settings: Settings, user_id: UUID, email: str, now: datetime) -> str:
    """Where one click says that this address is this person's."""
    token = sign(settings, _AUDIENCE, {"sub": str(user_id), "email": email}, now, now + LINK_LIFE)
    return f"{settings.public_url}/address/{token}"


async def _send_in(
    conn: Conn, ctx: Context, user: User, kind: Kind, to: str, dedup_key: str, old: str | None = None
) -> None:
    """``old`` is the address that was replaced."""
    now, base = ctx.clock.now(), ctx.settings.public_url
    text = render(
        kind, "person", ZoneInfo(user.timezone),
        {
            "name": user.name, "role": user.role.value, "email": user.email, "old_email": old or user.email,
            "verify_url": verify_url(ctx.settings, user.id, to, now), "days": LINK_LIFE.days,
            "url": f"{base}/dashboard", "settings_url": f"{base}/settings",
        },
        language=(await reach_in(conn, user)).language, link=f"{base}/settings",
    )  # fmt: skip
    await enqueue_in(
        conn, dedup_key=dedup_key, session_id=None, kind=kind, recipient=user, role=user.role, text=text,
        calendar=None, ctx=ctx, address=to,
    )  # fmt: skip


async def ask_change(ctx: Context, user_id: UUID, email: str, password: str) -> Address:
    """Send a link to a new address; until it is followed, nothing changes. The password says that it is the owner
    who asks, and not somebody at a screen that was left alone.

    Raises ``Invalid`` with all faults, ``Conflict("email_taken")`` and ``TooMany("link_too_soon")``.
    """
    user = await people.get_user(ctx, user_id)
    address = normal_email(email)
    faults = []
    if address is None:
        faults.append(FieldError("email", "bad_email", "This is not an email address."))
    elif address.casefold() == user.email.casefold():
        faults.append(FieldError("email", "same_address", "This is your address already."))
    try:
        await people.authenticate(ctx, user.email, password)
    except Unauthenticated:
        faults.append(FieldError("password", "wrong_password", "This is not your password."))
    if faults or address is None:
        raise Invalid(faults)

    async def work(conn: Conn) -> Address:
        await store.lock_person(conn, user_id)
        if await store.email_taken(conn, address):
            raise Conflict("email_taken", "There is an account with this address already.")
        known = await _address_in(conn, user_id)
        await store.set_pending(conn, user_id, address)
        await _link_in(conn, ctx, user, known, address)
        return await _address_in(conn, user_id)

    address_now = await in_transaction(ctx.pool, work)
    ctx.wake()
    return address_now


async def resend(ctx: Context, user_id: UUID) -> Address:
    """Send the link again: to the new address where one waits, else to the account's; nothing where all is proved.

    Raises ``TooMany("link_too_soon")``.
    """

    async def work(conn: Conn) -> Address:
        user = await people.user_in(conn, user_id)
        await store.lock_person(conn, user_id)
        known = await _address_in(conn, user_id)
        if to := known.pending or (known.email if known.verified_at is None else None):
            await _link_in(conn, ctx, user, known, to)
        return await _address_in(conn, user_id)

    address_now = await in_transaction(ctx.pool, work)
    ctx.wake()
    return address_now


async def cancel_change(ctx: Context, user_id: UUID) -> Address:
    """Forget the new address; its link no longer works. Twice is fine."""

    async def work(conn: Conn) -> Address:
        await store.set_pending(conn, user_id, None)
        return await _address_in(conn, user_id)

    return await in_transaction(ctx.pool, work)


async def _link_in(conn: Conn, ctx: Context, user: User, known: Address, to: str) -> None:
    now = ctx.clock.now()
    if known.link_sent_at is not None and now < known.link_sent_at + RESEND_AFTER:
        wait = max(1, int((known.link_sent_at + RESEND_AFTER - now).total_seconds() + 0.999))
        raise TooMany("link_too_soon", f"A link is on its way. Another one in {wait} s.", retry_after=wait)
    await _send_in(conn, ctx, user, Kind.VERIFY_ADDRESS, to, f"verify_address:{new_id()}")
    await store.link_sent(conn, user.id, now)


async def _address_in(conn: Conn, user_id: UUID) -> Address:
    if (found := await store.address(conn, user_id)) is None:
        raise NotFound("user_not_found", "There is no such person.")
    return found


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link proves. ``replaces`` is the address that this one takes the place of; ``done`` when it has."""

    name: str
    email: str
    replaces: str | None
    done: bool


def _read(ctx: Context, token: str) -> tuple[UUID, str]:
    try:
        claims = verify(ctx.settings, _AUDIENCE, token, ctx.clock.now())
        return UUID(claims["sub"]), str(claims["email"])
    except TokenExpired:
        raise Gone("link_expired", "This link has run out. Your settings send a new one.") from None
    except (TokenInvalid, KeyError, ValueError, AttributeError, TypeError):
        raise NotFound(
            "link_invalid", "This is not a link of ours; perhaps the mail cut it in two."
        ) from None


async def open_link(ctx: Context, token: str) -> Opened:
    """Look only. Raises ``Gone("link_expired")``, ``Gone("link_used")`` and ``NotFound("link_invalid")``."""
    user_id, email = _read(ctx, token)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await _opened_in(conn, user_id, email)


async def _opened_in(conn: Conn, user_id: UUID, email: str) -> Opened:
    user, known = await people.user_in(conn, user_id), await _address_in(conn, user_id)
    if known.email.casefold() == email.casefold():
        return Opened(user.name, known.email, None, known.verified_at is not None)
    if (known.pending or "").casefold() == email.casefold():
        return Opened(user.name, email, known.email, False)
    raise Gone("link_used", "This address is no longer the one you asked for.")


async def follow(ctx: Context, token: str) -> Opened:
    """Prove the address; a new one replaces the account's, and the old one is told. Twice is fine.

    Raises as `open_link`, and ``Conflict("email_taken")``.
    """
    user_id, email = _read(ctx, token)

    async def work(conn: Conn) -> Opened:
        now = ctx.clock.now()
        await store.lock_person(conn, user_id)
        opened = await _opened_in(conn, user_id, email)
        if opened.replaces is None:
            await people_store.verify_address(conn, user_id, now)
        else:
            if not await store.replace_address(conn, user_id, now):
                raise Conflict("email_taken", "There is an account with this address already.")
            user = await people.user_in(conn, user_id)
            key = f"address_changed:{new_id()}"
            await _send_in(conn, ctx, user, Kind.ADDRESS_CHANGED, opened.replaces, key, opened.replaces)
        return await _opened_in(conn, user_id, email)

    opened = await in_transaction(ctx.pool, work)
    ctx.wake()
    return opened
