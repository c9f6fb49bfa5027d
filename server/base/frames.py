"""Reading the fields of a JSON frame of a WebSocket: what does not fit is a `BadMessage`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from server.base.talk import BadMessage

MAX_ID = 64  # characters of an identifier chosen by the client


def read_object(frame: str) -> dict[str, Any]:
    """The JSON object of one text frame. Raises `BadMessage`."""
    try:
        data = json.loads(frame)
    except (ValueError, RecursionError) as exc:  # RecursionError: a frame of a hundred thousand brackets
        raise BadMessage("bad_json", "The frame is not JSON.") from exc
    if not isinstance(data, dict):
        raise BadMessage("bad_json", "A message is a JSON object with a type.")
    return data


def unknown(data: Mapping[str, Any]) -> BadMessage:
    """For a type that is none of the protocol's."""
    match data.get("type"):
        case str() as other:
            return BadMessage("unknown_type", f"There is no message of type {other[:40]!r}.", id_of(data))
    return BadMessage("unknown_type", "A message needs a type.", id_of(data))


def id_of(data: Mapping[str, Any]) -> str | None:
    """The client's own name for the message, when it has a good one."""
    for name in ("id", "client_id"):
        value = data.get(name)
        if isinstance(value, str) and 0 < len(value) <= MAX_ID and sendable(value):
            return value
    return None


def sendable(value: str) -> bool:
    """Neither NUL (PostgreSQL refuses it) nor half a surrogate pair (UTF-8 refuses it)."""
    return "\x00" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def text(data: Mapping[str, Any], name: str, limit: int) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value or len(value) > limit:
        raise BadMessage("bad_field", f"{name} must be text of 1 to {limit} characters.", id_of(data))
    if not sendable(value):
        raise BadMessage("bad_field", f"{name} holds characters that are not text.", id_of(data))
    return value


def optional(data: Mapping[str, Any], name: str, limit: int) -> str | None:
    return None if data.get(name) is None else text(data, name, limit)


def echo(data: Mapping[str, Any]) -> float | int | str:
    """The ``t`` of a ping, which the pong repeats."""
    value = data.get("t")
    if isinstance(value, str) and len(value) <= MAX_ID and sendable(value):
        return value
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) < 2**63
    ):
        return value
    raise BadMessage("bad_field", "t must be a number, or text of up to 64 characters.")


def instant(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: ``2026-11-22T04:00:00.250Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
