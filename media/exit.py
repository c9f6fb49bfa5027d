"""The way out for media: one buffer in which packets are built and protected, and from which they are sent."""

from __future__ import annotations

import errno
import socket
from struct import Struct
from time import monotonic
from typing import Any, Protocol

from media import wire
from media.outlet import Former, Outlet
from media.rtp import MAX_DATAGRAM, Extras
from media.srtp import TRAILER
from media.tally import Tally
from media.tcp import SlowReader

UDP_SEGMENT = 103  # Linux socket option and control message of SOL_UDP (udp(7))
MAX_SEGMENTS = 64  # the kernel's UDP_MAX_SEGMENTS
MAX_BURST = 63000  # octets after which a burst is sent: one packet more still fits an IP datagram
NUMBER = Struct("!H")
# What a device without the offload, a path with a smaller MTU or a tunnel answers to segmented sending.
_UNSEGMENTED = (errno.EINVAL, errno.EIO, errno.EMSGSIZE)


def abs_send_time(now: float) -> bytes:
    """Seconds as 6.18 bits fixed point (abs-send-time): wraps every 64 s."""
    return (int(now * (1 << 18)) & 0xFFFFFF).to_bytes(3, "big")


def continue_frames(buffer: bytearray, at: int, way: Outlet | Former) -> None:
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


class Exit:
    """Owns the sending side of the socket for media."""

    __slots__ = (
        "_buffer", "_controls", "_layouts", "_length", "_numbered", "_pointer", "_prefixes", "_socket",
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
        self._prefixes: dict[int, memoryview] = {}  # slicing costs as much as building the packet

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

    def _block(self, outlet: Outlet, extras: Extras | None) -> tuple[bytes, int]:
        """The whole extension block for one packet, and where in it the frame number is (0: nowhere)."""
        template, downlink = outlet.template, outlet.downlink
        _, lead, rest, frame_at = template.blocks.get(extras) or template.fill(extras)
        if downlink is not None:
            return lead + NUMBER.pack(downlink.next & 0xFFFF) + rest, frame_at
        return (lead + abs_send_time(monotonic()) if template.timed else lead) + rest, frame_at
