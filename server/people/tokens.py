"""Signed tokens (JWT, RFC 7519): signing and checking for any audience, and the access tokens of programs."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import jwt

from server.base.errors import Unauthenticated
from server.people.model import Principal, Role, User
from server.settings import Settings

ACCESS_LIFE: Final = timedelta(minutes=15)
OPERATOR: Final = UUID(int=0)
_ACCESS: Final = "visavis:api"
_ALGORITHM: Final = "HS256"
MAX_TOKEN: Final = 4096  # characters; ours have about 400


class TokenInvalid(Exception):
    """Not a token of ours for this audience."""


class TokenExpired(TokenInvalid):
    """It was one, until its ``exp``."""


@lru_cache(maxsize=64)  # a handful of audiences: a minute's reminders sign a hundred thousand times
def _key(secret_key: str, audience: str) -> bytes:
    """A key per audience, so that a token for one place can never be good in another."""
    return hmac.digest(secret_key.encode(), b"visavis jwt " + audience.encode(), hashlib.sha256)


def sign(
    settings: Settings, audience: str, claims: dict[str, Any], now: datetime, expires_at: datetime
) -> str:
    """A token with ``claims`` for ``audience``; whole seconds, as NumericDate (RFC 7519 section 2)."""
    standard = {
        "iss": settings.public_url,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    return jwt.encode({**claims, **standard}, _key(settings.secret_key, audience), algorithm=_ALGORITHM)


def verify(settings: Settings, audience: str, token: str, now: datetime) -> dict[str, Any]:
    """The claims. Raises ``TokenExpired`` at ``exp`` and later, ``TokenInvalid`` for everything else."""
    if len(token) > MAX_TOKEN:
        raise TokenInvalid("too long")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            _key(settings.secret_key, audience),
            algorithms=[_ALGORITHM],
            audience=audience,
            issuer=settings.public_url,
            # PyJWT would look at the machine's clock; ``now`` is compared below.
            options={
                "verify_exp": False,
                "verify_iat": False,
                "require": ["exp", "iat", "iss", "aud", "sub"],
            },
        )
        expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, OSError) as error:
        raise TokenInvalid(str(error)) from error
    if now >= expires_at:
        raise TokenExpired
    return claims


def access_token(settings: Settings, user: User, now: datetime) -> str:
    """A bearer token (RFC 6750) for the API, good for ACCESS_LIFE."""
    return sign(settings, _ACCESS, {"sub": str(user.id), "role": user.role.value}, now, now + ACCESS_LIFE)


def operator_token(settings: Settings, now: datetime) -> str:
    """A bearer token with an administrator's rights for whoever runs this machine and so holds the secret key. It names
    no person (``OPERATOR``), and is good for a minute: the commands make one for each call."""
    return sign(
        settings, _ACCESS, {"sub": str(OPERATOR), "role": Role.ADMIN.value}, now, now + timedelta(minutes=1)
    )


def read_access_token(settings: Settings, token: str, now: datetime) -> Principal:
    """Whose token it is. Raises ``Unauthenticated`` with ``token_expired`` or ``token_invalid``."""
    try:
        claims = verify(settings, _ACCESS, token, now)
        return Principal(UUID(claims["sub"]), Role(claims["role"]))
    except TokenExpired as error:
        raise Unauthenticated("token_expired", "The access token has expired: refresh it.") from error
    except (TokenInvalid, KeyError, ValueError, AttributeError) as error:
        raise Unauthenticated("token_invalid", "This is not an access token of ours.") from error
