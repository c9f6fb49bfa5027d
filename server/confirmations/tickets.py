"""What a link or a button carries: one verb of one person about one session at one time, signed and short."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.settings import Settings

MAC: Final = 16  # bytes: 128 bits cannot be guessed, and a link still fits an SMS
_BODY: Final = 16 + 16 + 4 + 1


class Verb(StrEnum):
    """What can be said by a button, a link, or in words."""

    YES = "yes"
    NO = "no"
    MOVE = "move"
    CANCEL = "cancel"  # asks back
    CANCEL_NOW = "cancel_now"
    KEEP = "keep"  # do not cancel after all


_VERBS: Final = tuple(Verb)  # its order is part of the format: append only


class Purpose(StrEnum):
    """Where a ticket is good: one from a mail is no button, and the other way round."""

    LINK = "link"
    BUTTON = "button"


@dataclass(frozen=True, slots=True)
class Ticket:
    """``revision`` is the booking's: after a move it is good no longer. Nor is it after the start."""

    session_id: UUID
    user_id: UUID
    revision: int
    verb: Verb


def write(settings: Settings, purpose: Purpose, ticket: Ticket) -> str:
    """71 characters of base64url; WhatsApp takes 128 in a template's button."""
    body = (
        ticket.session_id.bytes
        + ticket.user_id.bytes
        + ticket.revision.to_bytes(4, "big")
        + bytes([_VERBS.index(ticket.verb)])
    )
    return base64.urlsafe_b64encode(body + _mac(settings, purpose, body)).rstrip(b"=").decode()


def read(settings: Settings, purpose: Purpose, text: str) -> Ticket | None:
    """None for anything we have not written for this purpose: it comes back from people's telephones."""
    if len(text) != 71 or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    body, mac = raw[:_BODY], raw[_BODY:]
    if not hmac.compare_digest(mac, _mac(settings, purpose, body)):
        return None
    return Ticket(
        UUID(bytes=body[:16]),
        UUID(bytes=body[16:32]),
        int.from_bytes(body[32:36], "big"),
        _VERBS[body[36]],
    )


def link(settings: Settings, ticket: Ticket) -> str:
    """The address of the page that asks once more and then takes the verb."""
    return f"{settings.public_url}/confirm/{write(settings, Purpose.LINK, ticket)}"


def _mac(settings: Settings, purpose: Purpose, body: bytes) -> bytes:
    key = hmac.digest(
        settings.secret_key.encode(), b"visavis confirmation " + purpose.encode(), hashlib.sha256
    )
    return hmac.digest(key, body, hashlib.sha256)[:MAC]
