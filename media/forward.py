"""From received packets to every subscriber: rewrite, protect, send. Synchronous; no log line, no lock."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from media import wire
from media.codec import RED
from media.downlink import SENT_MASK
from media.exit import MAX_BURST, MAX_SEGMENTS, SendSocket, abs_send_time, continue_frames
from media.outlet import Outlet
from media.recorder import Kind as Recorded
from media.red import unwrapped
from media.replay import since
from media.resend import Resender
from media.srtp import refusal
from media.stream import Packet, Stream
from media.tally import Tally

MAX_BLANKS = 256  # remembered of one layer, in case they get lost
_SQUEEZED = 90  # timestamp units, 1 ms, between replayed frames
_UNSET = Struct("")


class Sender(Resender):
    """The fan-out.

    What a subscriber gets of one stream in one batch is built contiguously; packets of one size (the last may be
    shorter) leave in one system call by UDP segmentation offload where the kernel and the path allow that.
    """

    __slots__ = ("_described",)

    def __init__(self, sock: SendSocket, tally: Tally, segmentation: bool) -> None:
        super().__init__(sock, tally, segmentation)
        self._described: dict[int, Any] = {}  # of one stream's packets under way, for all its outlets

    def forward(self, stream: Stream, now: float) -> None:
        """Send what is in the stream's queue to all its outlets, and empty it; `now` is monotonic.

        A full socket buffer or a refusal of libsrtp costs one outlet its packets and is counted; the others get
        theirs. Padding-only packets are left out of every output, so that it has no hole.
        """
        packets = stream.queue
        stream.queue = []
        if self._described:
            self._described.clear()
        redundant = stream.codec is RED
        if len(packets) == 1 and not redundant:
            self._single(stream, packets, now)
            return
        within = unwrapped(packets, self._tally) if redundant else packets
        for outlet in stream.outlets:
            if outlet.stream is stream:
                self._deliver(outlet, within if outlet.unwraps else packets, now)
            elif outlet.target is stream:
                first = self._start(stream, outlet, packets)
                if first:
                    self._deliver(outlet, within if outlet.unwraps else first, now)

    def _single(
        self,
        stream: Stream,
        packets: list[Packet],
        now: float,
        protect: Callable[[Any, Any, Any], int] = wire.protect,
    ) -> None:
        """The same for one packet, with what its outlets share looked up once. The unusual goes the long way."""
        number, timestamp, marker, payload, extras, _ = packets[0]
        size = len(payload)
        usual = size > 0 and (extras is None or not extras.descriptor)
        buffer, pointer, length, tally = self._buffer, self._pointer, self._length, self._tally
        template, layout, numbered, lead, rest, head = None, _UNSET, _UNSET, b"", b"", 0
        sent = wired = 0
        for outlet in stream.outlets:
            if outlet.stream is not stream:
                if outlet.target is stream:
                    first = self._start(stream, outlet, packets)
                    if first:
                        self._deliver(outlet, first, now)
                continue
            numbers = outlet.numbers
            if outlet.template is not template:
                template = outlet.template
                head, lead, rest, _ = template.blocks.get(extras) or template.fill(extras)
                layout = self._layouts[head << 11 | size]
                numbered = self._numbered[len(lead) << 22 | head << 11 | size] if lead else layout
            if not usual or outlet.rewriter is not None or number < numbers.floor or template.timed:
                self._deliver(outlet, packets, now)
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
                return packets[place:] if place else packets
        return []

    def _deliver(
        self,
        outlet: Outlet,
        packets: list[Packet],
        now: float,
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
        wide = downlink.next if downlink is not None else 0
        timed = abs_send_time(now) if template.timed else b""
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
                continue_frames(buffer, end + 12 + frame_at, outlet)
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
        self._deliver(outlet, [(p[0], squeezed[p[1]], *p[2:]) for p in packets], now)
        if later is None:
            outlet.wait(now)
            outlet.source = None
        elif outlet.asked:
            stream.keyframe_wanted = False
