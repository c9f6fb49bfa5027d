"""RTCP: what is written is read back; what is malformed is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.feedback import ArrivalLog
from media.rtcp import Bye, Ignored, KeyframeRequest, Nack, ReceiverReport, ReportBlock, SenderReport
from media.rtp import ParseError

U32 = st.integers(0, (1 << 32) - 1)
BLOCKS = st.lists(
    st.builds(
        ReportBlock, U32, st.integers(0, 255), st.integers(-(1 << 23), (1 << 23) - 1), U32, U32, U32, U32
    ),
    max_size=31,
).map(tuple)


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    try:
        rtcp.parse(data, len(data))
    except ParseError as error:
        assert error.reason == "rtcp_malformed"


@given(
    st.integers(0, 31),
    st.sampled_from([200, 201, 202, 203, 204, 205, 206, 207]),
    st.binary(max_size=120),
    st.booleans(),
)
def test_well_framed_nonsense_parses_or_is_refused(count: int, kind: int, body: bytes, padded: bool) -> None:
    """Right head and length, so that the packet-specific readers are reached."""
    body += bytes(-len(body) % 4)
    data = bytes((0x80 | (0x20 if padded else 0) | count, kind)) + (len(body) // 4).to_bytes(2, "big") + body
    try:
        rtcp.parse(data, len(data))
    except ParseError as error:
        assert error.reason == "rtcp_malformed"


@given(U32, st.integers(0, (1 << 64) - 1), U32, U32, U32, BLOCKS)
def test_sender_reports(
    ssrc: int, ntp: int, ts: int, packets: int, octets: int, blocks: tuple[ReportBlock, ...]
) -> None:
    report = SenderReport(ssrc, ntp, ts, packets, octets, blocks)
    data = rtcp.write_sender_report(report)
    assert rtcp.parse(data, len(data)) == [report]


@given(U32, BLOCKS)
def test_receiver_reports_in_a_compound(ssrc: int, blocks: tuple[ReportBlock, ...]) -> None:
    data = rtcp.write_receiver_report(ssrc, blocks) + rtcp.write_cnames([(ssrc, b"someone"), (1, b"")])
    assert rtcp.parse(data, len(data)) == [ReceiverReport(ssrc, blocks), Ignored(rtcp.SDES, 2)]


@given(U32, st.integers(0, 65535), st.sets(st.integers(0, 300), min_size=1, max_size=64))
def test_nacks(ssrc: int, first: int, distances: set[int]) -> None:
    numbers = [first + distance & 0xFFFF for distance in sorted(distances)]
    data = rtcp.write_nack(1, ssrc, numbers)
    assert rtcp.parse(data, len(data)) == [Nack(ssrc, tuple(numbers))]
    assert len(data) <= 12 + 4 * len(numbers)


def test_keyframe_requests_and_bye() -> None:
    fir = bytes.fromhex("84ce0004 00000001 00000000 0000000a 05000000")
    bye = bytes.fromhex("82cb0002 0000000b 0000000c")
    data = rtcp.write_pli(1, 9) + fir + bye
    assert rtcp.parse(data, len(data)) == [KeyframeRequest(9), KeyframeRequest(10), Bye((11, 12))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes.fromhex("80c90001"),  # shorter than its length
        bytes.fromhex("40c90001 00000001"),  # version 1
        bytes.fromhex("81c90001 00000001"),  # a report block that is not there
        bytes.fromhex("81cd0002 00000001 00000002"),  # a NACK for nothing
        bytes.fromhex("a0c90001 00000000"),  # padding of zero octets
        bytes.fromhex("a0c90001 000000ff"),  # more padding than packet
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(ParseError):
        rtcp.parse(data, len(data))


def read_feedback(data: bytes) -> dict[int, int]:
    """An independent reader of transport-cc feedback: 16-bit number -> arrival in 250 us, for what was received."""
    base, count = int.from_bytes(data[12:14], "big"), int.from_bytes(data[14:16], "big")
    clock = int.from_bytes(data[16:19], "big") * 256
    symbols: list[int] = []
    at = 20
    while len(symbols) < count:
        chunk = int.from_bytes(data[at : at + 2], "big")
        at += 2
        if chunk >> 15 == 0:
            symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        elif chunk >> 14 & 1 == 0:
            symbols += [chunk >> 13 - i & 1 for i in range(14)]
        else:
            symbols += [chunk >> 12 - 2 * i & 3 for i in range(7)]
    result = {}
    for place, symbol in enumerate(symbols[:count]):
        if symbol == 1:
            clock += data[at]
            at += 1
        elif symbol == 2:
            clock += int.from_bytes(data[at : at + 2], "big", signed=True)
            at += 2
        if symbol:
            result[base + place & 0xFFFF] = clock
    assert len(data) - at < 4
    return result


@given(
    st.integers(0, 65535),
    st.one_of(
        st.lists(st.tuples(st.integers(1, 40), st.floats(-0.02, 0.5)), min_size=1, max_size=300),
        st.lists(st.tuples(st.just(1), st.floats(0, 0.07)), min_size=1, max_size=300),  # nothing lost
    ),
    st.floats(1, 1e6),
)
def test_transport_feedback(first: int, steps: list[tuple[int, float]], start: float) -> None:
    log = ArrivalLog()
    number, now = first, start
    sent: dict[int, float] = {}
    for gap, delay in steps:
        number = number + gap & 0xFFFF
        now = max(start, now + delay)
        log.pending[number] = sent[number] = now
    packets = log.take(1, 2)
    told: dict[int, int] = {}
    for index, packet in enumerate(packets):
        assert len(packet) <= 1400 * 2 and packet[1] == rtcp.RTPFB and packet[0] == 0x8F
        assert len(packet) == 4 + 4 * int.from_bytes(packet[2:4], "big")
        assert packet[19] == index  # the feedback packet count
        told |= read_feedback(packet)
    assert told.keys() == sent.keys()
    for number, arrival in sent.items():
        difference = told[number] * 0.00025 - arrival
        difference -= round(difference / (64e-3 * (1 << 24))) * 64e-3 * (1 << 24)  # the reference time wraps
        assert abs(difference) < 0.0003
    assert log.take(1, 2) == []
