"""Broken datagrams for the fuzz tests: real ones, made by our own writers, and what is left after a few cuts."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from aioice import stun
from google_crc32c import value as crc32c
from hypothesis import strategies as st

from media import rtcp
from media.feedback import ArrivalLog
from media.rtp import write_extensions
from tests.media.client import DELTA, KEYFRAME, OPUS_PT, VP8_PT, offer, rtp, section, vp8

BORDERS = (
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\x00\x00",
    b"\xff\xff",
    b"\x7f\xff",
    b"\xff\xff\xff\xff",
)

# A dependency descriptor with a structure of two temporal layers (AV1 RTP specification, A.8).
_STRUCTURE = (
    "11 000000 0000000000000001"  # first and last packet of frame 1, template 0
    "1 0 0 0 0"  # a structure, nothing else
    "000000 00001 01 11"  # two decode targets; templates: layer 0, layer 1
    "10 10 00 01"  # what they are to the targets
    "0 1 0000 0"  # the second needs the frame before
    "0"  # no chains
    "1 0000010011111111 0000001011001111"  # 1280 x 720
).replace(" ", "")
STRUCTURE = int(_STRUCTURE.ljust(-(-len(_STRUCTURE) // 8) * 8, "0"), 2).to_bytes(
    -(-len(_STRUCTURE) // 8), "big"
)
DESCRIPTORS = (STRUCTURE, b"\xc0\x00\x01", b"\x43\x00\x02", b"\x81\x00\x03")
VP9 = (
    bytes.fromhex("8e8001001800") + bytes(20),  # picture id, layer indices, scalability structure follows
    bytes.fromhex("0a80010218010140") + bytes(20),
    b"\xab\x80\x01\x20\x00" + bytes(8),
)
AV1 = (
    b"\x18\x0a\x0b\x00\x00\x00\x04\x47\x7e\x1a\xff\xfc\xc0\x20" + bytes(20),
    b"\x10\x32" + bytes(20),
    b"\x58" + bytes(20),
)
H264 = (
    bytes.fromhex("6764001facd9405005bb0110000003001000000303c0f1831960"),
    b"\x78\x00\x02\x09\x10\x00\x04\x68\xee\x38\x80",
    b"\x7c\x85" + bytes(20),
    b"\x41" + bytes(20),
)
RED = (b"\xef\x03\xc0\x0a\x6f" + bytes(20), b"\x6f" + bytes(10))
PICTURES = (
    KEYFRAME,
    DELTA,
    vp8(0x7FFF, 255, 2, key=True, height=720),
    vp8(1, 0, 1, sync=True),
    vp8(2, 1, begins=False, body=bytes(20)),
)
PAYLOADS = (*PICTURES, *VP9, *AV1, *H264, *RED)


def check(username: str = "abcdefgh:client", password: str = "p" * 24) -> bytes:
    """A connectivity check."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, b"t" * 12)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 1
    message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    return bytes(message)


def rtcp_packets() -> list[bytes]:
    """One of each kind, and a compound."""
    log = ArrivalLog()
    log.pending.update({number: number * 0.001 for number in (*range(20), 25, 300)})
    block = rtcp.ReportBlock(7, 3, -2, 70_000, 12, 1, 2)
    found = [
        rtcp.write_sender_report(rtcp.SenderReport(7, 1 << 60, 2, 3, 4, (block,))),
        rtcp.write_receiver_report(7, (block, block)),
        rtcp.write_nack(1, 7, [1, 2, 17, 18, 65_535]),
        rtcp.write_pli(1, 7),
        bytes.fromhex("84ce0004000000010000000000000007 05000000"),  # FIR
        bytes.fromhex("81cb000100000007"),  # BYE
        bytes.fromhex("8fce0005000000010000000052454d42 010a0000 00000007"),  # REMB
        rtcp.write_cnames([(7, b"visavis")]),
        *log.take(1, 7),
    ]
    return [*found, b"".join(found)]


def rtp_packets() -> list[bytes]:
    """One of each payload, with all extensions, with padding, with two-byte extensions."""
    found = [
        rtp(7, VP8_PT, number, number * 3000, payload, mid="1", rid="f", transport=number, padding=number % 3)
        for number, payload in enumerate(PAYLOADS)
    ]
    found.append(rtp(8, OPUS_PT, 1, 960, b"opus", mid="0", level=10, transport=99))
    for descriptor in DESCRIPTORS:
        block = write_extensions([(4, b"1"), (12, descriptor)], two_byte=len(descriptor) > 16)
        found.append(b"\x90\x60\x00\x01" + bytes(8) + block + DELTA)
    return found


def offers() -> list[str]:
    """A call with simulcast, receive slots and data channels."""
    layers = ("a=rid:f send", "a=rid:h send", "a=rid:q send", "a=simulcast:send f;h;q", "a=ssrc:1 cname:x")
    data = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:9", "a=sctp-port:5000",
            "a=max-message-size:262144"]  # fmt: skip
    return [
        offer([section("0", "audio", "sendonly"), section("1", "video", "sendonly", extra=layers), data]),
        offer([section(str(i), "audio" if i % 2 else "video", "recvonly") for i in range(4)]),
    ]


def chunks() -> list[bytes]:
    """SCTP chunks of a client: INIT, the opening of a data channel, a message, a message in two parts, and the rest."""

    def chunk(kind: int, flags: int, body: bytes) -> bytes:
        return bytes((kind, flags)) + (len(body) + 4).to_bytes(2, "big") + body + bytes(-len(body) % 4)

    def data(tsn: int, flags: int, stream: int, kind: int, body: bytes) -> bytes:
        return chunk(0, flags, struct.pack("!IHHI", tsn, stream, 0, kind) + body)

    opening = struct.pack("!BBHIHH", 3, 0x80, 0, 0, 5, 0) + b"label"
    return [
        chunk(1, 0, struct.pack("!IIHHI", 77, 65536, 100, 100, 1000)),  # INIT; our numbers begin at 1000
        data(1000, 3, 1, 50, opening),
        data(1001, 7, 1, 51, b"hello"),
        chunk(3, 0, struct.pack("!IIHH", 999, 65536, 0, 0)),  # SACK
        data(1002, 2, 1, 53, bytes(900)),
        data(1003, 1, 1, 53, bytes(900)),
        data(1010, 6, 2, 51, b"never ends"),
        chunk(192, 0, struct.pack("!IHH", 1005, 1, 3)),  # FORWARD TSN
        chunk(130, 0, struct.pack("!HHIIIH", 13, 18, 1, 1, 1005, 1)),  # RE-CONFIG
        chunk(4, 0, b"\x00\x01\x00\x08beat"),
        chunk(10, 0, bytes(24)),  # COOKIE ECHO
        chunk(11, 0, b""),
        chunk(6, 0, b""),  # ABORT
        chunk(7, 0, bytes(4)),  # SHUTDOWN
        chunk(9, 0, b"\x00\x03\x00\x08\0\0\0\0"),
    ]


def greedy_sack() -> bytes:
    """As many gaps as fit, as wide as they can be."""
    gaps = struct.pack("!HH", 1, 0xFFFF) * 290
    return bytes((3, 0)) + struct.pack("!HIIHH", 16 + len(gaps), 999, 65536, 290, 0) + gaps


def sctp_packet(tag: int, body: bytes) -> bytes:
    """With ports and a checksum that are right."""
    head = struct.pack("!HHI", 5000, 5000, tag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + body)) + body


@st.composite
def broken(draw: st.DrawFn, seeds: Sequence[bytes], longest: int = 2000) -> bytes:
    """One of the seeds after up to six cuts, copies, flips and border values; sometimes just octets."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + draw(st.integers(1, 8))]
            case 2:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case 3:
                border = draw(st.sampled_from(BORDERS))
                data[at : at + len(border)] = border
            case 4:
                if data:
                    data[at % len(data)] ^= 1 << draw(st.integers(0, 7))
            case _:
                other = draw(st.sampled_from(seeds))
                data[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data[:longest])


@st.composite
def broken_text(draw: st.DrawFn, seeds: Sequence[str]) -> str:
    """An offer with lines lost, doubled, moved, or with something else in them."""
    lines = draw(st.sampled_from(seeds)).split("\r\n")
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        match draw(st.integers(0, 5)):
            case 0:
                del lines[at : at + draw(st.integers(1, 5))]
            case 1:
                lines[at:at] = [draw(st.sampled_from(lines or [""]))] * draw(st.integers(1, 20))
            case 2:
                lines[at:at] = [draw(st.text(max_size=40))]
            case 3 if lines:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(st.text(max_size=10)) + lines[at][cut:]
            case 4 if lines:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(
                    st.sampled_from(["0", "-1", "65536", "999999999999", "*", " ", ":", ";", "~", "/"])
                )
            case _:
                lines.reverse()
    return draw(st.sampled_from(["\r\n", "\n", "\r"])).join(lines)
