"""What one person sends: a voice every 20 ms, a picture every frame, reports every second, repairs on request."""

import errno
import random
import socket
from collections.abc import Iterable
from struct import Struct
from typing import Any

from loadtest.answer import Answer
from loadtest.engine import Engine, SendBuffer
from loadtest.offer import OPUS, VP8, VP8_RTX, Identity
from loadtest.options import Load, LoadError
from loadtest.stream import (
    KEYFRAME_FACTOR,
    OPUS_PAYLOAD,
    VP8_PAYLOAD,
    Stream,
    opus_head,
    split_frame,
    vp8_head,
)
from media.ring import PacketRing
from media.rtp import HEADER
from media.sequence import extend
from media.srtp import TRAILER

AUDIO_NS = 20_000_000
LATE_NS = 200_000_000  # so late that the send is left out, or a slow generator would never catch up
RING = 256  # video packets for repairs: two seconds at 1.2 Mb/s
MAX_REPAIRS = 64  # answered of one NACK
# The packets of one burst, so that the largest fit into the send buffer.
BURST = SendBuffer.SIZE // (VP8_PAYLOAD + 64 + TRAILER)

_UDP, _UDP_SEGMENT = 17, 103
_SIZE = Struct("=H")


class Sender:
    """The outgoing half of a connected peer. The engine's wheel calls `audio` and `video`."""

    def __init__(
        self,
        engine: Engine,
        sock: socket.socket,
        context: Any,
        identity: Identity,
        answer: Answer,
        number: int,
        load: Load,
    ) -> None:
        """`context` is libsrtp's for sending; `number` is the person's number in the run. Raises LoadError."""
        self._engine = engine
        self._socket = sock
        self._context = context
        audio, video = answer.section("0"), answer.section("1")
        for section, payload_type, codec in ((audio, OPUS, "opus"), (video, VP8, "vp8")):
            if section.codecs.get(payload_type) != codec or section.direction != "recvonly":
                raise LoadError(f"The server does not take {codec} from us (m-line {section.mid})")
        self.voice = Stream(engine.run, 2 * number, identity.audio_ssrc, OPUS, "0", audio.extensions)
        self.picture = Stream(engine.run, 2 * number + 1, identity.video_ssrc, VP8, "1", video.extensions)
        self._rtx_ssrc = identity.rtx_ssrc if video.codecs.get(VP8_RTX) == "rtx" else 0
        self._rtx_sequence = 1
        self._transport = 0
        self._ring = PacketRing(RING)
        self._keyframe = True
        self._picture_id = 0
        self._packets = self._done = self._size = 0  # of the frame under way
        self._is_keyframe = False
        self._paced = load.paced
        self._frame_ns = 1_000_000_000 // load.fps
        self._frame_octets = load.video_kbps * 125 / load.fps
        self._random = random.Random(number)
        # Repairs may take as much as the video itself, as in Chromium: without a bound an overloaded server's NACKs
        # would be answered with more load.
        self._repair_step = VP8_PAYLOAD * 1_000_000_000 // (load.video_kbps * 125)
        self._repairs_from = 0  # the bucket: one repair for each step of the last second
        self.repairs = 0
        self.stopped = False

    def want_keyframe(self) -> None:
        """The next frame is a keyframe."""
        self._keyframe = True

    def audio(self, due: int, now: int) -> int:
        """One Opus packet; when the next is due."""
        if self.stopped:
            return 0
        stream, buffer = self.voice, self._engine.sending.buffer
        stream.timestamp += 960
        index = stream.next_index
        # Only a talk spurt's first packet bears the marker (RFC 7587 section 4.1, RFC 3551 section 4.1).
        payload = stream.write(buffer, 0, OPUS_PAYLOAD, index == 0, self._transport, now)
        opus_head(buffer, payload)
        self._transport += 1
        size = self._engine.sending.protect(self._context, 0, payload + OPUS_PAYLOAD)
        self._account(stream, index, 1, self._send(size, size, 1), due, now)
        return self._after(due, now, AUDIO_NS)

    def video(self, due: int, now: int) -> int:
        """One VP8 frame as a burst of packets or, paced, one packet of it; when to go on."""
        if self.stopped:
            return 0
        if self._done == self._packets:
            self._frame(due)
        packets = self._packets
        if self._paced:
            self._burst(self._done, 1, due)
            self._done += 1
            return self._after(due, now, self._frame_ns // packets)
        while self._done < packets:
            count = min(packets - self._done, BURST)
            self._burst(self._done, count, due)
            self._done += count
        return self._after(due, now, self._frame_ns)

    def _frame(self, due: int) -> None:
        keyframe, self._keyframe = self._keyframe, False
        octets = self._frame_octets * (KEYFRAME_FACTOR if keyframe else self._random.uniform(0.8, 1.2))
        self._packets, self._size = split_frame(int(octets))
        self._done = 0
        self._is_keyframe = keyframe
        self.picture.timestamp = due * 9 // 100_000  # 90 kHz
        self._picture_id += 1

    def _burst(self, done: int, count: int, due: int) -> None:
        stream, sending, size = self.picture, self._engine.sending, self._size
        buffer, view = sending.buffer, sending.view
        first = stream.next_index
        at = protected = 0
        now = self._engine.now()
        for place in range(done, done + count):
            now = self._engine.now()
            sequence = stream.sequence
            payload = stream.write(buffer, at, size, place == self._packets - 1, self._transport, now)
            vp8_head(buffer, payload, self._picture_id, place == 0, self._is_keyframe)
            self._transport += 1
            self._ring.store((sequence, 0, 0, bytes(view[at : payload + size]), None, 0.0))  # header and all
            protected = sending.protect(self._context, at, payload + size - at)
            at += protected
        self._account(stream, first, count, self._send(at, protected, count), due, now)

    def repair(self, missing: Iterable[int]) -> None:
        """Answer a NACK for the video stream, on the RTX stream if the server took one (RFC 4588)."""
        stream, sending, now = self.picture, self._engine.sending, self._engine.now()
        for _, number in zip(range(MAX_REPAIRS), missing, strict=False):
            kept = self._ring.get(extend(number, stream.sequence))
            self._repairs_from = max(self._repairs_from, now - 1_000_000_000)
            if kept is None or self._repairs_from + self._repair_step > now:
                continue
            packet = kept[3]
            self._repairs_from += self._repair_step
            head = stream.header_size
            if self._rtx_ssrc:
                first, kind, _, timestamp, _ = HEADER.unpack_from(packet)
                packet = (
                    HEADER.pack(
                        first, kind & 0x80 | VP8_RTX, self._rtx_sequence & 0xFFFF, timestamp, self._rtx_ssrc
                    )
                    + packet[HEADER.size : head]
                    + packet[2:4]
                    + packet[head:]
                )
                self._rtx_sequence += 1
            sending.view[: len(packet)] = packet
            stream.touch(sending.buffer, 0, self._transport, now)
            self._transport += 1
            size = sending.protect(self._context, 0, len(packet))
            self._send(size, size, 1)
            self.repairs += 1

    def _send(self, total: int, size: int, count: int) -> bool:
        """Send the first `total` octets of the buffer as `count` datagrams of `size`; False if none left."""
        view = self._engine.sending.view
        if count > 1 and self._engine.segmented:
            try:
                self._socket.sendmsg((view[:total],), ((_UDP, _UDP_SEGMENT, _SIZE.pack(size)),))
            except BlockingIOError:
                return False
            except ConnectionRefusedError:
                return True
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EIO, errno.ENOPROTOOPT):
                    raise
                self._engine.segmented = False
            else:
                return True
        left = True
        for at in range(0, total, size):
            left = self._raw(view[at : at + size]) and left
        return left

    def _raw(self, data: memoryview) -> bool:
        try:
            self._socket.send(data)
        except BlockingIOError:
            return False
        except ConnectionRefusedError:
            # Nobody listens there any more: it left us and is lost, which the figures will show.
            return True
        return True

    def _account(self, stream: Stream, first: int, count: int, left: bool, due: int, now: int) -> None:
        engine = self._engine
        if not engine.window_from <= now < engine.window_to:
            return
        if left:
            stream.sent(first, count)
            engine.lateness.append(max(now - due, 0) // 1000)
        else:
            engine.blocked += count

    def _after(self, due: int, now: int, step: int) -> int:
        if now - due <= LATE_NS:
            return due + step
        if self._engine.window_from <= now < self._engine.window_to:
            self._engine.skipped += (now - due) // step
        return now + step
