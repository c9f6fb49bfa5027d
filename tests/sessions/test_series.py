"""A booking every week: all or none, at the same time on the mentor's wall, and a report of what collides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.availability import actions as availability
from server.availability.model import Absence, Availability, Window
from server.base.context import Context
from server.base.errors import Conflict, Forbidden, InsufficientFunds, Invalid, NotFound
from server.base.ids import new_id
from server.booking import actions as booking
from server.booking.model import Booking, Status, Terms
from server.ledger import actions as ledger
from server.ledger.model import Wallet
from server.people.model import User
from server.people.zones import zone
from server.sessions import actions as sessions
from server.sessions import series
from tests.booking.world import booked, books_balance, mentor, person

BERLIN = Availability(
    "Europe/Berlin", weekly=tuple((day, Window(480, 1080)) for day in range(7)), booking_window_days=200
)
START = datetime(2026, 3, 10, 9, tzinfo=UTC)  # 10:00 in Berlin; the clocks change on 29 March


async def weekly(ctx: Context, ada: User, bo: User, weeks: int = 5) -> list[Booking]:
    end = START + timedelta(hours=1)
    return await series.book(ctx, bo.id, mentor_id=ada.id, start=START, end=end, weeks=weeks, topic="Rust")


async def test_every_week_at_the_same_time_on_the_wall(ctx: Context) -> None:
    ada, bo = await mentor(ctx, rules=BERLIN), await person(ctx, "Bo")
    made = await weekly(ctx, ada, bo)
    assert [it.start.astimezone(zone("Europe/Berlin")).strftime("%d %b %H:%M") for it in made] == [
        "10 Mar 10:00", "17 Mar 10:00", "24 Mar 10:00", "31 Mar 10:00", "07 Apr 10:00",
    ]  # fmt: skip
    assert made[2].start.hour == 9 and made[3].start.hour == 8
    assert len({it.series_id for it in made}) == 1 and made[0].series_id is not None
    assert await ledger.wallet(ctx, bo.id) == Wallet(50, 50, 0)
    await books_balance(ctx)


async def test_one_collision_and_nothing_is_booked_but_every_collision_is_told(ctx: Context) -> None:
    ada, bo, eve = await mentor(ctx, rules=BERLIN), await person(ctx, "Bo"), await person(ctx, "Eve")
    taken = await booked(ctx, ada.id, eve.id, START + timedelta(weeks=1))
    away = Absence(datetime(2026, 3, 24, 8), datetime(2026, 3, 24, 18), "Holiday")
    await availability.put(ctx, ada.id, replace(BERLIN, absences=(away,)))
    with pytest.raises(Conflict) as refused:
        await weekly(ctx, ada, bo)
    assert refused.value.code == "series_conflict"
    first, second = refused.value.extra["dates"]
    assert (first["start"], first["code"], first["conflicts"][0]["id"]) == (
        "2026-03-17T09:00:00Z", "booking_conflict", str(taken.id),
    )  # fmt: skip
    assert (second["start"], second["code"]) == ("2026-03-24T09:00:00Z", "not_a_slot")
    assert await ctx.pool.fetchval("SELECT count(*) FROM bookings WHERE mentee_id = $1", bo.id) == 0
    assert await ledger.wallet(ctx, bo.id) == Wallet(100, 0, 0)


async def test_what_is_wrong_whatever_the_date_is_told_as_for_one(ctx: Context) -> None:
    ada, poor = await mentor(ctx, rules=BERLIN), await person(ctx, "Poor", tokens=49)
    with pytest.raises(InsufficientFunds):
        await weekly(ctx, ada, poor)
    assert await ledger.wallet(ctx, poor.id) == Wallet(49, 0, 0)
    for weeks in (1, 27):
        with pytest.raises(Invalid) as refused:
            await weekly(ctx, ada, poor, weeks)
        assert refused.value.errors[0].field == "weeks"
    with pytest.raises(Forbidden):
        await weekly(ctx, ada, ada)


async def test_a_series_is_approved_and_called_off_as_one(ctx: Context) -> None:
    ada, bo = await mentor(ctx, rules=BERLIN), await person(ctx, "Bo")
    made = await weekly(ctx, ada, bo, 3)
    series_id = made[0].series_id
    assert series_id is not None
    await sessions.reject(ctx, ada.id, made[1].id, "Away")
    approved = await series.approve(ctx, ada.id, series_id)
    assert [it.id for it in approved] == [made[0].id, made[2].id]
    assert {it.status for it in approved} == {Status.APPROVED}
    with pytest.raises(Conflict):
        await series.approve(ctx, ada.id, series_id)
    cancelled = await series.cancel(ctx, bo.id, series_id, "A new job")
    assert [it.status for it in cancelled] == [Status.CANCELLED] * 2
    assert await ledger.wallet(ctx, bo.id) == Wallet(100, 0, 0)
    assert await ctx.pool.fetchval("SELECT count(*) FROM sessions WHERE status = 'cancelled'") == 2
    with pytest.raises(Forbidden):
        await series.cancel(ctx, (await person(ctx, "Eve")).id, series_id)
    with pytest.raises(NotFound):
        await series.approve(ctx, ada.id, new_id())


async def test_a_series_with_who_approves_whatever_fits_is_approved_at_once(ctx: Context) -> None:
    ada, bo = await mentor(ctx, rules=BERLIN), await person(ctx, "Bo")
    await booking.put_terms(ctx, ada.id, Terms(instant_approval=True))
    assert {it.status for it in await weekly(ctx, ada, bo)} == {Status.APPROVED}


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)),
    st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")),
    st.integers(2, 26),
)
def test_dates_are_a_week_apart_on_the_wall_unless_the_wall_skips_them(
    at: datetime, name: str, weeks: int
) -> None:
    start = at.replace(second=0, microsecond=0, tzinfo=UTC)
    dates = series.weekly(start, start + timedelta(hours=1), weeks, name)
    assert len(dates) == weeks and dates[0][0] == start
    walls = [begin.astimezone(zone(name)).replace(tzinfo=None) for begin, _ in dates]
    for week, wall in enumerate(walls):
        shift = wall - (walls[0] + timedelta(weeks=week))
        assert shift in (timedelta(), timedelta(hours=1), timedelta(minutes=30))  # skipped: the hour after
    assert all(end - begin == timedelta(hours=1) for begin, end in dates)
