"""Numbers and their codes, quiet hours and choices: what may be said of them, every fault at once; pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from uuid import UUID

from server.base.errors import Conflict, FieldError, TooMany
from server.integrations.channel import Dials, Traits
from server.notifications.kinds import KINDS
from server.notifications.model import Kind
from server.notifications.reach import Quiet, fixed, goes_unverified, wanted
from server.people.model import Role

CODE_LIFE: Final = timedelta(minutes=10)
MAX_TRIES: Final = 5  # of one code: a guesser hits with 1 in 200,000
RESEND_AFTER: Final = timedelta(seconds=60)  # an SMS takes up to half a minute
DAY: Final = timedelta(hours=24)
CODES_PER_DAY: Final = 10  # for one person: with 5 tries each, a guesser hits once in 55 years
NUMBERS_PER_DAY: Final = 5  # for one person
CODES_TO_NUMBER: Final = 5  # a day, whoever asks: nobody's telephone is to be made to ring by strangers
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")  # ITU-T E.164: at most 15 digits
_SPACING: Final = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")
_CODE: Final = re.compile(r"[0-9]{6}")
_WALL: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Number:
    """A number or device of a person. ``code_sent_at`` and ``tries`` are of the code that was sent there last."""

    id: UUID
    user_id: UUID
    channel: str
    address: str
    label: str
    created_at: datetime
    verified_at: datetime | None
    code_hash: bytes | None = None
    code_sent_at: datetime | None = None
    tries: int = 0

    @property
    def code_expires_at(self) -> datetime | None:
        return self.code_sent_at + CODE_LIFE if self.code_sent_at is not None else None

    @property
    def resend_at(self) -> datetime | None:
        return self.code_sent_at + RESEND_AFTER if self.code_sent_at is not None else None


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code that has left in the last 24 hours."""

    user_id: UUID
    channel: str
    address: str
    sent_at: datetime


def normal_number(text: str) -> str | None:
    """``+491701234567`` for ``0049 (170) 123-4567``; None for what is no E.164 number."""
    bare = _SPACING.sub("", text.strip())
    bare = "+" + bare[2:] if bare.startswith("00") else bare
    return bare if _E164.fullmatch(bare) else None


def number_faults(channel: str, address: str, numbered: Collection[str]) -> list[FieldError]:
    """Everything that is wrong with a number somebody gave. ``numbered`` are the channels that take one."""
    faults = []
    if channel not in numbered:
        choices = " or ".join(sorted(numbered)) or "none is set up here"
        faults.append(FieldError("channel", "unknown_channel", f"Choose a channel: {choices}."))
    if normal_number(address) is None:
        message = "Write the number with its country, like +49 170 1234567."
        faults.append(FieldError("address", "bad_number", message))
    return faults


def check_sending(now: datetime, user_id: UUID, channel: str, address: str, sent: Sequence[SentCode]) -> None:
    """May a code leave now? ``sent`` are the last 24 hours': this person's, and everybody's to this number.

    Raises ``TooMany``: ``code_too_soon``, ``too_many_codes`` or ``too_many_numbers``.
    """
    mine = [it for it in sent if it.user_id == user_id]
    there = [it for it in sent if (it.channel, it.address) == (channel, address)]
    if again := [it.sent_at for it in mine if it in there and it.sent_at + RESEND_AFTER > now]:
        wait = _seconds(max(again) + RESEND_AFTER - now)
        raise TooMany("code_too_soon", f"A code is on its way. Another one in {wait} s.", retry_after=wait)
    if len(mine) >= CODES_PER_DAY or len(there) >= CODES_TO_NUMBER:
        full = mine if len(mine) >= CODES_PER_DAY else there
        wait = _seconds(min(it.sent_at for it in full) + DAY - now)
        raise TooMany("too_many_codes", "Enough codes for today. Try again tomorrow.", retry_after=wait)
    if len({it.address for it in mine} | {address}) > NUMBERS_PER_DAY:
        wait = _seconds(min(it.sent_at for it in mine) + DAY - now)
        raise TooMany("too_many_numbers", "Enough numbers for today. Try again tomorrow.", retry_after=wait)


def _seconds(left: timedelta) -> int:
    return max(1, int(left.total_seconds() + 0.999))


def code_hash(secret: str, number_id: UUID, code: str) -> bytes:
    """A million codes are hashed in a second: without the key, the hash would be the code."""
    return hmac.digest(secret.encode(), b"visavis code " + number_id.bytes + code.encode(), hashlib.sha256)


def check_code(secret: str, number: Number, code: str, now: datetime) -> bool:
    """Whether it is the code. Raises ``Conflict``: ``code_missing``, ``code_expired`` or ``code_used_up``."""
    if number.code_hash is None or number.code_expires_at is None:
        raise Conflict("code_missing", "Ask for a code first.")
    if now >= number.code_expires_at:
        raise Conflict("code_expired", "The code has run out. Ask for a new one.")
    if number.tries >= MAX_TRIES:
        raise Conflict("code_used_up", "Too many wrong codes. Ask for a new one.")
    typed = "".join(code.split())
    return _CODE.fullmatch(typed) is not None and hmac.compare_digest(
        code_hash(secret, number.id, typed), number.code_hash
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """``on`` None goes back to the default."""

    kind: str
    channel: str
    on: bool | None


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody wants otherwise. None leaves the language; ``quiet`` is only looked at with ``sets_quiet``."""

    language: str | None = None
    sets_quiet: bool = False
    quiet: tuple[str, str] | None = None
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """Whether one kind goes by one channel. What is ``fixed`` cannot be switched off."""

    channel: str
    on: bool
    default: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A kind with a cell for each channel. Without ``before_verified`` its mail waits for a verified address."""

    kind: Kind
    title: str
    before_verified: bool
    cells: tuple[Cell, ...]


def matrix(
    role: Role,
    channels: Sequence[tuple[str, Traits]],
    choices: Mapping[tuple[str, str], bool],
    team: bool = False,
) -> tuple[Line, ...]:
    """What a person of this role is told, and where, in the order of the kinds. With a ``team`` that has a channel of
    its own, nobody is told by name what is for whoever runs the place."""
    return tuple(
        Line(
            kind,
            about.title,
            goes_unverified(kind),
            tuple(
                Cell(name, wanted(kind, name, traits, choices), wanted(kind, name, traits, {}), fixed(kind, name))
                for name, traits in channels
            ),
        )
        for kind, about in KINDS.items()
        if role.value in about.roles and not (team and about.team)
    )  # fmt: skip


def wall(text: str) -> time | None:
    """``22:30`` as a time of day."""
    found = _WALL.fullmatch(text.strip())
    return time(int(found[1]), int(found[2])) if found else None


def quiet_of(quiet: tuple[str, str] | None) -> Quiet | None:
    """The quiet hours of a change without faults."""
    start, end = (wall(text) for text in quiet) if quiet is not None else (None, None)
    return Quiet(start, end) if start is not None and end is not None else None


def change_faults(change: Change, lines: Sequence[Line], languages: Collection[str]) -> list[FieldError]:
    """Everything that is wrong with a change, at once."""
    faults: list[FieldError] = []
    if change.language is not None and change.language not in languages:
        known = ", ".join(languages)
        faults.append(FieldError("language", "unknown_language", f"Choose one of {known}."))
    if change.sets_quiet and change.quiet is not None:
        times = [wall(text) for text in change.quiet]
        for name, at in zip(("start", "end"), times, strict=True):
            if at is None:
                faults.append(FieldError(f"quiet_hours.{name}", "bad_time", "Write a time like 22:00."))
        if None not in times and times[0] == times[1]:
            message = "Quiet hours need an end that is not their start."
            faults.append(FieldError("quiet_hours.end", "empty_span", message))
    cells = {(line.kind.value, cell.channel): cell for line in lines for cell in line.cells}
    seen: set[tuple[str, str]] = set()
    for index, choice in enumerate(change.choices):
        key, field = (choice.kind, choice.channel), f"choices.{index}"
        if choice.kind not in {kind for kind, _ in cells}:
            faults.append(FieldError(f"{field}.kind", "unknown_kind", "You are told no such thing."))
        elif key not in cells:
            faults.append(FieldError(f"{field}.channel", "unknown_channel", "There is no such channel here."))
        elif cells[key].fixed and choice.on is False:
            message = "This mail is about money, access or an agreed time. It cannot be switched off."
            faults.append(FieldError(f"{field}.wanted", "kind_fixed", message))
        elif key in seen:
            faults.append(FieldError(field, "twice", "This was chosen twice."))
        seen.add(key)
    return faults


def numbered(channels: Sequence[tuple[str, Traits]]) -> tuple[str, ...]:
    """The channels that take a number."""
    return tuple(name for name, traits in channels if traits.dials is Dials.NUMBER)
