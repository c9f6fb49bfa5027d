"""Message texts: one Jinja2 file per kind and role, times told in the reader's zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

# Plain text: nothing to escape, and a missing value is a fault of ours that must not reach a reader.
_env = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class Text:
    subject: str
    body: str


def day_of(instant: datetime, zone: ZoneInfo) -> str:
    """``Thursday, 26 November 2026`` in the zone; not left to the process's locale."""
    local = instant.astimezone(zone)
    return f"{_WEEKDAYS[local.weekday()]}, {local.day} {_MONTHS[local.month - 1]} {local.year}"


def clock_of(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%H:%M}"


def zone_name(instant: datetime, zone: ZoneInfo) -> str:
    """``Asia/Kolkata, UTC+05:30``: the name and the offset that holds at the instant."""
    offset = f"{instant.astimezone(zone):%z}"
    return f"{zone.key}, UTC{offset[:3]}:{offset[3:5]}"


def span_of(start: datetime, zone: ZoneInfo, end: datetime) -> str:
    """``Thursday, 26 November 2026, 23:30 to 00:30 (Asia/Kolkata, UTC+05:30)``."""
    return (
        f"{day_of(start, zone)}, {clock_of(start, zone)} to {clock_of(end, zone)} ({zone_name(start, zone)})"
    )


def render(template: str, role: str, zone: ZoneInfo, values: Mapping[str, Any]) -> Text:
    """Fill ``<template>.<role>.txt``; its first line is ``Subject: ...``, then an empty line, then the body.

    In the file, ``span(start, end)``, ``day(x)`` and ``clock(x)`` tell instants in the reader's zone.
    Raises ``jinja2.UndefinedError`` for a missing value and ``ValueError`` for a file without a subject.
    """
    filled = _env.get_template(f"{template}.{role}.txt").render(
        **values,
        span=lambda start, end: span_of(start, zone, end),
        day=partial(day_of, zone=zone),
        clock=partial(clock_of, zone=zone),
    )
    head, _, body = filled.partition("\n")
    if not head.startswith("Subject: "):
        raise ValueError(f"{template}.{role}.txt does not begin with a subject")
    # A name or topic cannot smuggle a line into the subject: only the first line is it, and it has one.
    return Text(subject=" ".join(head.removeprefix("Subject: ").split()), body=body.strip() + "\n")
