"""A recording in words: what each stream brought, what each slot was sent, and what was decided when. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from media.recorder import KEYFRAME, Kind, Record, Recording

BEST = 0xFFFFFFFF
MAX_RATES = 60  # seconds shown of a stream's rate


def render(recording: Recording) -> str:
    """The whole text: streams, slots, then the decisions in order."""
    return "\n".join(_lines(recording)) + "\n"


@dataclass(slots=True)
class _Stream:
    """Sums over the packets of one stream."""

    packets: int = 0
    octets: int = 0
    keyframes: int = 0
    lowest: int = 0
    highest: int = 0
    rates: Counter[int] = field(default_factory=Counter)  # octets by second
    asked: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class _Slot:
    """What the records of each second said of one slot."""

    first: tuple[int, int] | None = None  # packets, octets
    last: tuple[int, int] = (0, 0)
    asked: tuple[int, int] = (0, 0)
    worst_loss: int = 0  # per mille
    left_out: int = 0


def _lines(recording: Recording) -> Iterator[str]:
    if not recording.records:
        yield f"media of {recording.room_id}: nothing is recorded"
        return
    begin = min(record.at for record in recording.records)
    end = max(record.at for record in recording.records)
    first, last = _instant(recording, begin), _instant(recording, end)
    yield f"media of {recording.room_id}: {first} to {last}, {end - begin:.1f} s"
    streams = {serial: _Stream() for serial in recording.streams}
    slots = {serial: _Slot() for serial in recording.slots}
    for record in recording.records:
        if record.subject in streams:
            _add(streams[record.subject], record, begin)
        elif record.subject in slots:
            _note(slots[record.subject], record)
    yield ""
    for serial, stream in streams.items():
        if stream.packets:
            yield from _stream_lines(recording, serial, stream, end - begin)
    yield ""
    for serial, slot in slots.items():
        if slot.first is not None:
            packets, octets = (after - before for after, before in zip(slot.last, slot.first, strict=True))
            yield (
                f"{_slot(recording, serial)}: {packets} packets, {octets // 1000} kB sent, at most"
                f" {slot.worst_loss / 10:.1f} % lost, {slot.asked[0]} NACKs, {slot.asked[1]} keyframes asked for,"
                f" {slot.left_out} packets of layers left out"
            )
    yield ""
    for record in recording.records:
        text = _decision(recording, record)
        if text:
            yield f"{_instant(recording, record.at)}  {text}"


def _add(stream: _Stream, record: Record, begin: float) -> None:
    if record.kind == Kind.ASKED:
        stream.asked = record.a, record.b
    if record.kind != Kind.PACKET:
        return
    stream.lowest = min(stream.lowest, record.b) if stream.packets else record.b
    stream.highest = max(stream.highest, record.b)
    stream.packets += 1
    stream.octets += record.c
    stream.keyframes += record.flags & KEYFRAME
    stream.rates[int(record.at - begin)] += record.c


def _note(slot: _Slot, record: Record) -> None:
    match record.kind:
        case Kind.SENT:
            slot.last = record.a, record.b
            slot.first = slot.first or slot.last
            slot.worst_loss = max(slot.worst_loss, record.c)
        case Kind.ASKED:
            slot.asked = record.a, record.b
        case Kind.LEFT_OUT:
            slot.left_out += 1
        case _:
            pass


def _stream_lines(recording: Recording, serial: int, stream: _Stream, seconds: float) -> Iterator[str]:
    name = recording.streams[serial]
    expected = stream.highest - stream.lowest + 1
    lost = max(0, expected - stream.packets)
    yield (
        f"{_stream(recording, serial)} ({name.codec}): {stream.packets} packets, {stream.octets // 1000} kB,"
        f" {lost} never came ({100 * lost / expected:.1f} %), {stream.keyframes} keyframe packets,"
        f" {stream.asked[0]} NACKs and {stream.asked[1]} keyframe requests of ours"
    )
    last = int(seconds)
    first = max(0, last - MAX_RATES + 1)
    rates = " ".join(str(stream.rates[second] * 8 // 1000) for second in range(first, last + 1))
    yield f"    kb/s by second{f', the last {MAX_RATES}' if first else ''}: {rates}"


def _decision(recording: Recording, record: Record) -> str:
    serial = record.subject
    match record.kind:
        case Kind.JOINED:
            return f"{_peer(recording, serial)} sends media"
        case Kind.LEFT:
            return f"{_peer(recording, serial)} is gone, or silent"
        case Kind.SHOWN:
            whom = _peer(recording, record.a) if record.a else "nobody"
            return f"{_slot(recording, serial)} shows {whom}"
        case Kind.WANTED:
            lines = "the best picture" if record.a == BEST else f"{record.a} lines" if record.a else "nothing"
            return f"{_slot(recording, serial)} is to get {lines}"
        case Kind.TARGET:
            return f"{_slot(recording, serial)} aims at {_stream(recording, record.a) if record.a else 'nothing'}"
        case Kind.WAITING:
            return f"{_slot(recording, serial)} waits for something to start with"
        case Kind.BEGUN:
            source = _stream(recording, record.a)
            return f"{_slot(recording, serial)} gets {source} from {record.b & 0xFFFF} on, as {record.c}"
        case Kind.REPLAYED:
            how = "with all that came since" if record.b else "as a still"
            return f"{_slot(recording, serial)} is shown the cached keyframe of {_stream(recording, record.a)}, {how}"
        case Kind.PAUSED:
            return f"{_slot(recording, serial)} is {'held back: the line is too narrow' if record.a else 'sent again'}"
        case Kind.LINE if record.a or record.b > 30_000:
            limit = f"carries {record.a} kb/s" if record.a else "is not limited"
            waits = f"queue {record.b / 1000:.0f} ms, round trip {record.c} ms"
            return f"{_peer(recording, serial)}: the line {limit}, {waits}"
        case Kind.STALL:
            return f"the server was {record.a} ms late"
        case Kind.DROPS:
            reason = recording.reasons[record.c] if record.c < len(recording.reasons) else "?"
            return f"dropped in the whole process: {record.a} x {reason}"
        case _:
            return ""


def _instant(recording: Recording, at: float) -> str:
    return (
        datetime.fromtimestamp(recording.offset + at, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _peer(recording: Recording, serial: int) -> str:
    name = recording.peers.get(serial)
    return f"{name.participant_id} ({name.peer_id})" if name is not None else f"peer {serial}"


def _stream(recording: Recording, serial: int) -> str:
    name = recording.streams.get(serial)
    if name is None:
        return f"stream {serial}"
    return f"{_peer(recording, name.peer)} {name.kind} {name.mid}{f' {name.rid}' if name.rid else ''}"


def _slot(recording: Recording, serial: int) -> str:
    name = recording.slots.get(serial)
    return f"{_peer(recording, name.peer)} slot {name.mid}" if name is not None else f"slot {serial}"
