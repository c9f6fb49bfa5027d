"""Messages read from and written to JSON text: what is not a message of the protocol is a `BadMessage`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from server.base.frames import MAX_ID, echo, instant, optional, read_object, text, unknown
from signaling.messages import (
    MAX_FRAME,
    MAX_HEIGHT,
    MAX_SLOTS,
    MAX_TEXT,
    MAX_TOKEN,
    Answer,
    AskHistory,
    BadMessage,
    ChatLine,
    Error,
    Goodbye,
    Hello,
    History,
    Inbound,
    Layers,
    Leave,
    MediaState,
    Nudged,
    Offer,
    Outbound,
    Participant,
    ParticipantChanged,
    Paused,
    Ping,
    Pong,
    Quality,
    Said,
    Say,
    SessionChanged,
    Slots,
    SlotView,
    Source,
    Speaking,
    Want,
    Welcome,
)

_MID = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,16}", re.ASCII)  # an SDP token, as the SFU takes it
_SOURCES = tuple(source.value for source in Source)


def parse(frame: str) -> Inbound:
    """Read one text frame. Raises `BadMessage`, and nothing else, for whatever is not a message of the protocol."""
    data = read_object(frame)
    match data.get("type"):
        case "hello":
            return Hello(text(data, "room_token", MAX_TOKEN), optional(data, "resume", MAX_ID))
        case "offer":
            id = text(data, "id", MAX_ID)
            return Offer(id, text(data, "sdp", MAX_FRAME), _sources(data, id))
        case "want":
            return Want(_wishes(data))
        case "media_state":
            screen = False if data.get("screen") is None else _flag(data, "screen")
            return MediaState(_flag(data, "audio"), _flag(data, "video"), screen)
        case "chat":
            client_id = text(data, "client_id", MAX_ID)
            said = text(data, "text", MAX_TEXT)
            if not said.strip():
                raise BadMessage("bad_field", "text must not be blank.", client_id)
            return Say(client_id, said)
        case "chat_history":
            return AskHistory(_before(data))
        case "ping":
            return Ping(echo(data))
        case "leave":
            return Leave()
    raise unknown(data)


def _flag(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name)
    if not isinstance(value, bool):
        raise BadMessage("bad_field", f"{name} must be true or false.")
    return value


def _sources(data: Mapping[str, Any], id: str) -> tuple[tuple[str, Source], ...]:
    value = data.get("sources")
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > MAX_SLOTS:
        raise BadMessage("bad_field", f"sources must be an object of at most {MAX_SLOTS} mids.", id)
    for mid, source in value.items():
        if not _MID.fullmatch(mid) or source not in _SOURCES:
            raise BadMessage("bad_field", f"sources maps mids to one of {', '.join(_SOURCES)}.", id)
    return tuple((mid, Source(source)) for mid, source in value.items())


def _wishes(data: Mapping[str, Any]) -> tuple[tuple[str, int | None], ...]:
    value = data.get("slots")
    if not isinstance(value, list) or len(value) > MAX_SLOTS:
        raise BadMessage("bad_field", f"slots must be a list of at most {MAX_SLOTS}.")
    return tuple(_wish(item) for item in value)


def _wish(item: object) -> tuple[str, int | None]:
    mid, height = (item.get("mid"), item.get("height", -1)) if isinstance(item, dict) else (None, None)
    if not isinstance(mid, str) or not _MID.fullmatch(mid):
        raise BadMessage("bad_field", "each of slots is an object with a mid of 1 to 16 characters.")
    if height is None:
        return mid, None
    if isinstance(height, bool) or not isinstance(height, int) or not 0 <= height <= MAX_HEIGHT:
        raise BadMessage("bad_field", f"height must be null or a number of lines from 0 to {MAX_HEIGHT}.")
    return mid, height


def _before(data: Mapping[str, Any]) -> int:
    value = data.get("before")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
        raise BadMessage("bad_field", "before must be a sequence number from 1.")
    return value


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
            return {"type": "slots", "slots": [_slot(s) for s in slots]}
        case Paused(mid, paused):
            return {"type": "paused", "mid": mid, "paused": paused}
        case Speaking(user_id):
            return {"type": "speaker", "user_id": str(user_id) if user_id else None}
        case Layers(mid, rids):
            return {"type": "layers", "mid": mid, "rids": list(rids)}
        case Quality(score, cause):
            return {"type": "quality", "score": score, "cause": cause.value if cause else None}
        case ParticipantChanged(participant):
            return {"type": "participant", "participant": _participant(participant)}
        case Said(line):
            return {"type": "chat", **_line(line)}
        case History(items, more):
            return {"type": "chat_history", "items": [_line(line) for line in items], "more": more}
        case SessionChanged(status, outcome):
            return {"type": "session", "status": status, "outcome": outcome}
        case Nudged(people):
            return {
                "type": "nudged",
                "people": [
                    {"user_id": str(p.user_id), "name": p.name, "minutes": p.minutes, "at": instant(p.at)}
                    for p in people
                ],
            }
        case Pong(t):
            return {"type": "pong", "t": t}
        case Error(code, detail, id):
            return {"type": "error", "code": code, "detail": detail} | ({"id": id} if id is not None else {})
        case Goodbye(reason):
            return {"type": "goodbye", "reason": reason.value}


def _participant(p: Participant) -> dict[str, Any]:
    return {
        "user_id": str(p.user_id), "name": p.name, "role": p.role, "state": p.state.value,
        "audio": p.audio, "video": p.video, "screen": p.screen,
    }  # fmt: skip


def _slot(s: SlotView) -> dict[str, Any]:
    return {
        "mid": s.mid, "kind": s.kind, "user_id": str(s.user_id) if s.user_id else None,
        "source": s.source.value if s.source else None, "undecodable": s.undecodable or None,
    }  # fmt: skip


def _line(line: ChatLine) -> dict[str, Any]:
    return {
        "seq": line.seq, "client_id": line.client_id, "user_id": str(line.user_id), "name": line.name,
        "text": line.text, "at": instant(line.at),
    }  # fmt: skip
