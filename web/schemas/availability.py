"""What the API reads and writes about a mentor's opening hours; the rules themselves are the domain's."""

from __future__ import annotations

from pydantic import Field

from web.schemas.base import In, Text

_TIME = Field(examples=["09:00"], description="Wall time, 00:00 to 24:00.")


class WindowModel(In):
    start: Text = _TIME
    end: Text = _TIME


class WeeklyModel(In):
    weekday: int = Field(strict=True, description="0 (Monday) to 6.")
    start: Text = _TIME
    end: Text = _TIME


class OverrideModel(In):
    date: Text = Field(examples=["2026-12-24"])
    windows: list[WindowModel] = Field(description="Instead of the weekly ones; empty is a day off.")


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
