"""Connect a calendar, list and disconnect one's own, and note what is to be written to them and when to look."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from uuid import UUID

from server.availability import store as busy
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, NotFound, Refusal, Unavailable
from server.base.ids import new_id
from server.base.sealing import SealBroken, seal, unseal
from server.calendars import store
from server.calendars.model import (
    HANDSHAKE_FOR,
    MOST,
    POLL,
    POLL_WATCHED,
    RENEW_BEFORE,
    SERVICE_NAMES,
    Connection,
    ConnectionStatus,
    Provider,
    written_down,
)
from server.integrations.calendars.connector import connector, offered
from server.integrations.calendars.protocol import CalendarAway, CalendarRefused, Credentials, GrantRevoked

CREDENTIALS = "calendar credentials"  # purposes of the sealing
VERIFIER = "calendar handshake"


def providers(ctx: Context) -> tuple[Provider, ...]:
    """Those that can be connected by consent here."""
    return tuple(Provider(name) for name in offered(ctx.settings))


def callback_url(ctx: Context, provider: Provider) -> str:
    """What has to be registered at the service as the redirect URI."""
    return f"{ctx.settings.public_url}/calendars/{provider}/callback"


async def begin(ctx: Context, user_id: UUID, provider_name: str) -> str:
    """Where the person gives us the permission; the way back is good once, for 15 minutes, and only for them.

    Raises ``NotFound("calendar_not_offered")`` and ``Conflict("too_many_calendars")``.
    """
    provider = _offered(ctx, provider_name)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    state_hash, now = _hash(state), ctx.clock.now()

    async def work(conn: Conn) -> None:
        if len(await store.of_person(conn, user_id)) >= MOST:
            raise Conflict("too_many_calendars", f"One can connect {MOST} calendars.")
        sealed = seal(ctx.settings.secret_key, VERIFIER, state_hash, verifier)
        await store.insert_handshake(conn, state_hash, user_id, provider, sealed, now + HANDSHAKE_FOR)

    await in_transaction(ctx.pool, work)
    async with connector(ctx.settings, ctx.clock) as services:
        return services.authorization_url(
            provider, redirect_uri=callback_url(ctx, provider), state=state, verifier=verifier
        )


async def complete(
    ctx: Context, user_id: UUID, provider_name: str, *, state: str, code: str | None, error: str | None
) -> None:
    """The person is back from the consent page.

    Raises ``NotFound("calendar_not_offered")``; ``Conflict`` with ``handshake_unknown`` (forged, used, too old, or
    somebody else's), ``consent_refused``, ``code_refused``, ``scope_missing`` or ``no_refresh_token``; and
    ``Unavailable("calendar_away")``.
    """
    provider = _offered(ctx, provider_name)
    state_hash, now = _hash(state), ctx.clock.now()
    sealed = await in_transaction(
        ctx.pool, lambda conn: store.take_handshake(conn, state_hash, user_id, provider, now)
    )
    if sealed is None:
        raise Conflict(
            "handshake_unknown", "This way back was used before, is too old, or began elsewhere. Try again."
        )
    if code is None or error is not None:
        raise Conflict("consent_refused", "The calendar was not connected: you did not give the permission.")
    try:
        verifier = unseal(ctx.settings.secret_key, VERIFIER, state_hash, sealed)
    except SealBroken:
        raise Conflict("handshake_unknown", "This way back is no longer good. Try again.") from None
    async with connector(ctx.settings, ctx.clock) as services:
        try:
            grant = await services.exchange(
                provider, code=code, verifier=verifier, redirect_uri=callback_url(ctx, provider)
            )
        except (GrantRevoked, CalendarRefused, CalendarAway) as fault:
            raise _why(provider, fault) from fault
    await connect(ctx, user_id, provider, grant.account or SERVICE_NAMES[provider], grant.credentials)


async def connect(
    ctx: Context, user_id: UUID, provider: Provider, account: str, credentials: Credentials
) -> UUID:
    """Keep the credentials, sealed, and let a worker read the calendar and write what is ahead; the connection's id."""

    async def work(conn: Conn) -> UUID:
        now = ctx.clock.now()
        known = await store.identity_of(conn, user_id, provider, account)
        identity = known or new_id()
        sealed = seal(ctx.settings.secret_key, CREDENTIALS, identity.bytes, written_down(credentials))
        await store.connect(conn, identity, user_id, provider, account, sealed, now)
        await store.want_all(conn, identity, user_id, now)
        return identity

    identity = await in_transaction(ctx.pool, work)
    ctx.wake()
    return identity


async def of_person(ctx: Context, user_id: UUID) -> list[Connection]:
    """What the person has connected, also what is broken."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.of_person(conn, user_id)


async def disconnect(ctx: Context, user_id: UUID, connection_id: UUID) -> None:
    """Look no more and write no more; a worker then hands the permission back. Events that were written stay.

    Raises ``NotFound("calendar_not_found")``; somebody else's is not found either.
    """

    async def work(conn: Conn) -> None:
        found = await store.locked(conn, connection_id)
        if found is None or found.user_id != user_id or found.status is ConnectionStatus.LEAVING:
            raise NotFound("calendar_not_found", "There is no such calendar.")
        now = ctx.clock.now()
        await store.set_status(conn, connection_id, ConnectionStatus.LEAVING, None, now, now)
        await busy.replace_appointments(conn, found.source, user_id, [])

    await in_transaction(ctx.pool, work)
    ctx.wake()


async def want_in(conn: Conn, session_id: UUID, now: datetime) -> int:
    """Note in the calendars of both people how the session stands now; in how many there is work."""
    return await store.want(conn, session_id, now)


def channel_token(ctx: Context, channel_id: str) -> str:
    """What a push of this channel has to bring along."""
    key = ctx.settings.secret_key.encode()
    named = channel_id.encode("utf-8", "replace")
    return hmac.new(key, b"visavis calendar channel " + named, hashlib.sha256).hexdigest()


def is_channel(ctx: Context, channel_id: str, token: str) -> bool:
    """Whether we made this channel, by the proof it brings along; asks nobody."""
    given = token.encode("utf-8", "replace")
    return hmac.compare_digest(channel_token(ctx, channel_id).encode(), given)


async def pushed(ctx: Context, channel_id: str, token: str) -> None:
    """A calendar says that it has news. Raises ``NotFound("channel_unknown")``, without asking the database first."""
    try:
        identity = UUID(channel_id) if is_channel(ctx, channel_id, token) else None
    except ValueError:
        identity = None
    if identity is not None:
        async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            if await store.make_channel_due(conn, identity, ctx.clock.now()):
                ctx.wake()
                return
    raise NotFound("channel_unknown", "There is no such channel.")


async def make_neglected_due(ctx: Context) -> int:
    """Channels that end soon, and calendars nobody has looked at for too long."""
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.make_neglected_due(conn, now, now + RENEW_BEFORE, now - POLL_WATCHED, now - POLL)


def _offered(ctx: Context, name: str) -> Provider:
    if name not in offered(ctx.settings):
        raise NotFound("calendar_not_offered", "This kind of calendar cannot be connected here.")
    return Provider(name)


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "replace")).digest()


def _why(provider: Provider, fault: GrantRevoked | CalendarRefused | CalendarAway) -> Refusal:
    name = SERVICE_NAMES[provider]
    match fault:
        case GrantRevoked():
            return Conflict("code_refused", f"{name} no longer accepts this answer. Try again.")
        case CalendarRefused() if str(fault) == "scope_missing":
            return Conflict(
                "scope_missing", f"{name} did not let us see and write calendar events: leave that ticked."
            )
        case CalendarRefused():
            return Conflict("no_refresh_token", f"{name} gave us no lasting permission. Try again.")
        case CalendarAway():
            return Unavailable("calendar_away", f"{name} does not answer. Try again in a moment.")
