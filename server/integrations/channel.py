"""What every way of reaching people has in common: a message, one verb, and three ways in which it can fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from server.settings import Settings


class Form(StrEnum):
    """How much a channel's reader takes in."""

    LONG = "long"  # a letter
    SHORT = "short"  # a headline, a sentence, a link


class Dials(StrEnum):
    """What a channel needs to know of a person."""

    ACCOUNT = "account"  # the mail address of the account
    NUMBER = "number"  # a verified telephone number
    DEVICE = "device"  # any number of a person's devices
    PERSON = "person"  # nothing: it is read here
    TEAM = "team"  # no person at all


@dataclass(frozen=True, slots=True)
class Traits:
    """What is told of a channel beside its client. One that ``disturbs`` makes a telephone buzz: quiet hours hold for
    it, and only pressing kinds go there unasked."""

    label: str
    form: Form
    dials: Dials
    disturbs: bool


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
    url: str | None = None  # where a click on it leads
    answers: str | None = None  # the provider's name of the person's message that this one answers
    expires_at: datetime | None = None  # of no use from then on


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


class Unreachable(Refused):
    """There is nobody at this address any more, and never will be: forget it."""


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
    said_at: datetime | None = None  # by the provider's clock; of a reply: by the person's telephone


class NotificationChannel(Protocol):
    """Hands a message over. Returning means that the provider has taken responsibility."""

    @property
    def rate(self) -> Rate: ...

    async def send(self, message: Message) -> str:
        """The provider's name for the message. Raises `Refused`, `Deferred` or `Unavailable`."""


class ChannelModule(Protocol):
    """A channel as the registry knows it: one module of this package."""

    @property
    def TRAITS(self) -> Traits: ...

    def channel(self, settings: Settings) -> NotificationChannel | None:
        """Its client, where it is configured. What is not waits, or lands in the development inbox (demo mode)."""
