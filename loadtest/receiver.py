"""What one person receives: every packet decrypted, matched with its stamp and timed; reports and NACKs in return."""

from collections.abc import Callable
from typing import Any

from loadtest import stamp
from loadtest.control import ControlOut
from loadtest.engine import Engine
from loadtest.offer import OPUS, VP8, VP8_RTX, Identity
from loadtest.sender import Sender
from media import rtcp
from media.rtp import HEADER, ParseError, parse_payload
from media.sequence import extend

REPORT_NS = 1_000_000_000
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970 (RFC 5905)
MAX_GAP = 64  # missing packets asked for at once; a larger gap is a restart, not a loss

_CLOCKS = {OPUS: 48_000, VP8: 90_000}
_TRANSPORT_FEEDBACK = 0x80 | rtcp.TRANSPORT_CC


def ntp_of(now: int) -> int:
    """The 64-bit NTP timestamp of nanoseconds since the epoch."""
    return (now << 32) // 1_000_000_000 + (NTP_EPOCH << 32)


class Incoming:
    """What RFC 3550 wants to know of one received SSRC (sections 6.4.1, A.3 and A.8)."""

    __slots__ = (
        "_before",
        "_clock",
        "_transit",
        "base",
        "highest",
        "jitter",
        "last_report",
        "received",
        "reported_at",
    )

    def __init__(self, sequence: int, clock: int) -> None:
        self.base = self.highest = sequence
        self.received = 0
        self.jitter = 0.0
        self.last_report = 0
        self.reported_at = 0
        self._clock = clock
        self._transit = 0
        self._before = (0, 0)

    def arrived(self, sequence: int, timestamp: int, now: int) -> list[int]:
        """Account for one packet; the numbers that are missing directly before it."""
        self.received += 1
        transit = (now * self._clock // 1_000_000_000 - timestamp) & 0xFFFFFFFF
        if self.received > 1:
            difference = (transit - self._transit + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            self.jitter += (abs(difference) - self.jitter) / 16
        self._transit = transit
        number = extend(sequence, self.highest)
        missing: list[int] = []
        if number > self.highest:
            if 1 < number - self.highest <= MAX_GAP:
                missing = [lost & 0xFFFF for lost in range(self.highest + 1, number)]
            self.highest = number
        return missing

    def block(self, ssrc: int, now: int) -> rtcp.ReportBlock:
        """The report about this stream since the last one."""
        expected = self.highest - self.base + 1
        expected_before, received_before = self._before
        self._before = (expected, self.received)
        due, came = expected - expected_before, self.received - received_before
        fraction = max((due - came) * 256 // due, 0) if due > 0 else 0
        delay = (now - self.reported_at) * 65536 // 1_000_000_000 if self.reported_at else 0
        return rtcp.ReportBlock(
            ssrc,
            min(fraction, 255),
            expected - self.received,
            self.highest,
            int(self.jitter),
            self.last_report,
            delay,
        )


class Receiver:
    """The incoming half of a connected peer."""

    def __init__(
        self,
        engine: Engine,
        context: Any,
        control: ControlOut,
        sender: Sender | None,
        identity: Identity,
        on_media: Callable[[int], None],
    ) -> None:
        """`context` is libsrtp's for receiving, `sender` that of the same link, if it sends; `on_media` is called once,
        with the first packet's arrival."""
        self._engine = engine
        self._context = context
        self._control = control
        self._sender = sender
        self._name = identity.password[:16].encode()
        # Who only receives reports under an SSRC of his own, on which nothing is ever sent.
        self._ssrc = sender.picture.ssrc if sender is not None else identity.video_ssrc
        self._stopped = False
        self._on_media: Callable[[int], None] | None = on_media
        self._incoming: dict[int, Incoming] = {}

    def rtp(self, size: int, now: int) -> None:
        """An SRTP packet lies in the engine's buffer; it arrived at `now`."""
        engine = self._engine
        buffer = engine.receiving.buffer
        size = engine.receiving.unprotect(self._context, size)
        if size < 12:
            engine.strange += 1
            return
        _, kind, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        try:
            start, end, _, _ = parse_payload(buffer, size)
        except ParseError:
            engine.strange += 1
            return
        kind &= 0x7F
        clock = _CLOCKS.get(kind)
        if clock is not None:
            incoming = self._incoming.get(ssrc)
            if incoming is None:
                incoming = self._incoming[ssrc] = Incoming(sequence, clock)
            missing = incoming.arrived(sequence, timestamp, now)
            if missing and kind == VP8:
                self._control.send(rtcp.write_nack(self._ssrc, ssrc, missing))
        stamped = stamp.read(buffer, start, end, engine.run)
        if stamped is None:
            if end - start > 2:  # padding alone is no media
                engine.strange += 1
            return
        stream, index, sent = stamped
        if self._on_media is not None:
            self._on_media(now)
            self._on_media = None
        if engine.tally(stream).add(index) and engine.window_from <= sent < engine.window_to:
            engine.latencies.append(max(now - sent, 0) // 1000)
            if kind == VP8_RTX:
                engine.repaired += 1

    def rtcp(self, size: int, now: int) -> None:
        """An SRTCP packet lies in the engine's buffer."""
        engine = self._engine
        buffer = engine.receiving.buffer
        size = engine.receiving.unprotect_rtcp(self._context, size)
        if size < 8:
            engine.strange += 1
            return
        if buffer[0] == _TRANSPORT_FEEDBACK and buffer[1] == rtcp.RTPFB:
            engine.count("transport_cc")  # it comes alone and often, and we do not adapt to it
            return
        try:
            packets = rtcp.parse(buffer, size)
        except ParseError:
            engine.strange += 1
            return
        for packet in packets:
            match packet:
                case rtcp.KeyframeRequest(ssrc):
                    engine.count("pli")
                    if self._sender is not None and ssrc == self._sender.picture.ssrc:
                        self._sender.want_keyframe()
                case rtcp.Nack(ssrc, missing):
                    engine.count("nack")
                    if self._sender is not None and ssrc == self._sender.picture.ssrc:
                        self._sender.repair(missing)
                case rtcp.SenderReport(ssrc, ntp):
                    engine.count("sender_report")
                    if ssrc in self._incoming:
                        self._incoming[ssrc].last_report = ntp >> 16 & 0xFFFFFFFF
                        self._incoming[ssrc].reported_at = now
                case rtcp.ReceiverReport():
                    engine.count("receiver_report")
                case rtcp.Bye():
                    engine.count("bye")
                case rtcp.TransportFeedback():
                    engine.count("transport_cc")
                case _:
                    engine.count("other")

    def stop(self) -> None:
        """Nothing more is sent."""
        self._stopped = True
        if self._sender is not None:
            self._sender.stopped = True

    def report(self, due: int, now: int) -> int:
        """Send our sender and receiver reports; when the next are due."""
        if self._stopped:
            return 0
        sender = self._sender
        blocks = tuple(incoming.block(ssrc, now) for ssrc, incoming in list(self._incoming.items())[:31])
        ntp = ntp_of(now)
        streams = (sender.voice, sender.picture) if sender is not None else ()
        parts = [
            rtcp.write_sender_report(
                rtcp.SenderReport(
                    stream.ssrc, ntp, stream.timestamp, stream.packets, stream.octets, () if place else blocks
                )
            )
            for place, stream in enumerate(streams)
        ] or [rtcp.write_receiver_report(self._ssrc, blocks)]
        ssrcs = [stream.ssrc for stream in streams] or [self._ssrc]
        parts.append(rtcp.write_cnames((ssrc, self._name) for ssrc in ssrcs))
        self._control.send(b"".join(parts))
        return max(due, now - REPORT_NS) + REPORT_NS
