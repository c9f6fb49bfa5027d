"""Set and read a mentor's rules, ask for open slots, and look through the directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

from server.availability import model, slots, store
from server.availability.expansion import DAY
from server.availability.model import MAX_SPAN, Availability, MentorCard, Slot
from server.availability.slots import Offered
from server.base.cache import Cache
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import FieldError, Forbidden, Invalid, NotFound
from server.base.paging import Page, decode_cursor, encode_cursor, page_of, page_size
from server.conduct import store as conduct
from server.people import actions as people
from server.people import store as people_store
from server.people.model import Role, text_faults

MAX_QUERY: Final = 100  # characters of a search
MAX_BATCH: Final = 400  # mentors looked at in one go


async def put(ctx: Context, mentor_id: UUID, rules: Availability) -> Availability:
    """Replace the mentor's rules; bookings made before stay. Raises ``Invalid`` with all faults, ``Forbidden``."""
    if faults := model.faults(rules):
        raise Invalid(faults)
    rules = model.in_order(rules)

    async def work(conn: Conn) -> None:
        user = await people.user_in(conn, mentor_id)
        if user.role is not Role.MENTOR:
            raise Forbidden("mentors_only", "Only mentors have opening hours.")
        # A booking checks the rules under the same lock: it sees the old ones or the new ones, never half of each.
        await people_store.lock_people(conn, [mentor_id])
        await store.replace(conn, mentor_id, rules, ctx.clock.now())

    await in_transaction(ctx.pool, work)
    return rules


@asynccontextmanager
async def _snapshot(ctx: Context) -> AsyncIterator[Conn]:
    """A connection whose questions are all answered as of one moment: rules are spread over three tables."""
    async with (
        ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield conn


async def get(ctx: Context, mentor_id: UUID) -> Availability:
    """The mentor's rules; before the first PUT, none in her own zone. Raises ``NotFound("mentor_not_found")``."""
    async with _snapshot(ctx) as conn:
        profile = await people.profile_in(conn, mentor_id)
        rules = (await store.rules_of(conn, [mentor_id])).get(mentor_id)
    return rules or Availability(profile.timezone)


async def open_slots(
    ctx: Context, mentor_id: UUID, frm: datetime, to: datetime, length: int | None = None
) -> list[Slot]:
    """The mentor's open slots of ``length`` minutes (None: the usual) that start in [frm, to), at most MAX_SPAN apart.

    Raises ``Invalid`` and ``NotFound("mentor_not_found")``.
    """
    return (await offered(ctx, mentor_id, frm, to, length)).slots


async def offered(
    ctx: Context, mentor_id: UUID, frm: datetime, to: datetime, length: int | None = None
) -> Offered:
    """`open_slots`, with the seats of group sessions that are taken."""
    if faults := _span_faults(frm, to):
        raise Invalid(faults)
    async with _snapshot(ctx) as conn:
        profile = await people.profile_in(conn, mentor_id)
        if not profile.published:
            raise NotFound("mentor_not_found", "There is no such mentor.")
        if await conduct.restricted(conn, [mentor_id], ctx.clock.now()):
            return Offered([])
        if length is not None:
            rules = (await store.rules_of(conn, [mentor_id])).get(mentor_id)
            if rules is None:
                return Offered([])
            if length not in rules.lengths:
                raise _not_offered(rules)
        return await slots.offered(
            conn, ctx.cache, mentor_id, slots.ceil(frm), slots.ceil(to), slots.ceil(ctx.clock.now()), length
        )


async def preview(
    ctx: Context,
    mentor_id: UUID,
    rules: Availability,
    frm: datetime,
    to: datetime,
    length: int | None = None,
) -> list[Slot]:
    """What `open_slots` would say if ``rules`` were the mentor's: around her bookings and appointments as they are.

    Nothing is stored. Raises ``Invalid``.
    """
    if faults := [*model.faults(rules), *_span_faults(frm, to)]:
        raise Invalid(faults)
    if length is not None and length not in rules.lengths:
        raise _not_offered(rules)
    begin, end = slots.ceil(frm), slots.ceil(to)
    async with _snapshot(ctx) as conn:
        calendar = (await slots.calendars(conn, {mentor_id: model.in_order(rules)}, begin, end))[mentor_id]
    return calendar.open(begin, end, slots.ceil(ctx.clock.now()), length)


def _span_faults(frm: datetime, to: datetime) -> list[FieldError]:
    if to <= frm:
        return [FieldError("to", "end_before_start", "The end must lie after the start.")]
    if to - frm > MAX_SPAN:
        return [FieldError("to", "span_too_long", f"Ask for at most {MAX_SPAN.days} days.")]
    return []


def _not_offered(rules: Availability) -> Invalid:
    offered = " or ".join(map(str, rules.lengths))
    return Invalid([FieldError("length", "not_offered", f"The mentor meets for {offered} minutes.")])


async def directory(
    ctx: Context,
    *,
    q: str | None = None,
    topic: str | None = None,
    language: str | None = None,
    max_price: int | None = None,
    available_within: int | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[MentorCard]:
    """Published mentors by name, with their next open slot.

    ``q`` is looked for in name, headline, topics and bio; ``topic`` and ``language`` are exact but for case;
    ``available_within`` (seconds) keeps those with an open slot that soon. Raises ``Invalid``.
    """
    size = page_size(limit)
    if faults := _search_faults(q, topic, language, max_price, available_within):
        raise Invalid(faults)
    after: tuple[str, UUID] | None = None
    if cursor is not None:
        name, last = decode_cursor(cursor, str, UUID)
        assert isinstance(name, str) and isinstance(last, UUID)  # noqa: S101 - decode_cursor made them so
        after = (name, last)
    now = ctx.clock.now()
    search = store.Search(q=q, topic=topic, language=language, max_price=max_price)
    found: list[MentorCard] = []
    step = size + 1
    async with _snapshot(ctx) as conn:
        while len(found) <= size:
            batch = await store.cards(conn, search, after, step)
            cards = await _with_slots(conn, ctx.cache, batch, now, available_within)
            found += [card for card in cards if available_within is None or card.next_slot is not None]
            if len(batch) < step:
                break
            step = min(2 * step, MAX_BATCH)  # few of them have time that soon: look at more in one go
            after = (batch[-1].name, batch[-1].id)
    return page_of(found, size, lambda card: encode_cursor(card.name, card.id))


async def _with_slots(
    conn: Conn, cache: Cache, cards: Sequence[MentorCard], now: datetime, within: int | None
) -> list[MentorCard]:
    """The cards with their next slot, if there is one within so many seconds (None: at all)."""
    begin = slots.ceil(now)
    until = begin + (within if within is not None else 366 * DAY) + 1
    found = await slots.next_slots(conn, cache, [card.id for card in cards], begin, until)
    hidden = await conduct.restricted(conn, list(found), now)
    return [model.with_slot(card, None if card.id in hidden else found.get(card.id)) for card in cards]


def _search_faults(
    q: str | None, topic: str | None, language: str | None, max_price: int | None, within: int | None
) -> list[FieldError]:
    found = []
    for name, text in (("q", q), ("topic", topic), ("language", language)):
        if text is not None:
            found += text_faults(name, text, longest=MAX_QUERY)
    if max_price is not None and not 0 <= max_price < 2**31:
        found.append(FieldError("max_price", "out_of_range", "Give a number of tokens."))
    if within is not None and not 0 < within <= 366 * DAY:
        found.append(FieldError("available_within", "out_of_range", "Give seconds, up to a year."))
    return found
