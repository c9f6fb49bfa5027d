"""What providers tell us by webhook: checked, kept once in any order, and applied to the messages they are about."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.errors import Forbidden, NotFound, Unauthenticated
from server.base.log import logger
from server.integrations import sms, whatsapp
from server.integrations.channel import Event
from server.notifications import replies, store
from server.notifications.model import MAX_ATTEMPTS, Status, backoff

log = logger(__name__)

STALE: Final = timedelta(days=8)  # Meta repeats for seven days what was not answered; Twilio for hours
MAX_KEPT: Final = 20_000  # characters of what could not be read
_dice = random.Random()  # noqa: S311 - spreads retries, guards nothing


def greet_whatsapp(ctx: Context, query: Mapping[str, str]) -> str:
    """The verification handshake: the challenge, for whoever knows our verify token.

    Raises ``NotFound`` without a configured number and ``Forbidden("bad_verify_token")``.
    """
    it = ctx.settings.providers.whatsapp
    if it is None:
        raise NotFound("not_found", "There is nothing here.")
    given = query.get("hub.verify_token", "")
    if query.get("hub.mode") != "subscribe" or not _same(given, it.verify_token):
        raise Forbidden("bad_verify_token", "This is not our verify token.")
    return query.get("hub.challenge", "")


async def from_whatsapp(ctx: Context, body: bytes, signature: str) -> None:
    """A post of the webhook. What is signed and cannot be read is kept, so that it is not posted again and again.

    Raises ``NotFound`` without a configured number and ``Unauthenticated`` with ``bad_signature`` or
    ``stale_signature``.
    """
    it = ctx.settings.providers.whatsapp
    if it is None:
        raise NotFound("not_found", "There is nothing here.")
    if not _same(signature, whatsapp.signed(it.app_secret, body)):
        raise _bad_signature()
    try:
        events = whatsapp.read_webhook(body)
    except (ValueError, RecursionError):
        events = [_malformed(body)]
    _must_be_fresh(ctx, max((it.said_at for it in events if it.said_at is not None), default=None))
    await record(ctx, "whatsapp", events)


async def from_twilio(ctx: Context, form: Mapping[str, str], query: str, signature: str) -> None:
    """A status callback with the ``query`` of its address, as it came. Raises ``NotFound`` without an account and
    ``Unauthenticated`` with ``bad_signature`` or ``stale_signature``."""
    it = ctx.settings.providers.twilio
    if it is None:
        raise NotFound("not_found", "There is nothing here.")
    # The address that we gave Twilio, not the one a proxy may have made of it: that is what was signed.
    url = ctx.settings.public_url + sms.CALLBACK + (f"?{query}" if query else "")
    if not _same(signature, sms.signature_of(it.auth_token, url, form)):
        raise _bad_signature()
    _must_be_fresh(ctx, sms.handed_over_at(query) or datetime.min.replace(tzinfo=UTC))
    await record(ctx, "sms", sms.read_callback(form))


async def record(ctx: Context, channel: str, events: Sequence[Event]) -> None:
    """Keep what is new of these events and let the messages know, all in one transaction."""

    async def work(conn: Conn) -> None:
        for event in events:
            names = {event.id} if event.context_id is None else {event.id, event.context_id}
            await store.lock_provider_messages(conn, channel, names)
            if not await store.insert_event(conn, channel, event, ctx.clock.now()):
                continue
            if event.kind == "malformed":
                log.warning("webhook_malformed", channel=channel)
            elif event.kind == "reply":
                await replies.received_in(conn, ctx, channel, event)
            else:
                await apply_in(conn, ctx, channel, event.id)

    await in_transaction(ctx.pool, work)
    ctx.wake()


async def apply_in(conn: Conn, ctx: Context, channel: str, provider_message_id: str) -> None:
    """Bring a message to where its receipts say it is; the caller holds its lock. They may come in any order, also
    before we have written down that the message was sent."""
    found = await store.receipts(conn, channel, provider_message_id)
    if found is None:
        return
    now = ctx.clock.now()
    if found.delivered_at is not None:
        await store.settle_delivery(
            conn, found.notification_id, Status.DELIVERED, found.delivered_at, None, None
        )
    elif found.failed_at is not None:
        again = not found.permanent and found.attempts < MAX_ATTEMPTS
        later = now + backoff(found.attempts, _dice) if again else None
        status = Status.RETRYING if again else Status.FAILED
        await store.settle_delivery(
            conn, found.notification_id, status, found.failed_at, later, found.error or "not delivered"
        )


def _must_be_fresh(ctx: Context, said_at: datetime | None) -> None:
    """What was signed long ago is no post of the provider's: somebody has kept it. (Within that time it is harmless:
    each event counts once.)"""
    if said_at is not None and said_at < ctx.clock.now() - STALE:
        raise Unauthenticated("stale_signature", "This was signed too long ago.")


def _malformed(body: bytes) -> Event:
    # PostgreSQL's text holds no NUL.
    text = body.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_KEPT]
    return Event("malformed", hashlib.sha256(body).hexdigest(), body=text)


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogatepass"), right.encode())


def _bad_signature() -> Unauthenticated:
    return Unauthenticated("bad_signature", "The signature does not fit the body.")
