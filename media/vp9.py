"""VP9's payload descriptor (RFC 9628): keyframes, heights, and what a packet says of its layer."""

from __future__ import annotations

from typing import NamedTuple

from media.bits import Bits, Truncated

MAX_REFERENCES = 3
_SYNC = 0x498342


class Descriptor(NamedTuple):
    """What one packet's descriptor says; `at` is where the VP9 data begin behind it."""

    picture: int  # -1: absent
    wide: bool  # the picture id has 15 bits, else 7
    predicted: bool  # P: from another picture
    begins: bool  # B: of a layer frame
    ends: bool  # E
    unneeded: bool  # Z: no higher spatial layer needs it
    temporal: int
    switch_up: bool  # U: later pictures of higher temporal layers need nothing of them from before
    spatial: int
    inter_layer: bool  # D: needs the spatial layer below
    layered: bool  # L: the four before are there
    differences: tuple[int, ...]  # flexible mode: how many pictures back its references are
    flexible: bool
    structure: Structure | None
    at: int


class Structure(NamedTuple):
    """The scalability structure: heights in pixels by spatial layer (empty: not told), and the group of pictures as
    (temporal layer, switch up, differences), empty if not told."""

    spatial_layers: int
    heights: tuple[int, ...]
    group: tuple[tuple[int, bool, tuple[int, ...]], ...]


def describe(payload: bytes) -> Descriptor | None:
    """Read a payload descriptor; None if the packet is too short to hold it, or says what RFC 9628 does not allow."""
    try:
        return _describe(payload)
    except IndexError:
        return None


def _describe(payload: bytes) -> Descriptor | None:
    head = payload[0]
    at = 1
    picture, wide = -1, False
    if head & 0x80:
        picture = payload[at] & 0x7F
        wide = payload[at] > 127
        at += 1
        if wide:
            picture = picture << 8 | payload[at]
            at += 1
    temporal = spatial = 0
    switch_up = inter_layer = False
    flexible = bool(head & 0x10)
    if head & 0x20:
        layer = payload[at]
        temporal, switch_up, spatial, inter_layer = (
            layer >> 5,
            bool(layer & 0x10),
            layer >> 1 & 7,
            bool(layer & 1),
        )
        at += 1
        if not flexible:
            payload[at]  # TL0PICIDX
            at += 1
    differences: list[int] = []
    if flexible and head & 0x40:
        while True:
            if len(differences) == MAX_REFERENCES:
                return None
            differences.append(payload[at] >> 1)
            at += 1
            if not payload[at - 1] & 1:
                break
    structure = None
    if head & 0x02:
        structure, at = _structure(payload, at)
    return Descriptor(
        picture, wide, bool(head & 0x40), bool(head & 0x08), bool(head & 0x04), bool(head & 0x01), temporal, switch_up,
        spatial, inter_layer, bool(head & 0x20), tuple(differences), flexible, structure, at,
    )  # fmt: skip


def _structure(payload: bytes, at: int) -> tuple[Structure, int]:
    head = payload[at]
    at += 1
    layers = (head >> 5) + 1
    heights: tuple[int, ...] = ()
    if head & 0x10:
        heights = tuple(payload[at + 4 * i + 2] << 8 | payload[at + 4 * i + 3] for i in range(layers))
        at += 4 * layers
    group: list[tuple[int, bool, tuple[int, ...]]] = []
    if head & 0x08:
        count = payload[at]
        at += 1
        for _ in range(count):
            picture = payload[at]
            references = picture >> 2 & 3
            group.append(
                (picture >> 5, bool(picture & 0x10), tuple(payload[at + 1 + i] for i in range(references)))
            )
            at += 1 + references
    return Structure(layers, heights, tuple(group)), at


def keyframe(data: bytes | bytearray | memoryview, start: int, end: int) -> bool:
    """True on the first packet of a picture that needs no other, in its lowest spatial layer."""
    if end - start < 1 or data[start] & 0x48 != 0x08:  # P clear, B set
        return False
    if not data[start] & 0x20:
        return True
    at = start + 1
    if data[start] & 0x80:
        if at >= end:
            return False
        at += 2 if data[at] & 0x80 else 1
    return at < end and data[at] & 0x0E == 0


def height(payload: bytes) -> int:
    """The height in pixels of the best spatial layer, from the first packet of a keyframe; 0 if it is not there."""
    said = describe(payload)
    if said is None:
        return 0
    if said.structure is not None and said.structure.heights:
        return said.structure.heights[-1]
    bits = Bits(payload[said.at : said.at + 12])  # the uncompressed header (VP9 6.2), profile 0
    try:
        if (
            bits.take(2) != 2 or bits.take(2) or bits.take(1) or bits.take(1)
        ):  # marker, profile, show_existing, delta
            return 0
        bits.take(2)
        if bits.take(24) != _SYNC or bits.take(3) == 7:  # RGB is not of profile 0
            return 0
        bits.take(1 + 16)
        return bits.take(16) + 1
    except Truncated:
        return 0
