"""VP8's payload descriptor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.vp8 import Description, Pictures, describe, height
from tests.media.client import vp8


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\x10\x00", Description(-1, 0, False, -1, 0, 0, False)),
        (b"\x90\x80\x05\x00", Description(2, 5, False, -1, 0, 0, False)),
        (b"\x90\x80\x85\x01\x00", Description(2, 0x501, True, -1, 0, 0, False)),
        (b"\x90\xf0\x85\x01\x07\x61\x00", Description(2, 0x501, True, 4, 7, 1, True)),
        (b"\x90\xe0\x85\x01\x07\x80\x00", Description(2, 0x501, True, 4, 7, 2, False)),
        (b"\x90\x10\x61\x00", Description(-1, 0, False, -1, 0, 0, False)),  # KEYIDX only
        (b"\x90\x40\x09", Description(-1, 0, False, 2, 9, 0, False)),
        (b"", None),
        (b"\x90", None),
        (b"\x90\x80", None),
        (b"\x90\x80\x85", None),
        (b"\x90\x40", None),
        (b"\x90\x20", None),
    ],
)
def test_descriptors(payload: bytes, said: Description | None) -> None:
    assert describe(payload) == said


@given(st.binary(max_size=30))
def test_any_bytes_are_described_or_not(payload: bytes) -> None:
    said = describe(payload)
    if said is not None:
        assert said.picture_at < len(payload) and said.tl0_at < len(payload)
        buffer = bytearray(payload)
        Pictures(7, 9).patch(buffer, 0, said)
        assert len(buffer) == len(payload)
    assert height(payload) < 1 << 14


def test_the_height_of_a_keyframe() -> None:
    payload = vp8(5, 6, key=True, height=720)
    assert height(payload) == 720
    assert height(vp8(5, 6)) == 0


def test_seven_bit_picture_ids_wrap() -> None:
    pictures = Pictures(126, 0)
    out = []
    for number in range(100, 100 + 300):
        buffer = bytearray(b"\x90\x80" + bytes((number & 0x7F,)) + b"\0")
        said = describe(bytes(buffer))
        assert said is not None
        if number == 100:
            pictures.switch(said)
        pictures.patch(buffer, 0, said)
        out.append(buffer[2])
    assert out == [(127 + place) & 0x7F for place in range(300)]


def test_a_late_packet_of_a_frame_keeps_the_frames_number_and_treatment() -> None:
    pictures = Pictures(10, 0)
    pictures.wanted = 0

    def send(picture: int, temporal: int) -> int | None:
        buffer = bytearray(vp8(picture, 0, temporal))
        said = describe(bytes(buffer))
        assert said is not None
        if picture == 500 and temporal == 0 and pictures.limit == 3:
            pictures.switch(said)
        if pictures.leaves_out(said, picture * 3000):
            return None
        pictures.patch(buffer, 0, said)
        return int.from_bytes(buffer[2:4], "big") & 0x7FFF

    assert [send(500, 0), send(501, 2), send(502, 1), send(503, 0), send(504, 2)] == [
        11,
        None,
        None,
        12,
        None,
    ]
    assert [send(503, 0), send(501, 2), send(500, 0), send(502, 1)] == [12, None, 11, None]
