"""What the API reads and writes about a mentor's opening hours; the rules themselves are the domain's."""

from __future__ import annotations

import datetime
from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, Query, Text

_TIME = Field(examples=["09:00"], description="Wall time, 00:00 to 24:00.")


class WindowModel(In):
    start: Text = _TIME
    end: Text = _TIME
    ends_next_day: bool = Field(
        False,
        exclude_if=lambda said: not said,
        description="The end is meant on the day after: 22:00 to 02:00.",
    )


class WeeklyModel(In):
    weekday: int = Field(strict=True, description="0 (Monday) to 6.")
    start: Text = _TIME
    end: Text = _TIME
    ends_next_day: bool = Field(
        False,
        exclude_if=lambda said: not said,
        description="The end is meant on the day after: 22:00 to 02:00.",
    )


class OverrideModel(In):
    date: Text = Field(examples=["2026-12-24"])
    windows: list[WindowModel] = Field(description="Instead of the weekly ones; empty is a day off.")


class HolidaysModel(In):
    country: Text = Field(examples=["DE"], description="ISO 3166-1, two letters.")
    subdivision: Text | None = Field(None, examples=["BY"], description="ISO 3166-2, where it matters.")


class TravelModel(In):
    """Dates, both included, on which the hours are meant in another zone."""

    from_: Text = Field(alias="from", examples=["2026-12-01"])
    to: Text = Field(examples=["2026-12-05"])
    timezone: Text = Field(examples=["Asia/Tokyo"])


class AbsenceModel(In):
    """Out of office, in wall time of the mentor's own zone. What is booked stays booked."""

    start: Text = Field(examples=["2026-12-24T12:00"])
    end: Text = Field(examples=["2027-01-02T00:00"])
    reason: Text = ""


class AvailabilityModel(In):
    """Opening hours in wall time of ``timezone``."""

    timezone: Text = Field(examples=["Europe/Berlin"])
    weekly: list[WeeklyModel] = Field(default_factory=list)
    overrides: list[OverrideModel] = Field(default_factory=list)
    slot_minutes: int = Field(60, strict=True)
    buffer_before_minutes: int = Field(0, strict=True)
    buffer_after_minutes: int = Field(0, strict=True)
    min_notice_minutes: int = Field(0, strict=True)
    booking_window_days: int = Field(60, strict=True)
    max_per_day: int | None = Field(None, strict=True)
    lengths_minutes: list[int] = Field(
        default_factory=list, description="Session lengths besides slot_minutes."
    )
    start_increment_minutes: int | None = Field(
        None, strict=True, description="Sessions start so far apart; null: one session length."
    )
    max_minutes_per_day: int | None = Field(None, strict=True)
    max_per_week: int | None = Field(None, strict=True, description="ISO weeks, in the mentor's zone.")
    max_minutes_per_week: int | None = Field(None, strict=True)
    max_per_month: int | None = Field(None, strict=True)
    max_minutes_per_month: int | None = Field(None, strict=True)
    capacity: int = Field(1, strict=True, description="Seats of a session; more than one is a group session.")
    holidays: HolidaysModel | None = Field(None, description="Whose public holidays are days off.")
    travel: list[TravelModel] = Field(default_factory=list)
    absences: list[AbsenceModel] = Field(default_factory=list)


class CollisionOut(Out):
    """A booking that the mentor's rules or calendars speak against; it stands until somebody changes that."""

    booking_id: UUID
    start: Instant
    end: Instant
    why: str


class SavedAvailability(AvailabilityModel):
    """The rules as saved, and what of the mentor's coming bookings collides with them, at most a hundred or so."""

    collisions: list[CollisionOut]


class PreviewIn(In):
    """Rules that are not saved, and a question as for slots."""

    rules: AvailabilityModel
    from_: Text | None = Field(None, alias="from", description="An instant, or a date in `tz`. Default: now.")
    to: Text | None = Field(
        None, description="An instant, or a date in `tz` (that day included). Default: 14 days later."
    )
    tz: Text = Field("UTC", description="IANA zone in which dates are meant.")
    length: int | None = Field(None, description="Minutes. Default: the usual length.")


class HolidaysQuery(Query):
    year: int = Field(ge=1970, le=2100)
    subdivision: Text | None = Field(None, examples=["BY"])


class HolidayOut(Out):
    date: datetime.date
    name: str


class PartOut(Out):
    code: str
    name: str


class CalendarOut(Out):
    """The public holidays of a year, and the parts of the country that have holidays of their own."""

    days: list[HolidayOut]
    subdivisions: list[PartOut]
