"""The closed sets of messages of the live socket, each with its limit beside it, and their JSON (see docs/live.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

from server.base.frames import echo, instant, optional, read_object, unknown
from server.base.talk import BadMessage, Error, HangUp, Perform, Rate, Refuse, Talk, Verdict, judge
from server.inbox.model import MAX_IDS, Item, path_of, told

MAX_FRAME = 16 * 1024  # bytes; a hundred ids are 4 KB, an access token 0.5 KB
MAX_TOKEN = 4_096

# ---------------------------------------------------------------- from the client


@dataclass(frozen=True, slots=True)
class Hello:
    TYPE: ClassVar = "hello"
    RATE: ClassVar = Rate(1, 0.1)
    access_token: str | None  # of programs; pages are known by their login
    seen: UUID | None  # the newest message the client has


@dataclass(frozen=True, slots=True)
class LookAgain:
    TYPE: ClassVar = "look"
    RATE: ClassVar = Rate(10, 0.5)
    seen: UUID | None


@dataclass(frozen=True, slots=True)
class Read:
    TYPE: ClassVar = "read"
    RATE: ClassVar = Rate(20, 2.0)
    ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ReadAll:
    TYPE: ClassVar = "read_all"
    RATE: ClassVar = Rate(5, 0.2)
    until: UUID | None


@dataclass(frozen=True, slots=True)
class Ping:
    TYPE: ClassVar = "ping"
    RATE: ClassVar = Rate(20, 2.0)
    t: float | int | str


Inbound: TypeAlias = Hello | LookAgain | Read | ReadAll | Ping
INBOUND: tuple[type[Inbound], ...] = (Hello, LookAgain, Read, ReadAll, Ping)

# ---------------------------------------------------------------- from the server


class Ending(StrEnum):
    """The reasons a `Goodbye` can give."""

    SIGNED_OUT = "signed_out"
    REPLACED = "replaced"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Inbox:
    """The answer to ``hello`` and ``look``; ``more``: there may be older news than these."""

    unread: int
    items: tuple[Item, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Notification:
    item: Item
    unread: int


@dataclass(frozen=True, slots=True)
class Unread:
    unread: int


@dataclass(frozen=True, slots=True)
class Look:
    """Something may have been missed."""


@dataclass(frozen=True, slots=True)
class Pong:
    t: float | int | str


@dataclass(frozen=True, slots=True)
class Goodbye:
    reason: Ending


Outbound: TypeAlias = Inbox | Notification | Unread | Look | Pong | Error | Goodbye


def receive(talk: Talk, frame: str | None, now: float) -> tuple[Talk, Verdict[Inbound]]:
    """Judge one frame (``None``: a binary one) that arrived at ``now``. Never raises: every frame has a verdict."""
    return judge(talk, frame, now, parse, Hello)


def parse(frame: str) -> Inbound:
    """Read one text frame. Raises `BadMessage`, and nothing else, for whatever is not a message of the protocol."""
    data = read_object(frame)
    match data.get("type"):
        case "hello":
            return Hello(optional(data, "access_token", MAX_TOKEN), _id(data, "seen"))
        case "look":
            return LookAgain(_id(data, "seen"))
        case "read":
            return Read(_ids(data))
        case "read_all":
            return ReadAll(_id(data, "until"))
        case "ping":
            return Ping(echo(data))
    raise unknown(data)


def _uuid(value: object, name: str) -> UUID:
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise BadMessage("bad_field", f"{name} is the id of a message.") from None


def _id(data: Mapping[str, Any], name: str) -> UUID | None:
    return None if data.get(name) is None else _uuid(data[name], name)


def _ids(data: Mapping[str, Any]) -> tuple[UUID, ...]:
    value = data.get("ids")
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_IDS:
        raise BadMessage("bad_field", f"ids is a list of 1 to {MAX_IDS} ids.")
    return tuple(_uuid(it, "each of ids") for it in value)


def serialise(message: Outbound, public_url: str) -> str:
    """The message as JSON text, a few kilobytes at most."""
    return json.dumps(_body(message, public_url), separators=(",", ":"), ensure_ascii=False)


def _body(message: Outbound, public_url: str) -> dict[str, Any]:
    match message:
        case Inbox(unread, items, more):
            shown = [item_body(item, public_url) for item in items]
            return {"type": "inbox", "unread": unread, "items": shown, "more": more}
        case Notification(item, unread):
            return {"type": "notification", "item": item_body(item, public_url), "unread": unread}
        case Unread(unread):
            return {"type": "unread", "unread": unread}
        case Look():
            return {"type": "look_again"}
        case Pong(t):
            return {"type": "pong", "t": t}
        case Error(code, detail, id):
            return {"type": "error", "code": code, "detail": detail} | ({"id": id} if id is not None else {})
        case Goodbye(reason):
            return {"type": "goodbye", "reason": reason.value}


def item_body(item: Item, public_url: str) -> dict[str, Any]:
    return {
        "id": str(item.id),
        "kind": item.kind,
        "subject": item.subject,
        "text": told(item),
        "url": path_of(item.url, public_url),
        "session_id": str(item.session_id) if item.session_id is not None else None,
        "created_at": instant(item.created_at),
        "read": item.read_at is not None,
    }


__all__ = ["HangUp", "Perform", "Refuse", "parse", "receive", "serialise"]
