"""Busy times of iCalendar texts: by an oracle that counts days, and what nobody's calendar needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.integrations.calendars import recurrence
from server.integrations.calendars.protocol import CalendarRefused
from server.integrations.calendars.recurrence import Text, busy_of

NOW = datetime(2026, 3, 2, tzinfo=UTC)
SPAN = (NOW, NOW + timedelta(days=400))
HOUR = timedelta(hours=1)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
)


def text(*lines: str) -> Text:
    event = "\r\n".join(("BEGIN:VEVENT", "UID:1", "DTSTAMP:20260301T000000Z", *lines, "END:VEVENT"))
    return Text("1.ics", f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{event}\r\nEND:VCALENDAR\r\n")


@given(
    zone=st.sampled_from(ZONES),
    first=st.integers(-30, 390),
    hour=st.integers(4, 23),  # no clock is changed there
    every=st.integers(1, 20),
    count=st.integers(1, 60),
    left_out=st.sets(st.integers(0, 59), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_a_repeated_event_stays_at_its_hour_on_the_wall(
    zone: str, first: int, hour: int, every: int, count: int, left_out: set[int]
) -> None:
    walls = [datetime(2026, 3, 2, hour) + timedelta(days=first + every * number) for number in range(count)]
    skipped = [f"EXDATE;TZID={zone}:{wall:%Y%m%dT%H%M%S}" for n, wall in enumerate(walls) if n in left_out]
    event = text(
        f"DTSTART;TZID={zone}:{walls[0]:%Y%m%dT%H%M%S}", "DURATION:PT1H",
        f"RRULE:FREQ=DAILY;INTERVAL={every};COUNT={count}", *skipped,
    )  # fmt: skip
    taking_place = (wall for n, wall in enumerate(walls) if n not in left_out)
    starts = [wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for wall in taking_place]
    expected = [start for start in starts if start + HOUR > SPAN[0] and start < SPAN[1]]
    found = busy_of([event], *SPAN, ZoneInfo("UTC"), "")
    assert sorted(it.start for it in found) == expected
    assert len({it.id for it in found}) == len(found)


@pytest.mark.parametrize(
    "lines",
    [
        ("DTSTART:20260303T000000Z", "DURATION:PT1S", "RRULE:FREQ=SECONDLY"),
        ("DTSTART:20260303T000000Z", "DURATION:PT1S", "RRULE:FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30"),
        ("DTSTART:20260303T000000Z", "DURATION:PT1S", "RRULE:FREQ=HOURLY"),
        ("DTSTART:10000303T000000Z", "DURATION:PT1S", "RRULE:FREQ=DAILY"),
        ("DTSTART:yesterday",),
        ("DTSTART:20260303T000000Z", "DURATION:PT1H", "RRULE:FREQ=NEVER"),
        ("SUMMARY:Without a time",),
    ],
)
def test_what_nobody_can_mean_takes_no_time_and_hides_no_other(lines: tuple[str, ...]) -> None:
    good = text("DTSTART:20260303T090000Z", "DURATION:PT1H")
    found = busy_of([text(*lines), Text("x.ics", "no calendar at all"), good], *SPAN, ZoneInfo("UTC"), "")
    assert [it.start for it in found] == [datetime(2026, 3, 3, 9, tzinfo=UTC)]


def test_too_many_events_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrence, "MOST", 500)
    daily = text("DTSTART:20260303T090000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY")
    assert len(busy_of([daily], *SPAN, ZoneInfo("UTC"), "")) == 399
    with pytest.raises(CalendarRefused, match="too many"):
        busy_of([daily] * 2, *SPAN, ZoneInfo("UTC"), "")
    monkeypatch.setattr(recurrence, "BUDGET", 0.0)
    with pytest.raises(CalendarRefused, match="too long"):
        busy_of([daily], *SPAN, ZoneInfo("UTC"), "")
