"""SRTP on preallocated buffers: one scratch buffer with its C pointer, and names for libsrtp's refusals."""

from __future__ import annotations

from typing import Any

from media import wire
from media.rtp import MAX_DATAGRAM

TRAILER = 4 + 16 + 128  # SRTCP index, longest tag, longest MKI: what protect may append

# srtp_err_status_t (libsrtp's srtp.h), as names under which drops are counted.
_REFUSALS = {
    7: "srtp_auth_failed",
    9: "srtp_replayed",
    10: "srtp_replay_old",
    13: "srtp_no_context",
    21: "srtp_malformed",
    26: "srtp_index_old",
}


def refusal(status: int, prefix: str = "") -> str:
    """The drop reason for a status that is not zero."""
    return prefix + _REFUSALS.get(status, "srtp_error")


class Scratch:
    """A buffer for one packet at a time, with its C pointer and length cell."""

    __slots__ = ("buffer", "length", "pointer", "view")

    def __init__(self, size: int = MAX_DATAGRAM) -> None:
        self.buffer = bytearray(size + TRAILER)
        self.view = memoryview(self.buffer)
        self.pointer = wire.pin(self.buffer)
        self.length = wire.new_length()

    def protect(self, context: Any, size: int) -> int:
        """Protect the RTP packet in the first `size` bytes; the new length, or minus libsrtp's status."""
        self.length[0] = size
        status = wire.protect(context, self.pointer, self.length)
        return -status if status else int(self.length[0])

    def protect_rtcp(self, context: Any, packet: bytes) -> int:
        """Copy `packet` in and protect it as SRTCP; the new length, or minus libsrtp's status."""
        self.view[: len(packet)] = packet
        self.length[0] = len(packet)
        status = wire.protect_rtcp(context, self.pointer, self.length)
        return -status if status else int(self.length[0])
