"""Ticks fall where the business zone's clock says, across its changes, and none is lost between two looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.schedule import ANCHOR, Daily, Due, EveryHours, EveryMinute, Missed, Monthly, Schedule, due_ticks

SCHEDULES = st.one_of(
    st.just(EveryMinute()),
    st.integers(1, 50).flatmap(
        lambda hours: st.builds(EveryHours, st.just(hours), st.integers(0, hours * 60 - 1))
    ),
    st.builds(Daily, st.integers(0, 23), st.integers(0, 59)),
    st.builds(Monthly, st.integers(1, 28), st.integers(0, 23), st.integers(0, 59)),
)
ZONES = st.sampled_from(
    ["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland", "Australia/Lord_Howe"]
).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(SCHEDULES, INSTANTS, ZONES)
def test_ticks_follow_each_other(schedule: Schedule, now: datetime, zone: ZoneInfo) -> None:
    latest, following = schedule.latest(now, zone), schedule.next(now, zone)
    assert latest <= now < following
    assert schedule.latest(following, zone) == following
    assert schedule.next(latest, zone) == following
    assert schedule.latest(following - timedelta(microseconds=1), zone) == latest


def test_the_26th_is_the_zones_own() -> None:
    payroll, kolkata = Monthly(26, 0, 5), ZoneInfo("Asia/Kolkata")
    assert payroll.latest(datetime(2026, 11, 25, 18, 35, tzinfo=UTC), kolkata) == datetime(
        2026, 11, 25, 18, 35, tzinfo=UTC
    )
    assert payroll.latest(datetime(2026, 11, 25, 18, 34, tzinfo=UTC), kolkata) == datetime(
        2026, 10, 25, 18, 35, tzinfo=UTC
    )
    assert payroll.latest(datetime(2026, 1, 3, tzinfo=UTC), kolkata) == datetime(
        2025, 12, 25, 18, 35, tzinfo=UTC
    )
    assert payroll.next(datetime(2026, 12, 30, tzinfo=UTC), kolkata) == datetime(
        2027, 1, 25, 18, 35, tzinfo=UTC
    )


def test_not_every_month_has_a_31st() -> None:
    with pytest.raises(ValueError, match="every month"):
        Monthly(31, 0, 0)


def test_five_hours_are_counted_from_the_anchor_and_know_no_zone() -> None:
    """Also before the anchor, and over both changes of the clock in Berlin."""
    every = EveryHours(5, 20)
    first = ANCHOR + timedelta(minutes=20)
    assert every.latest(first, BERLIN) == first
    assert every.next(first, BERLIN) == first + timedelta(hours=5)
    assert every.latest(first - timedelta(seconds=1), BERLIN) == first - timedelta(hours=5)
    tick = every.latest(datetime(2026, 3, 28, tzinfo=UTC), BERLIN)
    for _ in range(220 * 5):  # into November
        following = every.next(tick, BERLIN)
        assert following - tick == timedelta(hours=5)
        assert (following - first) % timedelta(hours=5) == timedelta(0)
        tick = following
    with pytest.raises(ValueError, match="period"):
        EveryHours(5, 300)


BERLIN = ZoneInfo("Europe/Berlin")  # 2026: forward on 29 March at 02:00, back on 25 October at 03:00


def test_a_daily_time_holds_across_the_changes_of_the_clock() -> None:
    """02:30 does not exist on 29 March and exists twice on 25 October: one tick a day all the same."""
    daily = Daily(2, 30)
    tick = datetime(2026, 3, 28, 1, 30, tzinfo=UTC)
    assert daily.next(tick, BERLIN) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert daily.next(datetime(2026, 3, 29, 1, 30, tzinfo=UTC), BERLIN) == datetime(
        2026, 3, 30, 0, 30, tzinfo=UTC
    )
    assert daily.next(datetime(2026, 10, 24, 12, tzinfo=UTC), BERLIN) == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )
    assert daily.next(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), BERLIN) == datetime(
        2026, 10, 26, 1, 30, tzinfo=UTC
    )


@given(SCHEDULES, ZONES, INSTANTS, st.integers(0, 3000), st.sets(st.integers(0, 40), max_size=5))
def test_every_tick_of_an_outage_is_accounted_for(
    schedule: Schedule, zone: ZoneInfo, last: datetime, minutes: int, failed: set[int]
) -> None:
    last = schedule.latest(last, zone)
    now = last + timedelta(minutes=minutes)
    between = []
    tick = schedule.next(last, zone)
    while tick <= now:
        between.append(tick)
        tick = schedule.next(tick, zone)
    [*_, latest] = [last, *between]
    unfinished = {last - timedelta(days=n) for n in failed}
    every = due_ticks(schedule, zone, Missed.ALL, now, last, unfinished)
    assert [due.tick for due in every] == sorted({*unfinished, *between[-400:]})
    one = due_ticks(schedule, zone, Missed.LATEST, now, last, ())
    assert one == ([Due(latest, missed=len(between) - 1)] if between else [])
    late = now - latest > timedelta(minutes=1)
    skip = due_ticks(schedule, zone, Missed.SKIP, now, last, ())
    assert skip == ([Due(latest, skipped=late, missed=len(between) - 1)] if between else [])


def test_a_job_that_never_ran_has_missed_nothing() -> None:
    now = datetime(2026, 3, 28, 1, 30, tzinfo=UTC)
    for missed in Missed:
        assert due_ticks(EveryMinute(), BERLIN, missed, now, None, ()) == [Due(now)]
