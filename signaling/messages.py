"""The closed sets of messages of the room socket, read from and written to JSON text (see PROTOCOL.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

MAX_FRAME = 256 * 1024  # bytes; a Chromium offer of ten m-lines is about 20 KB
MAX_TEXT = 4_000  # characters of a chat message
MAX_ID = 64  # characters of an identifier chosen by the client
MAX_TOKEN = 4_096


class Close(IntEnum):
    """Why the server closes a room socket; PROTOCOL.md tells clients what to do on each."""

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


class Ending(StrEnum):
    """The reasons a `Goodbye` can give."""

    LEFT = "left"
    REPLACED = "replaced"
    ENDED = "ended"
    DRAINING = "draining"


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


# ---------------------------------------------------------------- from the client, each with its limit beside it


@dataclass(frozen=True, slots=True)
class Hello:
    TYPE: ClassVar = "hello"
    RATE: ClassVar = Rate(1, 0.1)
    room_token: str
    resume: str | None  # the peer_id of an earlier welcome whose media the client still holds


@dataclass(frozen=True, slots=True)
class Offer:
    TYPE: ClassVar = "offer"
    RATE: ClassVar = Rate(6, 0.25)
    id: str
    sdp: str


@dataclass(frozen=True, slots=True)
class MediaState:
    TYPE: ClassVar = "media_state"
    RATE: ClassVar = Rate(20, 2.0)
    audio: bool
    video: bool


@dataclass(frozen=True, slots=True)
class Say:
    TYPE: ClassVar = "chat"
    RATE: ClassVar = Rate(20, 2.0)
    client_id: str
    text: str


@dataclass(frozen=True, slots=True)
class AskHistory:
    TYPE: ClassVar = "chat_history"
    RATE: ClassVar = Rate(20, 2.0)
    before: int


@dataclass(frozen=True, slots=True)
class Ping:
    TYPE: ClassVar = "ping"
    RATE: ClassVar = Rate(20, 2.0)
    t: float | int | str


@dataclass(frozen=True, slots=True)
class Leave:
    TYPE: ClassVar = "leave"
    RATE: ClassVar = Rate(2, 0.1)


Inbound: TypeAlias = Hello | Offer | MediaState | Say | AskHistory | Ping | Leave
INBOUND: tuple[type[Inbound], ...] = (Hello, Offer, MediaState, Say, AskHistory, Ping, Leave)


def parse(frame: str) -> Inbound:
    """Read one text frame. Raises `BadMessage`, and nothing else, for whatever is not a message of the protocol."""
    try:
        data = json.loads(frame)
    except (ValueError, RecursionError) as exc:  # RecursionError: a frame of a hundred thousand brackets
        raise BadMessage("bad_json", "The frame is not JSON.") from exc
    if not isinstance(data, dict):
        raise BadMessage("bad_json", "A message is a JSON object with a type.")
    match data.get("type"):
        case "hello":
            return Hello(_text(data, "room_token", MAX_TOKEN), _optional(data, "resume", MAX_ID))
        case "offer":
            return Offer(_text(data, "id", MAX_ID), _text(data, "sdp", MAX_FRAME))
        case "media_state":
            return MediaState(_flag(data, "audio"), _flag(data, "video"))
        case "chat":
            client_id = _text(data, "client_id", MAX_ID)
            text = _text(data, "text", MAX_TEXT)
            if not text.strip():
                raise BadMessage("bad_field", "text must not be blank.", client_id)
            return Say(client_id, text)
        case "chat_history":
            return AskHistory(_before(data))
        case "ping":
            return Ping(_echo(data))
        case "leave":
            return Leave()
        case str() as other:
            raise BadMessage("unknown_type", f"There is no message of type {other[:40]!r}.", _id_of(data))
        case _:
            raise BadMessage("unknown_type", "A message needs a type.", _id_of(data))


def _id_of(data: Mapping[str, Any]) -> str | None:
    for name in ("id", "client_id"):
        value = data.get(name)
        if isinstance(value, str) and 0 < len(value) <= MAX_ID and _sendable(value):
            return value
    return None


def _sendable(value: str) -> bool:
    """Neither NUL (PostgreSQL refuses it) nor half a surrogate pair (UTF-8 refuses it)."""
    return "\x00" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def _text(data: Mapping[str, Any], name: str, limit: int) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value or len(value) > limit:
        raise BadMessage("bad_field", f"{name} must be text of 1 to {limit} characters.", _id_of(data))
    if not _sendable(value):
        raise BadMessage("bad_field", f"{name} holds characters that are not text.", _id_of(data))
    return value


def _optional(data: Mapping[str, Any], name: str, limit: int) -> str | None:
    return None if data.get(name) is None else _text(data, name, limit)


def _flag(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name)
    if not isinstance(value, bool):
        raise BadMessage("bad_field", f"{name} must be true or false.")
    return value


def _before(data: Mapping[str, Any]) -> int:
    value = data.get("before")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
        raise BadMessage("bad_field", "before must be a sequence number from 1.")
    return value


def _echo(data: Mapping[str, Any]) -> float | int | str:
    value = data.get("t")
    if isinstance(value, str) and len(value) <= MAX_ID and _sendable(value):
        return value
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) < 2**63
    ):
        return value
    raise BadMessage("bad_field", "t must be a number, or text of up to 64 characters.")


# ---------------------------------------------------------------- from the server


class Presence(StrEnum):
    AWAY = "away"
    CONNECTED = "connected"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Participant:
    user_id: UUID
    name: str
    role: str
    state: Presence
    audio: bool
    video: bool


@dataclass(frozen=True, slots=True)
class ChatLine:
    """One stored chat message; ``seq`` rises by one per session."""

    seq: int
    client_id: str
    user_id: UUID
    name: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SessionCard:
    """What the room shows of its session; the join window closes at ``closes_at``."""

    id: UUID
    start: datetime
    end: datetime
    closes_at: datetime
    title: str


@dataclass(frozen=True, slots=True)
class SlotView:
    mid: str
    kind: str
    user_id: UUID | None


@dataclass(frozen=True, slots=True)
class Welcome:
    peer_id: str
    resumed: bool
    you: Participant
    session: SessionCard
    participants: tuple[Participant, ...]
    chat: tuple[ChatLine, ...]
    more: bool  # there are older lines than these
    server_time: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    id: str
    sdp: str


@dataclass(frozen=True, slots=True)
class Slots:
    slots: tuple[SlotView, ...]


@dataclass(frozen=True, slots=True)
class ParticipantChanged:
    participant: Participant


@dataclass(frozen=True, slots=True)
class Said:
    line: ChatLine


@dataclass(frozen=True, slots=True)
class History:
    items: tuple[ChatLine, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class SessionChanged:
    status: str
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Pong:
    t: float | int | str


@dataclass(frozen=True, slots=True)
class Error:
    code: str
    detail: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Goodbye:
    reason: Ending


Outbound: TypeAlias = (
    Welcome | Answer | Slots | ParticipantChanged | Said | History | SessionChanged | Pong | Error | Goodbye
)


def serialise(message: Outbound) -> str:
    """The message as JSON text, at most a few kilobytes but for answers and histories."""
    return json.dumps(_body(message), separators=(",", ":"), ensure_ascii=False)


def _body(message: Outbound) -> dict[str, Any]:
    match message:
        case Welcome(peer_id, resumed, you, session, participants, chat, more, server_time):
            return {
                "type": "welcome", "peer_id": peer_id, "resumed": resumed, "you": _participant(you),
                "session": {
                    "id": str(session.id), "start": instant(session.start), "end": instant(session.end),
                    "closes_at": instant(session.closes_at), "title": session.title,
                },
                "participants": [_participant(p) for p in participants],
                "chat": [_line(line) for line in chat],
                "more": more,
                "server_time": instant(server_time),
            }  # fmt: skip
        case Answer(id, sdp):
            return {"type": "answer", "id": id, "sdp": sdp}
        case Slots(slots):
            views = [
                {"mid": s.mid, "kind": s.kind, "user_id": str(s.user_id) if s.user_id else None}
                for s in slots
            ]
            return {"type": "slots", "slots": views}
        case ParticipantChanged(participant):
            return {"type": "participant", "participant": _participant(participant)}
        case Said(line):
            return {"type": "chat", **_line(line)}
        case History(items, more):
            return {"type": "chat_history", "items": [_line(line) for line in items], "more": more}
        case SessionChanged(status, outcome):
            return {"type": "session", "status": status, "outcome": outcome}
        case Pong(t):
            return {"type": "pong", "t": t}
        case Error(code, detail, id):
            return {"type": "error", "code": code, "detail": detail} | ({"id": id} if id is not None else {})
        case Goodbye(reason):
            return {"type": "goodbye", "reason": reason.value}


def _participant(p: Participant) -> dict[str, Any]:
    return {
        "user_id": str(p.user_id), "name": p.name, "role": p.role, "state": p.state.value,
        "audio": p.audio, "video": p.video,
    }  # fmt: skip


def _line(line: ChatLine) -> dict[str, Any]:
    return {
        "seq": line.seq, "client_id": line.client_id, "user_id": str(line.user_id), "name": line.name,
        "text": line.text, "at": instant(line.at),
    }  # fmt: skip


def instant(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: ``2026-11-22T04:00:00.250Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
