"""From one received packet to every subscriber: rewrite, protect, send. Synchronous; no log line, no lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any

from media import wire
from media.rtp import HEADER, NO_EXTENSIONS, ParseError, parse_payload
from media.srtp import Scratch, refusal
from media.stream import Outlet, Stream
from media.tally import Tally

_VARYING = Struct("!BHI")  # M/PT, sequence number, timestamp: what differs from packet to packet
_NUMBER = Struct("!H")
RESEND_INTERVAL = 0.02  # a subscriber repeats a NACK when the retransmission is still under way

SendTo = Callable[[Any, Any], int]


def fan_out(
    stream: Stream,
    source: int,
    timestamp: int,
    marker: int,
    payload: memoryview,
    orientation: int,
    now: float,
    sendto: SendTo,
    tally: Tally,
    protect: Callable[[Any, Any, Any], int] = wire.protect,
) -> None:
    """Send the packet with extended number `source` to all outlets of its stream.

    `marker` is 0x80 or 0, `payload` the plain payload without padding, `orientation` -1 if absent. A full socket
    buffer or a refusal of libsrtp costs one outlet this packet and is counted; the others get it.
    """
    size = len(payload)
    starts: int | None = None
    packets = octets = 0
    for outlet in stream.outlets:
        if outlet.waiting:
            if starts is None:
                starts = not stream.is_video or stream.codec.keyframe(payload, 0, size)
            if not starts:
                continue
            if not outlet.begin(stream, source, timestamp, now):
                tally.drop("codec_not_accepted")
                continue
        numbers = outlet.numbers
        stamp = timestamp + outlet.timestamp_offset & 0xFFFFFFFF
        if source >= numbers.floor:
            out = source + numbers.offset
            if out > numbers.highest:
                numbers.highest = out
                outlet.last_timestamp = stamp
        else:
            found = numbers.lookup(source)
            if found is None:
                tally.drop("before_switch")
                continue
            out = found
        head = outlet.head
        if orientation != outlet.extra and outlet.extra_id:
            outlet.set_extra(orientation)
        _VARYING.pack_into(outlet.buffer, 1, marker | outlet.payload_type, out & 0xFFFF, stamp)
        view = outlet.view
        view[head : head + size] = payload
        length = outlet.length
        length[0] = head + size
        status = protect(outlet.context, outlet.pointer, length)
        if status:
            tally.drop(refusal(status, "send_"))
            continue
        total = length[0]
        try:
            sendto(view[:total], outlet.address)
        except BlockingIOError:
            tally.drop("send_buffer_full")
            continue
        except OSError:
            tally.drop("send_failed")
            continue
        outlet.packets += 1
        outlet.octets += size
        packets += 1
        octets += total
    tally.packets_out += packets
    tally.bytes_out += octets


def swallow(stream: Stream, source: int) -> bool:
    """Leave a padding-only packet out of every output; False if for some outlet it came too late for that."""
    done = True
    for outlet in stream.outlets:
        if not outlet.waiting and not outlet.numbers.swallow(source):
            done = False
    return done


def resend(
    outlet: Outlet, missing: Iterable[int], now: float, scratch: Scratch, sendto: SendTo, tally: Tally
) -> None:
    """Answer a NACK from the ring of the outlet's stream: as RTX (RFC 4588) where negotiated, else as it was."""
    stream = outlet.track.stream if outlet.track is not None else None
    if stream is None or stream.ring is None or outlet.waiting or outlet.context is None:
        tally.drop("nack_without_stream")
        return
    for number in missing:
        source = outlet.numbers.source_of(number)
        packet = stream.ring.get(source) if source is not None else None
        if packet is None:
            tally.drop("nack_too_late")
            continue
        last = outlet.resent.get(number)
        if last is not None and now - last < RESEND_INTERVAL:
            continue
        if not outlet.resend_budget.take(now):
            tally.drop("nack_over_budget")
            return
        if len(outlet.resent) > 1024:
            outlet.resent.clear()
        outlet.resent[number] = now
        _resend_one(outlet, stream, number, packet, scratch, sendto, tally)


def _resend_one(
    outlet: Outlet, stream: Stream, number: int, packet: bytes, scratch: Scratch, sendto: SendTo, tally: Tally
) -> None:
    try:
        start, end, extension, profile = parse_payload(packet, len(packet))
        values = stream.extensions.read(packet, extension, start, profile) if profile else NO_EXTENSIONS
    except ParseError as error:
        tally.drop(error.reason)
        return
    marker = packet[1] & 0x80
    stamp = HEADER.unpack_from(packet)[3] + outlet.timestamp_offset & 0xFFFFFFFF
    buffer, view = scratch.buffer, scratch.view
    at = outlet.head
    if outlet.extra_id and values[2] != outlet.extra:
        outlet.set_extra(values[2])
    view[HEADER.size : at] = outlet.view[HEADER.size : at]
    if outlet.rtx_payload_type:
        sequence = outlet.rtx_sequence
        outlet.rtx_sequence = sequence + 1
        HEADER.pack_into(
            buffer, 0, 0x90, marker | outlet.rtx_payload_type, sequence & 0xFFFF, stamp, outlet.rtx_ssrc
        )
        _NUMBER.pack_into(buffer, at, number)
        at += 2
    else:
        HEADER.pack_into(buffer, 0, 0x90, marker | outlet.payload_type, number, stamp, outlet.ssrc)
    size = end - start
    view[at : at + size] = packet[start:end]
    total = scratch.protect(outlet.context, at + size)
    if total < 0:
        tally.drop(refusal(-total, "send_"))
        return
    try:
        sendto(view[:total], outlet.address)
    except OSError:
        tally.drop("send_failed")
        return
    outlet.retransmitted += 1
    tally.packets_out += 1
    tally.bytes_out += total
