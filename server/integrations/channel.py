"""What every way of reaching people has in common: a message, one verb, and three ways in which it can fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Button:
    """A quick reply; ``payload`` comes back when it is pressed."""

    title: str
    payload: str


@dataclass(frozen=True, slots=True)
class Message:
    """``id`` is the same for every try, so that a receiver can tell a repetition. ``to`` is what the channel dials."""

    id: UUID
    to: str
    subject: str
    text: str
    calendar: str | None
    date: datetime
    kind: str = ""
    buttons: tuple[Button, ...] = ()
    unsubscribe_url: str | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """What a provider takes: so many messages a second in the long run, ``burst`` at once."""

    per_second: float
    burst: int


class NotSent(Exception):
    """The message has not left. ``retry_after`` is the provider's own wish, where it has one."""

    def __init__(self, text: str, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Refused(NotSent):
    """The provider will never take this message: do not try again."""


class Deferred(NotSent):
    """The provider wants this message later: other messages may pass."""


class Unavailable(NotSent):
    """The provider takes nothing for now: down, over its limit, or it does not know us."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a provider tells later: a receipt of our message ``id``, or (``kind`` reply) their message ``id``."""

    kind: str  # sent, delivered, failed, reply, malformed
    id: str
    context_id: str | None = None  # the message a reply answers
    sender: str | None = None
    body: str = ""  # a button's payload, a text, or an error
    permanent: bool = True  # of a failure


class NotificationChannel(Protocol):
    """Hands a message over. Returning means that the provider has taken responsibility."""

    @property
    def rate(self) -> Rate: ...

    async def send(self, message: Message) -> str:
        """The provider's name for the message. Raises `Refused`, `Deferred` or `Unavailable`."""
