"""People, what they may say about themselves, and every fault of it at once; pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from email_validator import EmailNotValidError, validate_email

from server.base.errors import FieldError
from server.people.zones import find_zone

MIN_PASSWORD, MAX_PASSWORD = (
    10,
    200,
)  # characters; NIST SP 800-63B asks for at least 8 and for room for passphrases
MAX_NAME = 100
MAX_HEADLINE = 150
MAX_BIO = 5000
MAX_TAGS = 20  # topics, and languages
MAX_TAG = 50  # characters of one topic
MAX_PRICE = 100_000  # tokens
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")  # the shape of an RFC 5646 tag, in lower case


class Role(StrEnum):
    MENTEE = "mentee"
    MENTOR = "mentor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """A person with an account; ``timezone`` is an IANA name."""

    id: UUID
    email: str
    name: str
    role: Role
    timezone: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MentorProfile:
    """What the directory shows of a mentor; the price is in tokens for one session."""

    user_id: UUID
    name: str
    timezone: str
    headline: str
    bio: str
    topics: tuple[str, ...]
    languages: tuple[str, ...]  # RFC 5646 tags in lower case
    price_tokens: int
    published: bool


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, as proved by a token or a login."""

    user_id: UUID
    role: Role


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a program signs in with; ``expires_in`` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """The fields of a person to change; None leaves one as it is. All but the first two are for mentors."""

    name: str | None = None
    timezone: str | None = None
    headline: str | None = None
    bio: str | None = None
    topics: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None
    price_tokens: int | None = None

    MENTOR_FIELDS = ("headline", "bio", "topics", "languages", "price_tokens")

    @property
    def touches_profile(self) -> bool:
        return any(getattr(self, field) is not None for field in self.MENTOR_FIELDS)


def normal_email(email: str) -> str | None:
    """The address in its one normal form (no DNS is asked), or None if it is none."""
    try:
        # Demo addresses end in .test, which RFC 2606 keeps for exactly that.
        checked = validate_email(email.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return checked.normalized


def text_faults(
    field: str, text: str, *, longest: int, needed: bool = False, lines: bool = False
) -> list[FieldError]:
    """What is wrong with a text that people wrote. ``lines`` allows line breaks and tabs.

    Control characters are refused: they have no place in names, would break mail headers, and PostgreSQL takes no NUL
    and no half surrogate pairs.
    """
    if needed and not text.strip():
        return [FieldError(field, "required", "Fill this in.")]
    if len(text) > longest:
        return [FieldError(field, "too_long", f"At most {longest} characters.")]
    allowed = "\n\r\t" if lines else ""
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in allowed for c in text):
        return [FieldError(field, "bad_characters", "There are characters in it that cannot be shown.")]
    return []


def zone_faults(field: str, name: str) -> list[FieldError]:
    """What is wrong with the name of a time zone."""
    if find_zone(name) is None:
        return [FieldError(field, "unknown_timezone", "Name an IANA time zone such as Europe/Berlin.")]
    return []


def registration_faults(email: str, password: str, name: str, role: str, timezone: str) -> list[FieldError]:
    """Everything that is wrong with a registration, at once."""
    faults: list[FieldError] = []
    if normal_email(email) is None:
        faults.append(FieldError("email", "bad_email", "This is not an email address."))
    faults += password_faults(password)
    faults += text_faults("name", name, longest=MAX_NAME, needed=True)
    if role not in (Role.MENTEE, Role.MENTOR):
        faults.append(FieldError("role", "bad_role", "Choose mentee or mentor."))
    return faults + zone_faults("timezone", timezone)


def password_faults(password: str) -> list[FieldError]:
    """Length is all that is asked of a password; half a surrogate pair cannot be typed or hashed."""
    if len(password) < MIN_PASSWORD:
        return [FieldError("password", "too_short", f"Use at least {MIN_PASSWORD} characters.")]
    if len(password) > MAX_PASSWORD:
        return [FieldError("password", "too_long", f"Use at most {MAX_PASSWORD} characters.")]
    if not _encodable(password):
        return [FieldError("password", "bad_characters", "There are characters in it that cannot be typed.")]
    return []


def _encodable(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


def tidy(change: ProfileChange) -> ProfileChange:
    """The change without stray spaces, with languages in lower case and nothing twice."""
    return ProfileChange(
        name=None if change.name is None else change.name.strip(),
        timezone=change.timezone,
        headline=None if change.headline is None else change.headline.strip(),
        bio=None if change.bio is None else change.bio.strip(),
        topics=None if change.topics is None else _distinct(change.topics),
        languages=None if change.languages is None else _distinct(tag.lower() for tag in change.languages),
        price_tokens=change.price_tokens,
    )


def _distinct(tags: Iterable[str]) -> tuple[str, ...]:
    """Without blanks and repetitions (whatever their case), in the order given."""
    seen: dict[str, str] = {}
    for tag in tags:
        if text := " ".join(tag.split()):
            seen.setdefault(text.casefold(), text)
    return tuple(seen.values())


def change_faults(change: ProfileChange, role: Role) -> list[FieldError]:
    """Everything that is wrong with a (tidy) change, at once."""
    faults: list[FieldError] = []
    if change.name is not None:
        faults += text_faults("name", change.name, longest=MAX_NAME, needed=True)
    if change.timezone is not None:
        faults += zone_faults("timezone", change.timezone)
    if role is not Role.MENTOR:
        mine = [field for field in ProfileChange.MENTOR_FIELDS if getattr(change, field) is not None]
        return faults + [FieldError(field, "mentors_only", "Only mentors have this.") for field in mine]
    if change.headline is not None:
        faults += text_faults("headline", change.headline, longest=MAX_HEADLINE)
    if change.bio is not None:
        faults += text_faults("bio", change.bio, longest=MAX_BIO, lines=True)
    faults += _tag_faults("topics", change.topics or ())
    faults += _tag_faults("languages", change.languages or ())
    if any(not _LANGUAGE.fullmatch(tag) for tag in change.languages or ()):
        faults.append(FieldError("languages", "bad_language", "Use language tags such as en or pt-br."))
    if change.price_tokens is not None and not 0 <= change.price_tokens <= MAX_PRICE:
        faults.append(FieldError("price_tokens", "out_of_range", f"Ask for 0 to {MAX_PRICE} tokens."))
    return faults


def _tag_faults(field: str, tags: Sequence[str]) -> list[FieldError]:
    if len(tags) > MAX_TAGS:
        return [FieldError(field, "too_many", f"At most {MAX_TAGS}.")]
    return [fault for tag in tags for fault in text_faults(field, tag, longest=MAX_TAG)][:1]
