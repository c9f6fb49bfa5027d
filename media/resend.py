"""What a subscriber gets again, and what is sent only to find out how much his line carries."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from media import wire
from media.exit import NUMBER, Exit, SendSocket, continue_frames
from media.outlet import Former, Outlet
from media.srtp import refusal
from media.stream import Packet
from media.tally import Tally

RESEND_INTERVAL = 0.02  # a subscriber repeats a NACK when the retransmission is still under way
_PADDING = bytes(254) + b"\xff"  # as much as one packet can hold


class Resender(Exit):
    """Answers NACKs, and probes, from the buffer of the way out."""

    __slots__ = ("behind",)

    def __init__(self, sock: SendSocket, tally: Tally, segmentation: bool) -> None:
        super().__init__(sock, tally, segmentation)
        # More comes than can be forwarded: nobody is sent anything again, or what is late makes more work, which makes
        # more late, until nothing is on time.
        self.behind = False

    def resend(self, outlet: Outlet, missing: Iterable[int], now: float) -> None:
        """Answer a NACK from the ring of the outlet's stream: as RTX (RFC 4588) where negotiated, else as it was."""
        stream, former = outlet.stream, outlet.former
        tally = self._tally
        if stream is None or stream.ring is None or outlet.context is None:
            tally.drop("nack_without_stream")
            return
        if self.behind:
            tally.drop("nack_while_behind")
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
            payload = NUMBER.pack(number) + payload
        stamp = way.replayed.get(timestamp, timestamp + way.timestamp_offset) & 0xFFFFFFFF
        block, frame_at = self._block(outlet, extras)
        self._layouts[len(block) << 11 | len(payload)].pack_into(
            self._buffer, 0, 0x90, marker | kind, sequence, stamp, ssrc, block, payload
        )
        if frame_at:
            continue_frames(self._buffer, 12 + frame_at, way)
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
