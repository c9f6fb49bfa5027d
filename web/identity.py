"""Who is calling: a bearer access token (programs) or a login kept in Redis under a session cookie (pages).

For handlers: ``visitor(request)`` (Principal or None), ``caller(request)`` (Principal), ``log_in(request, user)`` and
``log_out(request)`` (await them; then answer with a redirect). ``web/middleware.py`` resolves the identity first.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import structlog
from aiohttp import web as http
from aiohttp_session import Session, get_session, new_session
from aiohttp_session.redis_storage import RedisStorage
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.base.errors import Unauthenticated, Unavailable
from server.people.model import Principal, Role, User
from server.people.tokens import read_access_token
from web.context import CONTEXT

log = structlog.get_logger(__name__)

LOGINS_AWAY = "logins_unavailable"
LOGIN_SECONDS = 14 * 24 * 3600  # a fortnight without a visit ends a login
RENEW_SECONDS = 24 * 3600  # how often a visit prolongs it
USER, ROLE = "user", "role"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Nobody we know; ``bad_token`` is why a presented bearer token was not believed, ``away`` why a cookie could not
    be looked up."""

    bad_token: Unauthenticated | None = None
    away: Unavailable | None = None


@dataclass(frozen=True, slots=True)
class ByBearer:
    principal: Principal


@dataclass(frozen=True, slots=True)
class ByCookie:
    principal: Principal


Identity: TypeAlias = Anonymous | ByBearer | ByCookie
IDENTITY: http.RequestKey[Identity] = http.RequestKey("identity", object)  # type: ignore[arg-type]


class LoginStorage(RedisStorage):
    """aiohttp-session's Redis storage that really forgets: an emptied session is deleted, not kept empty."""

    def __init__(self, redis: Redis, *, secure: bool) -> None:
        super().__init__(
            redis,
            # The prefix makes browsers refuse the cookie from another host or over plain HTTP (RFC 6265bis).
            cookie_name="__Host-visavis" if secure else "visavis",
            max_age=LOGIN_SECONDS,
            secure=secure,
            httponly=True,
            samesite="Lax",
            key_factory=lambda: secrets.token_urlsafe(32),
        )

    async def load_session(self, request: http.Request) -> Session:
        with _redis_told():
            return await super().load_session(request)

    async def save_session(
        self, request: http.Request, response: http.StreamResponse, session: Session
    ) -> None:
        if session.empty:
            await self.forget(session)
            if self.load_cookie(request) is not None:
                self.save_cookie(response, "")
            return
        with _redis_told():
            await super().save_session(request, response, session)

    async def forget(self, session: Session) -> None:
        """Delete what is stored under the session's identity, if anything is."""
        if session.identity is not None:
            with _redis_told():
                await self._redis.delete(f"{self.cookie_name}_{session.identity}")


@contextlib.contextmanager
def _redis_told() -> Iterator[None]:
    """Logins live in Redis alone: without it nobody can be recognised by a cookie. Programs with a token can."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("logins cannot be checked: redis does not answer", error=repr(error))
        raise Unavailable(
            LOGINS_AWAY,
            "Logins cannot be checked at the moment. Nothing is lost: load the page again in a minute. Sessions that"
            " run go on, and programs with an access token are not affected.",
        ) from error


LOGINS: http.AppKey[LoginStorage] = http.AppKey("logins", LoginStorage)


def bearer(request: http.Request) -> str | None:
    """The token of an ``Authorization: Bearer`` header (RFC 6750), or None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def resolve(request: http.Request) -> Identity:
    """Find out who calls. A bearer header wins over a cookie; Redis is asked only for a cookie."""
    if (token := bearer(request)) is not None:
        ctx = request.app[CONTEXT]
        try:
            return ByBearer(read_access_token(ctx.settings, token, ctx.clock.now()))
        except Unauthenticated as refusal:
            return Anonymous(refusal)
    if request.app[LOGINS].load_cookie(request) is None:
        return Anonymous()
    try:
        session = await get_session(request)
    except Unavailable as refusal:
        return Anonymous(away=refusal)
    principal = _principal_of(session)
    if principal is not None and time.time() - session.created > RENEW_SECONDS:
        session[USER] = str(principal.user_id)  # written anew, with a new expiry
    return Anonymous() if principal is None else ByCookie(principal)


async def still_signed_in(request: http.Request) -> bool:
    """Whether who opened this long request still is who they were: the token has not run out, the login not ended.

    Raises Unavailable while Redis is away.
    """
    was = visitor(request)
    match identity(request):
        case ByBearer():
            ctx = request.app[CONTEXT]
            try:
                return read_access_token(ctx.settings, bearer(request) or "", ctx.clock.now()) == was
            except Unauthenticated:
                return False
        case ByCookie():
            return _principal_of(await request.app[LOGINS].load_session(request)) == was
        case Anonymous():
            return False


def _principal_of(session: Session) -> Principal | None:
    user: Any = session.get(USER)
    role: Any = session.get(ROLE)
    if not isinstance(user, str) or not isinstance(role, str):
        return None
    return Principal(UUID(user), Role(role))


def identity(request: http.Request) -> Identity:
    """What the gate resolved; Anonymous before it did."""
    found: Identity = request.get(IDENTITY, Anonymous())
    return found


def visitor(request: http.Request) -> Principal | None:
    """Who calls, if somebody is signed in."""
    match identity(request):
        case ByBearer(principal) | ByCookie(principal):
            return principal
        case Anonymous():
            return None


def caller(request: http.Request) -> Principal:
    """Who calls. Raises Unauthenticated, which cannot happen where the access needs a sign-in."""
    principal = visitor(request)
    if principal is None:
        raise Unauthenticated("sign_in_required", "Sign in to do this.")
    return principal


async def log_in(request: http.Request, user: User) -> None:
    """Start a login for ``user`` under a fresh session id (an id known before the login is worth nothing after it)."""
    await request.app[LOGINS].forget(await get_session(request))
    session = await new_session(request)
    session[USER] = str(user.id)
    session[ROLE] = user.role.value
    request[IDENTITY] = ByCookie(Principal(user.id, user.role))


async def log_out(request: http.Request) -> None:
    """End the login; the stored session is deleted, not only the cookie."""
    session = await get_session(request)
    session.invalidate()
    request[IDENTITY] = Anonymous()
