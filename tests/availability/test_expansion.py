"""Open slots against an oracle that asks the wall clock minute by minute, in zones with every kind of change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import holidays
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.availability.expansion import DAY, expand, next_slot
from server.availability.model import NUMBERS, Absence, Availability, HolidayCalendar, Slot, Travel, Window
from server.people.zones import zone as find  # the machine's own zone files may be years older
from server.people.zones import zone_names

ONE_DAY = timedelta(days=1)
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
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Marquesas",  # -9:30
    "Asia/Yangon",  # 6:30
    "Asia/Tokyo",
    "Antarctica/Troll",  # changes by two hours
    "America/Nuuk",
    "America/Caracas",
    "Africa/Johannesburg",
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def starts(slots: list[Slot]) -> list[str]:
    return [datetime.fromtimestamp(slot.start, UTC).strftime("%m-%d %H:%M") for slot in slots]


def walls(slots: list[Slot], zone: str) -> list[str]:
    return [datetime.fromtimestamp(slot.start, find(zone)).strftime("%a %H:%M") for slot in slots]


# ---------------------------------------------------------------- the oracle


def oracle(
    rules: Availability,
    frm: int,
    to: int,
    busy: list[tuple[int, int]],
    now: int,
    *,
    blocked: Sequence[tuple[int, int]] = (),
    joinable: Sequence[tuple[int, int]] = (),
    length: int | None = None,
) -> list[Slot]:
    """By brute force: which minutes does each window of each date cover, and which slots fit into them?"""
    home = find(rules.timezone)
    overrides = dict(rules.overrides)

    @cache
    def zone_of(day: date) -> str:
        return next((t.timezone for t in rules.travel if t.first <= day <= t.last), rules.timezone)

    @cache
    def windows_of(day: date) -> Sequence[Window]:
        if day in overrides:
            return overrides[day]
        if rules.holidays is not None and day in PUBLIC_HOLIDAYS:
            return ()
        return [window for weekday, window in rules.weekly if weekday == day.weekday()]

    minutes: dict[tuple[date, Window], list[int]] = {}
    for name in {rules.timezone, *(t.timezone for t in rules.travel)}:
        zone = find(name)
        # A window that reaches into the span began at most two days before it; a slot takes at most eight hours.
        for minute in range(frm // 60 - 2 * 1440 - 180, to // 60 + 9 * 60):
            wall = datetime.fromtimestamp(minute * 60, zone)
            today, of_today = wall.date(), wall.hour * 60 + wall.minute
            for day, of_day in ((today, of_today), (today - ONE_DAY, of_today + 1440)):
                if zone_of(day) != name:
                    continue
                for window in windows_of(day):
                    if window.start <= of_day < window.end:
                        minutes.setdefault((day, window), []).append(minute)
    size = rules.slot_minutes if length is None else length
    step = rules.start_increment_minutes or size
    found = set()
    for covered in minutes.values():
        inside = set(covered)
        for first in covered:
            if first - 1 in inside:
                continue
            for start in range(first, first + 3 * 1440, step):
                if not all(each in inside for each in range(start, start + size)):
                    break
                found.add(Slot(start * 60, (start + size) * 60))
    gap = 60 * max(rules.buffer_before_minutes, rules.buffer_after_minutes)

    def away(slot: Slot) -> bool:
        walls = [datetime.fromtimestamp(at, home).replace(tzinfo=None) for at in range(*slot, 60)]
        return any(absence.start <= wall < absence.end for absence in rules.absences for wall in walls)

    def within_limits(slot: Slot) -> bool:
        day = datetime.fromtimestamp(slot.start, home).date()
        for same, most, most_minutes in (
            (lambda d: d == day, rules.max_per_day, rules.max_minutes_per_day),
            (
                lambda d: d.isocalendar()[:2] == day.isocalendar()[:2],
                rules.max_per_week,
                rules.max_minutes_per_week,
            ),
            (
                lambda d: (d.year, d.month) == (day.year, day.month),
                rules.max_per_month,
                rules.max_minutes_per_month,
            ),
        ):
            there = [s for s in (*busy, *joinable) if same(datetime.fromtimestamp(s[0], home).date())]
            if most is not None and len(there) >= most:
                return False
            if most_minutes is not None and sum(e - b for b, e in there) + size * 60 > most_minutes * 60:
                return False
        return True

    return sorted(
        slot
        for slot in found
        if frm <= slot.start < to
        and now + rules.min_notice_minutes * 60 <= slot.start <= now + rules.booking_window_days * DAY
        and all(slot.end + gap <= start or end + gap <= slot.start for start, end in (*busy, *blocked))
        and (slot in joinable or all(slot.end + gap <= b or e + gap <= slot.start for b, e in joinable))
        and not away(slot)
        and (slot in joinable or within_limits(slot))
    )


PUBLIC_HOLIDAYS = frozenset(holidays.country_holidays("DE", subdiv="SN", years=range(2017, 2031)))


@cache
def changes(zone: str) -> tuple[int, ...]:
    """The hours in which the zone's offset changes, 2018 to 2029."""
    tz = find(zone)
    found = []
    before = None
    for hour in range(at("2018-01-01") // 3600, at("2030-01-01") // 3600 + 1, 12):
        after = datetime.fromtimestamp(hour * 3600, tz).utcoffset()
        if before not in (None, after):
            found.append((hour - 12) * 3600)
        before = after
    return tuple(found)


@st.composite
def windows_of_a_day(draw: st.DrawFn) -> tuple[Window, ...]:
    """Half of the days one long window through the small hours, when the clocks change; the others anything."""
    if draw(st.booleans()):
        start = draw(st.integers(0, 36)) * 5
        return (Window(start, min(draw(st.integers(48, 330)) * 5, start + 1440)),)
    step = draw(st.sampled_from((5, 15, 30, 60)))
    edges: list[int] = draw(st.lists(st.integers(0, 1440 // step), min_size=2, max_size=6, unique=True))
    edges.sort()
    windows = [Window(start * step, end * step) for start, end in zip(edges[::2], edges[1::2], strict=False)]
    if windows and draw(st.integers(0, 3)) == 0:  # over midnight
        last = windows[-1]
        windows[-1] = Window(last.start, last.start + max(5, draw(st.integers(1, 1440 // 5)) * 5))
    return tuple(windows)


@dataclass(frozen=True)
class Question:
    """What `expand` is asked."""

    rules: Availability
    frm: int
    to: int
    busy: list[tuple[int, int]]
    now: int
    blocked: list[tuple[int, int]]
    joinable: list[tuple[int, int]]
    length: int | None

    def asked(self) -> tuple[Availability, int, int, list[tuple[int, int]], int]:
        return self.rules, self.frm, self.to, self.busy, self.now

    def besides(self) -> dict[str, Any]:
        return {"blocked": self.blocked, "joinable": self.joinable, "length": self.length}


@st.composite
def questions(draw: st.DrawFn) -> Question:
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
    for weekday in range(7):  # a night must not reach into the next day's first window
        if daily[weekday] and daily[(weekday + 1) % 7]:
            room = 1440 + daily[(weekday + 1) % 7][0].start
            last = daily[weekday][-1]
            daily[weekday] = (
                *daily[weekday][:-1],
                Window(last.start, min(last.end, max(room, last.start + 5))),
            )
    rarely = st.integers(0, 3).map(lambda n: n == 0)
    travel: tuple[Travel, ...] = ()
    if draw(rarely):
        first = draw(days)
        travel = (
            Travel(first, first + timedelta(days=draw(st.integers(0, 2))), draw(st.sampled_from(ZONES))),
        )
    absences: tuple[Absence, ...] = ()
    if draw(rarely):
        away = datetime.combine(draw(days), time()) + timedelta(minutes=draw(st.integers(0, 287)) * 5)
        absences = (Absence(away, away + timedelta(minutes=5 * draw(st.integers(1, 600))), ""),)
    few = st.sampled_from((None, None, None, 1, 2))
    many_minutes = st.sampled_from((None, None, None, 45, 90, 240))
    rules = Availability(
        zone,
        weekly=tuple((weekday, window) for weekday in range(7) for window in daily[weekday]),
        overrides=tuple(draw(st.dictionaries(days, windows_of_a_day(), max_size=2)).items()),
        slot_minutes=draw(st.sampled_from((5, 20, 25, 30, 45, 60, 90, 120, 480))),
        buffer_before_minutes=draw(st.sampled_from((0, 0, 5, 30))),
        buffer_after_minutes=draw(st.sampled_from((0, 0, 10, 45))),
        min_notice_minutes=draw(st.sampled_from((0, 0, 60, 1440))),
        booking_window_days=draw(st.sampled_from((1, 2, 30))),
        max_per_day=draw(few),
        lengths_minutes=(30,),
        start_increment_minutes=draw(st.sampled_from((None, None, 5, 15, 40))),
        max_minutes_per_day=draw(many_minutes),
        max_per_week=draw(few),
        max_minutes_per_week=draw(many_minutes),
        max_per_month=draw(few),
        max_minutes_per_month=draw(many_minutes),
        holidays=HolidayCalendar("DE", "SN") if draw(rarely) else None,
        travel=travel,
        absences=absences,
    )

    def spans(most: int) -> list[tuple[int, int]]:
        starts = st.lists(st.integers(frm // 300 - 288, to // 300 + 288), max_size=most)
        return [(start * 300, start * 300 + draw(st.integers(5, 180)) * 60) for start in draw(starts)]

    busy = spans(6)
    if rules.counts_beyond_the_day:  # weeks away, for the limits only
        busy += [
            (frm + n * DAY, frm + n * DAY + 3600) for n in draw(st.lists(st.integers(-32, 32), max_size=3))
        ]
    now = frm + draw(st.integers(-3 * DAY, DAY))
    length = draw(st.sampled_from((None, None, 30)))
    joinable: list[tuple[int, int]] = []
    if draw(rarely):  # a group session at a time that is offered
        offered = expand(rules, frm, to, [], now, length=length)
        joinable = [draw(st.sampled_from(offered))] if offered else []
    return Question(rules, frm, to, busy, now, spans(2) if draw(rarely) else [], joinable, length)


@settings(max_examples=2000 if settings.get_current_profile_name() == "long" else 150, deadline=None)
@given(questions())
def test_the_slots_are_those_of_the_oracle(question: Question) -> None:
    assert expand(*question.asked(), **question.besides()) == oracle(*question.asked(), **question.besides())


@settings(max_examples=60, deadline=None)
@given(questions(), st.integers(0, 40 * DAY))
def test_the_next_slot_is_the_first_of_all(question: Question, span: int) -> None:
    now = question.now
    every = expand(question.rules, now, now + span, question.busy, now, **question.besides())
    first = next_slot(question.rules, question.busy, now, now + span, **question.besides())
    assert first == (every[0] if every else None)


@settings(max_examples=60, deadline=None)
@given(questions())
def test_booking_a_slot_takes_only_it_and_what_is_too_near(question: Question) -> None:
    unlimited: dict[str, Any] = {name: None for name in NUMBERS if name.startswith("max_")}
    rules = replace(question.rules, **unlimited)
    _, frm, to, busy, now = question.asked()
    slots = expand(rules, frm, to, busy, now)
    if not slots:
        return
    taken = slots[len(slots) // 2]
    gap = 60 * max(rules.buffer_before_minutes, rules.buffer_after_minutes)
    left = expand(rules, frm, to, [*busy, taken], now)
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


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    rules = Availability("UTC", weekly=((3, Window(1320, 1560)),), booking_window_days=30)
    slots = expand(rules, at("2026-01-08T00:00"), at("2026-01-10T00:00"), [], NOW)
    assert starts(slots) == ["01-08 22:00", "01-08 23:00", "01-09 00:00", "01-09 01:00"]
    off = replace(rules, overrides=((date(2026, 1, 8), ()),))
    assert expand(off, at("2026-01-08T00:00"), at("2026-01-10T00:00"), [], NOW) == []


def test_several_lengths_start_at_the_increments() -> None:
    rules = Availability(
        "UTC", weekly=((3, Window(540, 660)),), lengths_minutes=(30,), start_increment_minutes=15
    )
    day = (at("2026-01-08T00:00"), at("2026-01-09T00:00"))
    hour = expand(rules, *day, [], NOW)
    assert starts(hour) == [f"01-08 {t}" for t in ("09:00", "09:15", "09:30", "09:45", "10:00")]
    assert starts(expand(rules, *day, [], NOW, length=30))[-1] == "01-08 10:30"


def test_a_public_holiday_is_a_day_off_but_an_override_is_stronger() -> None:
    """Repentance Day, 18 November 2026, is a holiday in Saxony and nowhere else."""
    rules = Availability(
        "Europe/Berlin",
        weekly=((2, Window(540, 600)),),
        holidays=HolidayCalendar("DE", "SN"),
        booking_window_days=365,
    )
    november = (at("2026-11-01T00:00"), at("2026-12-01T00:00"))
    assert starts(expand(rules, *november, [], NOW)) == ["11-04 08:00", "11-11 08:00", "11-25 08:00"]
    working = replace(rules, overrides=((date(2026, 11, 18), (Window(600, 660),)),))
    assert "11-18 09:00" in starts(expand(working, *november, [], NOW))
    elsewhere = replace(rules, holidays=HolidayCalendar("DE", "BY"))
    assert "11-18 08:00" in starts(expand(elsewhere, *november, [], NOW))


def test_on_a_journey_the_wall_clock_is_the_one_over_there() -> None:
    rules = Availability(
        "Europe/Berlin",
        weekly=tuple((day, Window(540, 600)) for day in range(7)),
        travel=(Travel(date(2026, 1, 7), date(2026, 1, 8), "Asia/Tokyo"),),
    )
    slots = expand(rules, at("2026-01-06T00:00"), at("2026-01-10T00:00"), [], NOW)
    assert starts(slots) == ["01-06 08:00", "01-07 00:00", "01-08 00:00", "01-09 08:00"]


def test_out_of_office_takes_what_it_touches_and_nothing_else() -> None:
    rules = Availability(
        "Europe/Berlin",
        weekly=tuple((day, Window(540, 720)) for day in range(7)),
        absences=(Absence(datetime(2026, 1, 7, 10, 30), datetime(2026, 1, 8, 10, 0), "dentist"),),
    )
    slots = expand(rules, at("2026-01-07T00:00"), at("2026-01-09T00:00"), [], NOW)
    assert walls(slots, "Europe/Berlin") == ["Wed 09:00", "Thu 10:00", "Thu 11:00"]


def test_weeks_and_months_are_full_by_number_and_by_minutes() -> None:
    rules = Availability(
        "UTC", weekly=tuple((day, Window(540, 660)) for day in range(7)), booking_window_days=60
    )
    busy = [(at("2026-01-07T12:00"), at("2026-01-07T13:30"))]  # a Wednesday
    span = (at("2026-01-05T00:00"), at("2026-02-02T00:00"))
    by_week = starts(expand(replace(rules, max_per_week=1), *span, busy, NOW))
    assert by_week[0] == "01-12 09:00" and len(by_week) == 2 * 21
    assert starts(expand(replace(rules, max_minutes_per_week=149), *span, busy, NOW)) == by_week
    assert len(expand(replace(rules, max_minutes_per_week=150), *span, busy, NOW)) == 2 * 28
    by_month = starts(expand(replace(rules, max_per_month=1), *span, busy, NOW))
    assert by_month == ["02-01 09:00", "02-01 10:00"]


def test_a_group_session_stays_open_as_it_is_and_is_busy_for_all_else() -> None:
    rules = Availability(
        "UTC", weekly=((3, Window(540, 720)),), start_increment_minutes=30, capacity=8, max_per_day=1
    )
    day = (at("2026-01-08T00:00"), at("2026-01-09T00:00"))
    group = (at("2026-01-08T10:00"), at("2026-01-08T11:00"))
    open_again = replace(rules, max_per_day=None)
    assert starts(expand(rules, *day, [], NOW, joinable=[group])) == ["01-08 10:00"]
    assert starts(expand(open_again, *day, [], NOW, joinable=[group])) == [
        f"01-08 {t}" for t in ("09:00", "10:00", "11:00")
    ]
    assert starts(expand(open_again, *day, [group], NOW)) == ["01-08 09:00", "01-08 11:00"]
