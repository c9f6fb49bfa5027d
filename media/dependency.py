"""The dependency descriptor: which frames need which, said outside the payload (AV1 RTP specification, appendix A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from media.bits import Bits, Truncated

NOT_PRESENT, DISCARDABLE, SWITCH, REQUIRED = range(4)  # decode target indications (A.8.2)
MAX_TEMPLATES = 64
MAX_DIFFERENCES = 32  # of one frame; an encoder has eight reference buffers


class Template(NamedTuple):
    """What a frame is like: its layer, what it is to each decode target, how many frames back its references are, and
    for each chain how far back its previous frame is."""

    spatial: int
    temporal: int
    indications: tuple[int, ...]
    differences: tuple[int, ...]
    chains: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Structure:
    """The templates of a stream (A.8.3). `layers` are the best (spatial, temporal) of each decode target, `resolutions`
    (width, height) in pixels by spatial layer, empty if they are not told."""

    offset: int
    templates: tuple[Template, ...]
    protected_by: tuple[int, ...]
    resolutions: tuple[tuple[int, int], ...]
    layers: tuple[tuple[int, int], ...]

    @property
    def targets(self) -> int:
        """How many decode targets there are."""
        return len(self.layers)


class Descriptor(NamedTuple):
    """One packet's descriptor. `structure` and `active` (bit by decode target) are None where it has none."""

    first: bool  # packet of its frame
    last: bool
    number: int  # of the frame, 16 bits
    template: Template  # as it holds for this frame
    structure: Structure | None
    active: int | None


class Reader:
    """Reads the descriptors of one stream: the structure arrives with keyframes and holds until the next one."""

    __slots__ = ("_frames", "structure")

    def __init__(self) -> None:
        self.structure: Structure | None = None
        self._frames: dict[int, Template] = {}  # by template id, of the structure

    def read(self, data: bytes) -> Descriptor | None:
        """None if it is malformed, or of a structure that has not come (yet): never guess."""
        if len(data) == 3:  # nearly every packet
            template = self._frames.get(data[0] & 0x3F)
            if template is None:
                return None
            return Descriptor(
                data[0] > 127, bool(data[0] & 0x40), data[1] << 8 | data[2], template, None, None
            )
        try:
            said = parse(data, self.structure)
        except Truncated:
            return None
        if said.structure is not None and said.structure != self.structure:
            self.structure = said.structure
            self._frames = {
                (said.structure.offset + place) % MAX_TEMPLATES: template
                for place, template in enumerate(said.structure.templates)
            }
        return said


def parse(data: bytes, known: Structure | None) -> Descriptor:
    """Read one descriptor (A.8.1); `known` is the structure that came before. Raises Truncated on anything wrong."""
    bits = Bits(data)
    first, last, identifier, number = bool(bits.take(1)), bool(bits.take(1)), bits.take(6), bits.take(16)
    new: Structure | None = None
    active: int | None = None
    indications = differences = chains = False
    if bits.left:
        present, activity = bits.take(1), bits.take(1)
        indications, differences, chains = bool(bits.take(1)), bool(bits.take(1)), bool(bits.take(1))
        if present:
            new = _structure(bits)
            active = (1 << new.targets) - 1
        structure = new or known
        if structure is not None and activity:
            active = bits.take(structure.targets)
    structure = new or known
    place = -1 if structure is None else (identifier - structure.offset) % MAX_TEMPLATES
    if structure is None or place >= len(structure.templates):
        raise Truncated
    template = structure.templates[place]
    if indications:
        template = template._replace(indications=tuple(bits.take(2) for _ in range(structure.targets)))
    if differences:
        template = template._replace(differences=_differences(bits))
    if chains:
        template = template._replace(chains=tuple(bits.take(8) for _ in template.chains))
    return Descriptor(first, last, number, template, new, active)


def _differences(bits: Bits) -> tuple[int, ...]:
    found: list[int] = []
    while size := bits.take(2):
        found.append(bits.take(4 * size) + 1)
        if len(found) > MAX_DIFFERENCES:
            raise Truncated
    return tuple(found)


def _structure(bits: Bits) -> Structure:
    offset, targets = bits.take(6), bits.take(5) + 1
    layers = _template_layers(bits)
    indications = [tuple(bits.take(2) for _ in range(targets)) for _ in layers]
    differences: list[tuple[int, ...]] = []
    for _ in layers:
        found: list[int] = []
        while bits.take(1):
            found.append(bits.take(4) + 1)
            if len(found) > MAX_DIFFERENCES:
                raise Truncated
        differences.append(tuple(found))
    count = bits.skewed(targets + 1)
    protected_by = tuple(bits.skewed(count) for _ in range(targets)) if count else ()
    chains = [tuple(bits.take(4) for _ in range(count)) for _ in layers]
    resolutions: tuple[tuple[int, int], ...] = ()
    if bits.take(1):
        resolutions = tuple((bits.take(16) + 1, bits.take(16) + 1) for _ in range(layers[-1][0] + 1))
    templates = tuple(
        Template(*layer, *rest) for layer, *rest in zip(layers, indications, differences, chains, strict=True)
    )
    return Structure(
        offset,
        templates,
        protected_by,
        resolutions,
        tuple(_target_layers(templates, t) for t in range(targets)),
    )


def _template_layers(bits: Bits) -> list[tuple[int, int]]:
    spatial = temporal = 0
    layers: list[tuple[int, int]] = []
    while True:
        layers.append((spatial, temporal))
        step = bits.take(2)
        if step == 3:
            return layers
        if step == 1:
            temporal += 1
        elif step == 2:
            temporal, spatial = 0, spatial + 1
        if len(layers) == MAX_TEMPLATES or spatial > 7 or temporal > 7:
            raise Truncated


def _target_layers(templates: tuple[Template, ...], target: int) -> tuple[int, int]:
    """The best layers among what a decode target contains (A.8.3, decode_target_layers)."""
    spatial = temporal = 0
    for template in templates:
        if template.indications[target] != NOT_PRESENT:
            spatial, temporal = max(spatial, template.spatial), max(temporal, template.temporal)
    return spatial, temporal
