"""The flight recorder: the headers of what came in lately and what was decided about it, in one ring of fixed size.

Never a payload. A recording (`Recorder.take`, read back by `read`) is, little-endian:

    4 octets  b"VVFR"
    2         version, 1
    2         octets of one record, 24
    4         octets of the header that follows
    header    UTF-8 JSON: {room_id, offset, reasons: [...], peers: [...], streams: [...], slots: [...]};
              `offset` + a record's time = unix seconds
    records   oldest first: f64 time (monotonic seconds), u32 subject, u32 a, u32 b, u16 c, u8 kind, u8 flags

`subject` is the serial of a peer, a stream or a receive slot in the header, 0 for the whole process. `Kind` says what
a, b and c are. Peers, streams and slots are written to the header once, so that a packet costs one pack.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Any, NamedTuple

from media.api import MediaError

if TYPE_CHECKING:
    from media.outlet import Outlet
    from media.peer import Peer
    from media.room import Room
    from media.stream import Stream

MAGIC, VERSION = b"VVFR", 1
RECORD = Struct("<dIIIHBB")
_HEAD = Struct("<4sHHI")
_SUBJECT = Struct("<8xI12x")
_PART = RECORD.size * 10_000  # a quarter of a megabyte
MAX_ENDED = 64  # rooms whose names are kept after their end, as long as their records may still be there
MAX_NAMES = 2048  # of one room; a client may restart its streams, but not fill the memory with it

# Flags of a packet; FIRST: nothing was waiting to be forwarded when it came (streams that arrive together are
# forwarded one after the other, which decides at which packet a subscriber changes between them).
KEYFRAME, FIRST, MARKER = 1, 2, 0x80


class Kind(IntEnum):
    """What a record says; 0 is an unused place."""

    PACKET = (
        1  # of a stream: a = RTP timestamp, b = extended sequence number, c = payload octets; flags above
    )
    JOINED = 2  # a peer sends media
    LEFT = 3  # a peer is gone, or silent
    SHOWN = 4  # a slot: a = serial of the peer it shows, 0 nobody
    WANTED = 5  # a slot: a = lines of picture wanted, 0xFFFFFFFF the best
    TARGET = 6  # a slot: a = serial of the stream to be sent from its next keyframe on, 0 none
    WAITING = 7  # a slot: nothing is sent before there is something a decoder can start with
    BEGUN = 8  # a slot: a = stream, b = its extended number that goes out as number c
    LEFT_OUT = 9  # a slot: packet b of its stream was left out (a layer that is not sent)
    REPLAYED = 10  # a slot: the cached keyframe of stream a was sent; b = 1 with all that came since
    PAUSED = 11  # a slot: a = 1 held back by the allocator, 0 no more
    SENT = 12  # a slot, each second: a = packets, b = octets in all, c = per mille lost lately
    STATE = 13  # a slot, each second: a = stream sent, b = its newest extended number, c = the number it went out as
    ASKED = 14  # a slot or stream, each second: a = NACKs, b = keyframe requests in all, c = per mille lost lately
    LINE = (
        15  # a peer, each second: a = estimate in kb/s (0: unlimited), b = queue in us, c = round trip in ms
    )
    STALL = 16  # the process: a = milliseconds its loop was late
    DROPS = 17  # the process, each second: a = so many datagrams more, for reason number c


PACKET = int(Kind.PACKET)


@dataclass(frozen=True, slots=True)
class PeerName:
    """One peer of the room."""

    serial: int
    peer_id: str
    participant_id: str


@dataclass(frozen=True, slots=True)
class StreamName:
    """One incoming stream; `peer` is its sender's serial."""

    serial: int
    peer: int
    mid: str
    rid: str
    rids: tuple[str, ...]
    ssrc: int
    codec: str
    kind: str


@dataclass(frozen=True, slots=True)
class SlotName:
    """One receive slot; `peer` is its receiver's serial, `first` the first sequence number it would send."""

    serial: int
    peer: int
    mid: str
    kind: str
    ssrc: int
    index: int
    first: int


Name = PeerName | StreamName | SlotName


class Record(NamedTuple):
    """One line of a recording; see `Kind`."""

    at: float
    subject: int
    a: int
    b: int
    c: int
    kind: int
    flags: int


@dataclass(frozen=True, slots=True)
class Recording:
    """What `Recorder.take` wrote. `offset` plus a record's time is the unix time."""

    room_id: str
    offset: float
    reasons: tuple[str, ...]
    peers: Mapping[int, PeerName]
    streams: Mapping[int, StreamName]
    slots: Mapping[int, SlotName]
    records: tuple[Record, ...]


class RecordingError(MediaError):
    """These octets are no recording, or one of another version."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the ring, from which `write` picks one room's records: it takes a while and needs no server."""

    room_id: str
    offset: float
    reasons: tuple[str, ...]
    names: tuple[Name, ...]
    ring: list[bytes]  # in whole records, oldest first

    def write(self) -> bytes:
        """The recording of the room. Some 10 ms for each MB of the ring: not for the media loop."""
        wanted = {name.serial for name in self.names} | {0}
        kept: list[bytes] = []
        for part in self.ring:
            subjects = _SUBJECT.iter_unpack(part)
            kept += [
                part[place * RECORD.size : (place + 1) * RECORD.size]
                for place, ((subject,), kind) in enumerate(
                    zip(subjects, part[22 :: RECORD.size], strict=True)
                )
                if kind and subject in wanted
            ]
        header = json.dumps(
            {
                "room_id": self.room_id,
                "offset": self.offset,
                "reasons": self.reasons,
                "peers": [asdict(n) for n in self.names if isinstance(n, PeerName)],
                "streams": [asdict(n) for n in self.names if isinstance(n, StreamName)],
                "slots": [asdict(n) for n in self.names if isinstance(n, SlotName)],
            }
        ).encode()
        return _HEAD.pack(MAGIC, VERSION, RECORD.size, len(header)) + header + b"".join(kept)


class Recorder:
    """The ring of one process, oldest records overwritten first. `note` is the hot path: 0.2 us."""

    __slots__ = ("_at", "_dropped", "_ended", "_limit", "_next", "_reasons", "_ring", "_rooms")

    def __init__(self, size: int) -> None:
        """`size` in bytes is all the memory the records ever take; at least one record."""
        # Written once now: pages touched only later would look like memory that grows with the calls.
        self._ring = bytearray(b"\0") * (max(1, size // RECORD.size) * RECORD.size)
        self._limit = len(self._ring)
        self._at = 0
        self._next = 1
        self._rooms: dict[str, OrderedDict[int, Name]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._reasons: dict[str, int] = {}
        self._dropped: dict[str, int] = {}

    def note(self, now: float, subject: int, a: int, b: int, c: int, kind: int, flags: int) -> None:
        """Keep one record. Every number must fit its field."""
        at = self._at
        RECORD.pack_into(self._ring, at, now, subject, a, b, c, kind, flags)
        at += 24
        self._at = at if at < self._limit else 0

    # Names, and what happens seldom.

    def peer(self, peer: Peer) -> None:
        """A peer was made, or has made another offer: name it and those of its slots that are new."""
        if not peer.serial:
            peer.serial = self._serial()
            peer.recorder = self
            self._name(peer.room_id, PeerName(peer.serial, peer.peer_id, peer.participant_id))
        for outlet in peer.outlets.values():
            if outlet.recorder is None:
                outlet.serial = self._serial()
                outlet.recorder = self
                first = outlet.numbers.highest + 1
                self._name(
                    peer.room_id,
                    SlotName(outlet.serial, peer.serial, outlet.mid, outlet.kind, outlet.ssrc, outlet.index, first),
                )  # fmt: skip

    def stream(self, peer: Peer, stream: Stream) -> None:
        """A stream was bound to its track, or has changed its codec."""
        stream.serial = self._serial()
        track = stream.track
        self._name(
            peer.room_id,
            StreamName(
                stream.serial, peer.serial, track.mid, stream.rid, track.rids, stream.ssrc, stream.codec.name,
                track.kind,
            ),
        )  # fmt: skip

    def ended(self, room_id: str) -> None:
        """The room is empty: its names are kept for a while."""
        self._ended[room_id] = None
        if len(self._ended) > MAX_ENDED:
            oldest, _ = self._ended.popitem(last=False)
            self._rooms.pop(oldest, None)

    def event(self, kind: Kind, subject: int, now: float, a: int = 0, b: int = 0, c: int = 0) -> None:
        """Something that happens seldom; numbers too large for their fields are cut to them."""
        self.note(now, subject, _cut(a, 0xFFFFFFFF), _cut(b, 0xFFFFFFFF), _cut(c, 0xFFFF), kind, 0)

    def shown(self, room: Room, peer: Peer, now: float) -> None:
        """A peer's slots have changed: whom they show."""
        serials = {key: p.serial for p in room.peers.values() for key in (t.key for t in p.tracks.values())}
        for mid, outlet in peer.outlets.items():
            self.event(
                Kind.SHOWN, outlet.serial, now, serials.get(peer.shown[mid], 0) if mid in peer.shown else 0
            )

    def look(self, peer: Peer, now: float) -> None:
        """Each second: how a peer's line, streams and slots are doing."""
        downlink = peer.downlink
        estimate = int(downlink.estimate / 1000) if downlink.limited else 0
        self.event(Kind.LINE, peer.serial, now, estimate, int(downlink.queue * 1e6), int(peer.rtt * 1e3))
        for stream in peer.streams.values():
            self.event(Kind.ASKED, stream.serial, now, stream.nacks, stream.plis, int(stream.loss * 1e3))
        for outlet in peer.outlets.values():
            if outlet.track is None:
                continue
            lost = int(outlet.loss * 1e3)
            self.event(Kind.SENT, outlet.serial, now, outlet.packets, outlet.octets & 0xFFFFFFFF, lost)
            self.event(Kind.ASKED, outlet.serial, now, outlet.nacks, outlet.plis, lost)
            self.state(outlet, now)

    def state(self, outlet: Outlet, now: float) -> None:
        """Where a slot stands, so that a recording can be entered in its middle."""
        if outlet.stream is not None:
            numbers = outlet.numbers
            source = numbers.highest - numbers.offset & 0xFFFFFFFF
            self.note(
                now, outlet.serial, outlet.stream.serial, source, numbers.highest & 0xFFFF, Kind.STATE, 0
            )

    def drops(self, drops: Mapping[str, int], now: float) -> None:
        """Each second: what was dropped since the last time."""
        for reason, count in drops.items():
            more = count - self._dropped.get(reason, 0)
            if more:
                number = self._reasons.setdefault(reason, len(self._reasons))
                self.event(Kind.DROPS, 0, now, more, 0, number)
                self._dropped[reason] = count

    def take(self, room_id: str, offset: float) -> Snapshot | None:
        """What is there of a room that runs or has lately ended, None for any other.

        The snapshot's ring is still empty: `parts` are to be put into it, one after the other.
        """
        names = self._rooms.get(room_id)
        if names is None:
            return None
        return Snapshot(room_id, offset, tuple(self._reasons), tuple(names.values()), [])

    def parts(self) -> Iterator[bytes]:
        """Copies of the ring, oldest first, a quarter of a megabyte at a time: the loop may go on in between. What it
        notes then overwrites what has been copied."""
        start = self._at
        for first, end in ((start, self._limit), (0, start)):
            for at in range(first, end, _PART):
                yield bytes(self._ring[at : min(at + _PART, end)])

    def _serial(self) -> int:
        serial = self._next
        self._next = serial + 1 & 0xFFFFFFFF or 1
        return serial

    def _name(self, room_id: str, name: Name) -> None:
        self._ended.pop(room_id, None)
        names = self._rooms.setdefault(room_id, OrderedDict())
        names[name.serial] = name
        if len(names) > MAX_NAMES:
            names.popitem(last=False)


def _cut(value: int, most: int) -> int:
    return min(most, max(0, value))


def read(data: bytes) -> Recording:
    """A recording back from its octets. Raises RecordingError."""
    try:
        magic, version, size, length = _HEAD.unpack_from(data)
        if magic != MAGIC or version != VERSION or size != RECORD.size:
            raise RecordingError("not a recording of this version")
        header = json.loads(data[_HEAD.size : _HEAD.size + length])
        body = data[_HEAD.size + length :]
        return Recording(
            room_id=str(header["room_id"]),
            offset=float(header["offset"]),
            reasons=tuple(map(str, header["reasons"])),
            peers={n["serial"]: PeerName(**n) for n in header["peers"]},
            streams={n["serial"]: StreamName(**_tupled(n)) for n in header["streams"]},
            slots={n["serial"]: SlotName(**n) for n in header["slots"]},
            records=tuple(Record(*fields) for fields in RECORD.iter_unpack(body)),
        )
    except (StructError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"not a recording: {error}") from error


def _tupled(name: dict[str, Any]) -> dict[str, Any]:
    return {**name, "rids": tuple(name["rids"])}
