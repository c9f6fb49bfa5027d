"""Pages of a list and the opaque cursor that leads to the next one."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from server.base.errors import FieldError, Invalid

T = TypeVar("T")
Key: TypeAlias = str | int | datetime | UUID

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_CURSOR = 1000  # characters; the longest real one (a 100-letter name in emoji, and an id) stays below it


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items in order; ``next_cursor`` is None on the last page."""

    items: tuple[T, ...]
    next_cursor: str | None


def page_size(limit: int | None) -> int:
    """The number of items asked for. Raises ``Invalid`` unless it is 1 to MAX_LIMIT."""
    if limit is None:
        return DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid([FieldError("limit", "out_of_range", f"Ask for 1 to {MAX_LIMIT} items.")])
    return limit


def encode_cursor(*keys: Key) -> str:
    """The sort keys of the last item of a page, as text that fits into a query string."""
    texts = [key.isoformat() if isinstance(key, datetime) else str(key) for key in keys]
    packed = json.dumps(texts, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str, *kinds: type[Key]) -> list[Key]:
    """The inverse of `encode_cursor`, each key as its kind. Raises ``Invalid`` for anything that is not a cursor."""
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError("too long")
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        texts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(texts, list) or len(texts) != len(kinds):
            raise ValueError("another list's cursor")
        return [_key(text, kind) for text, kind in zip(texts, kinds, strict=True)]
    except (
        ValueError,
        binascii.Error,
        RecursionError,
    ) as error:  # UnicodeError and JSONDecodeError are ValueErrors
        fault = FieldError("cursor", "bad_cursor", "Use the next_cursor of the page before, unchanged.")
        raise Invalid([fault]) from error


def _key(text: object, kind: type[Key]) -> Key:
    if not isinstance(text, str) or "\x00" in text:
        raise ValueError("not text")
    text.encode()  # half a surrogate pair is no text either
    if kind is datetime:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError("no zone")
        return instant
    if kind is int:
        number = int(text)
        if abs(number) >= 2**63:
            raise ValueError("too large")
        return number
    return UUID(text) if kind is UUID else text


def decode_position(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The (instant, id) that most lists are sorted by; None without a cursor. Raises ``Invalid``."""
    if cursor is None:
        return None
    at, last = decode_cursor(cursor, datetime, UUID)
    assert isinstance(at, datetime) and isinstance(last, UUID)  # noqa: S101 - decode_cursor made them so
    return at, last


def page_of(found: Sequence[T], limit: int, cursor_of: Callable[[T], str]) -> Page[T]:
    """A page out of up to ``limit + 1`` found items: the surplus one only tells that there is more."""
    items = tuple(found[:limit])
    return Page(items, cursor_of(items[-1]) if len(found) > limit else None)
