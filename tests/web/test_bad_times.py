"""Bad input about time gets a named error per field, all of them at once, wherever times are given."""

from __future__ import annotations

from typing import Any

import pytest

from server.people.model import Role
from tests.web.conftest import Reply, World, hour, open_hours

NINE_TO_FIVE = {"weekday": 0, "start": "09:00", "end": "17:00"}
FOUR_TO_SIX = {"weekday": 0, "start": "16:00", "end": "18:00"}
APRIL = "2026-04-01T00:00"


def faults(reply: Reply) -> set[tuple[str, str]]:
    assert reply.status == 422, reply.text
    assert reply.json["code"] == "invalid_input" and all(it["message"] for it in reply.json["errors"])
    return {(it["field"], it["code"]) for it in reply.json["errors"]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"weekly": [{"weekday": 0, "start": "17:00", "end": "09:00"}]}, {("weekly", "end_before_start")}),
        ({"timezone": "Mars/Olympus"}, {("timezone", "unknown_timezone")}),
        ({"weekly": [NINE_TO_FIVE, FOUR_TO_SIX]}, {("weekly", "overlapping_windows")}),
        ({"absences": [{"start": APRIL, "end": "2027-06-01T00:00"}]}, {("absences.0.end", "span_too_long")}),
        ({"absences": [{"start": "2026-04-02T00:00", "end": APRIL}]}, {("absences.0.end", "end_before_start")}),
        (
            {"travel": [{"from": "2026-04-02", "to": "2026-04-01", "timezone": "Nowhere/Else"}]},
            {("travel.0.timezone", "unknown_timezone"), ("travel.0.to", "end_before_start")},
        ),
        (
            {"timezone": "Mars/Olympus", "slot_minutes": 1, "min_notice_minutes": -1, "max_minutes_per_week": 0,
             "weekly": [NINE_TO_FIVE, NINE_TO_FIVE]},
            {("timezone", "unknown_timezone"), ("slot_minutes", "out_of_range"), ("min_notice_minutes", "out_of_range"),
             ("max_minutes_per_week", "out_of_range"), ("weekly", "overlapping_windows")},
        ),
    ],
)  # fmt: skip
async def test_rules(world: World, change: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    mentor = await world.person(Role.MENTOR)
    body = {"timezone": "Europe/Berlin", "weekly": [NINE_TO_FIVE], **change}
    assert faults(await mentor.call("PUT", "/me/availability", body)) == expected
    rules = (await mentor.get("/me/availability")).json
    assert rules["weekly"] == [], "what was refused was kept"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("from=2026-03-03&to=2027-04-07&tz=UTC", {("to", "span_too_long")}),  # 400 days
        ("from=2026-03-04&to=2026-03-02&tz=UTC", {("to", "end_before_start")}),
        (
            "from=soon&to=later&tz=Mars/Olympus",
            {("from", "bad_instant"), ("to", "bad_instant"), ("tz", "unknown_timezone")},
        ),
        ("length=7", {("length", "not_offered")}),
    ],
)  # fmt: skip
async def test_questions_for_slots(world: World, query: str, expected: set[tuple[str, str]]) -> None:
    mentor, reader = await world.person(Role.MENTOR), await world.person(Role.MENTEE)
    await open_hours(mentor)
    assert faults(await reader.get(f"/mentors/{mentor.id}/slots?{query}")) == expected


async def test_bookings_and_moves(world: World) -> None:
    mentor, mentee = await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor, min_notice_minutes=1440, booking_window_days=10)
    ten = hour(2, 10)
    cases: list[tuple[dict[str, str], set[tuple[str, str]]]] = [
        ({"start": ten["end"], "end": ten["start"]}, {("end", "end_before_start")}),
        (hour(-1, 10), {("start", "in_the_past")}),
        ({"start": ten["start"], "end": hour(-1, 10)["end"]}, {("end", "end_before_start")}),
        (hour(0, 15), {("start", "too_short_notice")}),
        (hour(15, 10), {("start", "beyond_booking_window")}),
        (hour(401, 10), {("start", "beyond_booking_window")}),
        ({**ten, "end": hour(2, 11)["end"]}, {("end", "length_not_offered")}),
        (hour(2, 20), {("start", "not_a_slot")}),
        (
            {"start": "2026-03-04T10:00", "end": "tomorrow"},
            {("start", "zone_required"), ("end", "rfc3339_required")},
        ),
    ]  # fmt: skip
    for when, expected in cases:
        assert faults(await mentee.post("/bookings", {"mentor_id": str(mentor.id), **when})) == expected, when
    made = await mentee.post("/bookings", {"mentor_id": str(mentor.id), **ten})
    assert made.status == 201
    path = f"/bookings/{made.json['id']}/reschedule"
    for when, expected in [*cases[:6], (ten, {("start", "same_time")})]:
        assert faults(await mentee.post(path, when)) == expected, when
    long = {**ten, "end": hour(2, 11)["end"]}
    assert faults(await mentee.post(path, long)) == {("end", "another_length")}
