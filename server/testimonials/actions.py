"""Write a testimonial, take it back, read the queue and decide; and the link in the mail that asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, Gone, Invalid, NotFound
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.base.store import record
from server.people.tokens import TokenExpired, TokenInvalid, sign, verify
from server.sessions import actions as sessions
from server.sessions.model import Session
from server.settings import Settings
from server.testimonials import model, store
from server.testimonials.model import (
    ASKED_FOR,
    Rating,
    Status,
    Step,
    Testimonial,
    TestimonialPublished,
    TestimonialRejected,
)

_AUDIENCE: Final = "visavis:testimonial"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a link in a mail asks about which session; it may be used until it expires, as often as the text changes."""

    session_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class Opened:
    """What stands behind a link: the session, and what was said of it so far."""

    session: Session
    written: Testimonial | None


def link_for(settings: Settings, session_id: UUID, mentee_id: UUID, now: datetime) -> str:
    """The address in the mail."""
    claims = {"sub": str(mentee_id), "sid": str(session_id)}
    return f"{settings.public_url}/testimonials/{sign(settings, _AUDIENCE, claims, now, now + ASKED_FOR)}"


def read_link(settings: Settings, token: str, now: datetime) -> Asked:
    """Raises ``Gone("link_expired")`` and ``NotFound("link_invalid")``."""
    try:
        claims = verify(settings, _AUDIENCE, token, now)
        return Asked(UUID(claims["sid"]), UUID(claims["sub"]))
    except TokenExpired:
        raise Gone(
            "link_expired", "This link has run out. Log in and write from the session's page."
        ) from None
    except (TokenInvalid, KeyError, ValueError, AttributeError, TypeError):
        raise NotFound(
            "link_invalid", "This is not a link of ours; perhaps the mail cut it in two."
        ) from None


async def open_link(ctx: Context, token: str) -> Opened:
    """Raises as `read_link`, and as `model.may_write`."""
    asked = read_link(ctx.settings, token, ctx.clock.now())
    return await of_session(ctx, asked.user_id, asked.session_id)


async def of_session(ctx: Context, mentee_id: UUID, session_id: UUID) -> Opened:
    """For the author. Raises ``NotFound("session_not_found")`` and as `model.may_write`."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        session = await sessions.session_in(conn, session_id)
        model.may_write(session, mentee_id)
        return Opened(session, await store.one(conn, session_id))


async def write(ctx: Context, mentee_id: UUID, session_id: UUID, stars: int, text: str) -> Testimonial:
    """Say something of a session one came to, or say it otherwise; an administrator reads it before anybody else.

    The same again changes nothing. Raises ``Invalid``, ``NotFound``, ``Forbidden``, ``Conflict`` with
    ``session_not_completed`` or ``already_published``.
    """
    if faults := model.faults(stars, text):
        raise Invalid(faults)
    said = text.strip().replace("\r\n", "\n")

    async def work(conn: Conn) -> Testimonial:
        await store.lock_session(conn, session_id)
        session = await sessions.session_in(conn, session_id)
        model.may_write(session, mentee_id)
        known = await store.one(conn, session_id)
        model.next_status(None if known is None else known.status, Step.WRITE)
        if known is None or (known.stars, known.text, known.status) != (stars, said, Status.SUBMITTED):
            await store.write(conn, session_id, session.mentor_id, mentee_id, stars, said, ctx.clock.now())
        return await _one(conn, session_id)

    return await in_transaction(ctx.pool, work)


async def withdraw(ctx: Context, mentee_id: UUID, session_id: UUID) -> Testimonial:
    """Take it back before it is published. Twice is fine. Raises as `write`, and
    ``NotFound("testimonial_not_found")``."""

    async def work(conn: Conn) -> Testimonial:
        await store.lock_session(conn, session_id)
        model.may_write(await sessions.session_in(conn, session_id), mentee_id)
        known = await _one(conn, session_id)
        if (status := model.next_status(known.status, Step.WITHDRAW)) is not None:
            await store.decide(conn, session_id, status, "", None, None)
        return await _one(conn, session_id)

    return await in_transaction(ctx.pool, work)


async def publish(ctx: Context, admin_id: UUID, session_id: UUID, revision: int | None = None) -> Testimonial:
    """Show it on the mentor's page. ``revision`` names what was read: a text that changed meanwhile is read again.

    Twice is fine. Raises ``NotFound("testimonial_not_found")``, ``Conflict`` with ``changed_meanwhile`` or
    ``illegal_transition``.
    """
    return await _decide(ctx, admin_id, session_id, Step.PUBLISH, "", revision)


async def reject(
    ctx: Context, admin_id: UUID, session_id: UUID, reason: str, revision: int | None = None
) -> Testimonial:
    """Do not show it; the author is told why, and may write it anew. Raises ``Invalid`` and as `publish`."""
    if faults := model.reason_faults(reason):
        raise Invalid(faults)
    return await _decide(ctx, admin_id, session_id, Step.REJECT, reason.strip(), revision)


async def undo(ctx: Context, admin_id: UUID, session_id: UUID) -> Testimonial:
    """Put what was decided back into the queue. Twice is fine. Raises as `publish`."""
    return await _decide(ctx, admin_id, session_id, Step.UNDO, "", None)


async def _decide(
    ctx: Context, admin_id: UUID, session_id: UUID, step: Step, reason: str, revision: int | None
) -> Testimonial:
    async def work(conn: Conn) -> Testimonial:
        now = ctx.clock.now()
        await store.lock_session(conn, session_id)
        known = await _one(conn, session_id)
        status = model.next_status(known.status, step)
        if status is None:
            return known
        if revision is not None and revision != known.revision:
            raise Conflict("changed_meanwhile", "The author has changed it: read it again.")
        final = status is not Status.SUBMITTED
        await store.decide(
            conn, session_id, status, reason, admin_id if final else None, now if final else None
        )
        of = (session_id, now, known.mentor_id, known.mentee_id, known.revision)
        if status is Status.PUBLISHED:
            await record(conn, TestimonialPublished(*of))
        elif status is Status.REJECTED:
            await record(conn, TestimonialRejected(*of, reason))
        return await _one(conn, session_id)

    done = await in_transaction(ctx.pool, work)
    ctx.wake()
    return done


async def _one(conn: Conn, session_id: UUID) -> Testimonial:
    if (found := await store.one(conn, session_id)) is None:
        raise NotFound("testimonial_not_found", "Nothing was written about this session.")
    return found


async def status_in(conn: Conn, session_id: UUID) -> Status | None:
    """None while nothing was written."""
    found = await store.one(conn, session_id)
    return None if found is None else found.status


async def queue(ctx: Context, cursor: str | None = None, limit: int | None = None) -> Page[Testimonial]:
    """What waits to be read, the longest waiting first."""
    size, after = page_size(limit), decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.queue(conn, after, size + 1)
    return page_of(found, size, lambda it: encode_cursor(it.written_at, it.session_id))


async def decided(ctx: Context, cursor: str | None = None, limit: int | None = None) -> Page[Testimonial]:
    """What was decided, the latest first."""
    size, before = page_size(limit), decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.decided(conn, before, size + 1)
    return page_of(found, size, lambda it: encode_cursor(it.decided_at or it.written_at, it.session_id))


async def published(
    ctx: Context, mentor_id: UUID, cursor: str | None = None, limit: int | None = None
) -> Page[Testimonial]:
    """What the public reads about the mentor, the newest first."""
    size, before = page_size(limit), decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.published(conn, mentor_id, before, size + 1)
    return page_of(found, size, lambda it: encode_cursor(it.written_at, it.session_id))


async def ratings(ctx: Context, mentors: Iterable[UUID]) -> Mapping[UUID, Rating]:
    """The ratings of these mentors; who has none yet has none of zero."""
    wanted = list(mentors)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.ratings(conn, wanted)
    return {mentor: found.get(mentor, Rating(None, 0)) for mentor in wanted}
