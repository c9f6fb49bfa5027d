"""A chat message and what it may contain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.errors import FieldError

MAX_TEXT = 4000  # characters
MAX_CLIENT_ID = 64
PAGE = 50  # messages of history at a time: a screenful, and far below the socket's frame limit


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """``seq`` counts 1, 2, 3 ... within the session; ``client_id`` is the sender's own name for the message."""

    session_id: UUID
    seq: int
    user_id: UUID
    name: str
    client_id: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class History:
    """Messages in order of ``seq``; ``more`` says that there are older ones."""

    items: tuple[ChatMessage, ...]
    more: bool


def faults(client_id: str, text: str) -> list[FieldError]:
    """Everything that is wrong with a message, at once."""
    found: list[FieldError] = []
    if not 1 <= len(client_id) <= MAX_CLIENT_ID or not storable(client_id):
        found.append(
            FieldError("client_id", "bad_client_id", f"Give an id of 1 to {MAX_CLIENT_ID} characters.")
        )
    if not text.strip():
        found.append(FieldError("text", "empty", "Write something."))
    elif len(text) > MAX_TEXT:
        found.append(FieldError("text", "too_long", f"At most {MAX_TEXT} characters."))
    elif not storable(text):
        found.append(
            FieldError("text", "bad_characters", "The text contains characters that cannot be stored.")
        )
    return found


def storable(text: str) -> bool:
    """PostgreSQL takes neither NUL nor half of a surrogate pair, and JSON can carry both."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
