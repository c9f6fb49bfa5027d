"""Message texts: Jinja2 files by kind, role, channel and language, times told in the reader's zone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined

from server.integrations.channel import Form
from server.notifications.model import EMAIL
from server.notifications.reach import LANGUAGE
from server.notifications.tongues import tongue_of

TEMPLATES = Path(__file__).parent / "templates"


# Plain text: nothing to escape, and a missing value is a fault of ours that must not reach a reader.
_env = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,  # else each of a minute's twenty thousand texts looks whether its file has changed
)


@dataclass(frozen=True, slots=True)
class Text:
    subject: str
    body: str


def day_of(instant: datetime, zone: ZoneInfo, language: str = LANGUAGE) -> str:
    """``Thursday, 26 November 2026`` in the zone; not left to the process's locale."""
    local, tongue = instant.astimezone(zone), tongue_of(language)
    return tongue.day.format(
        weekday=tongue.weekdays[local.weekday()],
        day=local.day,
        month=tongue.months[local.month - 1],
        year=local.year,
    )


def clock_of(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%H:%M}"


def zone_name(instant: datetime, zone: ZoneInfo) -> str:
    """``Asia/Kolkata, UTC+05:30``: the name and the offset that holds at the instant."""
    offset = f"{instant.astimezone(zone):%z}"
    return f"{zone.key}, UTC{offset[:3]}:{offset[3:5]}"


def span_of(start: datetime, zone: ZoneInfo, end: datetime, language: str = LANGUAGE) -> str:
    """``Thursday, 26 November 2026, 23:30 to 00:30 (Asia/Kolkata, UTC+05:30)``."""
    return tongue_of(language).span.format(
        day=day_of(start, zone, language),
        start=clock_of(start, zone),
        end=clock_of(end, zone),
        zone=zone_name(start, zone),
    )


def candidates(template: str, role: str, channel: str, form: Form, language: str) -> list[str]:
    """The files that would do, best first: the channel's own before its form's before the mail's, and the reader's
    language before English. Files of another language lie in a folder of its name."""
    stems = [f"{template}.{role}.{channel}.txt"]
    if form is Form.SHORT:
        stems.append(f"{template}.{role}.{Form.SHORT}.txt")
    stems.append(f"{template}.{role}.txt")
    folders = [""] if language == LANGUAGE else [f"{language}/", ""]
    return [folder + stem for stem in stems for folder in folders]


@lru_cache(maxsize=2048)  # all there are; without it each text asks the disk for files it has not got
def _best(template: str, role: str, channel: str, form: Form, language: str) -> str:
    """The first of `candidates` that exists. Raises ``jinja2.TemplateNotFound``."""
    file = _env.select_template(candidates(template, role, channel, form, language))
    assert file.name is not None  # noqa: S101 - it was found by its name
    return file.name


def language_of(file: str) -> str:
    """The language a file is written in: its folder. Days and words are told in it, whatever its reader asked for."""
    folder, _, name = file.rpartition("/")
    return folder if name and folder else LANGUAGE


def _told(say: Callable[..., str]) -> Callable[..., str]:
    """``say``, or the name of a value that a preview has not got."""

    def told(*values: Any) -> str:
        missing = [str(it) for it in values if isinstance(it, Undefined)]
        return " ".join(missing) or say(*values)

    return told


def render(
    template: str,
    role: str,
    zone: ZoneInfo,
    values: Mapping[str, Any],
    *,
    channel: str = EMAIL,
    form: Form = Form.LONG,
    language: str = LANGUAGE,
    link: str = "",
    missing: type[Undefined] = StrictUndefined,
) -> Text:
    """Fill the best of `candidates`; its first line is ``Subject: ...``, then an empty line, then the body.

    In the file, ``span(start, end)``, ``day(x)``, ``clock(x)`` and ``zone(x)`` tell instants in the reader's zone,
    ``answer_of(x)`` and ``outcome_of(x)`` tell answers and outcomes in words of the file's language, and
    ``ours(x)`` is a person's text as it is, and our own in that language.
    Where a short form has no file of its own, it is the mail's subject, which says what has happened, and the ``link``.

    ``missing`` says what becomes of a value that is not there: a preview shows its name.

    Raises ``jinja2.UndefinedError`` for a missing value, ``jinja2.TemplateNotFound``, and ``ValueError`` for a file
    without a subject.
    """
    env = _env if missing is StrictUndefined else _env.overlay(undefined=missing)
    name = _best(template, role, channel, form, language)
    file, told = env.get_template(name), language_of(name)
    tongue = tongue_of(told)
    filled = file.render(
        **values,
        link=link,
        span=_told(lambda start, end: span_of(start, zone, end, told)),
        day=_told(partial(day_of, zone=zone, language=told)),
        clock=_told(partial(clock_of, zone=zone)),
        zone=_told(partial(zone_name, zone=zone)),
        answer_of=_told(tongue.answers.__getitem__),
        outcome_of=_told(tongue.outcomes.__getitem__),
        ours=_told(lambda text: tongue.ours.get(text, text)),
    )
    head, _, body = filled.partition("\n")
    if not head.startswith("Subject: "):
        raise ValueError(f"{name} does not begin with a subject")
    if form is Form.SHORT and name.endswith(f"{template}.{role}.txt"):
        body = link
    # A name or topic cannot smuggle a line into the subject: only the first line is it, and it has one.
    return Text(subject=" ".join(head.removeprefix("Subject: ").split()), body=body.strip() + "\n")
