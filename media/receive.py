"""The receive loop: datagrams to STUN, DTLS, RTP and RTCP, and RTP through statistics and ring to the fan-out."""

from __future__ import annotations

import socket
from bisect import bisect_left
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from media import wire
from media.api import DELAY_EDGES
from media.forward import Sender
from media.peer import Peer
from media.recorder import FIRST, KEYFRAME, PACKET, Recorder
from media.replay import Opening
from media.rtp import EXTENSION, HEADER, NO_EXTENSIONS, Extras, ParseError
from media.srtp import Scratch, refusal
from media.stream import Stream
from media.tally import Tally

TALK_LEVEL = 45  # -dBov (RFC 6464): louder than this is somebody talking
LATE_LIMIT = 512  # a packet older than this is of no use to a decoder, nor to the ring


class Arrivals(Protocol):
    """Who takes what is not a media packet of a known address (transport.Transport)."""

    by_address: dict[Any, Peer]

    def on_stun(self, data: bytes, address: Any, now: float) -> None:
        """A datagram that looks like STUN."""

    def on_dtls(self, peer: Peer, data: bytes, address: Any, now: float) -> None:
        """A datagram that looks like DTLS, from an address ICE has validated."""

    def find_by_ssrc(self, ssrc: int, address: Any, now: float) -> Peer | None:
        """Whose packet this might be, coming from an unknown address."""

    def on_moved(self, peer: Peer, address: Any, now: float) -> None:
        """An authenticated RTP packet came from another address than the current one."""


class Control(Protocol):
    """Who takes what changes the state of a peer (server.MediaServer)."""

    def on_rtcp(self, peer: Peer, data: memoryview, now: float) -> None:
        """An authenticated, decrypted RTCP packet."""

    def on_first_packet(self, peer: Peer, now: float) -> None:
        """The first authenticated RTP packet since the peer connected or fell silent."""

    def on_unknown_stream(
        self, peer: Peer, ssrc: int, payload_type: int, names: tuple[str, str, str], now: float
    ) -> str | None:
        """An unknown SSRC with its (mid, rid, repaired rid): now known, or the reason why not."""

    def on_voice(self, peer: Peer, stream: Stream, now: float) -> None:
        """A loud packet of a watched stream: somebody may have to hear it who does not yet."""


class Receiver:
    """Owns the socket's receiving side. `on_readable` is the whole hot path."""

    __slots__ = (
        "_batch",
        "_control",
        "_note",
        "_queued",
        "_scratch",
        "_sender",
        "_socket",
        "_tally",
        "_transport",
    )

    def __init__(
        self,
        sock: socket.socket,
        batch: int,
        tally: Tally,
        transport: Arrivals,
        control: Control,
        sender: Sender,
        recorder: Recorder | None = None,
    ) -> None:
        self._socket = sock
        self._note = recorder.note if recorder is not None else None
        self._sender = sender
        self._queued: list[Stream] = []  # streams with packets in their queues, in order of arrival
        self._batch = batch
        self._tally = tally
        self._transport = transport
        self._control = control
        self._scratch = Scratch()

    def on_readable(self) -> int:
        """Handle up to one batch of datagrams of the UDP socket; how many there were."""
        return self.receive(self._socket.recvfrom_into)

    def receive(self, receive: Callable[[bytearray], tuple[int, Any]]) -> int:
        """Up to a batch of what `receive(buffer)` returns as (size, address) until it raises BlockingIOError: from the
        UDP socket, or from one TCP connection (tcp.TcpPath, which is its own address). How many there were.

        Media are read first and forwarded stream by stream afterwards: what a subscriber gets of a stream then
        shares the look-ups, the cache lines and, with segmentation, the system call.
        """
        buffer = self._scratch.buffer
        peers = self._transport.by_address
        tally = self._tally
        count = octets = 0
        for _ in range(self._batch):
            try:
                size, address = receive(buffer)
            except BlockingIOError:
                break
            except OSError:
                tally.drop("receive_failed")
                break
            count += 1
            octets += size
            if size == 0:
                tally.drop("datagram_empty")
                continue
            now = monotonic()
            first = buffer[0]
            if 127 < first < 192:
                peer = peers.get(address)
                if size < 12:
                    tally.drop("rtp_malformed")
                elif 192 <= buffer[1] <= 223:  # RFC 5761 section 4
                    self._rtcp(peer, size, now)
                else:
                    self._rtp(peer, size, address, now)
            elif first < 4:
                self._transport.on_stun(bytes(buffer[:size]), address, now)
            elif 19 < first < 64:
                peer = peers.get(address)
                if peer is None:
                    tally.drop("dtls_unknown_address")
                else:
                    self._transport.on_dtls(peer, bytes(buffer[:size]), address, now)
            else:
                tally.drop("datagram_unknown")
        if self._queued:
            self.flush()
        tally.packets_in += count
        tally.bytes_in += octets
        return count

    def flush(self) -> None:
        """Forward everything queued. Needed also before anything changes who gets what."""
        queued, self._queued = self._queued, []
        tally = self._tally
        for stream in queued:
            packets = stream.queue
            self._sender.forward(stream)
            delay = monotonic() - packets[0][5]  # of the oldest: no packet of the burst waited longer
            tally.delay_counts[bisect_left(DELAY_EDGES, delay)] += len(packets)
            tally.delay_sum += delay * len(packets)

    def _rtcp(self, peer: Peer | None, size: int, now: float) -> None:
        if peer is None:
            self._tally.drop("rtcp_unknown_address")
            return
        if peer.receive_context is None:
            self._tally.drop("rtcp_before_dtls")
            return
        meter = peer.meter
        if meter.left <= 0 and not meter.refill(now):
            self._tally.drop("receive_rate_exceeded")
            return
        length = self._scratch.length
        length[0] = size
        status = wire.unprotect_rtcp(peer.receive_context, self._scratch.pointer, length)
        if status:
            self._tally.drop(refusal(status, "rtcp_"))
            return
        meter.left -= 1
        peer.last_packet = now
        self.flush()
        self._control.on_rtcp(peer, self._scratch.view[: length[0]], now)

    def _rtp(self, peer: Peer | None, size: int, address: Any, now: float) -> None:
        tally = self._tally
        scratch = self._scratch
        buffer = scratch.buffer
        first, marker, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        if peer is None:
            peer = self._transport.find_by_ssrc(ssrc, address, now)
            if peer is None:
                tally.drop("rtp_unknown_address")
                return
        if peer.receive_context is None:
            tally.drop("rtp_before_dtls")
            return
        meter = peer.meter
        if meter.left <= 0 and not meter.refill(now):
            tally.drop("receive_rate_exceeded")
            return
        length = scratch.length
        length[0] = size
        status = wire.unprotect(peer.receive_context, scratch.pointer, length)
        if status:
            tally.drop(refusal(status))
            return
        meter.left -= (
            1  # only now: what somebody else sends from a forged address is not on this peer's account
        )
        size = end = length[0]
        if address != peer.address:
            self._transport.on_moved(peer, address, now)
        peer.last_packet = now
        if not peer.flowing:
            self._control.on_first_packet(peer, now)

        # The same checks as rtp.parse_payload, unrolled: this runs for every packet.
        start = 12 + ((first & 0x0F) << 2)
        values = NO_EXTENSIONS
        profile = extension = 0
        if first & 0x10:
            if start + 4 > size:
                tally.drop("rtp_malformed")
                return
            profile, words = EXTENSION.unpack_from(buffer, start)
            extension = start + 4
            start = extension + (words << 2)
        if first & 0x20 and start < size:
            end -= buffer[size - 1]
            buffer[0] = first & 0xDF
        if start > end:
            tally.drop("rtp_malformed")
            return
        if profile:
            try:
                values = peer.extensions.read(buffer, extension, start, profile)
            except ParseError as error:
                tally.drop(error.reason)
                return
            if values[0] >= 0:
                peer.arrivals.pending[values[0]] = now

        payload_type = marker & 0x7F
        stream = peer.streams.get(ssrc)
        if stream is None or payload_type != stream.payload_type:
            if ssrc in peer.repairs:
                self._repaired(peer.repairs[ssrc], timestamp, marker, start, end, values[2], now)
                return
            names = ("", "", "")
            if profile:
                names = peer.extensions.text(buffer, extension, start, profile)
            self.flush()
            refused = self._control.on_unknown_stream(peer, ssrc, payload_type, names, now)
            if refused is not None:
                tally.drop(refused)
                return
            if ssrc in peer.repairs:
                self._repaired(peer.repairs[ssrc], timestamp, marker, start, end, values[2], now)
                return
            stream = peer.streams[ssrc]
        if values[1] >= 0 and values[1] & 0x7F <= TALK_LEVEL:
            peer.talk_packets += 1
            stream.loudness += TALK_LEVEL + 1 - (values[1] & 0x7F)
            if stream.watched:
                self.flush()
                self._control.on_voice(peer, stream, now)

        # Reception statistics (RFC 3550 A.1, A.3, A.8).
        stream.received += 1
        transit = int(now * stream.clock_rate) - timestamp & 0xFFFFFFFF
        difference = abs(transit - stream.transit)
        stream.transit = transit
        if difference < 0x7FFFFFFF:
            stream.jitter += (difference - stream.jitter) * 0.0625
        self._media(stream, scratch.view, sequence, timestamp, marker & 0x80, start, end, values[2], now)

    def _media(
        self,
        stream: Stream,
        data: memoryview,
        sequence: int,
        timestamp: int,
        marker: int,
        start: int,
        end: int,
        extras: Extras | None,
        now: float,
    ) -> None:
        """One plain media packet, original or recovered: number it, keep it, forward it."""
        tally = self._tally
        highest = stream.highest
        if highest < 0:
            number = sequence + 0x10000  # so that what comes just before it is not negative
            stream.highest = stream.base = number
            stream.jitter = 0.0
        else:
            number = highest + ((sequence - highest + 0x8000) & 0xFFFF) - 0x8000
            if number == highest + 1:
                stream.highest = number
            elif number > highest:
                if stream.is_video and not stream.missing.gap(highest + 1, number, now):
                    self.flush()
                    for outlet in stream.outlets:
                        outlet.wait(now)  # too much is gone to decode on; continue without a hole
                    stream.want_keyframe()
                stream.highest = number
            elif highest - number > LATE_LIMIT:
                tally.drop("rtp_too_late")
                return
            elif stream.missing:
                stream.missing.arrived(number)
        stream.packets += 1
        stream.bytes += end - start
        payload = bytes(data[start:end])
        packet = (number, timestamp, marker, payload, extras, now)
        ring = stream.ring
        key = 0
        if ring is not None:
            if not ring.store(packet):
                tally.drop("rtp_duplicate")
                return
            layers = stream.scalable
            if layers is not None and layers.note(number, payload, extras.descriptor if extras else b""):
                self.flush()
                stream.track.sort(now)
            # Once per frame; all packets only while one is awaited, in case reordering put another one first.
            if timestamp != stream.frame or stream.keyframe_wanted:
                if timestamp != stream.frame:
                    froze = stream.pace.step(timestamp, now, stream.clock_rate, bool(stream.missing))
                    if froze:
                        tally.freezes_in += 1
                        tally.freeze_seconds_in += froze
                stream.frame = timestamp
                ring.trim(number, now)
                if stream.codec.keyframe(payload, 0, end - start):
                    key = KEYFRAME
                    stream.keyframe_wanted = False
                    self._measure(stream, payload, now)
                    if stream.opening is None or stream.opening.timestamp != timestamp:
                        stream.opening = Opening(timestamp, now)
            if stream.opening is not None and stream.opening.timestamp == timestamp:
                stream.opening.add(packet)
        if self._note is not None:
            if not self._queued:
                key |= FIRST
            self._note(now, stream.serial, timestamp, number & 0xFFFFFFFF, end - start, PACKET, marker | key)
        if stream.outlets:
            if not stream.queue:
                self._queued.append(stream)
            stream.queue.append(packet)

    def _measure(self, stream: Stream, payload: bytes, now: float) -> None:
        height = stream.codec.height(payload)
        if height and height != stream.height:
            stream.height = height
            self.flush()
            stream.track.sort(now)

    def _repaired(
        self,
        stream: Stream,
        timestamp: int,
        marker: int,
        start: int,
        end: int,
        extras: Extras | None,
        now: float,
    ) -> None:
        """An RTX packet (RFC 4588 section 4): undo it and treat what was inside as the packet that got lost."""
        if end - start < 2 or stream.highest < 0:
            return  # Chromium probes for bandwidth with padding on the RTX stream
        view = self._scratch.view
        original = view[start] << 8 | view[start + 1]
        number = stream.highest + ((original - stream.highest + 0x8000) & 0xFFFF) - 0x8000
        if stream.ring is not None and stream.ring.has(number):
            return  # probing repeats packets that did arrive
        self._media(stream, view, original, timestamp, marker & 0x80, start + 2, end, extras, now)
