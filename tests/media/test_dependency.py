"""The dependency descriptor: what was written is read, and nothing is guessed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media.dependency import Descriptor, Reader, Structure, Template
from tests.media.descriptors import Encoder, structure_of, write


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    """Any structure the syntax can say."""
    targets = draw(st.integers(1, 10))
    count = draw(st.integers(1, 6))
    chains = draw(st.integers(0, min(targets, 4)))
    spatial = temporal = 0
    templates = []
    for place in range(count):
        if place:
            step = draw(st.sampled_from(["same", "temporal", "spatial"]))
            if step == "temporal" and temporal < 7:
                temporal += 1
            elif step == "spatial" and spatial < 7:
                spatial, temporal = spatial + 1, 0
        templates.append(
            Template(
                spatial,
                temporal,
                tuple(draw(st.lists(st.integers(0, 3), min_size=targets, max_size=targets))),
                tuple(draw(st.lists(st.integers(1, 16), max_size=4))),
                tuple(draw(st.lists(st.integers(0, 15), min_size=chains, max_size=chains))),
            )
        )
    protected = tuple(draw(st.integers(0, chains - 1)) for _ in range(targets)) if chains else ()
    if chains and max(protected) != chains - 1:
        protected = (*protected[:-1], chains - 1)
    sizes: tuple[tuple[int, int], ...] = ()
    if draw(st.booleans()):
        sizes = tuple(
            (draw(st.integers(1, 1 << 16)), draw(st.integers(1, 1 << 16))) for _ in range(spatial + 1)
        )
    layers = tuple(
        (
            max((t.spatial for t in templates if t.indications[target]), default=0),
            max((t.temporal for t in templates if t.indications[target]), default=0),
        )
        for target in range(targets)
    )
    return Structure(draw(st.integers(0, 63)), tuple(templates), protected, sizes, layers)


@given(structures(), st.data())
def test_what_was_written_is_read(structure: Structure, data: st.DataObject) -> None:
    reader = Reader()
    said = reader.read(write(True, False, structure.offset, 0xFFFF, structure=structure))
    assert said == Descriptor(
        True, False, 0xFFFF, structure.templates[0], structure, (1 << structure.targets) - 1
    )
    assert reader.structure == structure
    for number in range(6):
        place = data.draw(st.integers(0, len(structure.templates) - 1))
        template = structure.templates[place]
        indications: tuple[int, ...] | None = None
        differences: tuple[int, ...] | None = None
        chains: tuple[int, ...] | None = None
        active: int | None = None
        if data.draw(st.booleans()):
            indications = tuple(data.draw(st.integers(0, 3)) for _ in range(structure.targets))
            template = template._replace(indications=indications)
        if data.draw(st.booleans()):
            differences = tuple(data.draw(st.lists(st.integers(1, 4096), max_size=8)))
            template = template._replace(differences=differences)
        if data.draw(st.booleans()) and template.chains:
            chains = tuple(data.draw(st.integers(0, 255)) for _ in template.chains)
            template = template._replace(chains=chains)
        if data.draw(st.booleans()):
            active = data.draw(st.integers(0, (1 << structure.targets) - 1))
        written = write(
            False, True, (structure.offset + place) % 64, number,
            active=active, targets=structure.targets, indications=indications, differences=differences, chains=chains,
        )  # fmt: skip
        assert reader.read(written) == Descriptor(False, True, number, template, None, active)


def test_three_octets_are_enough_for_most_packets() -> None:
    encoder = Encoder()
    reader = Reader()
    sizes = []
    for picture in range(9):
        for frame in encoder.picture_frames(picture == 0):
            data = encoder.descriptor(frame, True, True)
            sizes.append(len(data))
            said = reader.read(data)
            assert said is not None
            assert said.template.differences == tuple(frame.number - n for n in frame.needs)
            assert (said.template.spatial, said.template.temporal) == (frame.spatial, frame.temporal)
    assert sizes[0] > 50 and sizes[-6:] == [3] * 6


def test_nothing_is_read_before_its_structure() -> None:
    first, second = (structure_of([(0, 0, "S", ())], (), offset) for offset in (0, 20))
    reader = Reader()
    assert reader.read(write(True, True, 0, 1)) is None
    assert reader.read(write(True, True, 0, 1, differences=(1,))) is None
    assert reader.read(write(True, True, 0, 2, structure=first)) is not None
    assert reader.read(write(True, True, 0, 3)) is not None
    assert reader.read(write(True, True, 1, 3)) is None  # no such template
    assert reader.read(write(True, True, 20, 4, structure=second)) is not None
    assert reader.read(write(True, True, 0, 3)) is None  # late, of the former structure
    assert reader.read(write(True, True, 20, 5)) is not None


@given(st.binary(max_size=120), structures())
def test_any_octets_are_read_or_not(data: bytes, structure: Structure) -> None:
    reader = Reader()
    reader.read(data)
    reader = Reader()
    reader.read(write(True, False, structure.offset, 1, structure=structure))
    said = reader.read(data)
    assert said is None or len(said.template.indications) == len((said.structure or structure).layers)


@given(structures(), st.data())
def test_a_damaged_structure_is_refused_or_whole(structure: Structure, data: st.DataObject) -> None:
    whole = write(True, False, structure.offset, 1, structure=structure)
    assert Reader().read(whole[: data.draw(st.integers(0, len(whole) - 2))]) is None or len(whole) < 5
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    reader = Reader()
    if reader.read(bytes(damaged)) is not None and reader.structure is not None:
        read = reader.structure
        assert all(len(t.indications) == read.targets for t in read.templates) and len(read.templates) <= 64
