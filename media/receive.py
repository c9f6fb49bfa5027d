"""The receive loop: datagrams to STUN, DTLS, RTP and RTCP, and RTP through statistics and ring to the fan-out."""

from __future__ import annotations

import socket
from bisect import bisect_left
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from media import wire
from media.api import DELAY_EDGES
from media.codec import VP8
from media.forward import Sender
from media.peer import Peer
from media.recorder import FIRST, KEYFRAME, PACKET, Recorder
from media.replay import Opening
from media.rtp import EXTENSION, HEADER, ParseError
from media.srtp import Scratch, refusal
from media.stream import Packet, Stream
from media.tally import Tally
from media.vp8 import describe

TALK_LEVEL = 45  # -dBov (RFC 6464): louder than this is somebody talking
BEHIND = 4  # full batches in a row: some 15 ms of work were waiting, and as much may still be
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

    def on_rtcp(self, peer: Peer, data: bytes, now: float) -> None:
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
        "_full",
        "_note",
        "_queued",
        "_reports",
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
        self._reports: list[tuple[Peer, bytes]] = []  # RTCP of this batch, decrypted
        self._batch = batch
        self._full = 0  # full batches in a row, up to now
        self._tally = tally
        self._transport = transport
        self._control = control
        self._scratch = Scratch()

    def on_readable(self) -> int:
        """Handle up to one batch of datagrams of the UDP socket; how many there were."""
        count = self.receive(self._socket.recvfrom_into)
        self._full = self._full + 1 if count >= self._batch else 0
        self._sender.behind = self._full >= BEHIND
        return count

    def receive(self, receive: Callable[[bytearray], tuple[int, Any]]) -> int:
        """Up to a batch of what `receive(buffer)` returns as (size, address) until it raises BlockingIOError: from the
        UDP socket, or from one TCP connection (tcp.TcpPath, which is its own address). How many there were.

        Media are read first and forwarded stream by stream afterwards: what a subscriber gets of a stream then
        shares the look-ups, the cache lines and, with segmentation, the system call. RTCP is acted upon after that. All
        of a batch has arrived when it begins: one time for all.
        """
        now = monotonic()
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
        if self._reports:
            reports, self._reports = self._reports, []
            for peer, data in reports:
                self._control.on_rtcp(peer, data, now)
        tally.packets_in += count
        tally.bytes_in += octets
        return count

    def flush(self) -> None:
        """Forward everything queued. Needed also before anything changes who gets what."""
        queued, self._queued = self._queued, []
        tally, counts = self._tally, self._tally.delay_counts
        forward = self._sender.forward
        summed = 0.0
        now = monotonic()
        for stream in queued:
            packets = stream.queue
            forward(stream, now)
            now = monotonic()
            delay = now - packets[0][5]  # of the oldest: no packet of the burst waited longer
            count = len(packets)
            counts[bisect_left(DELAY_EDGES, delay)] += count
            summed += delay * count
        tally.delay_sum += summed

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
        self._reports.append((peer, bytes(self._scratch.view[: length[0]])))

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
        profile = extension = 0
        level, extras = -1, None
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
                transport, level, extras = peer.extensions.read(buffer, extension, start, profile)
            except ParseError as error:
                tally.drop(error.reason)
                return
            if transport >= 0:
                peer.arrivals.pending[transport] = now

        payload_type = marker & 0x7F
        stream = peer.streams.get(ssrc)
        if stream is None or payload_type != stream.payload_type:
            stream = peer.repairs.get(ssrc)
            if stream is None:
                names = peer.extensions.text(buffer, extension, start, profile) if profile else ("", "", "")
                stream = self._meet(peer, ssrc, payload_type, names, now)
                if stream is None:
                    return
        if level >= 0 and level & 0x7F <= TALK_LEVEL:
            peer.talk_packets += 1
            stream.loudness += TALK_LEVEL + 1 - (level & 0x7F)
            if stream.watched:
                self.flush()
                self._control.on_voice(peer, stream, now)

        highest = stream.highest
        repaired = ssrc != stream.ssrc
        if repaired:
            # An RTX packet (RFC 4588 section 4): what is inside is treated as the packet that got lost.
            if end - start < 2 or highest < 0:
                return  # Chromium probes for bandwidth with padding on the RTX stream
            sequence = buffer[start] << 8 | buffer[start + 1]
            start += 2
        else:
            stream.received += 1
        if highest < 0:
            number = sequence + 0x10000  # so that what comes just before it is not negative
            stream.highest = stream.base = number
        else:
            number = highest + ((sequence - highest + 0x8000) & 0xFFFF) - 0x8000
            if number == highest + 1:
                stream.highest = number
            elif not self._out_of_order(stream, number, repaired, now):
                return
        stream.packets += 1
        stream.bytes += end - start
        marker &= 0x80
        payload = bytes(scratch.view[start:end])
        packet = (number, timestamp, marker, payload, extras, now)
        ring = stream.ring
        if ring is not None and not ring.store(packet):
            tally.drop("rtp_duplicate")
            return
        key = 0
        # Once per frame; all packets only while a keyframe is awaited, in case reordering put another one first.
        if timestamp != stream.frame or stream.keyframe_wanted:
            key = self._frame(stream, packet, repaired, now)
        if ring is not None:
            if not number & 15:
                ring.trim(number, now)
            layers = stream.scalable
            if layers is not None and layers.note(number, payload, extras.descriptor if extras else b""):
                self.flush()
                stream.height = layers.height or stream.height
                stream.track.sort(now)
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

    def _meet(
        self, peer: Peer, ssrc: int, payload_type: int, names: tuple[str, str, str], now: float
    ) -> Stream | None:
        """An unknown SSRC, or a known one with another codec: the stream it is, or repairs."""
        self.flush()
        refused = self._control.on_unknown_stream(peer, ssrc, payload_type, names, now)
        if refused is not None:
            self._tally.drop(refused)
            return None
        return peer.repairs.get(ssrc) or peer.streams[ssrc]

    def _out_of_order(self, stream: Stream, number: int, repaired: bool, now: float) -> bool:
        """Numbers were skipped, or one of before has come; False if it is of no use."""
        highest = stream.highest
        if number > highest:
            if stream.is_video and not stream.missing.gap(highest + 1, number, now):
                self.flush()
                for outlet in stream.outlets:
                    outlet.wait(now)  # too much is gone to decode on; continue without a hole
                stream.want_keyframe()
            stream.highest = number
            return True
        if repaired and stream.ring is not None and stream.ring.has(number):
            return False  # probing repeats packets that did arrive
        if highest - number > LATE_LIMIT:
            self._tally.drop("rtp_too_late")
            return False
        if stream.missing:
            stream.missing.arrived(number)
        return True

    def _frame(self, stream: Stream, packet: Packet, repaired: bool, now: float) -> int:
        """The first packet of a frame (or the next of one that is awaited): KEYFRAME if that is what it begins."""
        _, timestamp, _, payload, _, _ = packet
        if timestamp != stream.frame:
            stream.frame = timestamp
            if not repaired:
                # Interarrival jitter (RFC 3550 A.8) of frames: within one, packets share the time of its capture.
                transit = int(now * stream.clock_rate) - timestamp & 0xFFFFFFFF
                difference = abs(transit - stream.transit)
                stream.transit = transit
                if difference < 0x7FFFFFFF and stream.received > 1:
                    stream.jitter += (difference - stream.jitter) * 0.0625
            if stream.is_video:
                froze = stream.pace.step(timestamp, now, stream.clock_rate, bool(stream.missing))
                if froze:
                    self._tally.freezes_in += 1
                    self._tally.freeze_seconds_in += froze
        if not stream.is_video or not stream.codec.keyframe(payload, 0, len(payload)):
            return 0
        stream.keyframe_wanted = False
        self._measure(stream, payload, now)
        if stream.opening is None or stream.opening.timestamp != timestamp:
            stream.opening = Opening(timestamp, now)
        return KEYFRAME

    def _measure(self, stream: Stream, payload: bytes, now: float) -> None:
        if stream.codec is VP8:
            said = describe(payload)
            stream.temporal = said is not None and said.tl0_at >= 0
        layers = stream.scalable
        height = (layers.height if layers is not None else 0) or stream.codec.height(payload)
        if height and height != stream.height:
            stream.height = height
            self.flush()
            stream.track.sort(now)
