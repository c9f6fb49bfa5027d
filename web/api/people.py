"""Registering, signing in for programs, and oneself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web as http

from server.base.context import Context
from server.base.errors import FieldError
from server.contact import address as contact
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import Role, TokenPair, User, registration_faults
from web.access import Public, SignedIn
from web.api.endpoint import Call, LimitBy, endpoint
from web.limits import LOGIN, REFRESH, REGISTER, REGISTER_BY_ADDRESS, address, forgive
from web.schemas.base import NoQuery, Nothing
from web.schemas.people import LoginIn, MeChange, RefreshIn, RegisterIn, SignedInOut, UserOut

TAG = "People"


async def register(call: Call[RegisterIn, NoQuery]) -> SignedInOut:
    """Make an account. In demo mode a mentee starts with demo tokens."""
    body = call.body
    user = await contact.register(
        call.ctx,
        email=body.email,
        password=body.password,
        name=body.name,
        role=body.role,
        timezone=body.timezone,
    )
    await ledger.open_wallet(call.ctx, user.id)
    return await signed_in(call.ctx, user, await people.issue_tokens(call.ctx, user))


async def login(call: Call[LoginIn, NoQuery]) -> SignedInOut:
    """Sign in with email and password."""
    user = await people.authenticate(call.ctx, call.body.email, call.body.password)
    await forgive(call.request, LOGIN, *_by_account(call.request, call.body))
    return await signed_in(call.ctx, user, await people.issue_tokens(call.ctx, user))


async def refresh(call: Call[RefreshIn, NoQuery]) -> SignedInOut:
    """Change a refresh token for new tokens. Each works once; a second use revokes every token descended from it."""
    user, pair = await people.refresh(call.ctx, call.body.refresh_token)
    return await signed_in(call.ctx, user, pair)


async def logout(call: Call[RefreshIn, NoQuery]) -> None:
    """Revoke a refresh token and everything descended from it. Twice does no harm."""
    await people.logout(call.ctx, call.body.refresh_token)


async def me(call: Call[Nothing, NoQuery]) -> UserOut:
    return await described(call.ctx, await people.get_user(call.ctx, call.caller.user_id))


async def change_me(call: Call[MeChange, NoQuery]) -> UserOut:
    user = await people.update_me(call.ctx, call.caller.user_id, **_given(call.body))
    return await described(call.ctx, user)


def _given(body: MeChange) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in body.model_dump().items()
        if value is not None
    }


async def described(ctx: Context, user: User) -> UserOut:
    profile = await people.profile(ctx, user.id) if user.role is Role.MENTOR else None
    return UserOut.of(user, profile)


async def signed_in(ctx: Context, user: User, pair: TokenPair) -> SignedInOut:
    return SignedInOut(
        user=await described(ctx, user),
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_in=pair.expires_in,
    )


def _registration_faults(given: Mapping[str, Any]) -> list[FieldError]:
    texts = {
        name: value if isinstance(value := given.get(name), str) else ""
        for name in ("email", "password", "name", "role", "timezone")
    }
    return registration_faults(**texts)


def _by_account(request: http.Request, body: LoginIn | RegisterIn) -> tuple[str, ...]:
    return address(request), body.email.strip().casefold()


def _by_address(request: http.Request, _body: object) -> tuple[str, ...]:
    return (address(request),)


ROUTES = (
    endpoint(
        "POST", "/auth/register", register, access=Public(), summary="Register", tag=TAG,
        body=RegisterIn, reply=SignedInOut, status=201, refusals={409: ("email_taken",)}, faults=_registration_faults,
        limits=(LimitBy(REGISTER, _by_account), LimitBy(REGISTER_BY_ADDRESS, _by_address)),
    ),
    endpoint(
        "POST", "/auth/login", login, access=Public(), summary="Sign in", tag=TAG,
        body=LoginIn, reply=SignedInOut, refusals={401: ("bad_credentials",)},
        limits=(LimitBy(LOGIN, _by_account),),
    ),
    endpoint(
        "POST", "/auth/refresh", refresh, access=Public(), summary="Get new tokens", tag=TAG,
        body=RefreshIn, reply=SignedInOut, refusals={401: ("bad_refresh_token",)},
        limits=(LimitBy(REFRESH, _by_address),),
    ),
    endpoint(
        "POST", "/auth/logout", logout, access=Public(), summary="Sign out", tag=TAG, body=RefreshIn, reply=None,
        limits=(LimitBy(REFRESH, _by_address),),
    ),
    endpoint("GET", "/me", me, access=SignedIn(), summary="Oneself", tag=TAG, reply=UserOut),
    endpoint(
        "PATCH", "/me", change_me, access=SignedIn(), summary="Change oneself", tag=TAG, body=MeChange, reply=UserOut
    ),
)  # fmt: skip
