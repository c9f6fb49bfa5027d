"""A recording fed through the real receiver and forwarder once more: what every slot was sent, number by number.

Payloads are made up in the recorded sizes; a packet says by its first octet whether it begins a keyframe. What was
decided elsewhere (which layer, when to wait, what was left out) is taken from the recording. Times are not reproduced.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast
from weakref import ref

from pylibsrtp import Policy, Session

from media.answer import Plan
from media.api import Kind, MediaConfig
from media.codec import ForwardedCodec, no_height
from media.forward import Sender
from media.nack import MissingPackets
from media.outlet import Outlet
from media.peer import Peer
from media.receive import Receiver
from media.recorder import FIRST, KEYFRAME, MARKER, Record, Recording, SlotName, StreamName
from media.recorder import Kind as Recorded
from media.replay import MAX_SINCE_SECONDS
from media.ring import PacketRing
from media.rtp import HEADER, ExtensionIds, Extras
from media.sdp import Offer
from media.stream import Packet, Stream, Track
from media.tally import Tally
from media.wire import context_of

_KEY = bytes(range(30))
_BEGINS, _GOES_ON = b"K", b"-"
_PAYLOAD_TYPE = 100
_BATCH = 4096
# What was recorded had passed the limits, and comes faster now.
_UNLIMITED = MediaConfig(receive_packets_per_second=1e12, receive_packets_burst=1 << 40)


@dataclass(frozen=True, slots=True)
class Sent:
    """One packet on its way to a receive slot."""

    slot: int  # serial
    sequence: int  # 16 bits
    octets: int  # of the datagram, encrypted


@dataclass(frozen=True, slots=True)
class Difference:
    """The recording says that a slot stood at `recorded` (stream, source number, number sent), the rerun that it
    stands at `rerun`; it goes on from the recorded place."""

    at: float
    slot: int
    recorded: tuple[int, int, int]
    rerun: tuple[int, int, int] | None


@dataclass(slots=True)
class Rerun:
    """What came of it. `checked` counts the places at which both were compared, `drops` are the rerun's own."""

    sent: list[Sent] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    checked: int = 0
    drops: dict[str, int] = field(default_factory=dict)


def rerun(recording: Recording) -> Rerun:
    """Run the recording. Slots whose beginning is not in it join at the first place it tells (`Kind.STATE`)."""
    return _Run(recording).run()


def _flagged(data: bytes | bytearray | memoryview, start: int, end: int) -> bool:
    return end > start and data[start] == _BEGINS[0]


class _LeftOut:
    """A rewriter that leaves out exactly what was left out (rewrite.Rewriter)."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()

    def describe(self, packet: Packet) -> int:
        return packet[0]

    def leaves_out(self, said: int, _timestamp: int) -> bool:
        return said in self.numbers

    def marker(self, _said: int, marker: int) -> int:
        return marker

    def patch(self, buffer: bytearray, at: int, said: int) -> None:
        """Nothing is in a made-up payload."""


class _Slot(Outlet):
    """A receive slot whose rewriter outlives a change of stream."""

    __slots__ = ("begun", "known", "left_out")

    def __init__(self, name: SlotName, codecs: tuple[str, ...]) -> None:
        kind: Kind = "audio" if name.kind == "audio" else "video"
        types = dict.fromkeys(codecs, (_PAYLOAD_TYPE, 0))
        super().__init__(name.mid, kind, name.index, types, (name.ssrc, 0), (name.first, 0, 0))
        self.serial = name.serial
        self.left_out = _LeftOut()
        self.begun: deque[tuple[int, int, int]] = deque()
        self.known = False  # whether the recording has told where it stands

    def begin(
        self,
        stream: Stream,
        source: int,
        timestamp: int,
        payload: bytes,
        now: float,
        extras: Extras | None = None,
    ) -> bool:
        taken = super().begin(stream, source, timestamp, payload, now, extras)
        self.rewriter = self.left_out if self.left_out.numbers else None
        if taken:
            self.begun.append((stream.serial, source & 0xFFFFFFFF, self.numbers.highest + 1 & 0xFFFF))
        return taken

    def place(self) -> tuple[int, int, int] | None:
        """(stream, its newest number, the number it went out as)."""
        if self.stream is None:
            return None
        numbers = self.numbers
        return self.stream.serial, numbers.highest - numbers.offset & 0xFFFFFFFF, numbers.highest & 0xFFFF

    def adopt(self, stream: Stream, source: int, out: int) -> None:
        """Go on as the recording says: `source` has just been sent as `out`."""
        self.target = self.stream = stream
        self.payload_type = _PAYLOAD_TYPE
        self.source = ref(stream)
        if self not in stream.outlets:
            stream.outlets = (*stream.outlets, self)
        self.numbers.highest = out
        self.numbers.rebase(source + 1)


class _Socket:
    """Datagrams that wait to be read."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[bytes, Any]] = deque()

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, Any]:
        if not self.waiting:
            raise BlockingIOError
        data, address = self.waiting.popleft()
        buffer[: len(data)] = data
        return len(data), address


class _Peers:
    """Peers by address (receive.Arrivals), here the serial; nothing else can arrive."""

    def __init__(self) -> None:
        self.by_address: dict[Any, Peer] = {}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} in a rerun")


class _Nobody:
    """Peers flow from their first packet, and every stream is bound (receive.Control)."""

    def on_first_packet(self, peer: Peer, _now: float) -> None:
        peer.flowing = True

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} in a rerun")


class _Run:
    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._result = Rerun()
        tally = Tally()
        self._result.drops = tally.drops
        self._socket = _Socket()
        self._peers = _Peers()
        self._sender = Sender(cast(Any, None), tally, segmentation=False)
        self._receiver = Receiver(
            cast(socket.socket, self._socket), _BATCH, tally, cast(Any, self._peers), cast(Any, _Nobody()),
            self._sender,
        )  # fmt: skip
        self._protect: dict[int, Session] = {}
        self._keep: list[Session] = []  # contexts live as long as their sessions
        self._tracks: dict[tuple[int, str], Track] = {}
        self._streams = {serial: self._stream(name) for serial, name in recording.streams.items()}
        codecs = tuple({s.codec for s in recording.streams.values()})
        self._slots = {serial: self._slot(_Slot(name, codecs)) for serial, name in recording.slots.items()}
        self._bound: set[int] = set()
        for record in recording.records:
            if record.kind == Recorded.LEFT_OUT and record.subject in self._slots:
                self._slots[record.subject].left_out.numbers.add(record.b)

    def run(self) -> Rerun:
        for record in self._recording.records:
            if record.kind == Recorded.PACKET:
                self._packet(record)
            else:
                self._flush()
                self._event(record)
        self._flush()
        return self._result

    # Building.

    def _session(self, direction: int) -> Session:
        policy = Policy(key=_KEY, ssrc_type=direction)
        policy.allow_repeat_tx = True
        policy.window_size = 4096
        session = Session(policy)
        self._keep.append(session)
        return session

    def _peer(self, serial: int) -> Peer:
        peer = self._peers.by_address.get(serial)
        if peer is None:
            nothing = Plan(Offer("", [], "", "", (), True, []), [], ExtensionIds())
            peer = Peer("", str(serial), str(serial), serial, nothing, _UNLIMITED, monotonic())
            peer.address = serial
            peer.receive_context = context_of(self._session(Policy.SSRC_ANY_INBOUND))
            self._protect[serial] = self._session(Policy.SSRC_ANY_OUTBOUND)
            self._peers.by_address[serial] = peer
        return peer

    def _stream(self, name: StreamName) -> Stream:
        peer = self._peer(name.peer)
        kind: Kind = "audio" if name.kind == "audio" else "video"
        track = self._tracks.setdefault(
            (name.peer, name.mid), Track(peer.participant_id, name.mid, kind, 0, name.rids)
        )
        rate = 48000 if kind == "audio" else 90000
        codec = ForwardedCodec(name.codec, kind, rate, _flagged, no_height, name.codec, (name.codec,))
        ring = PacketRing(512) if kind == "video" else None
        stream = Stream(track, name.ssrc, _PAYLOAD_TYPE, codec, ring, name.rid)
        stream.serial = name.serial
        return stream

    def _slot(self, slot: _Slot) -> _Slot:
        slot.open(context_of(self._session(Policy.SSRC_ANY_OUTBOUND)), slot.serial, ExtensionIds(mid=1), True)
        slot.move(slot.serial, self._way(slot.serial), segmentation=False)
        return slot

    def _way(self, serial: int) -> Callable[[Any, Any], int]:
        def sendto(data: Any, _address: Any) -> int:
            self._result.sent.append(Sent(serial, HEADER.unpack_from(data)[2], len(data)))
            return len(data)

        return sendto

    # Running.

    def _packet(self, record: Record) -> None:
        stream = self._streams.get(record.subject)
        if stream is None:
            return
        peer = self._recording.streams[record.subject].peer
        if record.flags & FIRST:
            self._flush()
        if record.subject not in self._bound:  # or the SSRC had another codec until now
            self._bound.add(record.subject)
            self._flush()
            self._peers.by_address[peer].streams[stream.ssrc] = stream
        first = _BEGINS if record.flags & KEYFRAME else _GOES_ON
        payload = (first + bytes(record.c - 1)) if record.c else b""
        marker = record.flags & MARKER | _PAYLOAD_TYPE
        header = HEADER.pack(0x80, marker, record.b & 0xFFFF, record.a, stream.ssrc)
        if stream.highest < 0:  # the extended number tells how often it had gone round
            stream.highest = stream.base = record.b - 1
        self._socket.waiting.append((self._protect[peer].protect(header + payload), peer))

    def _flush(self) -> None:
        while self._socket.waiting:
            self._receiver.on_readable()

    def _event(self, record: Record) -> None:
        stream = self._streams.get(record.subject)
        if stream is not None:  # once a second: what is missing longer than this was given up
            stream.missing = MissingPackets()
        slot = self._slots.get(record.subject)
        if slot is None:
            return
        now = monotonic()
        match record.kind:
            case Recorded.TARGET:
                self._aim(slot, self._streams.get(record.a))
            case Recorded.WAITING:
                slot.wait(now)
            case Recorded.REPLAYED:
                stream = self._streams.get(record.a)
                if stream is not None and stream.opening is not None:
                    stream.opening.arrived = now - (0 if record.b else 2 * MAX_SINCE_SECONDS)
                    self._sender.replay(slot, float("inf"), now)
            case Recorded.BEGUN:
                self._compare(record, slot, slot.begun.popleft() if slot.begun else None)
            case Recorded.STATE:
                self._compare(record, slot, slot.place())

    def _aim(self, slot: _Slot, target: Stream | None) -> None:
        before, slot.target = slot.target, target
        if before is not None and before is not target and slot.stream is not before:
            before.drop(slot)
        if target is not None and slot not in target.outlets:
            target.outlets = (*target.outlets, slot)
            target.want_keyframe()

    def _compare(self, record: Record, slot: _Slot, place: tuple[int, int, int] | None) -> None:
        told = (record.a, record.b, record.c)
        stream = self._streams.get(record.a)
        if place == told:
            slot.known = True
            self._result.checked += 1
        elif stream is not None:
            if slot.known:
                self._result.differences.append(Difference(record.at, slot.serial, told, place))
            if record.kind == Recorded.STATE:
                slot.known = True
                slot.begun.clear()
                slot.adopt(stream, record.b, record.c)
