"""Rules in JSON and back, and every fault of them at once."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from server.availability.documents import document, parse
from server.availability.model import Absence, Availability, HolidayCalendar, Travel, Window, faults
from server.base.errors import Invalid
from tests.availability.test_expansion import Question, questions

BODY: dict[str, Any] = {
    "timezone": "Europe/Berlin",
    "weekly": [
        {"weekday": 0, "start": "09:00", "end": "17:00"},
        {"weekday": 6, "start": "20:30", "end": "24:00"},
    ],
    "overrides": [{"date": "2026-12-24", "windows": []}],
    "slot_minutes": 45,
    "buffer_before_minutes": 5,
    "buffer_after_minutes": 10,
    "min_notice_minutes": 120,
    "booking_window_days": 30,
    "max_per_day": None,
}


def test_the_documented_body_is_read_and_given_back() -> None:
    rules = parse(BODY)
    assert rules.weekly == ((0, Window(540, 1020)), (6, Window(1230, 1440)))
    assert document(rules).items() >= BODY.items()


def test_everything_there_is_to_say_is_read_and_given_back() -> None:
    more: dict[str, Any] = {
        "weekly": [
            {"weekday": 0, "start": "09:00", "end": "17:00"},
            {"weekday": 4, "start": "22:00", "end": "02:00", "ends_next_day": True},
        ],
        "lengths_minutes": [30, 90],
        "start_increment_minutes": 15,
        "max_minutes_per_day": 300,
        "max_per_week": 12,
        "max_minutes_per_week": 600,
        "max_per_month": 40,
        "max_minutes_per_month": 2400,
        "capacity": 6,
        "holidays": {"country": "DE", "subdivision": "BY"},
        "travel": [{"from": "2026-12-01", "to": "2026-12-05", "timezone": "Asia/Tokyo"}],
        "absences": [{"start": "2026-12-24T12:00", "end": "2027-01-02T00:00", "reason": "Holidays"}],
    }
    rules = parse(BODY | more)
    assert rules.weekly[1] == (4, Window(1320, 1560))
    assert rules.lengths == (45, 30, 90)
    assert rules.holidays == HolidayCalendar("DE", "BY")
    assert rules.travel == (Travel(date(2026, 12, 1), date(2026, 12, 5), "Asia/Tokyo"),)
    assert rules.absences == (Absence(datetime(2026, 12, 24, 12), datetime(2027, 1, 2), "Holidays"),)
    assert document(rules) == BODY | more
    assert parse(document(rules)) == rules


@settings(max_examples=50, deadline=None)
@given(questions())
def test_whatever_is_written_out_is_read_back(question: Question) -> None:
    rules = parse(document(question.rules))
    assert parse(document(rules)) == rules
    assert faults(rules) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"timezone": "Mars/Olympus"}, {("timezone", "unknown_timezone")}),
        ({"timezone": "../../etc/passwd"}, {("timezone", "unknown_timezone")}),
        ({"timezone": None}, {("timezone", "required")}),
        ({"slot_minutes": 4}, {("slot_minutes", "out_of_range")}),
        ({"slot_minutes": True}, {("slot_minutes", "bad_number")}),
        ({"slot_minutes": None}, {("slot_minutes", "bad_number")}),
        ({"max_per_day": 0}, {("max_per_day", "out_of_range")}),
        ({"booking_window_days": 366}, {("booking_window_days", "out_of_range")}),
        ({"min_notice_minutes": "60"}, {("min_notice_minutes", "bad_number")}),
        ({"colour": "red"}, {("colour", "unknown_field")}),
        ({"lengths_minutes": [30, 4]}, {("lengths_minutes", "out_of_range")}),
        ({"lengths_minutes": ["30"]}, {("lengths_minutes", "bad_list")}),
        ({"lengths_minutes": list(range(5, 50, 5))}, {("lengths_minutes", "too_many")}),
        ({"capacity": 0}, {("capacity", "out_of_range")}),
        ({"holidays": {"country": "ZZ"}}, {("holidays.country", "unknown_country")}),
        (
            {"holidays": {"country": "DE", "subdivision": "TX"}},
            {("holidays.subdivision", "unknown_subdivision")},
        ),
        ({"holidays": "DE"}, {("holidays", "bad_calendar")}),
        (
            {"travel": [{"from": "2026-12-05", "to": "2026-12-01", "timezone": "Mars/Olympus"}]},
            {("travel.0.timezone", "unknown_timezone"), ("travel.0.to", "end_before_start")},
        ),
        (
            {
                "travel": [
                    {"from": "2026-12-01", "to": "2026-12-05", "timezone": "Asia/Tokyo"},
                    {"from": "2026-12-05", "to": "2026-12-06", "timezone": "Asia/Seoul"},
                ]
            },
            {("travel", "overlapping_spans")},
        ),
        (
            {"absences": [{"start": "2026-12-24T12:00", "end": "2026-12-24T12:00"}]},
            {("absences.0.end", "end_before_start")},
        ),
        (
            {"absences": [{"start": "2026-12-24T12:00", "end": "2028-12-24T12:00"}]},
            {("absences.0.end", "span_too_long")},
        ),
        (
            {"absences": [{"start": "2026-12-24", "end": "never"}]},
            {("absences.0.start", "bad_time"), ("absences.0.end", "bad_time")},
        ),
        (
            {"weekly": [{"weekday": 1, "start": "17:00", "end": "09:00"}]},
            {("weekly", "end_before_start")},
        ),
        (
            {"weekly": [{"weekday": 1, "start": "09:00", "end": "10:00", "ends_next_day": True}]},
            {("weekly", "window_too_long")},
        ),
        (
            {
                "weekly": [
                    {"weekday": 6, "start": "22:00", "end": "03:00", "ends_next_day": True},
                    {"weekday": 0, "start": "02:00", "end": "04:00"},
                ]
            },
            {("weekly", "overlapping_windows")},
        ),
        ({"weekly": {}}, {("weekly", "bad_list")}),
        ({"weekly": [7]}, {("weekly.0", "bad_window"), ("weekly.0.weekday", "bad_weekday")}),
        (
            {"weekly": [{"weekday": 7, "start": "09:00", "end": "10:00"}]},
            {("weekly.0.weekday", "bad_weekday")},
        ),
        (
            {"weekly": [{"weekday": 1, "start": "9:00", "end": "24:01"}]},
            {("weekly.0.start", "bad_time"), ("weekly.0.end", "bad_time")},
        ),
        ({"weekly": [{"weekday": 1, "start": "10:00", "end": "10:00"}]}, {("weekly", "end_before_start")}),
        (
            {"weekly": [{"weekday": 1, "start": "24:00", "end": "24:00"}]},
            {("weekly", "bad_time"), ("weekly", "end_before_start")},
        ),
        (
            {
                "weekly": [
                    {"weekday": 1, "start": "09:00", "end": "11:00"},
                    {"weekday": 1, "start": "10:59", "end": "12:00"},
                ]
            },
            {("weekly", "overlapping_windows")},
        ),
        ({"overrides": [{"date": "2026-02-30", "windows": []}]}, {("overrides.0.date", "bad_date")}),
        ({"overrides": [{"date": "2026-02-03"}]}, {("overrides.0.windows", "bad_list")}),
        (
            {"overrides": [{"date": "2026-02-03", "windows": []}, {"date": "2026-02-03", "windows": []}]},
            {("overrides", "repeated_date")},
        ),
        (
            {"overrides": [{"date": "2026-02-03", "windows": [{"start": "09:00", "end": "08:00"}]}]},
            {("overrides.2026-02-03", "end_before_start")},
        ),
    ],
)
def test_every_fault_has_a_field_and_a_name(change: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    with pytest.raises(Invalid) as refused:
        parse({**BODY, **change})
    assert {(error.field, error.code) for error in refused.value.errors} == expected


def test_all_faults_come_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        parse({"timezone": 5, "weekly": [{"weekday": -1, "start": "x", "end": "y"}], "slot_minutes": "long"})
    assert {error.field for error in refused.value.errors} == {
        "timezone",
        "weekly.0.weekday",
        "weekly.0.start",
        "weekly.0.end",
        "slot_minutes",
    }


def test_touching_windows_do_not_overlap() -> None:
    rules = Availability("UTC", weekly=((0, Window(0, 60)), (0, Window(60, 120))))
    assert faults(rules) == []
