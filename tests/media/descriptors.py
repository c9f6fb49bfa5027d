"""Dependency descriptors written (AV1 RTP specification, appendix A), and streams of layers as encoders make them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from media.dependency import Structure, Template


class Writer:
    """Bits put one behind the other."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def put(self, count: int, value: int) -> None:
        """`count` bits, the most significant first."""
        if count:
            self._bits.append(format(value, f"0{count}b"))

    def skewed(self, values: int, value: int) -> None:
        """ns(n)"""
        width = values.bit_length()
        short = (1 << width) - values
        if value < short:
            self.put(width - 1, value)
        else:
            self.put(width, value + short)

    def done(self) -> bytes:
        """Filled up to whole octets."""
        text = "".join(self._bits)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def write(
    first: bool,
    last: bool,
    identifier: int,
    number: int,
    *,
    structure: Structure | None = None,
    active: int | None = None,
    targets: int = 0,
    indications: tuple[int, ...] | None = None,
    differences: tuple[int, ...] | None = None,
    chains: tuple[int, ...] | None = None,
) -> bytes:
    """One descriptor; `targets` is needed with `active` where no structure goes along."""
    bits = Writer()
    bits.put(1, first)
    bits.put(1, last)
    bits.put(6, identifier)
    bits.put(16, number & 0xFFFF)
    if (
        structure is None
        and active is None
        and indications is None
        and differences is None
        and chains is None
    ):
        return bits.done()
    for part in (structure, active, indications, differences, chains):
        bits.put(1, part is not None)
    if structure is not None:
        _structure(bits, structure)
        targets = structure.targets
    if active is not None:
        bits.put(targets, active)
    for indication in indications or ():
        bits.put(2, indication)
    if differences is not None:
        for difference in differences:
            size = 1 if difference <= 16 else 2 if difference <= 256 else 3
            bits.put(2, size)
            bits.put(4 * size, difference - 1)
        bits.put(2, 0)
    for chain in chains or ():
        bits.put(8, chain)
    return bits.done()


def _structure(bits: Writer, structure: Structure) -> None:
    bits.put(6, structure.offset)
    bits.put(5, structure.targets - 1)
    templates = structure.templates
    for template, after in zip(templates, [*templates[1:], None], strict=True):
        if after is None:
            bits.put(2, 3)
        elif (after.spatial, after.temporal) == (template.spatial, template.temporal):
            bits.put(2, 0)
        else:
            bits.put(2, 1 if after.spatial == template.spatial else 2)
    for template in templates:
        for indication in template.indications:
            bits.put(2, indication)
    for template in templates:
        for difference in template.differences:
            bits.put(1, 1)
            bits.put(4, difference - 1)
        bits.put(1, 0)
    chains = max(structure.protected_by, default=-1) + 1
    bits.skewed(structure.targets + 1, chains)
    if chains:
        for chain in structure.protected_by:
            bits.skewed(chains, chain)
    for template in templates:
        for difference in template.chains:
            bits.put(4, difference)
    bits.put(1, bool(structure.resolutions))
    for width, height in structure.resolutions:
        bits.put(16, width - 1)
        bits.put(16, height - 1)


def structure_of(
    templates: Iterable[tuple[int, int, str, tuple[int, ...]]],
    resolutions: tuple[tuple[int, int], ...],
    offset: int,
) -> Structure:
    """From (spatial, temporal, indications as "-DSR", differences), without chains."""
    made = tuple(
        Template(spatial, temporal, tuple("-DSR".index(letter) for letter in letters), differences, ())
        for spatial, temporal, letters, differences in templates
    )
    targets = range(len(made[0].indications))
    layers = tuple(
        (
            max(t.spatial for t in made if t.indications[target]),
            max(t.temporal for t in made if t.indications[target]),
        )
        for target in targets
    )
    return Structure(offset, made, (), resolutions, layers)


@dataclass(frozen=True, slots=True)
class LayerFrame:
    """One frame of a made-up stream: `template` its place among the structure's, `needs` absolute numbers."""

    number: int
    picture: int
    spatial: int
    temporal: int
    template: int
    needs: tuple[int, ...]
    key: bool
    last: bool  # of its picture


# Three spatial and three temporal layers, as in appendix A.10.8.2 ("L3T3 full"): pictures T0 T2 T1 T2.
_PATTERN = (0, 2, 1, 2)
# Decode targets in the order (S0, T0), (S0, T1), ... (S2, T2).
_LETTERS = {
    # (spatial, temporal): indications of a delta frame
    (0, 0): "SSSRRRRRR",
    (0, 1): "-DS-RR-RR",
    (0, 2): "--D--R--R",
    (1, 0): "---SSSRRR",
    (1, 1): "----DS-RR",
    (1, 2): "-----D--R",
    (2, 0): "------SSS",
    (2, 1): "-------DS",
    (2, 2): "--------D",
}
_KEY_LETTERS = {0: "SSSSSSSSS", 1: "---SSSSSS", 2: "------SSS"}


class Encoder:
    """Makes frames of three spatial and three temporal layers; `key_only`: spatial layers need each other in
    keyframes only (L3T3_KEY)."""

    SIZES = ((320, 180), (640, 360), (1280, 720))

    def __init__(self, key_only: bool = False, number: int = 0, offset: int = 0) -> None:
        self.key_only = key_only
        self.number = number
        self.picture = -1
        self._latest: dict[tuple[int, int], int] = {}  # newest frame by (spatial, temporal)
        self._in_group = 0
        self._templates: list[tuple[int, int, str, tuple[int, ...]]] = []
        self._key_templates: list[int] = []
        for spatial in range(3):
            self._templates.append((spatial, 0, _KEY_LETTERS[spatial], (1,) if spatial else ()))
            self._templates.append((spatial, 0, self._letters(spatial, 0), self._differences(spatial, 12)))
            self._templates.append((spatial, 1, self._letters(spatial, 1), self._differences(spatial, 6)))
            self._templates.append((spatial, 2, self._letters(spatial, 2), self._differences(spatial, 3)))
        self.structure = structure_of(self._templates, self.SIZES, offset)

    def _letters(self, spatial: int, temporal: int) -> str:
        letters = _LETTERS[spatial, temporal]
        if self.key_only:  # nobody above needs it
            letters = "".join(
                letter if place // 3 == spatial else "-" for place, letter in enumerate(letters)
            )
        return letters

    def _differences(self, spatial: int, before: int) -> tuple[int, ...]:
        return (before, 1) if spatial and not self.key_only else (before,)

    def picture_frames(self, key: bool) -> Iterator[LayerFrame]:
        """The frames of the next picture."""
        self.picture += 1
        if key:
            self._in_group = 0
            self._latest.clear()
        temporal = _PATTERN[self._in_group % 4]
        self._in_group += 1
        for spatial in range(3):
            number = self.number
            self.number += 1
            needs: list[int] = []
            if not key:
                # T0 needs T0, T1 needs T0, T2 the newest of T0 and T1.
                below = [
                    self._latest[spatial, t] for t in range(max(1, temporal)) if (spatial, t) in self._latest
                ]
                needs.append(max(below) if temporal else self._latest[spatial, 0])
            if spatial and (key or not self.key_only):
                needs.append(number - 1)
            self._latest[spatial, temporal] = number
            place = spatial * 4 + (0 if key else 1 + temporal)
            yield LayerFrame(
                number,
                self.picture,
                spatial,
                temporal,
                place,
                tuple(needs),
                key and spatial == 0,
                spatial == 2,
            )

    def descriptor(self, frame: LayerFrame, first: bool, last: bool) -> bytes:
        """Of one packet of the frame; the structure goes with the first packet of a keyframe."""
        template = self.structure.templates[frame.template]
        differences = tuple(frame.number - number for number in frame.needs)
        return write(
            first, last, (self.structure.offset + frame.template) % 64, frame.number,
            structure=self.structure if frame.key and first else None,
            differences=None if differences == template.differences else differences,
        )  # fmt: skip


def vp9(
    frame: LayerFrame, key: bool, key_only: bool, first: bool, last: bool, sizes: tuple[tuple[int, int], ...]
) -> bytes:
    """The same frame as a VP9 payload in flexible mode: 15-bit picture id, layers, P_DIFF, structure with keyframes.

    References within a spatial layer are told in pictures; made from the frame's numbers, three to a picture.
    """
    others = [number for number in frame.needs if number % 3 == frame.number % 3]
    inter_layer = len(others) < len(frame.needs)
    unneeded = frame.spatial == 2 or (key_only and not key)
    tells = frame.key and first
    head = bytes((
        0x80 | bool(others) << 6 | 0x20 | 0x10 | first << 3 | last << 2 | tells << 1 | unneeded,
        0x80 | frame.picture >> 8 & 0x7F, frame.picture & 0xFF,
        frame.temporal << 5 | (frame.temporal < 2) << 4 | frame.spatial << 1 | inter_layer,
    ))  # fmt: skip
    differences = [(frame.number - number) // 3 for number in others]
    for place, difference in enumerate(differences):
        head += bytes((difference << 1 | (place < len(differences) - 1),))
    if tells:
        head += bytes((len(sizes) - 1 << 5 | 0x10,))
        for width, height in sizes:
            head += width.to_bytes(2, "big") + height.to_bytes(2, "big")
    return head
