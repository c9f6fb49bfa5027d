"""The extension block of outgoing packets, written once for all subscribers with the same mapping (RFC 8285)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from media.rtp import EMPTY_BLOCK, ExtensionIds, Extras, write_extensions

MAX_BLOCKS = (
    64  # remembered of one template; a voice has about 60 levels, descriptors are new in every packet
)


class Block(NamedTuple):
    """An extension block in two parts: what comes before the value written per packet, and what comes after it.

    The value is the transport-wide number (2 octets) or the absolute send time (3); without either, `lead` is empty.
    """

    size: int  # octets in all, the value included
    lead: bytes
    rest: bytes
    frame_at: int  # where the frame number of the dependency descriptor is, 0 without one


class Template:
    """How one m-line of one kind of client wants its extensions: the mid always, the rest where it negotiated them.

    Subscribers with the same ids, mid and forms share one, so that in a webinar a packet's block is made once. The
    value that differs for each packet of each subscriber comes first, at a fixed place.
    """

    __slots__ = ("_always_two_byte", "_ids", "_mid", "_value", "blocks", "timed")

    def __init__(self, ids: ExtensionIds, mid: str, allow_mixed: bool) -> None:
        """`ids`: only of what is to be sent; transport_cc wins over abs_send_time."""
        self._ids = ids
        self._mid = mid.encode()
        self.timed = bool(ids.abs_send_time and not ids.transport_cc)
        self._value = 3 if self.timed else 2 if ids.transport_cc else 0
        # Without extmap-allow-mixed a stream keeps to one form (RFC 8285 section 4.1.2): the one that holds everything.
        used = (
            ids.mid,
            ids.transport_cc,
            ids.abs_send_time,
            ids.audio_level,
            ids.orientation,
            ids.playout_delay,
        )
        self._always_two_byte = not allow_mixed and (max(used) > 14 or ids.descriptor > 0)
        self.blocks: dict[Extras | None, Block] = {}

    def fill(self, extras: Extras | None) -> Block:
        """The block for these values. The hot path looks into `blocks` first."""
        ids = self._ids
        elements: list[tuple[int, bytes]] = []
        if self.timed:
            elements.append((ids.abs_send_time, bytes(3)))
        elif ids.transport_cc:
            elements.append((ids.transport_cc, bytes(2)))
        if ids.mid:
            elements.append((ids.mid, self._mid))
        descriptor = b""
        if extras is not None:
            level, orientation, playout, descriptor = extras
            if ids.audio_level and level >= 0:
                elements.append((ids.audio_level, bytes((level,))))
            if ids.orientation and orientation >= 0:
                elements.append((ids.orientation, bytes((orientation,))))
            if ids.playout_delay and playout:
                elements.append((ids.playout_delay, playout))
            if ids.descriptor and descriptor:
                elements.append((ids.descriptor, descriptor))
        whole = write_extensions(elements, self._always_two_byte) or EMPTY_BLOCK
        two_byte = whole[:1] == b"\x10"
        lead = 4 + (2 if two_byte else 1) if self._value else 0
        frame_at = 0
        if ids.descriptor and descriptor:  # the last element: found from what comes before it
            head = 2 if two_byte else 1
            frame_at = 4 + sum(head + len(value) for _, value in elements) - len(descriptor) + 1
        block = Block(len(whole), whole[:lead], whole[lead + self._value :], frame_at)
        if len(self.blocks) >= MAX_BLOCKS:
            self.blocks.clear()
        self.blocks[extras] = block
        return block


@lru_cache(maxsize=1024)
def template_of(ids: ExtensionIds, mid: str, allow_mixed: bool) -> Template:
    """The one template for these arguments."""
    return Template(ids, mid, allow_mixed)
