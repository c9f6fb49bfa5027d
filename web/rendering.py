"""Turns templates into pages: one Jinja2 environment, and how instants, tokens and people are written for a reader."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context as JinjaContext
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent / "templates"
_AVATAR_HUES = 8  # .hue-0 to .hue-7 in static/css/components.css
_REGIONS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a page is written. ``now`` is the instant of the request, so that one page tells one time."""

    zone: ZoneInfo
    now: datetime
    user: Any | None = None  # server.people.model.User, kept loose so that this module imports no slice
    csrf_token: str = ""
    demo: bool = False
    unread: int = 0  # messages in the inbox, counted up to 100
    restricted_until: datetime | None = None  # after missed sessions


def zone_or_utc(name: str | None) -> ZoneInfo:
    """The zone called ``name``, or UTC for one that does not exist."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=1)
def zone_choices() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """All zones a person may choose, grouped by region: ``(("Africa", ("Africa/Abidjan", ...)), ...)``."""
    names = sorted(available_timezones())
    groups = [(region, tuple(n for n in names if n.startswith(f"{region}/"))) for region in _REGIONS]
    return (*((region, zones) for region, zones in groups if zones), ("UTC", ("UTC",)))


def zone_abbreviation(at: datetime, zone: ZoneInfo) -> str:
    """``CET`` where tzdata has a name, ``UTC+05:30`` or ``UTC-3`` where it only has an offset."""
    local = at.astimezone(zone)
    name = local.tzname() or "UTC"
    if name[:1] not in "+-":
        return name
    minutes = int((local.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")


def wall_clock(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%H:%M")


def day_name(day: date, now: datetime, zone: ZoneInfo) -> str:
    """``Today``, ``Tomorrow``, ``Yesterday``, or ``Tue 24 Nov`` (with the year when it is not this one)."""
    today = now.astimezone(zone).date()
    match (day - today).days:
        case 0:
            return "Today"
        case 1:
            return "Tomorrow"
        case -1:
            return "Yesterday"
    text = f"{day:%a} {day.day} {day:%b}"
    return text if day.year == today.year else f"{text} {day.year}"


def long_day(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B} {day.year}"


def spoken_duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``1 h 30 min``, ``3 days``: two units at most, rounded to the smaller one."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    minutes = round(total / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{round(minutes / 1440)} days"


def spoken_distance(at: datetime, now: datetime) -> str:
    """``in 20 min``, ``3 days ago``, ``just now``."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 45:
        return "just now"
    spoken = spoken_duration(max(abs(seconds), 60))
    return f"in {spoken}" if seconds > 0 else f"{spoken} ago"


def tokens(amount: int) -> str:
    """``1 token``, ``1,200 tokens``."""
    return f"{amount:,} token{'' if abs(amount) == 1 else 's'}"


def initials(name: str) -> str:
    """One or two letters for an avatar: the first of the first and of the last word."""
    words = [word for word in name.split() if word[:1].isalnum()]
    if not words:
        return "?"
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def hue(identity: UUID | str) -> int:
    """A stable colour number of a person."""
    return zlib.crc32(str(identity).encode()) % _AVATAR_HUES


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reader(context: JinjaContext) -> Reader:
    reader = context["reader"]
    if not isinstance(reader, Reader):
        raise TypeError("templates are rendered with a Reader called `reader`")
    return reader


def _time_tag(at: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(rfc3339(at), text)


@pass_context
def instant(context: JinjaContext, at: datetime, zone: ZoneInfo | None = None) -> Markup:
    """``Tue 24 Nov, 14:00 CET`` in the reader's zone (or another), as a ``<time>`` element."""
    reader = _reader(context)
    place = zone or reader.zone
    day = day_name(at.astimezone(place).date(), reader.now, place)
    return _time_tag(at, f"{day}, {wall_clock(at, place)} {zone_abbreviation(at, place)}")


@pass_context
def when(context: JinjaContext, start: datetime, end: datetime, zone: ZoneInfo | None = None) -> Markup:
    """``Tue 24 Nov, 14:00–14:30 CET`` as ``<time>`` of the start."""
    reader = _reader(context)
    place = zone or reader.zone
    first, last = start.astimezone(place), end.astimezone(place)
    later = "" if first.date() == last.date() else f" ({last:%a})"
    day = day_name(first.date(), reader.now, place)
    clock = f"{wall_clock(start, place)}–{wall_clock(end, place)}{later} {zone_abbreviation(start, place)}"
    return _time_tag(start, f"{day}, {clock}")


@pass_context
def clock(context: JinjaContext, at: datetime, zone: ZoneInfo | None = None) -> Markup:
    """``14:00`` as ``<time>``; the page must show the zone nearby."""
    return _time_tag(at, wall_clock(at, zone or _reader(context).zone))


@pass_context
def day(context: JinjaContext, at: datetime) -> Markup:
    """``Tue 24 Nov`` as ``<time>``."""
    reader = _reader(context)
    return _time_tag(at, day_name(at.astimezone(reader.zone).date(), reader.now, reader.zone))


@pass_context
def month(context: JinjaContext, at: datetime) -> Markup:
    """``March 2026`` as ``<time>``."""
    local = at.astimezone(_reader(context).zone)
    return Markup('<time datetime="{}">{}</time>').format(f"{local:%Y-%m}", f"{local:%B %Y}")


@pass_context
def distance(context: JinjaContext, at: datetime) -> Markup:
    """``in 20 min`` as ``<time>``."""
    return _time_tag(at, spoken_distance(at, _reader(context).now))


@pass_context
def zone_label(context: JinjaContext, zone: ZoneInfo | None = None) -> str:
    """``Europe/Berlin (CET)``: what a page says once about its times."""
    reader = _reader(context)
    place = zone or reader.zone
    short = zone_abbreviation(reader.now, place)
    city = place.key.replace("_", " ")
    return city if city == short else f"{city} ({short})"


def paragraphs(text: str) -> Markup:
    """Plain text as ``<p>`` elements, single line breaks kept."""
    blocks = [block.strip() for block in text.replace("\r\n", "\n").split("\n\n")]
    return Markup("").join(
        Markup("<p>{}</p>").format(Markup("<br>").join(escape(line) for line in block.split("\n")))
        for block in blocks
        if block
    )


@lru_cache(maxsize=2)
def make_environment(asset: Callable[[str], str], templates: Path = TEMPLATES) -> Environment:
    """The environment of all pages. ``asset`` gives the address of a file below static/.

    Everything is escaped and an unknown name is an error, not an empty string. Kept, because each template is compiled
    at its first use, for some 20 ms: applications with the same files share them.
    """
    env = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "instant": instant, "when": when, "clock": clock, "day": day, "distance": distance, "rfc3339": rfc3339,
        "zone_label": zone_label, "duration": spoken_duration, "tokens": tokens, "initials": initials, "hue": hue,
        "paragraphs": paragraphs, "wall": wall_clock, "long_day": long_day, "month": month,
    }  # fmt: skip
    env.globals |= {"asset": asset, "zone_choices": zone_choices, "zone_or_utc": zone_or_utc}
    return env
