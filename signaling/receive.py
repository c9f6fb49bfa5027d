"""What one frame does to a conversation: limits, strikes and "hello first", decided without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from signaling.messages import (
    ALL_FRAMES,
    BadMessage,
    Close,
    Error,
    Hello,
    Inbound,
    Rate,
)
from signaling.text import parse

STRIKES = 3
MAX_REFUSED = (
    50  # messages refused as too many before the socket closes: whoever gets this far does not listen
)


@dataclass(frozen=True, slots=True)
class Bucket:
    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation so far. ``buckets`` holds what is left of each message type's allowance, by type."""

    greeted: bool = False
    strikes: int = 0
    refused: int = 0
    buckets: Mapping[str, Bucket] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Refuse:
    """Send this error; the socket stays open."""

    error: Error


@dataclass(frozen=True, slots=True)
class Perform:
    """A good message within its limit: do it."""

    message: Inbound


@dataclass(frozen=True, slots=True)
class HangUp:
    """Send the error, then close."""

    error: Error
    close: Close


Verdict: TypeAlias = Refuse | Perform | HangUp


def receive(talk: Talk, frame: str | None, now: float) -> tuple[Talk, Verdict]:
    """Judge one frame (``None``: a binary one) that arrived at ``now`` (seconds of any steady clock).

    Never raises: every frame has a verdict.
    """
    talk, allowed = _take(talk, "*", ALL_FRAMES, now)
    if not allowed:
        return talk, HangUp(Error("too_many", "Too many messages. Come back in ten seconds."), Close.TOO_MANY)
    try:
        if frame is None:
            raise BadMessage("bad_json", "Frames are text.")
        message = parse(frame)
        if isinstance(message, Hello) == talk.greeted:
            raise BadMessage(
                "unexpected_message",
                "You have said hello already." if talk.greeted else "Say hello first.",
            )
    except BadMessage as bad:
        talk = replace(talk, strikes=talk.strikes + 1)
        error = Error(bad.code, bad.detail, bad.id)
        return talk, HangUp(error, Close.STRIKES) if talk.strikes >= STRIKES else Refuse(error)
    talk, allowed = _take(talk, message.TYPE, message.RATE, now)
    if not allowed:
        talk = replace(talk, refused=talk.refused + 1)
        error = Error("too_many", "Too fast. Try again in a moment.", identifier(message))
        return talk, HangUp(error, Close.TOO_MANY) if talk.refused >= MAX_REFUSED else Refuse(error)
    return replace(talk, greeted=True), Perform(message)


def identifier(message: Inbound) -> str | None:
    """The client's own name for the message, which an `Error` about it repeats."""
    value = getattr(message, "id", None) or getattr(message, "client_id", None)
    return value if isinstance(value, str) else None


def _take(talk: Talk, name: str, rate: Rate, now: float) -> tuple[Talk, bool]:
    old = talk.buckets.get(name, Bucket(rate.burst, now))
    tokens = min(float(rate.burst), old.tokens + max(0.0, now - old.at) * rate.per_second)
    allowed = tokens >= 1
    bucket = Bucket(tokens - 1 if allowed else tokens, now)
    return replace(talk, buckets=MappingProxyType({**talk.buckets, name: bucket})), allowed
