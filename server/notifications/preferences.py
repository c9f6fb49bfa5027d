"""What a person chose about messages, and the link in a mail that chooses without a login."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.base.errors import Gone, NotFound
from server.notifications.kinds import KINDS
from server.notifications.model import EMAIL, Kind
from server.notifications.reach import LANGUAGE, fixed
from server.people.tokens import TokenExpired, TokenInvalid, sign, verify
from server.settings import Settings

_AUDIENCE: Final = "visavis:unsubscribe"
LINK_LIFE: Final = timedelta(days=400)  # people tidy their mailboxes once a year


_CHOOSE: Final = {
    "en": "Choose what you are told and where:",
    "de": "Wählen Sie, was Sie erfahren und wo:",
}


def signed_off(settings: Settings, body: str, language: str = LANGUAGE) -> str:
    """A mail's text with the way to fewer mails under it (the separator of RFC 3676 section 4.3)."""
    choose = _CHOOSE.get(language, _CHOOSE[LANGUAGE])
    return f"{body}\n-- \n{choose} {settings.public_url}/settings#messages\n"


def unsubscribe_url(settings: Settings, user_id: UUID, kind: Kind, now: datetime) -> str | None:
    """Where one click ends mails of this kind (RFC 8058); None for what everybody gets."""
    if fixed(kind, EMAIL):
        return None
    # The same for a whole day: signing is not free, and nothing is gained by another token for each mail.
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    token = sign(settings, _AUDIENCE, {"sub": str(user_id), "kind": kind.value}, day, day + LINK_LIFE)
    return f"{settings.public_url}/unsubscribe/{token}"


def read_unsubscribe(settings: Settings, token: str, now: datetime) -> tuple[UUID, Kind]:
    """Whose mails of which kind end. Raises ``Gone("link_expired")`` and ``NotFound("link_invalid")``."""
    try:
        claims = verify(settings, _AUDIENCE, token, now)
        kind = Kind(claims["kind"])
        if kind not in KINDS:
            raise TokenInvalid("no such kind")
        return UUID(claims["sub"]), kind
    except TokenExpired:
        raise Gone("link_expired", "This link has run out. Log in to choose what you get.") from None
    except (TokenInvalid, KeyError, ValueError, AttributeError, TypeError):
        raise NotFound(
            "link_invalid", "This is not a link of ours; perhaps the mail cut it in two."
        ) from None
