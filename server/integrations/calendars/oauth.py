"""OAuth 2 as a web application does it: the way to the consent page, the exchange of the code, refreshing, revoking."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp
import jwt

from server.base.clock import Clock
from server.integrations.calendars.protocol import (
    TIMEOUT,
    CalendarAway,
    CalendarRefused,
    Credentials,
    GrantRevoked,
)

EARLY = timedelta(seconds=60)  # an access token this close to its end would not survive a slow request


@dataclass(frozen=True, slots=True)
class Service:
    """Where an OAuth service is, what we are called there and what we ask for."""

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    authorize_url: str
    token_url: str
    revoke_url: str | None
    scopes: tuple[str, ...]
    needed_scope: str  # without this one the rest is of no use
    extra: tuple[tuple[str, str], ...] = ()  # of the authorisation request


@dataclass(frozen=True, slots=True)
class Grant:
    """What came of an authorisation: the tokens, and whose calendar it is."""

    credentials: Credentials
    account: str


def challenge(verifier: str) -> str:
    """The PKCE challenge, S256 (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(service: Service, *, redirect_uri: str, state: str, verifier: str) -> str:
    """Where the person gives the permission (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""
    query = {
        "response_type": "code",
        "client_id": service.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(service.scopes),
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
        **dict(service.extra),
    }
    return f"{service.authorize_url}?{urlencode(query)}"


async def exchange(
    http: aiohttp.ClientSession,
    clock: Clock,
    service: Service,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
) -> Grant:
    """The tokens for a code (RFC 6749 section 4.1.3).

    Raises `GrantRevoked` when the code is not (or no longer) good, `CalendarRefused` when the person left out what we
    need, `CalendarAway`.
    """
    data = await _token(
        http, service,
        {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": redirect_uri},
    )  # fmt: skip
    granted = str(data.get("scope") or service.needed_scope).split()
    if _short(service.needed_scope) not in map(_short, granted):
        raise CalendarRefused("scope_missing")
    credentials = _credentials(data, clock.now(), "")
    if not credentials.refresh_token:
        raise CalendarRefused("no_refresh_token")
    return Grant(credentials, _account(data))


async def refresh(
    http: aiohttp.ClientSession, clock: Clock, service: Service, known: Credentials
) -> Credentials:
    """A new access token (RFC 6749 section 6); the refresh token may be new, too.

    Raises `GrantRevoked`, `CalendarAway`.
    """
    data = await _token(http, service, {"grant_type": "refresh_token", "refresh_token": known.refresh_token})
    return _credentials(data, clock.now(), known.refresh_token)


async def revoke(http: aiohttp.ClientSession, service: Service, credentials: Credentials) -> None:
    """Give the permission back (RFC 7009); one that is gone is fine. Raises `CalendarAway`."""
    if service.revoke_url is not None:
        status, _ = await _post(http, service.revoke_url, {"token": credentials.refresh_token})
        if status >= 500:
            raise CalendarAway(f"{service.name} answers {status} to a revocation")


async def _token(http: aiohttp.ClientSession, service: Service, form: dict[str, str]) -> dict[str, Any]:
    status, data = await _post(
        http, service.token_url,
        {**form, "client_id": service.client_id, "client_secret": service.client_secret},
    )  # fmt: skip
    if status == 200 and isinstance(data.get("access_token"), str):
        return data
    error = str(data.get("error", ""))[:100]
    if error in ("invalid_grant", "interaction_required"):
        raise GrantRevoked(error)
    # A wrong client secret is ours to mend: nobody's permission is lost by it.
    raise CalendarAway(f"{service.name} answers {status} {error} to a token request".replace("  ", " "))


async def _post(http: aiohttp.ClientSession, url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
    try:
        async with asyncio.timeout(TIMEOUT), http.post(url, data=form, allow_redirects=False) as response:
            body = await response.read()
            if response.content_type != "application/json" or not body:
                return response.status, {}
            data = await response.json()
            return response.status, data if isinstance(data, dict) else {}
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise CalendarAway(f"{type(error).__name__} from {url}") from error


def _credentials(data: dict[str, Any], now: datetime, refresh_token: str) -> Credentials:
    try:
        seconds = int(data.get("expires_in", 3600))
    except (TypeError, ValueError):
        seconds = 3600
    return Credentials(
        access_token=data["access_token"],
        refresh_token=str(data.get("refresh_token") or refresh_token),
        expires_at=now + timedelta(seconds=seconds),
    )


def _short(scope: str) -> str:
    """Microsoft tells a scope with or without the address of what it is a scope of."""
    return scope.rpartition("/")[2].lower()


def _account(data: dict[str, Any]) -> str:
    """The address in the ID token. It came straight from the token endpoint by TLS, which stands for its signature
    (OpenID Connect Core section 3.1.3.7, point 6)."""
    try:
        claims = jwt.decode(str(data.get("id_token", "")), options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return ""
    return str(claims.get("email") or claims.get("preferred_username") or "")[:320]
