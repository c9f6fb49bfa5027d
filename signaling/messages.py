"""The closed sets of messages of the room socket, each with its limit beside it (see PROTOCOL.md).

Close codes, errors and limits are those of all our sockets (server/base/talk.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, TypeAlias
from uuid import UUID

from server.base.frames import MAX_ID as MAX_ID
from server.base.talk import BadMessage as BadMessage
from server.base.talk import Close as Close
from server.base.talk import Error as Error
from server.base.talk import Rate as Rate

MAX_FRAME = 256 * 1024  # bytes; a Chromium offer of ten m-lines is about 20 KB
MAX_TEXT = 4_000  # characters of a chat message
MAX_TOKEN = 4_096
MAX_SLOTS = 128  # m-lines a message may speak of; the SFU takes no longer offer
MAX_HEIGHT = 8_192  # lines of picture


class Ending(StrEnum):
    """The reasons a `Goodbye` can give."""

    LEFT = "left"
    REPLACED = "replaced"
    ENDED = "ended"
    DRAINING = "draining"


class Source(StrEnum):
    """What an m-line carries; the SFU has the same words."""

    CAMERA = "camera"
    MICROPHONE = "microphone"
    SCREEN = "screen"


class Cause(StrEnum):
    """What makes a line bad: from the client to the server, back, or a server that is late."""

    UPLINK = "uplink"
    DOWNLINK = "downlink"
    SERVER = "server"


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
    sources: tuple[
        tuple[str, Source], ...
    ] = ()  # (mid, what it carries) of the m-lines on which the client sends


@dataclass(frozen=True, slots=True)
class Want:
    """How large the pictures are shown: (mid of the receive slot, lines), 0 for not at all, None for the best."""

    TYPE: ClassVar = "want"
    RATE: ClassVar = Rate(20, 4.0)  # a window being dragged is told a few times a second
    slots: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class MediaState:
    TYPE: ClassVar = "media_state"
    RATE: ClassVar = Rate(20, 2.0)
    audio: bool
    video: bool
    screen: bool = False


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


Inbound: TypeAlias = Hello | Offer | Want | MediaState | Say | AskHistory | Ping | Leave
INBOUND: tuple[type[Inbound], ...] = (Hello, Offer, Want, MediaState, Say, AskHistory, Ping, Leave)


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
    screen: bool = False


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
    source: Source | None = None  # None when the sender's offer did not say
    undecodable: str = ""  # the codec that this client cannot decode: nothing is shown


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
class Paused:
    """Whether the picture of a receive slot is held back because this client's line is too narrow for it."""

    mid: str
    paused: bool


@dataclass(frozen=True, slots=True)
class Speaking:
    """Who speaks now, None for nobody."""

    user_id: UUID | None


@dataclass(frozen=True, slots=True)
class Layers:
    """Which simulcast layers of the m-line somebody wants; those left out need not be sent, nor anything if empty."""

    mid: str
    rids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """How good this client's own line is, 1 (unusable) to 5 (undisturbed), and what is to blame below 4."""

    score: int
    cause: Cause | None


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
class Missing:
    """Somebody was written to at ``at``, ``minutes`` after the start, because the session runs without them."""

    user_id: UUID
    name: str
    minutes: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Nudged:
    """Everybody who was written to so far; who has come meanwhile is among them."""

    people: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class Pong:
    t: float | int | str


@dataclass(frozen=True, slots=True)
class Goodbye:
    reason: Ending


Outbound: TypeAlias = (
    Welcome
    | Answer
    | Slots
    | Paused
    | Speaking
    | Layers
    | Quality
    | ParticipantChanged
    | Said
    | History
    | SessionChanged
    | Nudged
    | Pong
    | Error
    | Goodbye
)
