"""From received packets to every subscriber: rewrite, protect, send. Synchronous; no log line, no lock."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from struct import Struct
from time import monotonic
from typing import Any, Protocol

from media import wire
from media.codec import RED
from media.downlink import SENT_MASK
from media.outlet import Former, Outlet
from media.recorder import Kind as Recorded
from media.red import unwrapped
from media.replay import since
from media.rtp import MAX_DATAGRAM, Extras
from media.srtp import TRAILER, refusal
from media.stream import Packet, Stream
from media.tally import Tally
from media.tcp import SlowReader

RESEND_INTERVAL = 0.02  # a subscriber repeats a NACK when the retransmission is still under way
MAX_BLANKS = 256  # remembered of one layer, in case they get lost
UDP_SEGMENT = 103  # Linux socket option and control message of SOL_UDP (udp(7))
MAX_SEGMENTS = 64  # the kernel's UDP_MAX_SEGMENTS
MAX_BURST = 63000  # octets after which a burst is sent: one packet more still fits an IP datagram
# What a device without the offload, a path with a smaller MTU or a tunnel answers to segmented sending.
_UNSEGMENTED = (errno.EINVAL, errno.EIO, errno.EMSGSIZE)

_SQUEEZED = 90  # timestamp units, 1 ms, between replayed frames

_NUMBER = Struct("!H")
_UNSET = Struct("")
_PADDING = bytes(254) + b"\xff"  # as much as one packet can hold


def abs_send_time(now: float) -> bytes:
    """Seconds as 6.18 bits fixed point (abs-send-time): wraps every 64 s."""
    return (int(now * (1 << 18)) & 0xFFFFFF).to_bytes(3, "big")


def _frame_number(buffer: bytearray, at: int, way: Outlet | Former) -> None:
    """Let the frame number of a dependency descriptor go on where the last source's ended."""
    frame = (buffer[at] << 8 | buffer[at + 1]) + way.frame_offset & 0xFFFF
    buffer[at], buffer[at + 1] = frame >> 8, frame & 0xFF
    if 0 < frame - way.last_frame & 0xFFFF < 0x8000:
        way.last_frame = frame


class SendSocket(Protocol):
    """What is asked of the UDP socket; single packets go by Outlet.sendto."""

    def sendmsg(self, buffers: Any, ancillary: Any, flags: int, address: Any, /) -> int: ...


class _Layouts(dict[int, Struct]):
    """Whole packets as one precompiled Struct each: header, extension block, payload. Keyed by head << 11 | size."""

    def __missing__(self, key: int) -> Struct:
        layout = self[key] = Struct(f"!BBHII{key >> 11}s{key & 0x7FF}s")
        return layout


class _NumberedLayouts(dict[int, Struct]):
    """The same with the transport-wide number after the lead of the extension block: lead << 22 | head << 11 | size."""

    def __missing__(self, key: int) -> Struct:
        lead, head, size = key >> 22, key >> 11 & 0x7FF, key & 0x7FF
        layout = self[key] = Struct(f"!BBHII{lead}sH{head - lead - 2}s{size}s")
        return layout


class _Controls(dict[int, list[tuple[int, int, bytes]]]):
    """The control message that asks for segments of one size."""

    def __missing__(self, size: int) -> list[tuple[int, int, bytes]]:
        control = self[size] = [(socket.IPPROTO_UDP, UDP_SEGMENT, Struct("=H").pack(size))]
        return control


class Sender:
    """Owns the sending side of the socket for media: one buffer in which bursts are built and protected.

    What a subscriber gets of one stream in one batch is built contiguously; packets of one size (the last may be
    shorter) leave in one system call by UDP segmentation offload where the kernel and the path allow that.
    """

    __slots__ = (
        "_buffer", "_controls", "_described", "_layouts", "_length", "_numbered", "_pointer", "_prefixes", "_socket",
        "_tally", "_view", "segmentation",
    )  # fmt: skip

    def __init__(self, sock: SendSocket, tally: Tally, segmentation: bool) -> None:
        self._socket = sock
        self._tally = tally
        self.segmentation = segmentation
        self._buffer = bytearray(MAX_BURST + MAX_DATAGRAM + TRAILER)
        self._view = memoryview(self._buffer)
        self._pointer = wire.pin(self._buffer)
        self._length = wire.new_length()
        self._layouts = _Layouts()
        self._numbered = _NumberedLayouts()
        self._controls = _Controls()
        self._described: dict[int, Any] = {}  # of one stream's packets under way, for all its outlets
        self._prefixes: dict[int, memoryview] = {}  # slicing costs as much as building the packet

    def forward(self, stream: Stream) -> None:
        """Send what is in the stream's queue to all its outlets, and empty it.

        A full socket buffer or a refusal of libsrtp costs one outlet its packets and is counted; the others get
        theirs. Padding-only packets are left out of every output, so that it has no hole.
        """
        packets = stream.queue
        stream.queue = []
        self._described.clear()
        redundant = stream.codec is RED
        if len(packets) == 1 and not redundant:
            self._single(stream, packets)
            return
        within = unwrapped(packets, self._tally) if redundant else packets
        for outlet in stream.outlets:
            if outlet.stream is stream:
                self._deliver(outlet, within if outlet.unwraps else packets)
            elif outlet.target is stream:
                first = self._start(stream, outlet, packets)
                if first:
                    self._deliver(outlet, within if outlet.unwraps else first)

    def _single(
        self,
        stream: Stream,
        packets: list[Packet],
        protect: Callable[[Any, Any, Any], int] = wire.protect,
    ) -> None:
        """The same for one packet, with what its outlets share looked up once. The unusual goes the long way."""
        number, timestamp, marker, payload, extras, _ = packets[0]
        size = len(payload)
        usual = size > 0 and (extras is None or not extras.descriptor)
        buffer, pointer, length, tally = self._buffer, self._pointer, self._length, self._tally
        now = monotonic()
        template, layout, numbered, lead, rest, head = None, _UNSET, _UNSET, b"", b"", 0
        sent = wired = 0
        for outlet in stream.outlets:
            if outlet.stream is not stream:
                if outlet.target is stream:
                    first = self._start(stream, outlet, packets)
                    if first:
                        self._deliver(outlet, first)
                continue
            numbers = outlet.numbers
            if outlet.template is not template:
                template = outlet.template
                head, lead, rest, _ = template.blocks.get(extras) or template.fill(extras)
                layout = self._layouts[head << 11 | size]
                numbered = self._numbered[len(lead) << 22 | head << 11 | size] if lead else layout
            if not usual or outlet.rewriter is not None or number < numbers.floor or template.timed:
                self._deliver(outlet, packets)
                continue
            stamp = timestamp + outlet.timestamp_offset & 0xFFFFFFFF
            out = number + numbers.offset
            if out > numbers.highest:
                numbers.highest = out
                outlet.last_timestamp = stamp
            downlink = outlet.downlink
            if downlink is None:
                layout.pack_into(
                    buffer,
                    0,
                    0x90,
                    marker | outlet.payload_type,
                    out & 0xFFFF,
                    stamp,
                    outlet.ssrc,
                    rest,
                    payload,
                )
            else:
                wide = downlink.next
                numbered.pack_into(
                    buffer, 0, 0x90, marker | outlet.payload_type, out & 0xFFFF, stamp, outlet.ssrc,
                    lead, wide & 0xFFFF, rest, payload,
                )  # fmt: skip
            length[0] = 12 + head + size
            status = protect(outlet.context, pointer, length)
            if status:
                tally.drop(refusal(status, "send_"))
                continue
            total = length[0]
            if downlink is not None:  # Downlink.note, unrolled
                at = wide & SENT_MASK
                downlink.times[at] = now
                downlink.sizes[at] = total
                downlink.next = wide + 1
            if self._send(total, outlet):
                outlet.packets += 1
                outlet.octets += size
                sent += 1
                wired += total
        tally.packets_out += sent
        tally.bytes_out += wired

    def _start(self, stream: Stream, outlet: Outlet, packets: list[Packet]) -> list[Packet]:
        """What to send now that a decoder can start, the outlet being ready for it; nothing if it cannot."""
        ring = stream.ring
        for place, (number, timestamp, _, payload, extras, now) in enumerate(packets):
            if ring is None or stream.codec.keyframe(payload, 0, len(payload)):
                if outlet.has_sent(stream, number):
                    stream.want_keyframe()  # a repaired one from before a pause: its time has been
                    continue
                if not outlet.begin(stream, number, timestamp, payload, now, extras):
                    self._tally.drop("codec_not_accepted")
                    continue
                if ring is None or stream.highest - number < len(packets) - place:
                    return packets[place:] if place else packets
                # It came late, after packets that nobody waited for: they belong to it.
                kept = [ring.get(n) for n in range(number, stream.highest + 1)]
                return [packet for packet in kept if packet is not None]
        return []

    def _deliver(
        self,
        outlet: Outlet,
        packets: list[Packet],
        protect: Callable[[Any, Any, Any], int] = wire.protect,
    ) -> None:
        tally = self._tally
        buffer, pointer, length, layouts = self._buffer, self._pointer, self._length, self._layouts
        numbers, context, ssrc = outlet.numbers, outlet.context, outlet.ssrc
        kind, shift = outlet.payload_type, outlet.timestamp_offset
        alone = len(packets) == 1 or not (self.segmentation and outlet.segmentation)
        sent = octets = wired = 0
        base = end = count = segment = 0  # the burst: buffer[base:end], `count` packets of `segment` octets
        rewriter, described = outlet.rewriter, self._described
        said: Any = None
        template, told = outlet.template, packets[0][4]
        head, lead, rest, frame_at = template.blocks.get(told) or template.fill(told)
        downlink, numbered = outlet.downlink, self._numbered
        wide, now = (downlink.next, monotonic()) if downlink is not None else (0, 0.0)
        timed = abs_send_time(monotonic()) if template.timed else b""
        for packet in packets:
            number, timestamp, marker, payload, extras, _ = packet
            size = len(payload)
            if not size and numbers.swallow(number):
                continue
            if rewriter is not None:
                if number not in described:
                    described[number] = rewriter.describe(packet)
                said = described[number]
                if said is not None:
                    left_out = rewriter.leaves_out(said, timestamp)
                    if left_out:
                        outlet.note(Recorded.LEFT_OUT, packet[5], 0, number & 0xFFFFFFFF)
                    if not left_out:
                        marker = rewriter.marker(said, marker)
                    elif numbers.swallow(number):
                        continue
                    else:  # later ones are out already: what would be a hole is filled with an empty packet
                        payload, size, marker, said = b"", 0, 0, None
                        if len(outlet.blanks) < MAX_BLANKS:
                            outlet.blanks.add(number)
            stamp = timestamp + shift & 0xFFFFFFFF
            if number >= numbers.floor:
                out = number + numbers.offset
            else:
                found = numbers.lookup(number)
                if found is None:
                    tally.drop("before_switch")
                    continue
                out = found
            if out > numbers.highest:
                numbers.highest = out
                outlet.last_timestamp = stamp
            if extras is not told:
                told = extras
                head, lead, rest, frame_at = template.blocks.get(extras) or template.fill(extras)
            if downlink is not None:
                numbered[len(lead) << 22 | head << 11 | size].pack_into(
                    buffer,
                    end,
                    0x90,
                    marker | kind,
                    out & 0xFFFF,
                    stamp,
                    ssrc,
                    lead,
                    wide & 0xFFFF,
                    rest,
                    payload,
                )
            else:
                layouts[head << 11 | size].pack_into(
                    buffer, end, 0x90, marker | kind, out & 0xFFFF, stamp, ssrc,
                    lead + timed + rest if timed else rest, payload,
                )  # fmt: skip
            if frame_at:
                _frame_number(buffer, end + 12 + frame_at, outlet)
            if rewriter is not None and said is not None:
                rewriter.patch(buffer, end + 12 + head, said)
            length[0] = 12 + head + size
            status = protect(context, pointer + end if end else pointer, length)
            if status:
                tally.drop(refusal(status, "send_"))
                continue
            total = length[0]
            if downlink is not None:  # Downlink.note, unrolled
                downlink.times[wide & SENT_MASK] = now
                downlink.sizes[wide & SENT_MASK] = total
                wide += 1
            if alone:
                if self._send(total, outlet):
                    sent += 1
                    octets += size
                    wired += total
                continue
            octets += size
            if not count:
                segment = total
            elif total > segment:
                sent += self._burst(outlet, base, end, segment, count)
                base, segment, count = end, total, 0
            end += total
            count += 1
            wired += total
            if total < segment or count == MAX_SEGMENTS or end > MAX_BURST:
                sent += self._burst(outlet, base, end, segment, count)
                base = end = count = 0
        if count:
            sent += self._burst(outlet, base, end, segment, count)
        if downlink is not None:
            downlink.next = wide
        outlet.packets += sent
        outlet.octets += octets
        tally.packets_out += sent
        tally.bytes_out += wired

    def _send(self, size: int, outlet: Outlet) -> bool:
        """One datagram from the beginning of the buffer."""
        view = self._prefixes.get(size)
        if view is None:
            view = self._prefixes[size] = self._view[:size]
        try:
            outlet.sendto(view, outlet.address)
        except SlowReader:
            self._tally.drop("tcp_slow_reader")
            return False
        except BlockingIOError:
            self._tally.drop("send_buffer_full")
            return False
        except OSError:
            self._tally.drop("send_failed")
            return False
        return True

    def _burst(self, outlet: Outlet, base: int, end: int, segment: int, count: int) -> int:
        """buffer[base:end] as datagrams of `segment` octets; how many of them the kernel took."""
        if count > 1 and outlet.segmentation:
            try:
                self._socket.sendmsg((self._view[base:end],), self._controls[segment], 0, outlet.address)
                return count
            except BlockingIOError:
                self._tally.drop("send_buffer_full", count)
                return 0
            except OSError as error:
                if error.errno not in _UNSEGMENTED:
                    self._tally.drop("send_failed", count)
                    return 0
                outlet.segmentation = False  # until the subscriber moves to another address
                self._tally.drop("segmentation_refused")
        taken = 0
        for at in range(base, end, segment):
            try:
                outlet.sendto(self._view[at : min(at + segment, end)], outlet.address)
                taken += 1
            except BlockingIOError:
                self._tally.drop("send_buffer_full")
            except OSError:
                self._tally.drop("send_failed")
        return taken

    def replay(self, outlet: Outlet, max_age: float, now: float) -> None:
        """Show a subscriber who was just attached the latest keyframe, if it is not older than `max_age` seconds.

        With all that came since if that is little: then he is live. Otherwise he sees a still picture, and what
        comes is held back until the live keyframe that is asked for; his numbers then go on without a hole.
        The frames keep their order but not their distance: they end at now, so that the browser shows them at once.
        """
        stream = outlet.target
        outlet.fresh = False
        if stream is None or stream.opening is None or not outlet.waiting or outlet.context is None:
            return
        keyframe = stream.opening.packets() if now - stream.opening.arrived <= max_age else []
        if not keyframe:
            return
        later = since(stream, keyframe[-1][0] + 1, now)
        outlet.note(Recorded.REPLAYED, now, stream.serial, later is not None)
        packets = keyframe + (later or [])
        if not outlet.begin(stream, packets[0][0], packets[-1][1], packets[0][3], now, packets[0][4]):
            self._tally.drop("codec_not_accepted")
            return
        frames = list(dict.fromkeys(packet[1] for packet in packets))
        last = frames[-1]
        outlet.timestamp_offset += len(frames) * _SQUEEZED  # begin continues after what was sent before
        squeezed = {t: last - (len(frames) - 1 - at) * _SQUEEZED for at, t in enumerate(frames)}
        outlet.replayed = {t: s + outlet.timestamp_offset for t, s in squeezed.items()}
        self._described.clear()
        self._deliver(outlet, [(p[0], squeezed[p[1]], *p[2:]) for p in packets])
        if later is None:
            outlet.wait(now)
            outlet.source_ssrc = -1
        elif outlet.asked:
            stream.keyframe_wanted = False

    def resend(self, outlet: Outlet, missing: Iterable[int], now: float) -> None:
        """Answer a NACK from the ring of the outlet's stream: as RTX (RFC 4588) where negotiated, else as it was."""
        stream, former = outlet.stream, outlet.former
        tally = self._tally
        if stream is None or stream.ring is None or outlet.context is None:
            tally.drop("nack_without_stream")
            return
        for number in missing:
            packet, way = None, None
            source = outlet.numbers.source_of(number)
            if source is not None:
                packet = stream.ring.get(source)
            elif former is not None and former.stream.ring is not None:
                source = former.numbers.source_of(number)
                if source is not None:
                    packet, way = former.stream.ring.get(source), former
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
            self._resend_one(outlet, number, packet, way or outlet)

    def _resend_one(self, outlet: Outlet, number: int, packet: Packet, way: Outlet | Former) -> None:
        """`way` is how the packet went out: as the outlet goes on now, or as it did before the last switch."""
        source, timestamp, marker, payload, extras, _ = packet
        rewriter = way.rewriter
        if source in way.blanks:
            rewriter, payload, marker = None, b"", 0
        said = rewriter.describe(packet) if rewriter is not None else None
        if rewriter is not None and said is not None:
            marker = rewriter.marker(said, marker)
        ssrc, kind, sequence = outlet.ssrc, outlet.payload_type, number
        if outlet.rtx_payload_type:
            ssrc, kind, sequence = outlet.rtx_ssrc, outlet.rtx_payload_type, outlet.rtx_sequence & 0xFFFF
            outlet.rtx_sequence += 1
            payload = _NUMBER.pack(number) + payload
        stamp = way.replayed.get(timestamp, timestamp + way.timestamp_offset) & 0xFFFFFFFF
        block, frame_at = self._block(outlet, extras)
        self._layouts[len(block) << 11 | len(payload)].pack_into(
            self._buffer, 0, 0x90, marker | kind, sequence, stamp, ssrc, block, payload
        )
        if frame_at:
            _frame_number(self._buffer, 12 + frame_at, way)
        if rewriter is not None and said is not None:
            rewriter.patch(self._buffer, 12 + len(block) + len(payload) - len(packet[3]), said)
        self._length[0] = 12 + len(block) + len(payload)
        status = wire.protect(outlet.context, self._pointer, self._length)
        if status:
            self._tally.drop(refusal(status, "send_"))
        elif self._send(self._length[0], outlet):
            if outlet.downlink is not None:
                outlet.downlink.note(self._length[0], monotonic())
            outlet.retransmitted += 1
            self._tally.packets_out += 1
            self._tally.bytes_out += self._length[0]

    def _block(self, outlet: Outlet, extras: Extras | None) -> tuple[bytes, int]:
        """The whole extension block for one packet, and where in it the frame number is (0: nowhere)."""
        template, downlink = outlet.template, outlet.downlink
        _, lead, rest, frame_at = template.blocks.get(extras) or template.fill(extras)
        if downlink is not None:
            return lead + _NUMBER.pack(downlink.next & 0xFFFF) + rest, frame_at
        return (lead + abs_send_time(monotonic()) if template.timed else lead) + rest, frame_at

    def probe(self, outlet: Outlet, octets: int) -> None:
        """About so many octets of padding on the outlet's RTX stream, which a client ignores and reports."""
        kind = next((rtx for _, rtx in outlet.payload_types.values() if rtx), 0)
        downlink = outlet.downlink
        if not kind or downlink is None or outlet.context is None:
            return
        while octets > 0:
            block, _ = self._block(outlet, None)
            self._layouts[len(block) << 11 | len(_PADDING)].pack_into(
                self._buffer, 0, 0xB0, kind, outlet.rtx_sequence & 0xFFFF, outlet.last_timestamp, outlet.rtx_ssrc,
                block, _PADDING,
            )  # fmt: skip
            outlet.rtx_sequence += 1
            self._length[0] = 12 + len(block) + len(_PADDING)
            if wire.protect(outlet.context, self._pointer, self._length) or not self._send(
                self._length[0], outlet
            ):
                return
            downlink.note(self._length[0], monotonic())
            octets -= self._length[0]
            self._tally.packets_out += 1
            self._tally.bytes_out += self._length[0]
