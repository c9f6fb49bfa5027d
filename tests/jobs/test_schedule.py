"""Ticks fall where the business zone's clock says, across its changes, and none is lost between two looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.schedule import EveryMinute, Monthly, Schedule

SCHEDULES = st.one_of(
    st.just(EveryMinute()),
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
