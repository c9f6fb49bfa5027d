"""Register, sign in, stay signed in, and say who one is."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, Invalid, NotFound, Unauthenticated
from server.base.ids import new_id
from server.people import model, store, tokens
from server.people.model import MAX_PASSWORD, MentorProfile, ProfileChange, Role, TokenPair, User
from server.people.passwords import hash_password, outdated, password_fits

REFRESH_LIFE: Final = timedelta(days=30)  # of each token; a family lives on as long as it is used
_ADMINISTRATOR: Final = "Administrator"
Also: TypeAlias = Callable[[Conn, User], Awaitable[None]]


async def register(ctx: Context, *, email: str, password: str, name: str, role: str, timezone: str) -> User:
    """A new mentee or mentor; a mentor gets an empty profile.

    Raises ``Invalid`` with all faults (``admin`` is no role to choose) and ``Conflict("email_taken")``.
    """
    return await register_with(
        ctx, None, email=email, password=password, name=name, role=role, timezone=timezone
    )


async def register_with(
    ctx: Context, also: Also | None, *, email: str, password: str, name: str, role: str, timezone: str
) -> User:
    """`register`; ``also`` joins the transaction."""
    name = name.strip()
    if faults := model.registration_faults(email, password, name, role, timezone):
        raise Invalid(faults)
    return await _create(ctx, email, password, name, Role(role), timezone, also)


async def create_admin(ctx: Context, email: str, password: str) -> User:
    """A new administrator, in the business zone; whoever has the command line vouches for the address.

    Raises ``Invalid`` and ``Conflict("email_taken")``.
    """
    timezone = ctx.settings.timezone.key or "UTC"
    # Everything a registration asks for, except that the role is not chosen.
    if faults := model.registration_faults(email, password, _ADMINISTRATOR, Role.MENTEE, timezone):
        raise Invalid(faults)

    async def vouch(conn: Conn, user: User) -> None:
        await store.verify_address(conn, user.id, user.created_at)

    return await _create(ctx, email, password, _ADMINISTRATOR, Role.ADMIN, timezone, vouch)


async def _create(
    ctx: Context,
    email: str,
    password: str,
    name: str,
    role: Role,
    timezone: str,
    also: Also | None = None,
) -> User:
    address = model.normal_email(email)
    assert address is not None  # noqa: S101 - the caller has looked for faults
    user = User(new_id(), address, name, role, timezone, ctx.clock.now())
    password_hash = await hash_password(password)

    async def work(conn: Conn) -> None:
        if not await store.insert_user(conn, user, password_hash):
            raise Conflict("email_taken", "There is an account with this address already.")
        if role is Role.MENTOR:
            await store.insert_profile(conn, user.id)
        if also is not None:
            await also(conn, user)

    await in_transaction(ctx.pool, work)
    return user


async def authenticate(ctx: Context, email: str, password: str) -> User:
    """The user with this address and password. Raises ``Unauthenticated("bad_credentials")``.

    Whether the address exists shows neither in the answer nor in the time it takes.
    """
    address = model.normal_email(email)
    found: tuple[User, str] | None = None
    if address is not None:
        async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            found = await store.login(conn, address)
    # The connection is back in the pool while the hash is computed.
    stored = found[1] if found else None
    if not await password_fits(stored, password[: MAX_PASSWORD + 1]) or found is None or stored is None:
        raise Unauthenticated("bad_credentials", "The address and the password do not belong together.")
    if outdated(stored):
        renewed = await hash_password(password)
        async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            await store.set_password_hash(conn, found[0].id, stored, renewed)
    return found[0]


async def get_user(ctx: Context, user_id: UUID) -> User:
    """Raises ``NotFound("user_not_found")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await user_in(conn, user_id)


async def user_in(conn: Conn, user_id: UUID) -> User:
    """`get_user` within a transaction."""
    if (user := await store.user(conn, user_id)) is None:
        raise NotFound("user_not_found", "There is no such person.")
    return user


async def profile(ctx: Context, mentor_id: UUID) -> MentorProfile:
    """Raises ``NotFound("mentor_not_found")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await profile_in(conn, mentor_id)


async def profile_in(conn: Conn, mentor_id: UUID) -> MentorProfile:
    """`profile` within a transaction."""
    if (found := await store.profile(conn, mentor_id)) is None:
        raise NotFound("mentor_not_found", "There is no such mentor.")
    return found


async def update_me(
    ctx: Context,
    user_id: UUID,
    *,
    name: str | None = None,
    timezone: str | None = None,
    headline: str | None = None,
    bio: str | None = None,
    topics: Sequence[str] | None = None,
    languages: Sequence[str] | None = None,
    price_tokens: int | None = None,
) -> User:
    """Change what is given; None leaves a field as it is. A new price holds for bookings made from now on.

    Raises ``Invalid`` with all faults (a mentor's field of somebody else is one) and ``NotFound("user_not_found")``.
    """
    change = model.tidy(
        ProfileChange(
            name=name,
            timezone=timezone,
            headline=headline,
            bio=bio,
            topics=None if topics is None else tuple(topics),
            languages=None if languages is None else tuple(languages),
            price_tokens=price_tokens,
        )
    )

    async def work(conn: Conn) -> User:
        user = await user_in(conn, user_id)
        if faults := model.change_faults(change, user.role):
            raise Invalid(faults)
        await store.update_user(conn, user_id, change)
        if change.touches_profile:
            await store.update_profile(conn, user_id, change)
        return await user_in(conn, user_id)

    return await in_transaction(ctx.pool, work)


async def issue_tokens(ctx: Context, user: User) -> TokenPair:
    """An access token and a refresh token that begins a family of its own."""

    async def work(conn: Conn) -> TokenPair:
        return await _issue_in(conn, ctx, user, family=new_id())

    return await in_transaction(ctx.pool, work)


async def refresh(ctx: Context, refresh_token: str) -> tuple[User, TokenPair]:
    """Trade a refresh token for a new pair; it works once.

    A used one that comes again was stolen, by the first who came or by the second: its whole family is revoked
    (RFC 9700 section 4.14.2). Raises ``Unauthenticated("bad_refresh_token")`` for whatever is not good any more.
    """

    async def work(conn: Conn) -> tuple[User, TokenPair] | None:
        now = ctx.clock.now()
        token = await store.lock_refresh(conn, _digest(refresh_token))
        if token is None or token.revoked_at is not None:
            return None
        if token.used_at is not None:
            await store.revoke_family(conn, token.family, now)
            return None
        if now >= token.expires_at or not await store.enabled(conn, token.user_id):
            return None
        await store.use_refresh(conn, token.id, now)
        user = await user_in(conn, token.user_id)
        return user, await _issue_in(conn, ctx, user, family=token.family)

    # The refusal is raised outside: inside it would roll the revocation back.
    if (renewed := await in_transaction(ctx.pool, work)) is None:
        raise Unauthenticated("bad_refresh_token", "Sign in again.")
    return renewed


async def logout(ctx: Context, refresh_token: str) -> None:
    """Revoke the token's family; a token that is not ours is none to revoke."""

    async def work(conn: Conn) -> None:
        if token := await store.lock_refresh(conn, _digest(refresh_token)):
            await store.revoke_family(conn, token.family, ctx.clock.now())

    await in_transaction(ctx.pool, work)


async def _issue_in(conn: Conn, ctx: Context, user: User, *, family: UUID) -> TokenPair:
    now = ctx.clock.now()
    secret = secrets.token_urlsafe(32)
    token = store.RefreshToken(new_id(), user.id, family, now + REFRESH_LIFE, used_at=None, revoked_at=None)
    await store.insert_refresh(conn, token, _digest(secret), now)
    return TokenPair(
        access_token=tokens.access_token(ctx.settings, user, now),
        refresh_token=secret,
        expires_in=int(tokens.ACCESS_LIFE.total_seconds()),
    )


def _digest(secret: str) -> bytes:
    """What is stored of a refresh token: 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()
