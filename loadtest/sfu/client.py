"""One WebRTC transport of a synthetic browser in the benchmark: it counts every packet, and decrypts a sample."""

import asyncio
import socket
from dataclasses import dataclass
from functools import partial
from struct import Struct
from typing import Any

from OpenSSL import SSL
from pylibsrtp import Session

from loadtest import stamp
from loadtest.answer import Answer
from loadtest.control import ControlOut
from loadtest.engine import Engine
from loadtest.link import Link
from loadtest.offer import OPUS, VP8, Identity
from loadtest.options import Load
from loadtest.peer import phase_of
from loadtest.receiver import REPORT_NS, Incoming, Receiver
from loadtest.sender import AUDIO_NS, Sender
from loadtest.sfu.batch import DATAGRAM, Batch
from loadtest.sfu.feedback import Arrivals
from media import rtcp, wire
from media.rtp import HEADER, ONE_BYTE, TRANSPORT_CC, ParseError, parse_extensions, parse_payload
from media.wire import context_of

READ_NS = 30_000_000  # how often a connected socket is read; arrival is timed by the kernel, whenever we read
FEEDBACK_NS = 62_500_000  # Chromium sends about 16 a second
ALWAYS_CLEAR = 4  # the first packets of each stream are decrypted whatever the sample

_SO_MEMINFO = 55
_MEMINFO = Struct("=9I")  # linux/sock_diag.h; the last is SK_MEMINFO_DROPS
_MEDIA = {OPUS: 48_000, VP8: 90_000}


@dataclass(slots=True)
class Counts:
    """What all clients of a process received. Only what arrived in the engine's window counts."""

    packets: int = 0  # media, of whatever stream
    octets: int = 0  # of those, as on the wire
    repairs: int = 0  # on RTX streams, padding included
    control: int = 0  # RTCP
    feedback: int = 0  # transport-wide, that clients sent
    unauthentic: int = 0


@dataclass(slots=True)
class Span:
    """One incoming stream between two of its decrypted packets: what was sent of it, and what came."""

    stream: int
    first: int = -1  # index
    last: int = -1
    first_count: int = 0  # packets of the stream that had come by then
    last_count: int = 0
    repaired: int = 0

    @property
    def sent(self) -> int:
        return self.last - self.first

    @property
    def lost(self) -> int:
        """Packets of the span that never came; reordering at its ends may shift one or two to a neighbour."""
        return max(self.sent - (self.last_count - self.first_count) - self.repaired, 0)


class Counter(Receiver):
    """The receiving half: a few header fields of every packet, the content of some."""

    def __init__(
        self,
        engine: Engine,
        counts: Counts,
        batch: Batch,
        context: Any,
        control: ControlOut,
        sender: Sender | None,
        client: "Client",
        identity: Identity,
        transport_id: int,
        decrypt: int,
    ) -> None:
        """`transport_id` is the id of the transport-wide number in what we receive, 0 without."""
        super().__init__(engine, context, control, sender, identity, client.media_came)
        self._counts, self._batch = counts, batch
        self._transport_id = transport_id
        self._decrypt = decrypt
        self._arrivals = Arrivals()
        self._length = wire.new_length()
        self.spans: dict[int, Span] = {}  # by SSRC

    def packet(self, at: int, size: int, now: int) -> None:
        """An SRTP packet lies at `at` in the batch; it arrived at `now`, nanoseconds since the epoch."""
        buffer = self._batch.buffer
        first, kind, sequence, timestamp, ssrc = HEADER.unpack_from(buffer, at)
        kind &= 0x7F
        counts, engine = self._counts, self._engine
        within = engine.window_from <= now < engine.window_to
        if self._transport_id and first & 0x10:
            self._note(at + 12 + ((first & 0x0F) << 2), at + size, now)
        clock = _MEDIA.get(kind)
        if clock is None:
            counts.repairs += within
            self._content(at, size, now, ssrc, None)
            return
        if within:
            counts.packets += 1
            counts.octets += size
        incoming = self._incoming.get(ssrc)
        if incoming is None:
            incoming = self._incoming[ssrc] = Incoming(sequence, clock)
        missing = incoming.arrived(sequence, timestamp, now)
        if missing and kind == VP8:
            self._control.send(rtcp.write_nack(self._ssrc, ssrc, missing))
        if incoming.received <= ALWAYS_CLEAR or incoming.received % self._decrypt == 0:
            self._content(at, size, now, ssrc, incoming)

    def feedback(self, due: int, now: int) -> int:
        """Report the transport-wide numbers that came; when to do so again."""
        if self._stopped:
            return 0
        if self._incoming:
            ssrc = next(iter(self._incoming))
            for packet in self._arrivals.take(self._ssrc, ssrc):
                self._control.send(packet)
                self._counts.feedback += self._engine.window_from <= now < self._engine.window_to
        return max(due, now - FEEDBACK_NS) + FEEDBACK_NS

    def _note(self, at: int, end: int, now: int) -> None:
        """Find the transport-wide number in the extensions at `at`."""
        buffer, wanted = self._batch.buffer, self._transport_id
        profile = buffer[at] << 8 | buffer[at + 1]
        end = min(at + 4 + (buffer[at + 2] << 10 | buffer[at + 3] << 2), end)
        at += 4
        if profile != ONE_BYTE:
            try:
                for number, place, size in parse_extensions(buffer, at, end, profile):
                    if number == wanted and size == 2:
                        self._arrivals.note(buffer[place] << 8 | buffer[place + 1], now)
            except ParseError:
                self._engine.strange += 1
            return
        while at + 2 < end:
            head = buffer[at]
            if head >> 4 == wanted:
                self._arrivals.note(buffer[at + 1] << 8 | buffer[at + 2], now)
                return
            at += 1 if head == 0 else 2 + (head & 0x0F)

    def _content(self, at: int, size: int, now: int, ssrc: int, incoming: Incoming | None) -> None:
        """Decrypt a packet, media or (without `incoming`) RTX, and read its stamp."""
        engine, batch = self._engine, self._batch
        self._length[0] = size
        if wire.unprotect(self._context, batch.pointer + at, self._length):
            self._counts.unauthentic += 1
            return
        view = batch.view[at : at + self._length[0]]
        try:
            start, end, _, _ = parse_payload(view, len(view))
        except ParseError:
            engine.strange += 1
            return
        stamped = stamp.read(view, start, end, engine.run)
        if stamped is None:
            engine.strange += end - start > 2  # padding alone is no media
            return
        stream, index, sent = stamped
        if self._on_media is not None:
            self._on_media(now)
            self._on_media = None
        if not engine.window_from <= sent < engine.window_to:
            return
        if incoming is None:
            for known in self.spans.values():
                known.repaired += known.stream == stream
            return
        engine.latencies.append(max(now - sent, 0) // 1000)
        span = self.spans.get(ssrc)
        if span is None or span.stream != stream:
            self.spans[ssrc] = Span(stream, index, index, incoming.received, incoming.received)
        elif index > span.last:
            span.last, span.last_count = index, incoming.received


class Client(Link):
    """A link that sends if it has a load, and receives whatever comes."""

    COUNTS_DROPS = (
        False  # asked of the socket at the end instead: batches hold one control message for each datagram
    )

    def __init__(
        self,
        engine: Engine,
        batch: Batch,
        counts: Counts,
        context: SSL.Context,
        identity: Identity,
        remote: Answer,
        number: int,
        load: Load | None,
        decrypt: int,
        controlling: bool,
    ) -> None:
        """`remote` is the server's answer or, if we are not the `controlling` agent, its offer. Raises LoadError."""
        super().__init__(engine, context, identity, remote, remote.candidates[0], controlling)
        self._batch, self._counts = batch, counts
        self._number, self._load, self._decrypt = number, load, decrypt
        self.sender: Sender | None = None
        self.counter: Counter | None = None
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def negotiated(self) -> frozenset[str]:
        """The header extensions of both directions, by URI."""
        return frozenset(uri for section in self._answer.sections for uri in section.extensions)

    @property
    def address(self) -> tuple[str, int]:
        """Of our own end."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def dropped(self) -> int:
        """Datagrams that found our receive buffer full; only while the socket is open."""
        return int(_MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[8])

    @property
    def profile(self) -> str:
        """The SRTP profile; empty before DTLS is connected."""
        return self._dtls.profile

    def _begin(self, outgoing: Session, incoming: Session) -> Counter:
        engine, context, load = self._engine, context_of(outgoing), self._load
        if load is not None:
            self.sender = Sender(
                engine, self._socket, context, self._identity, self._answer, self._number, load
            )
        receives = [section for section in self._answer.sections if section.direction == "sendonly"]
        counter = self.counter = Counter(
            engine,
            self._counts,
            self._batch,
            context_of(incoming),
            ControlOut(self._socket, context),
            self.sender,
            self,
            self._identity,
            next((s.extensions[TRANSPORT_CC] for s in receives if TRANSPORT_CC in s.extensions), 0),
            self._decrypt,
        )
        phase = phase_of(self._number)
        now = engine.now()
        if self.sender is not None and load is not None:
            engine.wheel.add(now + int(phase * AUDIO_NS), self.sender.audio)
            engine.wheel.add(now + int(phase * 1_000_000_000 / load.fps), self.sender.video)
        engine.wheel.add(now + int(phase * REPORT_NS), counter.report)
        engine.wheel.add(now + int(phase * FEEDBACK_NS), counter.feedback)
        # From now on read at intervals: several packets with one system call, as the kernel notes when each came.
        engine.remove(self)
        engine.wheel.add(now, partial(self._read, counter))
        self.connected.set_result(None)
        return counter

    def close(self) -> None:
        super().close()
        self.connected.cancel()

    def _read(self, counter: Counter, due: int, now: int) -> int:
        batch = self._batch
        while not self._closed:
            try:
                found = batch.read(self.fileno())
            except ConnectionRefusedError:
                self._fail("Nobody listens on the media port")
                return 0
            buffer = batch.buffer
            at = 0
            for size, arrived in found:
                first = buffer[at]
                if size < 2:
                    self._engine.strange += 1
                elif first & 0xC0 == 0x80:
                    if 192 <= buffer[at + 1] <= 223:  # RFC 5761 section 4
                        self._hear_rtcp(counter, at, size, arrived)
                    elif size >= 12:
                        counter.packet(at, size, arrived)
                elif 20 <= first <= 63:
                    self._hear_dtls(bytes(batch.view[at : at + size]))
                elif first <= 3:
                    self._hear_stun(bytes(batch.view[at : at + size]))
                at += DATAGRAM
            if len(found) < batch.SIZE:
                break
        if self._closed or self.failed.done():
            return 0
        return max(due, now - READ_NS) + READ_NS

    def _hear_rtcp(self, counter: Counter, at: int, size: int, now: int) -> None:
        engine = self._engine
        if engine.window_from <= now < engine.window_to:
            self._counts.control += 1
        engine.receiving.scratch.view[:size] = self._batch.view[at : at + size]
        counter.rtcp(size, now)
