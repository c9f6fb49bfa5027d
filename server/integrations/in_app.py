"""The inbox of Visavis itself: a message is there as soon as it is written."""

from __future__ import annotations

from typing import Final

from server.integrations.channel import Dials, Form, NotificationChannel, Traits
from server.settings import Settings

TRAITS: Final = Traits("Visavis", Form.SHORT, Dials.PERSON, disturbs=False)


def channel(settings: Settings) -> NotificationChannel | None:
    """No client: nothing has to leave the house, so the row itself is the delivery."""
    del settings
    return None
