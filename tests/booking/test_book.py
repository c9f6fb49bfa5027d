"""Booking a slot: the money with it, the facts with it, and everything that can be in the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from server.availability import actions as availability
from server.availability.model import Availability, Window
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.errors import Conflict, Forbidden, InsufficientFunds, Invalid, NotFound
from server.base.ids import new_id
from server.booking import actions
from server.booking.model import Status
from server.ledger import actions as ledger
from server.ledger.model import Wallet
from server.people import actions as people
from server.people.model import Role
from server.sessions import actions as sessions
from tests.booking.world import (
    ALL_WEEK,
    PRICE,
    booked,
    books_balance,
    fact,
    fact_kinds,
    hour,
    mentor,
    person,
    who,
)


async def test_a_booking_holds_its_price_and_tells_what_happened(ctx: Context) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    rung: list[bool] = []
    booking = await booked(
        replace(ctx, wake=lambda: rung.append(True)), ada.id, bo.id, hour(10), topic=" Rust ", note="a\nb"
    )
    assert (booking.status, booking.price_tokens, booking.topic) == (Status.REQUESTED, PRICE, "Rust")
    assert (booking.mentor_name, booking.mentee_name) == ("Ada", "Bo")
    assert await actions.get(ctx, who(bo), booking.id) == booking
    assert await ledger.wallet(ctx, bo.id) == Wallet(90, 10, 0)
    assert await fact_kinds(ctx, booking.session_id) == ["booking_requested", "tokens_held"]
    assert (await fact(ctx, booking.session_id, "tokens_held"))["amount_tokens"] == PRICE
    assert rung == [True]
    await books_balance(ctx)


async def test_the_price_is_the_one_of_the_day(ctx: Context) -> None:
    ada, bo = await mentor(ctx, price=10), await person(ctx, "Bo")
    booking = await booked(ctx, ada.id, bo.id, hour(10))
    await people.update_me(ctx, ada.id, price_tokens=50)
    cancelled = await sessions.cancel(ctx, bo.id, booking.id)
    assert cancelled.price_tokens == 10
    assert await ledger.wallet(ctx, bo.id) == Wallet(100, 0, 0)


async def test_a_free_session_needs_no_tokens(ctx: Context) -> None:
    ada, bo = await mentor(ctx, price=0), await person(ctx, "Bo", tokens=0)
    booking = await booked(ctx, ada.id, bo.id, hour(10))
    assert await fact_kinds(ctx, booking.session_id) == ["booking_requested"]
    await sessions.cancel(ctx, bo.id, booking.id)
    assert await fact_kinds(ctx, booking.session_id) == ["booking_requested", "booking_cancelled"]


async def test_without_the_tokens_there_is_no_booking_either(ctx: Context) -> None:
    ada, bo = await mentor(ctx, price=101), await person(ctx, "Bo")
    with pytest.raises(InsufficientFunds) as refused:
        await booked(ctx, ada.id, bo.id, hour(10))
    assert refused.value.code == "insufficient_tokens"
    assert await ctx.pool.fetchval("SELECT count(*) FROM bookings") == 0
    assert await ctx.pool.fetchval("SELECT count(*) FROM facts") == 0
    assert await ledger.wallet(ctx, bo.id) == Wallet(100, 0, 0)


async def conflict(ctx: Context, *args: Any) -> list[dict[str, Any]]:
    with pytest.raises(Conflict) as refused:
        await booked(ctx, *args)
    assert refused.value.code == "booking_conflict"
    conflicts: list[dict[str, Any]] = refused.value.extra["conflicts"]
    return conflicts


async def test_a_taken_slot_is_refused_with_what_is_there_but_not_a_strangers_topic(ctx: Context) -> None:
    ada, bo, eve = await mentor(ctx), await person(ctx, "Bo"), await person(ctx, "Eve")
    first = await booked(ctx, ada.id, bo.id, hour(10), topic="Layoffs")
    span = {"start": "2026-03-03T10:00:00Z", "end": "2026-03-03T11:00:00Z"}
    assert await conflict(ctx, ada.id, eve.id, hour(10)) == [
        {"kind": "booking", "id": str(first.id), **span, "title": "Busy"}
    ]
    assert await conflict(ctx, ada.id, bo.id, hour(10)) == [
        {"kind": "booking", "id": str(first.id), **span, "title": "Layoffs"}
    ]
    await sessions.approve(ctx, ada.id, first.id)
    assert await conflict(ctx, ada.id, eve.id, hour(10)) == [
        {"kind": "session", "id": str(first.session_id), **span, "title": "Busy"}
    ]
    assert await ledger.wallet(ctx, eve.id) == Wallet(100, 0, 0)


async def test_a_mentee_cannot_be_in_two_places(ctx: Context) -> None:
    half_past = Availability("UTC", weekly=tuple((day, Window(30, 1410)) for day in range(7)))
    ada, una, bo = await mentor(ctx), await mentor(ctx, "Una", rules=half_past), await person(ctx, "Bo")
    one, two = [await booked(ctx, ada.id, bo.id, hour(h), topic=f"at {h}") for h in (10, 11)]
    found = await conflict(ctx, una.id, bo.id, hour(10) + timedelta(minutes=30))
    assert [(each["id"], each["title"]) for each in found] == [(str(one.id), "at 10"), (str(two.id), "at 11")]


async def test_back_to_back_is_fine_and_a_buffer_is_not(ctx: Context) -> None:
    ada, bo, eve = await mentor(ctx), await person(ctx, "Bo"), await person(ctx, "Eve")
    await booked(ctx, ada.id, bo.id, hour(10))
    await booked(ctx, ada.id, eve.id, hour(11))
    await booked(ctx, ada.id, bo.id, hour(9))
    await availability.put(ctx, ada.id, replace(ALL_WEEK, buffer_after_minutes=5))
    assert len(await conflict(ctx, ada.id, eve.id, hour(8))) == 1
    await booked(ctx, ada.id, eve.id, hour(7))


async def test_a_full_day_is_full(ctx: Context) -> None:
    ada, bo = await mentor(ctx, rules=replace(ALL_WEEK, max_per_day=2)), await person(ctx, "Bo")
    await booked(ctx, ada.id, bo.id, hour(9))
    gone = await booked(ctx, ada.id, bo.id, hour(15))
    with pytest.raises(Conflict) as refused:
        await booked(ctx, ada.id, bo.id, hour(12))
    assert refused.value.code == "day_full"
    await booked(ctx, ada.id, bo.id, hour(24))
    await sessions.cancel(ctx, bo.id, gone.id)
    await booked(ctx, ada.id, bo.id, hour(12))


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (hour(10), -60, {("end", "end_before_start")}),
        (hour(10), 0, {("end", "end_before_start")}),
        (hour(-15), 60, {("start", "in_the_past")}),  # the very moment
        (hour(-100), -60, {("start", "in_the_past"), ("end", "end_before_start")}),
        (hour(-14), 60, {("start", "too_short_notice")}),
        (hour(24 * 40), 60, {("start", "beyond_booking_window")}),
        (datetime(9999, 12, 31, 22, tzinfo=UTC), 60, {("start", "beyond_booking_window")}),
        (hour(10), 30, {("end", "length_not_offered")}),
        (hour(10), 120, {("end", "length_not_offered")}),
        (hour(10) + timedelta(minutes=30), 60, {("start", "not_a_slot")}),
        (hour(10) + timedelta(microseconds=1), 60, {("start", "not_a_slot")}),
        (hour(34), 60, {("start", "not_a_slot")}),  # a day off
    ],
)
async def test_a_time_that_is_no_slot_is_refused_by_name(
    ctx: Context, start: datetime, length: int, expected: set[tuple[str, str]]
) -> None:
    rules = replace(
        ALL_WEEK, min_notice_minutes=120, booking_window_days=30, overrides=((date(2026, 3, 4), ()),)
    )
    ada, bo = await mentor(ctx, rules=rules), await person(ctx, "Bo")
    with pytest.raises(Invalid) as refused:
        await sessions.book(
            ctx,
            bo.id,
            mentor_id=ada.id,
            start=start,
            end=start + timedelta(minutes=length),
            topic="",
            note="",
        )
    assert {(error.field, error.code) for error in refused.value.errors} == expected
    assert await ctx.pool.fetchval("SELECT count(*) FROM bookings") == 0


async def test_what_was_a_slot_when_it_was_shown_is_checked_again(ctx: Context, clock: SteppedClock) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    assert await availability.open_slots(ctx, ada.id, hour(10), hour(11))
    await availability.put(ctx, ada.id, replace(ALL_WEEK, weekly=((0, Window(0, 60)),)))
    with pytest.raises(Invalid):
        await booked(ctx, ada.id, bo.id, hour(10))
    await availability.put(ctx, ada.id, ALL_WEEK)
    clock.set(hour(10))
    with pytest.raises(Invalid):
        await booked(ctx, ada.id, bo.id, hour(10))


async def test_only_mentees_book_and_only_published_mentors(ctx: Context) -> None:
    ada, una, bo = await mentor(ctx), await mentor(ctx, "Una"), await person(ctx, "Bo")
    for actor in (una, ada, await person(ctx, "Root", Role.ADMIN)):
        with pytest.raises(Forbidden) as refused:
            await booked(ctx, ada.id, actor.id, hour(10))
        assert refused.value.code == "mentees_only"
    for nobody in (new_id(), bo.id):
        with pytest.raises(NotFound) as missing:
            await booked(ctx, nobody, bo.id, hour(10))
        assert missing.value.code == "mentor_not_found"
    await ctx.pool.execute("UPDATE mentor_profiles SET published = false WHERE user_id = $1", ada.id)
    with pytest.raises(NotFound):
        await booked(ctx, ada.id, bo.id, hour(10))


async def test_all_faults_of_the_texts_come_at_once(ctx: Context) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    with pytest.raises(Invalid) as refused:
        await booked(ctx, ada.id, bo.id, hour(-50), topic="x" * 201, note="\x00")
    assert [error.field for error in refused.value.errors] == ["topic", "note", "start"]


WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted)"


async def test_when_the_checks_are_passed_by_the_constraint_still_answers(ctx: Context) -> None:
    """Somebody's transaction that took no lock has put a booking there: 23P01 becomes the same refusal."""
    ada, bo, eve = await mentor(ctx), await person(ctx, "Bo"), await person(ctx, "Eve")
    thief_id, now = new_id(), ctx.clock.now()
    thief = await ctx.pool.acquire()
    try:
        transaction = thief.transaction()
        await transaction.start()
        await thief.execute(
            "INSERT INTO bookings (id, session_id, mentor_id, mentee_id, during, status, price_tokens, topic,"
            " created_at, updated_at, expires_at, seat_group)"
            " VALUES ($1, $2, $3, $4, tstzrange($5, $6), 'requested', 0, 'secret', $7, $7, $5, $1)",
            thief_id, new_id(), ada.id, eve.id, hour(10), hour(11), now,
        )  # fmt: skip
        waiting = asyncio.create_task(conflict(ctx, ada.id, bo.id, hour(10)))
        async with asyncio.timeout(10):
            # Until the booking's insert waits for the thief's transaction; PostgreSQL has no event for that.
            while not await thief.fetchval(WAITING):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await transaction.commit()
        found = await waiting
    finally:
        await ctx.pool.release(thief)
    assert [(each["id"], each["title"]) for each in found] == [(str(thief_id), "Busy")]
    assert await ledger.wallet(ctx, bo.id) == Wallet(100, 0, 0)


# ---------------------------------------------------------------- reading


async def test_bookings_are_for_their_two_people_and_administrators(ctx: Context) -> None:
    ada, bo, eve = await mentor(ctx), await person(ctx, "Bo"), await person(ctx, "Eve")
    root = await person(ctx, "Root", Role.ADMIN)
    booking = await booked(ctx, ada.id, bo.id, hour(10))
    for reader in (ada, bo, root):
        assert await actions.get(ctx, who(reader), booking.id) == booking
        assert (await actions.list_for(ctx, who(reader))).items == (booking,)
    assert (await actions.list_for(ctx, who(eve))).items == ()
    with pytest.raises(Forbidden):
        await actions.get(ctx, who(eve), booking.id)
    with pytest.raises(NotFound):
        await actions.get(ctx, who(bo), new_id())


async def test_bookings_are_listed_latest_first_filtered_and_paged(ctx: Context) -> None:
    ada, bo, eve = await mentor(ctx), await person(ctx, "Bo"), await person(ctx, "Eve")
    bookings = [await booked(ctx, ada.id, bo.id, hour(h)) for h in (12, 8, 10, 16)]
    await booked(ctx, ada.id, eve.id, hour(14))
    await sessions.approve(ctx, ada.id, bookings[0].id)
    by_time = [b.id for b in sorted(bookings, key=lambda b: b.start, reverse=True)]

    async def ids(**filters: Any) -> list[Any]:
        return [b.id for b in (await actions.list_for(ctx, who(bo), **filters)).items]

    assert await ids() == by_time
    assert await ids(status="approved") == [bookings[0].id]
    assert await ids(frm=hour(9), to=hour(12)) == [bookings[2].id]
    assert await ids(frm=hour(9), to=hour(12) + timedelta(seconds=1)) == [bookings[0].id, bookings[2].id]
    page = await actions.list_for(ctx, who(bo), limit=3)
    rest = await actions.list_for(ctx, who(bo), limit=3, cursor=page.next_cursor)
    assert [b.id for b in (*page.items, *rest.items)] == by_time
    assert rest.next_cursor is None
    assert len((await actions.list_for(ctx, who(ada))).items) == 5


@pytest.mark.parametrize(
    "filters",
    [
        {"status": "open"},
        {"cursor": ""},
        {"cursor": "WyIyMDI2IiwieCJd"},
        {"cursor": "é"},
        {"cursor": "x" * 2000},
        {"limit": -1},
        {"frm": hour(2), "to": hour(2)},
    ],
)
async def test_bad_filters_are_refused(ctx: Context, filters: dict[str, Any]) -> None:
    bo = await person(ctx, "Bo")
    with pytest.raises(Invalid):
        await actions.list_for(ctx, who(bo), **filters)
