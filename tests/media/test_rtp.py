"""RTP parsing: strict, never surprised, and the fast way to read extensions equal to the slow one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.codec import CODECS
from media.h264 import keyframe as h264_keyframe
from media.rtp import (
    EXTENSION,
    HEADER,
    ONE_BYTE,
    TWO_BYTE,
    ExtensionIds,
    ExtensionReader,
    Extras,
    ParseError,
    parse_extensions,
    parse_payload,
    write_extensions,
)
from media.vp8 import keyframe as vp8_keyframe

IDS = ExtensionIds(
    mid=4,
    rid=10,
    repaired_rid=11,
    transport_cc=3,
    audio_level=1,
    orientation=5,
    playout_delay=6,
    descriptor=20,
)
ELEMENTS = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 6), st.sampled_from([14, 15, 20, 255])),
        st.one_of(st.binary(min_size=1, max_size=4), st.binary(max_size=60)),
    ),
    max_size=6,
    unique_by=lambda e: e[0],
)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    try:
        start, end, extension, profile = parse_payload(data, len(data))
    except ParseError as error:
        assert error.reason == "rtp_malformed"
        return
    assert 12 <= extension <= start <= end <= len(data)
    try:
        elements = parse_extensions(data, extension, start, profile)
    except ParseError as error:
        assert error.reason == "rtp_extension_malformed"
        return
    assert all(extension <= at and at + size <= start for _, at, size in elements)


@given(ELEMENTS, st.binary(max_size=50), st.integers(0, 255))
def test_what_is_written_is_read(elements: list[tuple[int, bytes]], payload: bytes, padding: int) -> None:
    block = write_extensions(elements)
    first = 0x80 | (0x10 if block else 0) | (0x20 if padding else 0)
    tail = bytes(max(0, padding - 1)) + (bytes((padding,)) if padding else b"")
    packet = HEADER.pack(first, 96, 1, 2, 3) + block + payload + tail
    start, end, extension, profile = parse_payload(packet, len(packet))
    assert packet[start:end] == payload
    found = parse_extensions(packet, extension, start, profile)
    assert [(number, packet[at : at + size]) for number, at, size in found] == elements


def slowly(data: bytes, profile: int) -> tuple[int, int, Extras | None]:
    """What ExtensionReader must find, by looking at every element."""
    values = {(n, s): data[at : at + s] for n, at, s in parse_extensions(data, 0, len(data), profile)}
    found = {place: int.from_bytes(value, "big") for place, value in values.items()}
    descriptor = [v for (n, s), v in values.items() if n == 20 and s >= 3]
    extras = Extras(
        found.get((1, 1), -1),
        found.get((5, 1), -1),
        values.get((6, 3), b""),
        descriptor[-1] if descriptor else b"",
    )
    return found.get((3, 2), -1), extras.level, extras if extras != Extras() else None


@given(
    st.lists(
        st.one_of(ELEMENTS.map(write_extensions).map(lambda b: b[4:]), st.binary(max_size=24)), max_size=30
    )
)
def test_remembered_shapes_change_nothing(blocks: list[bytes]) -> None:
    """One reader sees all blocks, so later ones meet shapes learnt from earlier ones, right or wrong."""
    reader = ExtensionReader(IDS)
    for block in blocks:
        for profile in (ONE_BYTE, 0x1000, 0x1234):
            try:
                expected = slowly(block, profile)
            except ParseError:
                with pytest.raises(ParseError):
                    reader.read(block, 0, len(block), profile)
                continue
            assert reader.read(block, 0, len(block), profile) == expected


def test_shapes_of_one_length_are_told_apart() -> None:
    reader = ExtensionReader(IDS)
    a = write_extensions([(3, b"\x00\x07"), (1, b"\x9e"), (4, b"0")])[4:]
    b = write_extensions([(4, b"ab"), (1, b"\x1e"), (5, b"\x03")])[4:]
    assert len(a) == len(b)
    for _ in range(2):
        assert reader.read(a, 0, len(a), ONE_BYTE) == (7, 0x9E, Extras(0x9E))
        assert reader.read(b, 0, len(b), ONE_BYTE) == (-1, 0x1E, Extras(0x1E, 3))
    assert reader.text(b, 0, len(b), ONE_BYTE) == ("ab", "", "")


def test_the_form_is_the_smallest_that_holds_everything() -> None:
    assert write_extensions([(4, b"12")]) == EXTENSION.pack(ONE_BYTE, 1) + b"\x4112\0"
    assert write_extensions([(4, b"12")], two_byte=True) == EXTENSION.pack(TWO_BYTE, 1) + b"\x04\x0212"
    for wide in [(15, b"x"), (200, b"x"), (1, b""), (1, bytes(17))]:
        assert write_extensions([(4, b"1"), wide])[:2] == TWO_BYTE.to_bytes(2, "big")
    for bad in [(0, b"x"), (256, b"x"), (1, bytes(256))]:
        with pytest.raises(ValueError, match="two-byte"):
            write_extensions([bad])


@pytest.mark.parametrize(
    ("payload", "keyframe"),
    [
        (b"\x10\x00\x9d\x01\x2a", True),
        (b"\x10\x01", False),  # a delta frame
        (b"\x00\x00", False),  # not the first packet of the frame
        (b"\x11\x00", False),  # another partition
        (b"\x90\x80\x05\x00", True),  # 7-bit picture id
        (b"\x90\x80\x85\x01\x00", True),  # 15-bit picture id
        (b"\x90\xf0\x85\x01\x07\x21\x00", True),  # everything
        (b"\x90\xf0\x85\x01\x07\x21\x01", False),
        (b"\x90\x80", False),  # ends in the descriptor
        (b"", False),
    ],
)
def test_vp8_keyframes(payload: bytes, keyframe: bool) -> None:
    assert vp8_keyframe(payload, 0, len(payload)) is keyframe


@pytest.mark.parametrize(
    ("payload", "keyframe"),
    [
        (b"\x65\x88", True),  # IDR
        (b"\x67\x42", True),  # SPS
        (b"\x41\x9a", False),
        (b"\x78\x00\x02\x67\x42\x00\x02\x68\xce", True),  # STAP-A with SPS
        (b"\x78\x00\x02\x41\x9a", False),
        (b"\x7c\x85\x00", True),  # FU-A, first fragment of an IDR
        (b"\x7c\x05\x00", False),
        (b"\x7c\x81\x00", False),
        (b"", False),
    ],
)
def test_h264_keyframes(payload: bytes, keyframe: bool) -> None:
    assert h264_keyframe(payload, 0, len(payload)) is keyframe


@given(st.binary(max_size=40))
def test_keyframe_tests_survive_anything(payload: bytes) -> None:
    for codec in CODECS:
        assert codec.keyframe(payload, 0, len(payload)) in (True, False)


def test_two_shapes_of_one_size_do_not_displace_each_other() -> None:
    """Audio and video blocks of a browser often have one size; each is learnt once."""
    reader = ExtensionReader(ExtensionIds(mid=4, transport_cc=3, audio_level=1))
    audio = write_extensions([(4, b"0"), (1, b"\x1e"), (3, b"\x12\x34")])
    video = write_extensions([(4, b"1"), (3, b"\x43\x21")])
    assert len(audio) == len(video)
    for _ in range(3):
        assert reader.read(audio, 4, len(audio), ONE_BYTE) == (0x1234, 0x1E, Extras(0x1E))
        assert reader.read(video, 4, len(video), ONE_BYTE) == (0x4321, -1, None)
    assert [len(shapes) for shapes in reader._layouts.values()] == [2]
