"""A small real client: its own UDP socket, connectivity checks, DTLS and SRTP, and full control of every packet."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aioice import stun
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport

from media import Converse, MediaServer, Purpose
from media.rtcp import RtcpPacket
from media.rtcp import parse as parse_rtcp
from media.rtp import (
    AUDIO_LEVEL,
    HEADER,
    MID,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    parse_extensions,
    parse_payload,
    write_extensions,
)

OPUS_PT, VP8_PT, RTX_PT = 111, 96, 97
EXTENSIONS = {AUDIO_LEVEL: 1, TRANSPORT_CC: 3, MID: 4, RID: 10, REPAIRED_RID: 11}
KEYFRAME = b"\x10\x00\x9d\x01\x2a" + bytes(40)  # VP8: S set, partition 0, P bit clear
DELTA = b"\x10\x01" + bytes(40)


def vp8(
    picture: int,
    tl0: int,
    temporal: int = 0,
    *,
    key: bool = False,
    height: int = 0,
    sync: bool = False,
    begins: bool = True,
    body: bytes = b"",
) -> bytes:
    """A VP8 payload with Chromium's descriptor: 15-bit picture id, TL0PICIDX, TID, Y."""
    head = bytes((0x90 if begins else 0x80, 0xE0, 0x80 | picture >> 8 & 0x7F, picture & 0xFF, tl0 & 0xFF,
                  temporal << 6 | sync << 5))  # fmt: skip
    if not begins:
        return head + body
    start = b"\0\0\0\x9d\x01\x2a\x40\x01" + height.to_bytes(2, "little") if key else b"\1\0\0"
    return head + start + body


def section(
    mid: str, kind: str, direction: str, *, rtx: bool = True, extra: tuple[str, ...] = ()
) -> list[str]:
    """One m-line in Chromium's shape; the transport lines are added by `offer`."""
    uris: tuple[str, ...]
    if kind == "audio":
        formats, codecs = "111 0", [
            "a=rtpmap:111 opus/48000/2", "a=rtcp-fb:111 transport-cc", "a=fmtp:111 minptime=10;useinbandfec=1",
            "a=rtpmap:0 PCMU/8000",
        ]  # fmt: skip
        uris = (AUDIO_LEVEL, TRANSPORT_CC, MID)
    else:
        formats, codecs = "96 97 98" if rtx else "96 98", [
            "a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 goog-remb", "a=rtcp-fb:96 transport-cc", "a=rtcp-fb:96 ccm fir",
            "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli", "a=rtpmap:98 VP9/90000", "a=fmtp:98 profile-id=0",
        ]  # fmt: skip
        if rtx:
            codecs += ["a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"]
        uris = (TRANSPORT_CC, MID, RID, REPAIRED_RID)
    return [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {formats}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{mid}",
        *(f"a=extmap:{EXTENSIONS[uri]} {uri}" for uri in uris),
        f"a={direction}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        *codecs,
        *extra,
    ]


def offer(
    sections: list[list[str]],
    *,
    ufrag: str = "abcd",
    password: str = "p" * 24,
    fingerprint: str = ":".join(["AB"] * 32),
    session_id: str = "4711",
    setup: str = "actpass",
) -> str:
    """A bundled offer of these m-lines."""
    mids = [next(line[6:] for line in lines if line.startswith("a=mid:")) for lines in sections]
    transport = [
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{password}",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {fingerprint}",
        f"a=setup:{setup}",
    ]
    lines = [
        "v=0",
        f"o=- {session_id} 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
    ]
    lines += ["a=extmap-allow-mixed", "a=msid-semantic: WMS"]
    for one in sections:
        lines += [*one[:2], *transport, *one[2:]]
    return "\r\n".join(lines) + "\r\n"


@dataclass(frozen=True, slots=True)
class Received:
    """A decrypted RTP packet as the client got it."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    mid: str
    payload: bytes
    elements: dict[int, bytes]  # of its header extension, by id


def rtp(
    ssrc: int,
    payload_type: int,
    sequence: int,
    timestamp: int,
    payload: bytes,
    *,
    mid: str = "",
    rid: str = "",
    level: int | None = None,
    transport: int | None = None,
    padding: int = 0,
    marker: bool = False,
) -> bytes:
    """A plain RTP packet with the extensions of `EXTENSIONS`."""
    elements: list[tuple[int, bytes]] = []
    if mid:
        elements.append((EXTENSIONS[MID], mid.encode()))
    if rid:
        elements.append((EXTENSIONS[RID], rid.encode()))
    if level is not None:
        elements.append((EXTENSIONS[AUDIO_LEVEL], bytes((level,))))
    if transport is not None:
        elements.append((EXTENSIONS[TRANSPORT_CC], transport.to_bytes(2, "big")))
    block = write_extensions(elements)
    first = 0x80 | (0x10 if block else 0) | (0x20 if padding else 0)
    tail = bytes(padding - 1) + bytes((padding,)) if padding else b""
    return (
        HEADER.pack(first, payload_type | marker << 7, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
        + block
        + payload
        + tail
    )


class _Stream(asyncio.Protocol):
    """ICE over TCP: frames of RFC 4571 to and from the client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._data = b""
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 2 and len(self._data) >= (end := 2 + int.from_bytes(self._data[:2], "big")):
            frame, self._data = self._data[2:end], self._data[end:]
            self._client.datagram_received(frame, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(len(data).to_bytes(2, "big") + data)


@dataclass(frozen=True, slots=True)
class Left:
    """A path that the client has left without closing it; what comes over it is still his."""

    transport: asyncio.DatagramTransport | None
    stream: _Stream | None

    def send(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.send(data)
        elif self.transport is not None:
            self.transport.sendto(data)

    def close(self) -> None:
        if self.stream is not None and self.stream.transport is not None:
            self.stream.transport.close()
        if self.transport is not None:
            self.transport.close()


class _Link:
    """The duck-typed ICE transport of the client's RTCDtlsTransport."""

    role = "controlling"

    def __init__(self, client: Client) -> None:
        self._client = client
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def _recv(self) -> bytes:
        return await self.queue.get()

    async def _send(self, data: bytes) -> None:
        self._client.raw(data)


@dataclass
class Client(asyncio.DatagramProtocol):
    """`connect` joins a room and completes ICE and DTLS; then send what you like and look at what came."""

    server: MediaServer
    room: str
    participant: str
    peer: str
    sections: list[list[str]]
    certificate: RTCCertificate = field(default_factory=RTCCertificate.generateCertificate)
    ufrag: str = field(default_factory=lambda: secrets.token_hex(4))
    session_id: str = field(default_factory=lambda: str(secrets.randbits(40)))
    rtp: list[Received] = field(default_factory=list)
    rtcp: list[RtcpPacket] = field(default_factory=list)
    raw_rtcp: list[bytes] = field(default_factory=list)
    refused: int = 0
    unreadable: int = 0  # RTP and RTCP that came before there were keys
    answer: str = ""
    purpose: Purpose = field(default_factory=Converse)

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()
        self._checks: dict[bytes, asyncio.Future[stun.Message]] = {}
        self._link = _Link(self)
        self._early: list[bytes] = []  # media that overtook the end of the handshake
        self.dtls = RTCDtlsTransport(self._link, [self.certificate])  # type: ignore[arg-type]
        self._transport: asyncio.DatagramTransport | None = None
        self.stream: _Stream | None = None  # what it sends over, if it is TCP

    # Signalling and connection.

    def offer(self) -> str:
        fingerprint = next(f.value for f in self.certificate.getFingerprints() if f.algorithm == "sha-256")
        return offer(self.sections, ufrag=self.ufrag, fingerprint=fingerprint, session_id=self.session_id)

    async def join(self) -> str:
        self.answer = await self.server.join(
            room_id=self.room,
            participant_id=self.participant,
            peer_id=self.peer,
            offer_sdp=self.offer(),
            purpose=self.purpose,
        )
        return self.answer

    def value(self, name: str) -> str:
        """The first `a=name:` value of the answer."""
        return next(
            line[len(name) + 3 :] for line in self.answer.splitlines() if line.startswith(f"a={name}:")
        )

    async def open(self, *, tcp: bool = False, host: str = "127.0.0.1") -> None:
        """A new local port (also later: then the client has moved, and what it had before is closed)."""
        self.hang_up()
        loop = asyncio.get_running_loop()
        if tcp:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)  # before connecting: no larger window
            await loop.sock_connect(sock, (host, self.server.port))
            _, self.stream = await loop.create_connection(lambda: _Stream(self), sock=sock)
        else:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: self, remote_addr=(host, self.server.port)
            )

    def leave_open(self) -> Left:
        """Go on without what it sends over, and without closing it."""
        left = Left(self._transport, self.stream)
        self._transport = self.stream = None
        return left

    def hang_up(self) -> None:
        """Close what it sends over."""
        if self._transport is not None:
            self._transport.close()
        if self.stream is not None and self.stream.transport is not None:
            self.stream.transport.close()
        self._transport = self.stream = None

    @property
    def local_address(self) -> tuple[str, int]:
        transport = self._transport if self.stream is None else self.stream.transport
        assert transport is not None
        host, port, *_ = transport.get_extra_info("sockname")
        return host, port

    async def check(
        self, *, nominate: bool = True, password: str | None = None, ufrag: str | None = None
    ) -> stun.Message:
        """One connectivity check; raises TimeoutError if it is not answered within a second."""
        key = (password or self.value("ice-pwd")).encode()
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{ufrag or self.value('ice-ufrag')}:{self.ufrag}"
        request.attributes["PRIORITY"] = 1
        request.attributes["ICE-CONTROLLING"] = 1
        if nominate:
            request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(key)
        assert request.transaction_id is not None
        waiter = self._checks[request.transaction_id] = asyncio.get_running_loop().create_future()
        self.raw(bytes(request))
        response: stun.Message = await asyncio.wait_for(waiter, 1)
        assert response.check_message_integrity(key)
        return response

    async def connect(self, *, tcp: bool = False, host: str = "127.0.0.1") -> Client:
        await self.join()
        await self.open(tcp=tcp, host=host)
        await self.check()
        await self.handshake()
        return self

    async def handshake(self) -> None:
        algorithm, value = self.value("fingerprint").split(" ")
        self.dtls._set_role("client")
        await asyncio.wait_for(
            self.dtls.start(RTCDtlsParameters([RTCDtlsFingerprint(algorithm=algorithm, value=value)])), 10
        )
        assert self.dtls.state == "connected"
        self._catch_up()

    async def close(self) -> None:
        """Vanish without a word."""
        if self.dtls._task is not None:
            self.dtls._task.cancel()
        self.hang_up()

    async def say_goodbye(self) -> None:
        """close_notify, as a browser's pc.close() sends it."""
        await self.dtls.stop()

    # Sending.

    def raw(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.send(data)
        else:
            assert self._transport is not None
            self._transport.sendto(data)

    def write(self, data: bytes) -> None:
        """As it is, without a frame around it (TCP)."""
        assert self.stream is not None and self.stream.transport is not None
        self.stream.transport.write(data)

    def protect(self, packet: bytes) -> bytes:
        return bytes(self.dtls._tx_srtp.protect(packet))

    def send(self, packet: bytes) -> None:
        self.raw(self.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        self.raw(self.dtls._tx_srtp.protect_rtcp(packet))

    # Receiving.

    def connection_made(self, transport: Any) -> None:
        pass

    def _catch_up(self) -> None:
        early, self._early = self._early, []
        for data in early:
            self.datagram_received(data, None)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[0] < 4:
            message = stun.parse_message(data)
            waiter = self._checks.pop(message.transaction_id or b"", None)
            if waiter is not None and not waiter.done():
                waiter.set_result(message)
        elif data[0] < 64:
            self._link.queue.put_nowait(data)
        elif self.dtls.state != "connected":
            self.unreadable += 1
            self._early.append(data)
        elif self._early:
            self._early.append(data)
            self._catch_up()
        elif 192 <= data[1] <= 223:
            plain = self.dtls._rx_srtp.unprotect_rtcp(data)
            self.raw_rtcp.append(plain)
            self.rtcp.extend(parse_rtcp(plain, len(plain)))
        else:
            plain = self.dtls._rx_srtp.unprotect(data)
            start, end, extension, profile = parse_payload(plain, len(plain))
            elements = {
                number: plain[at : at + size]
                for number, at, size in parse_extensions(plain, extension, start, profile)
            }
            mid = elements.get(EXTENSIONS[MID], b"").decode()
            _, marker, sequence, timestamp, ssrc = HEADER.unpack_from(plain)
            self.rtp.append(
                Received(
                    marker & 0x7F, marker > 127, sequence, timestamp, ssrc, mid, plain[start:end], elements
                )
            )
        self._changed.set()

    def error_received(self, exc: Exception) -> None:
        self.refused += 1

    async def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Wait until `condition` holds, looking after every datagram and at least every 20 ms."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), 0.02)
                except TimeoutError:
                    continue


def caller(
    server: MediaServer, participant: str, *, room: str = "room", peer: str = "", slots: int = 1
) -> Client:
    """A client that sends audio (mid 0) and video (mid 1) and has `slots` pairs of receive slots (mids 2, 3, ...)."""
    sections = [section("0", "audio", "sendonly"), section("1", "video", "sendonly")]
    for index in range(slots):
        sections.append(section(str(2 + 2 * index), "audio", "recvonly"))
        sections.append(section(str(3 + 2 * index), "video", "recvonly"))
    return Client(server, room, participant, peer or participant, sections)
