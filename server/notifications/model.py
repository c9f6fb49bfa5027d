"""Kinds of message, their states, and when a failed one is tried again; pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from server.integrations.channel import Button


class Kind(StrEnum):
    """What a message is about."""

    BOOKING_REQUESTED = "booking_requested"
    BOOKING_APPROVED = "booking_approved"
    BOOKING_REJECTED = "booking_rejected"
    BOOKING_RESCHEDULED = "booking_rescheduled"
    BOOKING_CANCELLED = "booking_cancelled"
    BOOKING_EXPIRED = "booking_expired"
    MOVE_PROPOSED = "move_proposed"
    MOVE_DECLINED = "move_declined"
    MOVE_ASKED = "move_asked"
    SLOT_OFFERED = "slot_offered"
    REMINDER = "reminder"
    NO_SHOW_NUDGE = "no_show_nudge"
    FOLLOW_UP = "follow_up"
    CONDUCT_WARNED = "conduct_warned"
    CONDUCT_RESTRICTED = "conduct_restricted"
    CONDUCT_LIFTED = "conduct_lifted"
    CONDUCT_APPEALED = "conduct_appealed"
    CONDUCT_APPEAL_ACCEPTED = "conduct_appeal_accepted"
    CONDUCT_APPEAL_REJECTED = "conduct_appeal_rejected"
    TESTIMONIAL_PUBLISHED = "testimonial_published"
    TESTIMONIAL_REJECTED = "testimonial_rejected"
    PAYSLIP = "payslip"
    CALENDAR_BROKEN = "calendar_broken"
    JOURNEY = "journey"
    WELCOME = "welcome"
    VERIFY_ADDRESS = "verify_address"
    ADDRESS_CHANGED = "address_changed"
    VERIFY_NUMBER = "verify_number"
    TEST = "test"
    REPLY = "reply"
    REPLY_UNCLEAR = "reply_unclear"
    CONFIRMATION_MISSING = "confirmation_missing"
    CONFIRMATION_AMENDED = "confirmation_amended"


class Status(StrEnum):
    """pending -> sending -> sent -> delivered | failed, or failed -> retrying -> sending ... | dead; what is of no use
    any more before it has left is lapsed.

    Not every provider tells of deliveries: then ``sent`` is the end. ``failed`` is a provider's receipt for a message
    that it had taken: it stays so when trying again is of no use.

    ``sending`` is committed before the provider hears of the message, and the sender's connection holds a lock for as
    long as it talks: a ``sending`` row without that lock belongs to a sender that died.
    """

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    RETRYING = "retrying"
    DEAD = "dead"
    LAPSED = "lapsed"


EMAIL = "email"

MAX_ATTEMPTS = 10  # with the delays below: about six hours, the length of a bad morning at a provider
MAX_ATTEMPTS_DOWN = (
    50  # while the provider itself is down: about four days, as RFC 5321 section 4.5.4.1 advises
)
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(hours=2)


def backoff(attempts: int, dice: random.Random, wish: timedelta | None = None) -> timedelta:
    """The pause after the ``attempts``-th failure (1, 2, ...): doubling from 30 s to 2 h, half of it random; never
    shorter than the provider's wish (Retry-After), up to those 2 h.

    The jitter keeps a thousand messages that failed together from coming back together.
    """
    doublings: int = 2 ** min(attempts - 1, 16)
    ceiling = min(FIRST_DELAY * doublings, LONGEST_DELAY)
    pause = ceiling / 2 + ceiling / 2 * dice.random()
    return max(pause, min(wish, LONGEST_DELAY)) if wish is not None else pause


@dataclass(frozen=True, slots=True)
class Attendee:
    """A person as an invitation names one."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Occasion:
    """A session as the messages about it tell it."""

    session_id: UUID
    start: datetime
    end: datetime
    mentor: Attendee
    mentee: Attendee
    topic: str
    note: str
    price_tokens: int
    revision: int
    confirmed: bool
    reason: str
    url: str  # of the session, once there is one
    booking_url: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be written: one person (None: the team), one channel, once for each ``dedup_key``.

    The first attempt is due at ``not_before``, else at once, by any clock. ``there``: writing it is delivering it.
    ``in_reply_to`` is our id of the person's message that it answers, ``answers`` the provider's.
    """

    dedup_key: str
    session_id: UUID | None
    kind: str
    channel: str
    recipient_id: UUID | None
    role: str
    address: str
    subject: str
    body: str
    calendar: str | None = None
    buttons: tuple[Button, ...] = ()
    unsubscribe_url: str | None = None
    not_before: datetime | None = None
    destination_id: UUID | None = None
    url: str | None = None
    expires_at: datetime | None = None
    there: bool = False
    in_reply_to: UUID | None = None
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way."""

    id: UUID
    channel: str
    kind: str
    address: str
    subject: str
    body: str
    calendar: str | None
    buttons: tuple[Button, ...]
    unsubscribe_url: str | None
    url: str | None
    destination_id: UUID | None
    attempts: int
    answers: str | None  # the provider's name of the person's message that it answers
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receipts:
    """What a provider has told of one message so far."""

    notification_id: UUID
    attempts: int
    delivered_at: datetime | None
    failed_at: datetime | None
    permanent: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class InboxItem:
    """A message in the development inbox, as SURFACE's ``/dev/inbox.json`` lists it."""

    id: UUID
    session_id: UUID | None
    kind: str
    channel: str
    recipient: str
    role: str
    subject: str
    text: str
    calendar: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one round of deliveries did."""

    sent: int = 0
    postponed: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """A person has written to us, and what it answers is known, or will never be."""

    KIND: ClassVar[str] = "reply_received"
    session_id: UUID | None  # not known yet
    at: datetime
    event_id: UUID
