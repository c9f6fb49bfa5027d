"""Message texts before anybody gets them: which file serves whom, filled with sample values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from jinja2 import ChainableUndefined, TemplateNotFound

from server.base.errors import NotFound
from server.integrations.channel import Dials, Form
from server.integrations.channels import REGISTRY, Registry
from server.integrations.segments import Segments, segments
from server.notifications import texts
from server.notifications.kinds import KINDS, NAMED
from server.notifications.model import Attendee, Kind
from server.notifications.preferences import signed_off
from server.notifications.reach import LANGUAGE
from server.notifications.texts import TEMPLATES, Text, candidates
from server.notifications.tongues import TONGUES
from server.settings import Settings

OPS: Final = "ops"


class Missing(ChainableUndefined):
    """A value that the samples do not have, seen as its name: a preview shows the text all the same."""

    def __str__(self) -> str:
        return f"‹{self._undefined_name}›"


@dataclass(frozen=True, slots=True)
class Entry:
    """One text: what it is about, for whom, and by channel and language the file that serves it."""

    template: str
    kind: Kind
    title: str
    role: str
    files: Mapping[tuple[str, str], str]  # (channel, language) -> file

    def own(self, channel: str, language: str) -> bool:
        """Whether the file is of this very language, and of this channel or its form."""
        file = self.files[channel, language]
        folder, _, name = file.rpartition("/")
        short = REGISTRY[channel].TRAITS.form is Form.SHORT
        return (folder or LANGUAGE) == language and (name.count(".") == 3 or not short)


@dataclass(frozen=True, slots=True)
class Preview:
    """A filled text; ``segments`` where the channel counts them, ``characters`` of subject and body."""

    entry: Entry
    channel: str
    language: str
    zone: ZoneInfo
    file: str
    form: Form
    text: Text
    characters: int
    segments: Segments | None


def kind_of(template: str) -> Kind:
    """The kind a template is of: by `NAMED`, else the longest that its name begins with (``reminder_4_hours`` is a
    ``reminder``). Raises ``ValueError`` for one of no kind."""
    if template in NAMED:
        return NAMED[template][0]
    fits = [kind for kind in Kind if template == kind or template.startswith(f"{kind}_")]
    return max(fits, key=len)


@cache
def _names() -> frozenset[tuple[str, str]]:
    """(template, role) of every text; files do not come and go while we run."""
    parts = (path.name.split(".") for path in TEMPLATES.glob("*.txt"))
    return frozenset((template, role) for template, role, *_ in parts)


def catalogue(registry: Registry = REGISTRY) -> list[Entry]:
    """Every text there is, in the order of the kinds."""
    order = list(KINDS)
    found = [_entry(template, role, registry) for template, role in sorted(_names())]
    return sorted(found, key=lambda it: (order.index(it.kind), it.template in NAMED, it.template, it.role))


def _entry(template: str, role: str, registry: Registry) -> Entry:
    kind = kind_of(template)
    title = NAMED[template][1] if template in NAMED else KINDS[kind].title
    return Entry(template, kind, title, role, dict(_files(template, role, registry)))


def _files(template: str, role: str, registry: Registry) -> Iterator[tuple[tuple[str, str], str]]:
    for channel, module in registry.items():
        if (module.TRAITS.dials is Dials.TEAM) is not (role == OPS):
            continue
        for language in TONGUES:
            for file in candidates(template, role, channel, module.TRAITS.form, language):
                if (TEMPLATES / file).is_file():
                    yield (channel, language), file
                    break


def entry_of(template: str, role: str, channel: str, language: str) -> Entry:
    """Raises ``NotFound("template_not_found")``."""
    if (template, role) in _names():
        entry = _entry(template, role, REGISTRY)
        if (channel, language) in entry.files:
            return entry
    raise NotFound("template_not_found", "There is no such text.")


def preview(
    settings: Settings,
    template: str,
    role: str,
    channel: str,
    language: str,
    zone: ZoneInfo,
    now: datetime,
    registry: Registry = REGISTRY,
) -> Preview:
    """A text as its reader would get it, with sample values. Raises ``NotFound("template_not_found")``."""
    entry = entry_of(template, role, channel, language)
    form = registry[channel].TRAITS.form
    link = f"{settings.public_url}/sessions/{SAMPLE_ID}"
    values = samples(settings, now, role)
    try:
        text = texts.render(
            template, role, zone, values, channel=channel, form=form, language=language, link=link, missing=Missing
        )  # fmt: skip
    except TemplateNotFound:
        raise NotFound("template_not_found", "There is no such text.") from None
    if form is Form.LONG:
        text = Text(text.subject, signed_off(settings, text.body, language))
    sent = f"{text.subject}\n{text.body}".strip()
    counted = segments(sent) if channel == "sms" else None
    return Preview(
        entry, channel, language, zone, entry.files[channel, language], form, text, len(sent), counted
    )


SAMPLE_ID: Final = UUID("0192f0c1-7c3a-7000-8000-000000000001")


def samples(settings: Settings, now: datetime, role: str) -> dict[str, Any]:
    """One story for all texts: a session tomorrow, long enough a name to show where lines break."""
    base = settings.public_url
    start = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=26)
    end = start + timedelta(minutes=45)
    session, booking = f"{base}/sessions/{SAMPLE_ID}", f"{base}/bookings/{SAMPLE_ID}"
    return {
        "name": "Asha Ramanathan" if role == "mentor" else "Jonas Weber",
        "role": "mentee",
        "mentor": Attendee("Asha Ramanathan", "asha@example.org"),
        "mentee": Attendee("Jonas Weber", "jonas@example.org"),
        "start": start,
        "end": end,
        "proposed_start": start + timedelta(days=1),
        "proposed_end": end + timedelta(days=1),
        "answer_by": start - timedelta(hours=4),
        "until": start + timedelta(days=14),
        "topic": "Preparing an interview",
        "note": "I have two offers and cannot decide.",
        "reason": "Something came up.",
        "price_tokens": 30,
        "paid": 30,
        "released": 0,
        "earning": 24,
        "fee": 6,
        "total_tokens": 240,
        "session_count": 10,
        "confirmed": True,
        "answered": True,
        "waiting": True,
        "number": 2,
        "limit": 3,
        "within_days": 30,
        "lasts_days": 14,
        "label": f"{now:%Y-%m}",
        "period_start": now - timedelta(days=30),
        "period_end": now,
        "url": session,
        "booking_url": booking,
        "mentor_url": f"{base}/mentors/{SAMPLE_ID}",
        "mentors_url": f"{base}/mentors",
        "links": {
            name: f"{base}/links/sample-{name}" for name in ("approve", "reject", "confirm", "cancel", "move")
        },
        "rebook_url": f"{base}/links/sample-rebook",
        "testimonial_url": f"{base}/testimonials/sample",
        "slots": [
            {
                "start": start + timedelta(days=n),
                "end": end + timedelta(days=n),
                "url": f"{base}/links/sample-{n}",
            }
            for n in (1, 2)
        ],
        "words": "We have read what you wrote.",
        "standing_url": f"{base}/standing",
        "service": "Google",
        "account": "jonas@example.org",
        "code": "042195",
        "minutes": 10,
        "days": 7,
        "email": "jonas@example.org",
        "old_email": "jonas@example.net",
        "verify_url": f"{base}/address/sample",
        "settings_url": f"{base}/settings",
        "confirm": {name: f"{base}/confirm/sample-{name}" for name in ("yes", "no", "move")},
        "said": "yes",
        "other": "Jonas Weber" if role == "mentor" else "Asha Ramanathan",
        "late": False,
        "standing": "yes",
        "refusal": "",
        "detail": "",
        "named": [],
        "move_link": f"{base}/links/sample-move",
        "silent": [{"name": "Jonas Weber", "role": "mentee"}],
        "who": {"name": "Jonas Weber", "role": "mentee"},
        "writer": "Jonas Weber",
        "answer": "yes",
        "previous": "",
        "since": "",
        "address": "+491512345678",
        "mentees": 12,
        "booked": 40,
        "held": 36,
        "missed": 2,
        "before": "mentee_no_show",
        "outcome": "completed",
        "amended_reason": "He was at the door, and our page let nobody in.",
        "review_note": "Both of you were seen for an hour.",
    }
