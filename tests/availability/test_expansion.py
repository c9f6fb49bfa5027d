"""Open slots against an oracle that asks the wall clock minute by minute, in zones with every kind of change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.availability.expansion import DAY, expand, next_slot
from server.availability.model import Availability, Slot, Window
from server.people.zones import zone as find  # the machine's own zone files may be years older
from server.people.zones import zone_names

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",  # negative daylight saving
    "America/New_York",
    "America/St_Johns",  # -3:30
    "America/Sao_Paulo",  # changed at midnight, until 2019
    "America/Havana",  # changes at midnight
    "America/Santiago",
    "Asia/Kolkata",  # 5:30
    "Asia/Kathmandu",  # 5:45
    "Asia/Tehran",  # 3:30, changed at midnight until 2022
    "Asia/Beirut",
    "Asia/Gaza",
    "Africa/Cairo",
    "Africa/Casablanca",  # four changes in some years
    "Australia/Lord_Howe",  # changes by half an hour
    "Australia/Eucla",  # 8:45
    "Australia/Adelaide",  # 9:30 with changes
    "Pacific/Chatham",  # 12:45 with changes
    "Pacific/Kiritimati",  # 14:00
    "Pacific/Pago_Pago",  # -11:00
    "Pacific/Norfolk",
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def starts(slots: list[Slot]) -> list[str]:
    return [datetime.fromtimestamp(slot.start, UTC).strftime("%m-%d %H:%M") for slot in slots]


def walls(slots: list[Slot], zone: str) -> list[str]:
    return [datetime.fromtimestamp(slot.start, find(zone)).strftime("%a %H:%M") for slot in slots]


# ---------------------------------------------------------------- the oracle


def oracle(rules: Availability, frm: int, to: int, busy: list[tuple[int, int]], now: int) -> list[Slot]:
    """By brute force: which minutes does each window of each date cover, and which slots fit into them?"""
    zone = find(rules.timezone)
    overrides = dict(rules.overrides)
    minutes: dict[tuple[date, Window], list[int]] = {}
    for minute in range(frm // 60 - 2 * 1440, to // 60 + 2 * 1440):
        wall = datetime.fromtimestamp(minute * 60, zone)
        today = [window for weekday, window in rules.weekly if weekday == wall.weekday()]
        for window in overrides.get(wall.date(), today):
            if window.start <= wall.hour * 60 + wall.minute < window.end:
                minutes.setdefault((wall.date(), window), []).append(minute)
    found = []
    for (day, _), covered in minutes.items():
        inside = set(covered)
        for minute in covered:
            if minute - 1 in inside:
                continue
            start = minute
            while all(each in inside for each in range(start, start + rules.slot_minutes)):
                found.append((day, Slot(start * 60, (start + rules.slot_minutes) * 60)))
                start += rules.slot_minutes
    gap = 60 * max(rules.buffer_before_minutes, rules.buffer_after_minutes)
    return sorted(
        slot
        for day, slot in found
        if frm <= slot.start < to
        and now + rules.min_notice_minutes * 60 <= slot.start <= now + rules.booking_window_days * DAY
        and all(slot.end + gap <= start or end + gap <= slot.start for start, end in busy)
        and (
            rules.max_per_day is None
            or sum(datetime.fromtimestamp(start, zone).date() == day for start, _ in busy) < rules.max_per_day
        )
    )


@cache
def changes(zone: str) -> tuple[int, ...]:
    """The hours in which the zone's offset changes, 2018 to 2029."""
    tz = find(zone)
    found = []
    for hour in range(at("2018-01-01") // 3600, at("2030-01-01") // 3600, 12):
        before, after = (datetime.fromtimestamp(h * 3600, tz).utcoffset() for h in (hour, hour + 12))
        if before != after:
            found.append(hour * 3600)
    return tuple(found)


@st.composite
def windows_of_a_day(draw: st.DrawFn) -> tuple[Window, ...]:
    """Half of the days one long window through the small hours, when the clocks change; the others anything."""
    if draw(st.booleans()):
        return (Window(draw(st.integers(0, 36)) * 5, draw(st.integers(48, 288)) * 5),)
    step = draw(st.sampled_from((5, 15, 30, 60)))
    edges: list[int] = draw(st.lists(st.integers(0, 1440 // step), min_size=2, max_size=6, unique=True))
    edges.sort()
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return tuple(Window(start * step, end * step) for start, end in pairs)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Availability, int, int, list[tuple[int, int]], int]:
    """Rules, a span of up to three days (two times of three around a change of the clocks), bookings, and now."""
    zone = draw(st.sampled_from(ZONES))
    around = st.integers(at("2018-01-03"), at("2029-12-20"))
    if changes(zone) and draw(st.integers(0, 2)) > 0:
        around = st.sampled_from(changes(zone)).flatmap(lambda t: st.integers(t - DAY, t))
    begin: int = draw(around)
    frm = begin // 60 * 60 + draw(st.sampled_from((0, 0, 0, 17)))
    to = frm + draw(st.integers(1, 3 * DAY))
    today = datetime.fromtimestamp(frm, UTC).date()
    days = st.integers(-1, 4).map(lambda n: today + timedelta(days=n))
    daily = draw(st.lists(windows_of_a_day(), min_size=7, max_size=7))
    rules = Availability(
        zone,
        weekly=tuple((weekday, window) for weekday in range(7) for window in daily[weekday]),
        overrides=tuple(draw(st.dictionaries(days, windows_of_a_day(), max_size=2)).items()),
        slot_minutes=draw(st.sampled_from((5, 20, 25, 30, 45, 60, 90, 120, 480))),
        buffer_before_minutes=draw(st.sampled_from((0, 0, 5, 30))),
        buffer_after_minutes=draw(st.sampled_from((0, 0, 10, 45))),
        min_notice_minutes=draw(st.sampled_from((0, 0, 60, 1440))),
        booking_window_days=draw(st.sampled_from((1, 2, 30))),
        max_per_day=draw(st.sampled_from((None, None, 1, 2))),
    )
    busy = [
        (begin, begin + draw(st.integers(5, 180)) * 60)
        for begin in draw(st.lists(st.integers(frm // 300 - 288, to // 300 + 288), max_size=6))
        for begin in [begin * 300]
    ]
    now = frm + draw(st.integers(-3 * DAY, DAY))
    return rules, frm, to, busy, now


@settings(max_examples=250, deadline=None)
@given(questions())
def test_the_slots_are_those_of_the_oracle(
    question: tuple[Availability, int, int, list[tuple[int, int]], int],
) -> None:
    assert expand(*question) == oracle(*question)


@settings(max_examples=60, deadline=None)
@given(questions(), st.integers(0, 40 * DAY))
def test_the_next_slot_is_the_first_of_all(
    question: tuple[Availability, int, int, list[tuple[int, int]], int], span: int
) -> None:
    rules, _, _, busy, now = question
    every = expand(rules, now, now + span, busy, now)
    assert next_slot(rules, busy, now, now + span) == (every[0] if every else None)


@settings(max_examples=60, deadline=None)
@given(questions())
def test_slots_never_overlap_each_other_and_booking_one_takes_only_it_and_its_buffers(
    question: tuple[Availability, int, int, list[tuple[int, int]], int],
) -> None:
    rules, frm, to, busy, now = question
    slots = expand(replace(rules, max_per_day=None), frm, to, busy, now)
    assert all(earlier.end <= later.start for earlier, later in pairwise(slots))
    if not slots:
        return
    taken = slots[len(slots) // 2]
    gap = 60 * max(rules.buffer_before_minutes, rules.buffer_after_minutes)
    left = expand(replace(rules, max_per_day=None), frm, to, [*busy, taken], now)
    assert left == [s for s in slots if s.end + gap <= taken.start or taken.end + gap <= s.start]


# ---------------------------------------------------------------- the rules by example

NOW = at("2026-01-01T00:00")
EVERY_NIGHT = tuple((day, Window(60, 240)) for day in range(7))  # 01:00 to 04:00


def test_an_hour_that_does_not_exist_is_never_offered() -> None:
    rules = Availability("Europe/Berlin", weekly=EVERY_NIGHT, booking_window_days=365)
    slots = expand(rules, at("2026-03-29T00:00"), at("2026-03-29T12:00"), [], NOW)
    assert walls(slots, "Europe/Berlin") == ["Sun 01:00", "Sun 03:00"]
    only_the_gap = replace(rules, weekly=((6, Window(120, 180)),))
    assert expand(only_the_gap, at("2026-03-28T00:00"), at("2026-03-30T12:00"), [], NOW) == []


def test_a_slot_may_lie_across_the_change_of_the_clocks() -> None:
    """01:45 and three quarters of an hour is half past three."""
    rules = Availability(
        "Europe/Berlin", weekly=((6, Window(60, 300)),), slot_minutes=45, booking_window_days=365
    )
    slots = expand(rules, at("2026-03-29T00:00"), at("2026-03-29T12:00"), [], NOW)
    assert walls(slots, "Europe/Berlin") == ["Sun 01:00", "Sun 01:45", "Sun 03:30", "Sun 04:15"]


def test_an_hour_that_exists_twice_is_offered_once_per_instant() -> None:
    rules = Availability("Europe/Berlin", weekly=EVERY_NIGHT, booking_window_days=365)
    slots = expand(rules, at("2026-10-24T20:00"), at("2026-10-25T12:00"), [], NOW)
    assert walls(slots, "Europe/Berlin") == ["Sun 01:00", "Sun 02:00", "Sun 02:00", "Sun 03:00"]
    assert starts(slots) == ["10-24 23:00", "10-25 00:00", "10-25 01:00", "10-25 02:00"]


@pytest.mark.parametrize("zone", ZONES)
def test_nine_oclock_weekly_stays_at_nine_on_the_wall(zone: str) -> None:
    rules = Availability(zone, weekly=((0, Window(540, 600)),), booking_window_days=365)
    slots = expand(rules, NOW, NOW + 360 * DAY, [], NOW)
    assert len(slots) in (51, 52)
    assert set(walls(slots, zone)) == {"Mon 09:00"}


def test_lord_howe_loses_and_gains_half_an_hour() -> None:
    rules = Availability(
        "Australia/Lord_Howe", weekly=((6, Window(60, 240)),), slot_minutes=30, booking_window_days=365
    )
    spring = expand(rules, at("2026-10-03T00:00"), at("2026-10-05T00:00"), [], NOW)
    assert walls(spring, "Australia/Lord_Howe") == [
        f"Sun {t}" for t in ("01:00", "01:30", "02:30", "03:00", "03:30")
    ]
    autumn = expand(rules, at("2026-04-04T00:00"), at("2026-04-06T00:00"), [], NOW)
    assert walls(autumn, "Australia/Lord_Howe") == [
        f"Sun {t}" for t in ("01:00", "01:30", "01:30", "02:00", "02:30", "03:00", "03:30")
    ]


def test_a_day_that_never_was_offers_nothing() -> None:
    """Samoa went from Thursday 29 to Saturday 31 December 2011."""
    now = at("2011-12-20T00:00")
    rules = Availability("Pacific/Apia", weekly=tuple((day, Window(540, 600)) for day in range(7)))
    slots = expand(rules, at("2011-12-29T00:00"), at("2012-01-01T12:00"), [], now)
    assert walls(slots, "Pacific/Apia") == ["Thu 09:00", "Sat 09:00", "Sun 09:00"]


def test_an_override_replaces_the_day_and_an_empty_one_is_a_day_off() -> None:
    rules = Availability(
        "UTC",
        weekly=tuple((day, Window(540, 660)) for day in range(7)),
        overrides=((date(2026, 1, 6), (Window(1380, 1440),)), (date(2026, 1, 7), ())),
    )
    slots = expand(rules, at("2026-01-05T00:00"), at("2026-01-09T00:00"), [], NOW)
    assert starts(slots) == ["01-05 09:00", "01-05 10:00", "01-06 23:00", "01-08 09:00", "01-08 10:00"]


def test_the_shortest_notice_and_the_farthest_day_are_still_open() -> None:
    rules = Availability(
        "UTC",
        weekly=tuple((day, Window(0, 1440)) for day in range(7)),
        min_notice_minutes=90,
        booking_window_days=1,
    )
    slots = expand(rules, NOW, NOW + 3 * DAY, [], NOW + 1800)
    assert starts(slots)[0] == "01-01 02:00"
    assert starts(slots)[-1] == "01-02 00:00"


def test_buffers_keep_their_distance_on_both_sides_and_back_to_back_is_fine_without() -> None:
    rules = Availability("UTC", weekly=((3, Window(480, 840)),), booking_window_days=30)
    noon = [(at("2026-01-08T10:00"), at("2026-01-08T11:00"))]
    day = (at("2026-01-08T00:00"), at("2026-01-09T00:00"))
    assert starts(expand(rules, *day, noon, NOW)) == [f"01-08 {h}:00" for h in ("08", "09", "11", "12", "13")]
    for buffered in (replace(rules, buffer_before_minutes=10), replace(rules, buffer_after_minutes=10)):
        assert starts(expand(buffered, *day, noon, NOW)) == [f"01-08 {h}:00" for h in ("08", "12", "13")]


def test_a_full_day_is_the_mentors_day_not_the_worlds() -> None:
    """In Kiritimati (UTC+14) the 8th begins at 10:00 UTC on the 7th."""
    rules = Availability(
        "Pacific/Kiritimati",
        weekly=tuple((day, Window(0, 1440)) for day in range(7)),
        max_per_day=1,
        slot_minutes=480,
        booking_window_days=30,
    )
    booked = [(at("2026-01-07T10:00"), at("2026-01-07T18:00"))]
    slots = expand(rules, at("2026-01-07T00:00"), at("2026-01-08T20:00"), booked, NOW)
    assert starts(slots) == ["01-07 02:00", "01-08 10:00", "01-08 18:00"]


def test_every_zone_there_is_can_be_expanded() -> None:
    for zone in zone_names():
        rules = Availability(zone, weekly=((2, Window(600, 720)),), booking_window_days=365)
        assert len(expand(rules, NOW, NOW + 28 * DAY, [], NOW)) in (7, 8), zone


@example(7)
@given(st.integers(1, 92))
@settings(max_examples=20, deadline=None)
def test_the_answer_does_not_depend_on_how_the_question_is_cut(cut: int) -> None:
    rules = Availability("America/New_York", weekly=EVERY_NIGHT, slot_minutes=25, booking_window_days=365)
    frm, to = at("2026-02-01T00:00"), at("2026-05-04T00:00")
    middle = frm + cut * DAY
    whole = expand(rules, frm, to, [], NOW)
    assert whole == expand(rules, frm, middle, [], NOW) + expand(rules, middle, to, [], NOW)
