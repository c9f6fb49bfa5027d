"""What is read from payloads: keyframes, heights, VP9 descriptors, redundant audio. No octets can do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import av1, h264, red, vp9
from media.bits import Bits, Truncated
from media.codec import CODECS

HIGH_720 = bytes.fromhex("6764001facd9405005bb0110000003001000000303c0f1831960")  # x264
BASELINE_1080 = bytes.fromhex(
    "6742c01fd900780227e584000003000400000300f03c60c920"
)  # 68 rows of macroblocks, cropped


def aggregated(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


@pytest.mark.parametrize(
    ("payload", "height"),
    [
        (HIGH_720, 720),
        (BASELINE_1080, 1080),
        (aggregated(b"\x09\x10", HIGH_720, b"\x68\xee"), 720),
        (aggregated(b"\x68\xee"), 0),
        (HIGH_720[:8], 0),
        (b"\x65" + bytes(50), 0),
        (b"", 0),
        (b"\x78\xff\xff\x67", 0),
    ],
)
def test_the_height_in_an_h264_parameter_set(payload: bytes, height: int) -> None:
    assert h264.height(payload) == height


class Writer:
    """Bits put one behind the other."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, count: int, value: int) -> Writer:
        self.text += format(value, f"0{count}b") if count else ""
        return self

    def golomb(self, value: int) -> Writer:
        width = (value + 1).bit_length()
        return self.put(width - 1, 0).put(width, value + 1)

    def done(self) -> bytes:
        self.text += "0" * (-len(self.text) % 8)
        return bytes(int(self.text[at : at + 8], 2) for at in range(0, len(self.text), 8))


@given(st.integers(0, (1 << 20) - 2), st.integers(1, 1000), st.data())
def test_numbers_in_bits(golomb: int, values: int, data: st.DataObject) -> None:
    skewed = data.draw(st.integers(0, values - 1))
    width = values.bit_length()
    short = (1 << width) - values
    writer = Writer().put(3, 5).golomb(golomb)
    # ns(n) as the specification writes it
    writer = writer.put(width - 1, skewed) if skewed < short else writer.put(width, skewed + short)
    bits = Bits(writer.done())
    assert (bits.take(3), bits.golomb(), bits.skewed(values)) == (5, golomb, skewed)
    with pytest.raises(Truncated):
        bits.take(bits.left + 1)


def sequence_header(
    width: int, height: int, *, points: int = 1, timing: bool = False, reduced: bool = False
) -> bytes:
    """An AV1 sequence header OBU without a size field, up to the picture's size."""
    bits = Writer().put(3, 0).put(1, 0).put(1, int(reduced))
    if reduced:
        bits.put(5, 8)
    else:
        bits.put(1, int(timing))
        if timing:
            bits.put(32, 1).put(32, 30).put(1, 1).golomb(0).put(1, 1).put(5, 9).put(32, 1).put(5, 9).put(5, 9)
        bits.put(1, 1).put(5, points - 1)
        for point in range(points):
            bits.put(12, 0x101).put(5, 8 + point).put(1, 0)
            if timing:
                bits.put(1, 1).put(10, 0).put(10, 0).put(1, 0)
            bits.put(1, 1).put(4, 9)
    bits.put(4, 15).put(4, 15).put(16, width - 1).put(16, height - 1).put(8, 0)
    return bytes((1 << 3,)) + bits.done()


@given(
    st.integers(1, 1 << 16),
    st.integers(1, 1 << 16),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_height_in_an_av1_sequence_header(
    width: int, height: int, points: int, timing: bool, reduced: bool, single: bool
) -> None:
    obu = sequence_header(width, height, points=points, timing=timing, reduced=reduced)
    # As the only element (W = 1, no length), or the first of two with its length.
    payload = b"\x18" + obu if single else b"\x28" + bytes((len(obu),)) + obu + b"\x30" + bytes(20)
    assert av1.height(payload) == height
    assert av1.keyframe(payload, 0, len(payload))
    assert not av1.keyframe(b"\x10" + payload[1:], 0, len(payload))  # N clear
    assert not av1.keyframe(b"\x98" + payload[1:], 0, len(payload))  # begins in the middle of an element


def test_an_av1_delta_is_no_keyframe() -> None:
    payload = b"\x10\x30" + bytes(30)
    assert not av1.keyframe(payload, 0, len(payload)) and av1.height(payload) == 0


D = vp9.Descriptor


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\x8c\x80\x07\x82", D(7, True, False, True, True, False, 0, False, 0, False, False, (), False, None, 3)),
        (b"\xe8\x05\x35\x09", D(5, False, True, True, False, False, 1, True, 2, True, True, (), False, None, 4)),
        (b"\xf5\x85\x01\x20\x03\x04", D(0x501, True, True, False, True, True, 1, False, 0, False, True, (1, 2), True,
                                          None, 6)),
        (b"\x0a\x30\x01\x40\x00\xb4\x02\x80\x01\x68", D(-1, False, False, True, False, False, 0, False, 0, False, False,
                                                        (), False, vp9.Structure(2, (180, 360), ()), 10)),
        (b"\x0a\x08\x02\x00\x54\x02", D(-1, False, False, True, False, False, 0, False, 0, False, False, (), False,
                                        vp9.Structure(1, (), ((0, False, ()), (2, True, (2,)))), 6)),
        (b"", None), (b"\x80", None), (b"\x80\x80", None), (b"\x20\x00", None), (b"\x50", None),
        (b"\x50\x03\x03\x03\x02", None), (b"\x02\x30\x00", None), (b"\x02\x08\x05\x00", None),
    ],
)  # fmt: skip
def test_vp9_descriptors(payload: bytes, said: vp9.Descriptor | None) -> None:
    assert vp9.describe(payload) == said


@pytest.mark.parametrize(
    ("payload", "keyframe"),
    [
        (b"\x8c\x80\x07\x82", True),  # no layers
        (b"\xcc\x80\x07\x82", False),  # predicted
        (b"\x84\x80\x07\x82", False),  # not the first packet
        (b"\xaa\x80\x07\x00\x01", True),  # the lowest layer
        (b"\xaa\x80\x07\x03\x01", False),  # above it, in the same picture
        (b"\x2c\x00\x01", True),
        (b"\xa8\x80", False),
        (b"", False),
    ],
)
def test_vp9_keyframes(payload: bytes, keyframe: bool) -> None:
    assert vp9.keyframe(payload, 0, len(payload)) is keyframe


def test_the_height_of_a_vp9_keyframe() -> None:
    frame = (
        Writer()
        .put(2, 2)
        .put(6, 0b000010)
        .put(24, 0x498342)
        .put(3, 2)
        .put(1, 0)
        .put(16, 639)
        .put(16, 359)
        .done()
    )
    assert vp9.height(b"\x8c\x80\x07" + frame) == 360
    assert vp9.height(b"\x8c\x80\x07" + frame[:7]) == 0
    assert vp9.height(b"\x0a\x30\x01\x40\x00\xb4\x02\x80\x01\x68") == 360  # of the best layer


def redundant(primary: bytes, *before: bytes, kind: int = 111) -> bytes:
    heads = b"".join(
        ((0x80 | kind) << 24 | (960 * (len(before) - n)) << 10 | len(block)).to_bytes(4, "big")
        for n, block in enumerate(before)
    )
    return heads + bytes((kind,)) + b"".join(before) + primary


@given(st.binary(max_size=100), st.lists(st.binary(max_size=100), max_size=6), st.integers(0, 127))
def test_the_packet_within_redundant_audio(primary: bytes, before: list[bytes], kind: int) -> None:
    payload = redundant(primary, *before)
    assert red.primary(payload) == primary
    rewriter = red.Blocks(kind)
    said = red.headers(payload)
    assert said is not None
    buffer = bytearray(b"head" + payload)
    rewriter.patch(buffer, 4, said)
    assert bytes(buffer[4:]) == redundant(primary, *before, kind=kind)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xef", b"\xef\0\0", b"\xef\0\0\x05", b"\xef\0\0\x05\x6f1234", b"\xef\0\0\0" * 9 + b"\x6f"],
)
def test_redundant_audio_that_is_not(payload: bytes) -> None:
    assert red.primary(payload) is None and red.headers(payload) is None


@given(st.binary(max_size=300))
def test_any_octets_are_read(payload: bytes) -> None:
    for known in CODECS:
        assert known.keyframe(payload, 0, len(payload)) in (True, False)
        assert 0 <= known.height(payload) <= 1 << 16
    said = vp9.describe(payload)
    assert said is None or said.at <= len(payload)
    within = red.primary(payload)
    assert within is None or len(within) < len(payload)


@given(st.binary(max_size=60))
def test_any_parameter_set_is_read(body: bytes) -> None:
    assert 0 <= h264.height(b"\x67" + body) < 1 << 14
    assert 0 <= av1.height(b"\x18\x08" + body) <= 1 << 16
