"""The layers within one stream (SVC): which frame each packet belongs to, and what each choice of layers costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from media import vp9
from media.dependency import NOT_PRESENT, SWITCH, Descriptor, Reader, Template
from media.dependency import Structure as Templates

TEMPORAL = (
    8  # a decode target is the number `spatial * TEMPORAL + temporal`, a set of them the bits of an int
)
RING = 512  # packets whose description is remembered, a power of two: as many as can be sent again
COUNTED = 1 << 18  # octets after which what is counted of each layer is halved: one to a few seconds
MAX_KINDS = 64  # sets of decode targets whose octets are counted apart; real streams have a dozen
_FIRST_PICTURE = 1 << 20  # extended numbers begin so that nothing before them is negative,
_FIRST_FRAME = 1 << 40  # and the descriptor's lie above VP9's own, in case it appears later


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """What there is to choose from: decode targets, ascending, and heights in pixels by spatial layer (0: unknown)."""

    targets: tuple[int, ...]
    heights: tuple[int, ...]

    def best(self, spatial: int, temporal: int) -> int:
        """The best decode target within these limits; the least there is if none is."""
        found = self.targets[0]
        for target in self.targets:
            if target // TEMPORAL <= spatial and target % TEMPORAL <= temporal:
                found = target
        return found


NOTHING = Structure((0,), (0,))  # as long as nothing was said


class Frame(NamedTuple):
    """A layer frame: one spatial layer of one picture. `present` are the decode targets it belongs to, `switch` those
    that can be decoded from here on if this frame can."""

    structure: Structure
    number: int  # rises in coding order, never wraps
    spatial: int
    temporal: int
    references: tuple[int, ...]  # the numbers of the frames it needs
    present: int
    switch: int


class Said(NamedTuple):
    """What one packet says: its own number in the stream, its frame, and whether it is the last one of it."""

    packet: int
    frame: Frame
    last: bool


class Layers:
    """The layers of one stream, read as its packets come in: once for each, for all subscribers.

    From the dependency descriptor where the sender writes it (any codec), else from VP9's payload descriptor.
    """

    __slots__ = (
        "_counted", "_frame", "_group", "_group_from", "_is_vp9", "_latest", "_newest", "_octets", "_pictures",
        "_reader", "_ring", "_seen", "_targets", "_templates", "structure",
    )  # fmt: skip

    def __init__(self, is_vp9: bool) -> None:
        self._is_vp9 = is_vp9
        self._ring: list[Said | None] = []  # made when there is something to choose from
        self._octets: dict[int, int] = {}  # by the set of decode targets they belong to
        self._counted = 0
        self._latest = -1  # the highest frame number
        self.structure = NOTHING
        self._reader: Reader | None = None  # from the first dependency descriptor on
        self._targets: tuple[
            tuple[int, int], ...
        ] = ()  # (spatial, temporal) of the descriptor's decode targets
        self._templates: dict[int, tuple[Template, int, int]] = {}
        self._newest = -1
        self._frame: Frame | None = None  # of the newest packet
        self._pictures = -1
        self._group: tuple[tuple[int, bool, tuple[int, ...]], ...] = ()
        self._group_from = 0
        self._seen = (0, 0)  # the highest (spatial, temporal) layers of VP9's structure

    def describe(self, packet: int) -> Said | None:
        """What the packet of this extended sequence number said; None if it is unknown or long ago."""
        said = self._ring[packet & RING - 1] if self._ring else None
        return said if said is not None and said.packet == packet else None

    def note(self, packet: int, payload: bytes, descriptor: bytes) -> bool:
        """A packet has come in; True if what there is to choose from has changed."""
        before = self.structure
        found = None
        if descriptor:
            found = self._described(descriptor)
        elif self._is_vp9 and self._reader is None:
            found = self._vp9(payload)
        if found is None:
            return False
        frame, last = found
        self._latest = max(self._latest, frame.number)
        if len(self.structure.targets) > 1:
            if not self._ring:
                self._ring = [None] * RING
            self._ring[packet & RING - 1] = Said(packet, frame, last)
            self._count(frame.present, len(payload))
        return self.structure is not before

    def _count(self, present: int, size: int) -> None:
        octets = self._octets
        if present in octets or len(octets) < MAX_KINDS:
            octets[present] = octets.get(present, 0) + size
            self._counted += size
            if self._counted > COUNTED:
                self._octets = {kind: count // 2 for kind, count in octets.items() if count > 1}
                self._counted = sum(self._octets.values())

    @property
    def height(self) -> int:
        """Lines of the best spatial layer; 0 if unknown, or if there is only one."""
        return self.structure.heights[-1] if len(self.structure.targets) > 1 else 0

    @property
    def told_apart(self) -> bool:
        """Whether a decoder can tell spatial layers apart by the payload alone: AV1's needs the descriptor for that,
        and takes a picture of several layers for garbage without it."""
        return self._is_vp9 or self.structure.targets[-1] < TEMPORAL

    @property
    def next_frame(self) -> int:
        """Greater than the number of every frame that has come in."""
        return self._latest + 1

    def everything(self, spatial: int, temporal: int) -> bool:
        """Whether these limits leave out nothing: the best decode target is wanted, and needs every frame."""
        best = self.structure.best(spatial, temporal)
        return best == self.structure.targets[-1] and all(kind >> best & 1 for kind in self._octets)

    def rungs(self) -> Sequence[tuple[int, int, int, float]]:
        """As layers.Scalable asks: (spatial, temporal, lines, share of the octets) of each decode target."""
        structure = self.structure
        if len(structure.targets) < 2 or not self._counted:
            return ()
        return [
            (
                target // TEMPORAL,
                target % TEMPORAL,
                structure.heights[target // TEMPORAL],
                sum(count for kind, count in self._octets.items() if kind >> target & 1) / self._counted,
            )
            for target in structure.targets
        ]

    # From the dependency descriptor.

    def _described(self, data: bytes) -> tuple[Frame, bool] | None:
        reader = self._reader or Reader()
        said = reader.read(data)
        if said is None:
            return None
        self._reader = reader
        if said.structure is not None and said.structure is reader.structure:
            self._templates.clear()
            self._targets = said.structure.layers
            self.structure = _structure(said.structure)
        number = self._extend(said.number)
        frame = self._frame
        if frame is None or frame.number != number:
            frame = self._frame = self._make(said, number)
        return frame, said.last

    def _extend(self, number: int) -> int:
        newest = self._newest
        extended = (
            _FIRST_FRAME + number if newest < 0 else newest + ((number - newest + 0x8000) & 0xFFFF) - 0x8000
        )
        self._newest = max(newest, extended)
        return extended

    def _make(self, said: Descriptor, number: int) -> Frame:
        template = said.template
        known = self._templates.get(id(template))
        if known is None:
            known = template, *_masks(template, self._targets)
            if len(self._templates) < 2 * MAX_KINDS:  # custom ones are new objects every time
                self._templates[id(template)] = known
        return Frame(
            self.structure, number, template.spatial, template.temporal,
            tuple([number - difference for difference in template.differences]), known[1], known[2],
        )  # fmt: skip

    # From VP9's payload descriptor.

    def _vp9(self, payload: bytes) -> tuple[Frame, bool] | None:
        said = vp9.describe(payload)
        if said is None or said.picture < 0:
            return None
        half = 0x4000 if said.wide else 0x40
        newest = self._pictures
        picture = (
            _FIRST_PICTURE + said.picture
            if newest < 0
            else newest + ((said.picture - newest + half) & (2 * half - 1)) - half
        )
        self._pictures = max(newest, picture)
        number = picture * TEMPORAL + said.spatial
        frame = self._frame
        if frame is not None and frame.number == number and said.structure is None:
            return frame, said.ends
        self._learn(said, picture)
        differences = said.differences
        if said.predicted and not said.flexible and self._group:
            differences = self._group[(picture - self._group_from) % len(self._group)][2]
        references = [number - TEMPORAL * difference for difference in differences] if said.predicted else []
        if said.inter_layer and said.spatial:
            references.append(number - 1)
        present = _vp9_present(said.spatial, said.temporal, said.unneeded)
        switch = 0
        if not said.predicted and not said.inter_layer:
            switch = present
        elif said.switch_up:
            switch = present & 0xFF << said.spatial * TEMPORAL
        frame = self._frame = Frame(
            self.structure, number, said.spatial, said.temporal, tuple(references), present, switch
        )
        return frame, said.ends

    def _learn(self, said: vp9.Descriptor, picture: int) -> None:
        told = said.structure
        spatial, temporal = self._seen
        heights = self.structure.heights
        if told is not None:
            self._group, self._group_from = told.group, picture
            spatial = told.spatial_layers - 1
            heights = told.heights
            temporal = max((t for t, _, _ in told.group), default=temporal)
        spatial, temporal = max(spatial, said.spatial), max(temporal, said.temporal)
        heights = (heights + (0,) * 8)[: spatial + 1]
        if (
            self.structure is NOTHING
            or (spatial, temporal) != self._seen
            or heights != self.structure.heights
        ):
            self._seen = spatial, temporal
            targets = tuple(s * TEMPORAL + t for s in range(spatial + 1) for t in range(temporal + 1))
            self.structure = Structure(targets, heights)


def _structure(told: Templates) -> Structure:
    targets = tuple(sorted({spatial * TEMPORAL + temporal for spatial, temporal in told.layers}))
    layers = targets[-1] // TEMPORAL + 1
    heights = tuple(height for _, height in told.resolutions)
    return Structure(targets, (heights + (0,) * layers)[:layers])


def _masks(template: Template, targets: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    present = switch = 0
    for indication, (spatial, temporal) in zip(template.indications, targets, strict=True):
        if indication != NOT_PRESENT:
            present |= 1 << spatial * TEMPORAL + temporal
        if indication == SWITCH:
            switch |= 1 << spatial * TEMPORAL + temporal
    return present, switch


def _vp9_present(spatial: int, temporal: int, unneeded: bool) -> int:
    """A frame belongs to every target of its own spatial layer, and of higher ones if they need it, that has its
    temporal layer."""
    row = 0xFF << temporal & 0xFF
    present = row << spatial * TEMPORAL
    if not unneeded:
        for above in range(spatial + 1, 8):
            present |= row << above * TEMPORAL
    return present
