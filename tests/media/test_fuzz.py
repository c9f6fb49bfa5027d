"""Every parser that reads from the network, on what is left of real packets: a named refusal at most, and no growth.

`HYPOTHESIS_PROFILE=long` searches for minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import MediaConfig, OfferError, codec, dependency, fragment, ice, red, rtcp, vp8, vp9, wire
from media.answer import LocalTransport, plan, write_answer
from media.downlink import SENT, Downlink
from media.feedback import ArrivalLog
from media.nack import MissingPackets
from media.rtcp import Nack, TransportFeedback
from media.rtp import (
    MAX_DATAGRAM,
    ExtensionIds,
    ExtensionReader,
    ParseError,
    parse_extensions,
    parse_payload,
)
from media.sdp import parse_offer
from media.sequence import SequenceMap
from media.tcp import Frames
from tests.media.fuzz import (
    DESCRIPTORS,
    PAYLOADS,
    PICTURES,
    RED,
    VP9,
    broken,
    broken_text,
    check,
    chunks,
    greedy_sack,
    offers,
    rtcp_packets,
    rtp_packets,
    sctp_packet,
)

LOCAL = LocalTransport("u" * 8, "p" * 24, ":".join(["0A"] * 32), ("192.0.2.7",), 8081)
CONFIG = MediaConfig()
IDS = ExtensionIds(
    mid=4, rid=10, repaired_rid=11, transport_cc=3, audio_level=1, orientation=5, descriptor=12
)


@given(broken([check(), check("x" * 300), check(":")]))
def test_stun(data: bytes) -> None:
    with contextlib.suppress(ParseError):
        assert len(ice.local_ufrag(data)) <= ice.MAX_CHECK
    with contextlib.suppress(ParseError):
        ice.verify(data, "p" * 24)


@given(broken_text(offers()))
def test_an_offer_is_refused_or_answered(text: str) -> None:
    try:
        decided = plan(parse_offer(text, CONFIG.max_sdp_bytes, CONFIG.max_media_sections), CONFIG)
    except OfferError as error:
        assert error.code.isidentifier()
        return
    answer = write_answer(decided, LOCAL, 1, 1, lambda _: (1, 2))
    # What we say is what we would take ourselves, line by line, and no line of the client's can add one of its own.
    assert answer.endswith("\r\n") and all(line[1:2] == "=" for line in answer.split("\r\n")[:-1])
    assert answer.count("\nm=") == len(decided.sections) == text.replace("\r\n", "\n").count("\nm=")
    assert len(answer) < 20 * len(text) + 2000


FRAGMENT = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:"
    + "p" * 24
    + "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 x 9"
)
STREAM = [len(d).to_bytes(2, "big") + d for d in (check(), *rtcp_packets(), *rtp_packets())]


@given(broken_text([FRAGMENT]))
def test_a_fragment(text: str) -> None:
    with contextlib.suppress(OfferError):
        assert len(fragment.parse_fragment(text)) <= 256


@given(st.lists(broken(rtp_packets()), max_size=8))
def test_rtp_and_its_extensions(packets: list[bytes]) -> None:
    reader = ExtensionReader(IDS)
    for data in packets:
        try:
            start, end, extension, profile = parse_payload(data, len(data))
        except ParseError:
            continue
        assert 12 <= extension <= start <= end <= len(data)
        if not profile:
            continue
        try:
            elements = parse_extensions(data, extension, start, profile)
        except ParseError:
            with pytest.raises(ParseError):
                reader.read(data, extension, start, profile)
            continue
        assert all(extension <= at and at + size <= start for _, at, size in elements)
        transport, level, extras = reader.read(data, extension, start, profile)
        assert transport <= 0xFFFF and level <= 0xFF
        # The learnt shapes say what the slow way says.
        assert ExtensionReader(IDS).read(data, extension, start, profile) == (transport, level, extras)
        reader.text(data, extension, start, profile)
    assert sum(map(len, reader._layouts.values())) <= ExtensionReader.MAX_LAYOUTS * ExtensionReader.MAX_SHAPES


@given(st.lists(broken(rtcp_packets(), 1500), max_size=5))
def test_rtcp_and_what_is_done_with_it(packets: list[bytes]) -> None:
    downlink, numbers = Downlink(), SequenceMap(100)
    for _ in range(50):
        downlink.note(1200, 1.0)
    for step, data in enumerate(packets):
        try:
            parsed = rtcp.parse(data, len(data))
        except ParseError as error:
            assert error.reason == "rtcp_malformed"
            continue
        items = sum(len(p.missing) for p in parsed if isinstance(p, Nack))
        items += sum(len(p.arrivals) for p in parsed if isinstance(p, TransportFeedback))
        assert items <= rtcp.MAX_ITEMS and len(parsed) <= 1 + len(data) // 4
        for packet in parsed:
            match packet:
                case TransportFeedback():
                    downlink.on_feedback(packet, 1.0 + step / 10)
                case Nack(missing=missing):
                    for number in missing:
                        numbers.source_of(number)
                case _:
                    pass
    assert downlink.next == 51 and len(downlink.times) == SENT
    assert downlink.estimate >= 0


@given(broken(PAYLOADS))
def test_payloads(data: bytes) -> None:
    for each in codec.CODECS:
        key = each.keyframe(data, 0, len(data))
        assert isinstance(key, bool)
        assert 0 <= each.height(data) <= 65536
        assert each.keyframe(memoryview(b"ab" + data + b"c"), 2, 2 + len(data)) == key
    vp9.describe(data)
    inner = red.primary(data)
    assert inner is None or len(inner) <= len(data)


@given(st.lists(broken(PICTURES), max_size=8), st.lists(st.integers(0, 3), max_size=8))
def test_vp8_pictures(payloads: list[bytes], limits: list[int]) -> None:
    """Rewriting never leaves the payload, whatever it claims to be."""
    pictures = vp8.Pictures(17, 3)
    for place, data in enumerate(payloads):
        said = vp8.describe(data)
        if said is None:
            continue
        if place < len(limits):
            pictures.wanted = limits[place]
        if not pictures.leaves_out(said, place * 3000):
            buffer = bytearray(b"\xa5" * 20 + data + b"\xa5" * 20)
            pictures.patch(buffer, 20, said)
            assert buffer[:20] == buffer[-20:] == b"\xa5" * 20 and len(buffer) == len(data) + 40


@given(st.lists(broken(DESCRIPTORS), max_size=8))
def test_dependency_descriptors(descriptors: list[bytes]) -> None:
    reader = dependency.Reader()
    for data in descriptors:
        said = reader.read(data)
        assert said is None or 0 <= said.number <= 0xFFFF
        structure = reader.structure
        assert structure is None or len(structure.templates) <= dependency.MAX_TEMPLATES


@given(st.lists(broken(STREAM), max_size=5), st.booleans())
def test_frames_over_tcp(pieces: list[bytes], checks_only: bool) -> None:
    frames = Frames()
    frames.checks_only = checks_only
    buffer = bytearray(MAX_DATAGRAM)
    taken = 0
    for piece in pieces:
        frames.feed(piece)
        try:
            while size := frames.take(buffer):
                taken += size
        except ParseError as error:
            assert error.reason in ("tcp_not_a_check", "tcp_frame_too_long", "tcp_garbage")
            return
        assert len(frames) < MAX_DATAGRAM + 2  # never more than one unfinished frame
    assert taken <= sum(map(len, pieces))


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.floats(0, 1e4)), max_size=60))
def test_the_arrival_log_writes_what_we_can_read(arrivals: list[tuple[int, float]]) -> None:
    log = ArrivalLog()
    for number, at in arrivals:
        log.pending[number] = at
    for packet in log.take(1, 2):
        with contextlib.suppress(
            ParseError
        ):  # a spread over half of all numbers is more than we take ourselves
            rtcp.parse(packet, len(packet))
        assert len(packet) < 4000
    assert not log.pending


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 300)), max_size=20))
def test_gaps_are_bounded(gaps: list[tuple[int, int]]) -> None:
    missing = MissingPackets()
    for first, size in gaps:
        missing.gap(first, first + size, 1.0)
        assert len(missing) <= MissingPackets.MAX_MISSING
    asked, _ = missing.take_due(10.0, 0.1)
    assert len(asked) <= MissingPackets.MAX_MISSING


class _Dtls:
    """What SCTP asks of DTLS, and nothing at the other end."""

    state, _role = "connected", "server"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def _register_data_receiver(self, _receiver: object) -> None:
        pass

    async def _send_data(self, data: bytes) -> None:
        self.sent.append(data)


class _User:
    def __init__(self) -> None:
        self.messages = 0
        self.refused: set[str] = set()

    def on_message(self, channel: wire.DataChannel, kind: int, data: bytes) -> None:
        assert len(data) <= LIMITS.message_bytes and len(channel.label) <= wire.MAX_LABEL
        self.messages += 1

    def on_refused(self, reason: str) -> None:
        self.refused.add(reason)


LIMITS = wire.DataLimits(4, 2000, 4000, window_bytes=8000, held_chunks=32, streams=8)


@given(st.lists(st.lists(broken(chunks()), min_size=1, max_size=4), max_size=12))
def test_sctp_and_its_messages(packets: list[list[bytes]]) -> None:
    """With the right tag and checksum, so that every chunk is read."""

    async def run() -> None:
        dtls, user = _Dtls(), _User()
        session = type("Session", (), {"_dtls": dtls})()
        association = wire.DataAssociation(session, 5000, LIMITS, user)
        sctp = association._sctp
        tag = sctp._local_verification_tag
        answered = 0
        for parts in ([chunks()[0]], *packets):
            body = b"".join(parts)
            tag = 0 if body[:1] == b"\x01" else sctp._local_verification_tag
            await sctp._handle_data(sctp_packet(tag, body))
            if user.messages:
                channel = association.find("label")
                if channel is not None:
                    association.send(channel.stream, wire.BINARY, bytes(700), channel)
            assert len(sctp._inbound_streams) <= LIMITS.streams or association.closed
            held = sum(len(stream.reassembly) for stream in sctp._inbound_streams.values())
            assert held + len(sctp._sack_misordered) <= LIMITS.held_chunks or association.closed
            assert association.buffered <= LIMITS.buffer_bytes
            assert len(sctp._data_channels) <= LIMITS.channels
            assert len(dtls.sent) - answered <= 40  # nobody is made to shout
            answered = len(dtls.sent)
        assert user.refused <= {
            "sctp_malformed", "sctp_too_many_streams", "sctp_window_exceeded", "data_bad_open",
            "data_too_many_channels", "data_unknown_channel", "data_too_long", "data_unknown_kind",
        }  # fmt: skip
        association.close()

    asyncio.run(run())


def test_the_sctp_corpus_is_understood() -> None:
    async def run() -> None:
        dtls, user = _Dtls(), _User()
        association = wire.DataAssociation(type("S", (), {"_dtls": dtls})(), 5000, LIMITS, user)
        sctp = association._sctp
        for body in chunks()[:4]:
            tag = 0 if body[:1] == b"\x01" else sctp._local_verification_tag
            if body[:1] == b"\x0a":  # our own cookie comes back
                body = dtls.sent[-1][-28:-4]
            await sctp._handle_data(sctp_packet(tag, body))
        assert user.messages == 1 and not user.refused and association.find("label") is not None
        association.close()

    asyncio.run(run())


def test_an_acknowledgement_of_everything_is_refused_before_it_is_walked_through() -> None:
    """300 gaps of 65,535 numbers each: 1.2 KB that aiortc would work on for seconds. Found by the test above."""

    async def run() -> None:
        user = _User()
        association = wire.DataAssociation(type("S", (), {"_dtls": _Dtls()})(), 5000, LIMITS, user)
        sctp = association._sctp
        await sctp._handle_data(sctp_packet(0, chunks()[0]))
        await sctp._handle_data(sctp_packet(sctp._local_verification_tag, greedy_sack()))
        assert user.refused == {"sctp_malformed"} and association.closed

    asyncio.run(run())


@pytest.mark.parametrize("kind", [1, 2, 4, 5, 6, 9, 130])
def test_a_parameter_of_no_length_is_refused_before_it_is_read_for_ever(kind: int) -> None:
    """Found by the test above: one datagram would have ended the process."""

    async def run() -> None:
        user = _User()
        association = wire.DataAssociation(type("S", (), {"_dtls": _Dtls()})(), 5000, LIMITS, user)
        body = bytes((kind, 0, 0, 28)) + bytes(24)
        await association._sctp._handle_data(sctp_packet(association._sctp._local_verification_tag, body))
        assert user.refused == {"sctp_malformed"} and association.closed

    asyncio.run(run())


def test_the_corpus_is_what_it_should_be() -> None:
    """Seeds that no parser takes would fuzz only the first line of each."""
    assert ice.local_ufrag(check()) == "abcdefgh" and ice.verify(check(), "p" * 24).nominated
    for packet in rtcp_packets():
        assert rtcp.parse(packet, len(packet))
    for packet in rtp_packets():
        start, end, extension, profile = parse_payload(packet, len(packet))
        ExtensionReader(IDS).read(packet, extension, start, profile)
        assert end >= start
    for text in offers():
        assert plan(parse_offer(text, CONFIG.max_sdp_bytes, CONFIG.max_media_sections), CONFIG)
    recognised: dict[str, Callable[[bytes], object]] = {
        "vp8": lambda d: vp8.describe(d) and vp8.height(d),
        "vp9": vp9.height,
        "h264": codec.H264["cb", 1].height,
        "av1": codec.AV1.height,
        "red": red.primary,
    }
    for name, test in recognised.items():
        assert any(test(data) for data in PAYLOADS), name
    assert red.primary(RED[0]) is not None and any(vp9.describe(d) for d in VP9)
    reader = dependency.Reader()
    assert reader.read(DESCRIPTORS[0]) is not None and reader.structure is not None
