"""What one frame does to a conversation on a WebSocket: limits, strikes and "hello first", decided without a socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar, Generic, Protocol, TypeAlias, TypeVar

STRIKES = 3
MAX_REFUSED = (
    50  # messages refused as too many before the socket closes: whoever gets this far does not listen
)


class Close(IntEnum):
    """Why the server closes a socket; signaling/PROTOCOL.md and docs/live.md tell clients what to do on each."""

    LEFT = 1000
    DRAINING = 1001
    TOO_BIG = 1009  # RFC 6455 section 7.4.1; sent by the WebSocket library itself
    OVERLOADED = 1013  # this client reads too slowly, or the server is full
    STRIKES = 4400
    BAD_TOKEN = 4401
    FOREIGN = 4403
    NO_SESSION = 4404
    NO_HELLO = 4408
    REPLACED = 4409
    OVER = 4410
    TOO_MANY = 4429


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: ``burst`` at once, then ``per_second``."""

    burst: int
    per_second: float


ALL_FRAMES = Rate(burst=240, per_second=40.0)  # of whatever type; beyond it the socket closes with 4429


class BadMessage(Exception):
    """A frame outside the protocol: one strike. ``id`` is the client's own identifier, when one could be read."""

    def __init__(self, code: str, detail: str, id: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.id = id


@dataclass(frozen=True, slots=True)
class Error:
    """What a client is told of a refusal; ``id`` is its own name for what is refused."""

    code: str
    detail: str
    id: str | None = None


class Message(Protocol):
    """A frozen value with its name on the wire and its limit beside it."""

    TYPE: ClassVar[str]
    RATE: ClassVar[Rate]


M = TypeVar("M", bound=Message)


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
class Perform(Generic[M]):
    """A good message within its limit: do it."""

    message: M


@dataclass(frozen=True, slots=True)
class HangUp:
    """Send the error, then close."""

    error: Error
    close: Close


Verdict: TypeAlias = Refuse | Perform[M] | HangUp


def judge(
    talk: Talk, frame: str | None, now: float, parse: Callable[[str], M], hello: type[Message]
) -> tuple[Talk, Verdict[M]]:
    """Judge one frame (``None``: a binary one) that arrived at ``now`` (seconds of any steady clock).

    ``parse`` raises `BadMessage` for what is no message of the protocol; ``hello`` comes first and once.
    Never raises: every frame has a verdict.
    """
    talk, allowed = _take(talk, "*", ALL_FRAMES, now)
    if not allowed:
        return talk, HangUp(Error("too_many", "Too many messages. Come back in ten seconds."), Close.TOO_MANY)
    try:
        if frame is None:
            raise BadMessage("bad_json", "Frames are text.")
        message = parse(frame)
        if isinstance(message, hello) == talk.greeted:
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


def identifier(message: object) -> str | None:
    """The client's own name for the message, which an `Error` about it repeats."""
    value = getattr(message, "id", None) or getattr(message, "client_id", None)
    return value if isinstance(value, str) else None


def _take(talk: Talk, name: str, rate: Rate, now: float) -> tuple[Talk, bool]:
    old = talk.buckets.get(name, Bucket(rate.burst, now))
    tokens = min(float(rate.burst), old.tokens + max(0.0, now - old.at) * rate.per_second)
    allowed = tokens >= 1
    bucket = Bucket(tokens - 1 if allowed else tokens, now)
    return replace(talk, buckets=MappingProxyType({**talk.buckets, name: bucket})), allowed
