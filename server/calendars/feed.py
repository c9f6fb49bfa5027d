"""The private feed a person subscribes to with any calendar: its address, and its sessions as iCalendar (RFC 5545)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Final
from uuid import UUID

from icalendar import Calendar, Event

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, in_transaction
from server.base.errors import NotFound
from server.calendars import store
from server.calendars.model import title_of
from server.calendars.store import FeedSession
from server.notifications.calendar import PRODID, uid

BEHIND: Final = timedelta(days=90)  # what is longer ago is nobody's appointment
MOST: Final = 1000
REFRESH: Final = timedelta(minutes=15)  # a wish (RFC 7986 section 5.7); most calendars ask every few hours
_MAC = 20  # bytes: 160 bits that cannot be guessed


@dataclass(frozen=True, slots=True)
class Feed:
    """iCalendar text, and its strong validator (RFC 9110 section 8.8.3)."""

    text: str
    etag: str


async def path_of(ctx: Context, user_id: UUID) -> str:
    """The present address of the person's feed, which is all it takes to read it."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return _path(ctx, user_id, await store.generation(conn, user_id))


async def renew(ctx: Context, user_id: UUID) -> str:
    """Revoke the address; the new one."""
    return _path(
        ctx, user_id, await in_transaction(ctx.pool, lambda conn: store.next_generation(conn, user_id))
    )


async def read(ctx: Context, token: str) -> Feed:
    """The feed behind a token. Raises ``NotFound("feed_not_found")``, also for a token that was revoked."""
    unknown = NotFound("feed_not_found", "There is no such calendar. Its owner may have made a new link.")
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise unknown from None
    if len(raw) != 16 + _MAC:
        raise unknown
    user_id = UUID(bytes=raw[:16])
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        generation = await store.generation(conn, user_id)
        if not hmac.compare_digest(_mac(ctx, user_id, generation), raw[16:]):
            raise unknown
        sessions = await store.feed_sessions(conn, user_id, ctx.clock.now() - BEHIND, MOST)
    text = calendar_of(sessions, ctx.settings.public_url)
    return Feed(text, f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"')


def calendar_of(sessions: Sequence[FeedSession], public_url: str) -> str:
    """The sessions as one calendar. The same sessions give the same text: DTSTAMP is their last change.

    The UID is the invitation's, so that a calendar which knows both shows one.
    """
    calendar = Calendar()
    calendar.add("prodid", PRODID)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("name", "Visavis")
    calendar.add("x-wr-calname", "Visavis")
    calendar.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT15M")
    for it in sorted(sessions, key=lambda it: (it.start, it.session_id)):
        agreed = it.status != "requested"
        url = f"{public_url}/sessions/{it.session_id}" if agreed else f"{public_url}/bookings/{it.booking_id}"
        event = Event()
        event.add("uid", uid(it.session_id))
        event.add("sequence", it.revision)
        event.add("dtstamp", it.updated_at.astimezone(UTC))
        event.add("dtstart", it.start.astimezone(UTC))
        event.add("dtend", it.end.astimezone(UTC))
        event.add("summary", title_of(it.topic, it.other))
        event.add("description", f"Join at {url}" if agreed else f"Not confirmed yet: {url}")
        event.add("location", url)
        event.add("url", url)
        event.add("status", "CONFIRMED" if agreed else "TENTATIVE")
        calendar.add_component(event)
    text: str = calendar.to_ical().decode()
    return text


def _path(ctx: Context, user_id: UUID, generation: int) -> str:
    token = base64.urlsafe_b64encode(user_id.bytes + _mac(ctx, user_id, generation)).decode()
    return f"/calendar/{token}.ics"


def _mac(ctx: Context, user_id: UUID, generation: int) -> bytes:
    """The address needs no place in the database: who reads a copy of it reads no feed."""
    message = b"visavis feed" + user_id.bytes + generation.to_bytes(4, "big")
    return hmac.digest(ctx.settings.secret_key.encode(), message, hashlib.sha256)[:_MAC]
