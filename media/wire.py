"""The only file that touches private names of aiortc and pylibsrtp: DTLS sessions, SCTP on them, raw SRTP contexts.

Every private name used here has a contract test in tests/media/test_wire.py, and both libraries are pinned.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Any, Protocol

from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport, SackChunk
from OpenSSL import SSL
from pylibsrtp import Session
from pylibsrtp._binding import ffi, lib

_RELEASE_BUFFERS = 0x10  # SSL_MODE_RELEASE_BUFFERS (ssl.h)

# libsrtp's own functions: (context, buffer, int* length) -> status, in place. Calling them on a preallocated
# buffer saves 15-25 % against Session.protect, which copies twice and allocates each time.
protect: Callable[[Any, Any, Any], int] = lib.srtp_protect
unprotect: Callable[[Any, Any, Any], int] = lib.srtp_unprotect
protect_rtcp: Callable[[Any, Any, Any], int] = lib.srtp_protect_rtcp
unprotect_rtcp: Callable[[Any, Any, Any], int] = lib.srtp_unprotect_rtcp


def pin(buffer: bytearray) -> Any:
    """A C pointer to `buffer`, which cannot be resized while the pointer lives."""
    return ffi.from_buffer(buffer)


def new_length() -> Any:
    """An `int *` for the length argument of the SRTP functions."""
    return ffi.new("int *")


def context_of(session: Session) -> Any:
    """The `srtp_t` inside a Session; valid as long as the Session lives."""
    return session._srtp[0]


class _Certificate(RTCCertificate):
    """One OpenSSL context for all associations with this certificate: 20 KB and a millisecond of each handshake less.

    No session is resumed (aiortc switches tickets off), so none is kept; buffers are let go while they are empty.
    """

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            context = super()._create_ssl_context(srtp_profiles)
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            context.set_mode(_RELEASE_BUFFERS)
            self._context = context
        return self._context


def make_certificate() -> RTCCertificate:
    """A fresh P-256 certificate: small, because aiortc reads at most 1,500 bytes of a flight at once."""
    return _Certificate.generateCertificate()


def fingerprint_of(certificate: RTCCertificate) -> str:
    """The SHA-256 fingerprint as SDP writes it."""
    return next(f.value for f in certificate.getFingerprints() if f.algorithm == "sha-256")


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and the fingerprint under which the answer announces it."""

    certificate: RTCCertificate
    fingerprint: str

    @classmethod
    def make(cls) -> Identity:
        """A fresh one."""
        certificate = make_certificate()
        return cls(certificate, fingerprint_of(certificate))


class DtlsState(Enum):
    """What the peer needs to know of its DTLS session."""

    NEW = "new"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class _Wire:
    """What RTCDtlsTransport asks of an ICE transport: a role, `_recv` and `_send`."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], object], limit: int) -> None:
        self._out = send
        self._limit = limit
        self._queue: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self.last_flight = b""

    def push(self, data: bytes) -> bool:
        """Hand a datagram to OpenSSL; False if the queue is full (DTLS will retransmit)."""
        if len(self._queue) >= self._limit:
            return False
        self._queue.append(data)
        self._wake()
        return True

    def resend(self) -> None:
        if self.last_flight:
            self._out(self.last_flight)

    def end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _recv(self) -> bytes:
        while not self._queue:
            if self._ended:
                raise ConnectionError("peer closed")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()

    async def _send(self, data: bytes) -> None:
        self.last_flight = data
        self._out(data)


def _handshake_body(data: bytes) -> bytes:
    """The first record of an unencrypted handshake datagram without its header, else b"".

    A retransmission differs from the original only in the record's sequence number (RFC 6347 section 4.1).
    """
    if len(data) < 14 or data[0] != 22 or data[3:5] != b"\0\0":
        return b""
    return data[13 : 13 + int.from_bytes(data[11:13], "big")]


class DtlsSession:
    """One DTLS-SRTP association, driven by one task that `close` ends.

    In the server role, which takes fewest round trips; in the client role, whose first flight leaves at once, only
    where the other side insists on being the server.
    """

    MAX_REMEMBERED = 32  # handshake datagrams of one client; a handshake has about six

    def __init__(
        self,
        certificate: RTCCertificate,
        fingerprints: Sequence[tuple[str, str]],
        send: Callable[[bytes], object],
        on_change: Callable[[DtlsSession], None],
        queue_limit: int,
        client: bool = False,
    ) -> None:
        """`fingerprints` are (algorithm, value) from the offer; `on_change` is called at each change of `state`."""
        self.state = DtlsState.NEW
        self._wire = _Wire(send, queue_limit)
        self._seen: set[bytes] = set()
        self._on_change: Callable[[DtlsSession], None] | None = on_change
        self._dtls = RTCDtlsTransport(self._wire, [certificate])  # type: ignore[arg-type]
        self._dtls._set_role("client" if client else "server")
        self._dtls.on("statechange", self._changed)
        remote = RTCDtlsParameters([RTCDtlsFingerprint(algorithm=a, value=v) for a, v in fingerprints])
        self.task = asyncio.get_running_loop().create_task(self._shake_hands(remote), name="dtls-handshake")

    @property
    def receive_session(self) -> Session:
        """The SRTP session for what the client sends; only when connected."""
        return self._dtls._rx_srtp

    @property
    def send_session(self) -> Session:
        """The SRTP session for what we send; only when connected."""
        return self._dtls._tx_srtp

    @property
    def pump(self) -> asyncio.Future[None] | None:
        """The task that reads after the handshake (alerts, close_notify)."""
        return self._dtls._task

    def feed(self, data: bytes) -> bool:
        """A DTLS datagram from the client; False if it was dropped because too many are waiting."""
        body = _handshake_body(data)
        if body:
            if body in self._seen:
                # OpenSSL ignores a repeated ClientHello, and the client waits a second before the next one.
                self._wire.resend()
                if body[0] == 1:
                    return True
            elif len(self._seen) < self.MAX_REMEMBERED:
                self._seen.add(body)
        return self._wire.push(data)

    def close(self) -> None:
        """Say close_notify if there is anybody to say it to, and end the tasks. `on_change` is not called again."""
        self._on_change = None
        ssl = self._dtls._ssl
        if ssl is not None and self.state is DtlsState.CONNECTED:
            # Refused when the other side is gone already, or nothing was left to say.
            with contextlib.suppress(SSL.Error):
                ssl.shutdown()
                self._wire._out(ssl.bio_read(1500))
        if self.pump is not None:
            self.pump.cancel()
        self._wire.end()
        self.task.cancel()
        self._dtls.remove_all_listeners()

    async def _shake_hands(self, remote: RTCDtlsParameters) -> None:
        try:
            await self._dtls.start(remote)
        except SSL.Error:  # OpenSSL has retransmitted often enough; aiortc lets this one through
            self._become(DtlsState.FAILED)

    def _changed(self) -> None:
        match self._dtls.state:
            case "connected":
                state = DtlsState.CONNECTED
            case "failed":
                state = DtlsState.FAILED
            case "closed":
                state = DtlsState.CLOSED
            case _:
                return
        self._become(state)

    def _become(self, state: DtlsState) -> None:
        if state is not self.state:
            self.state = state
            self._seen.clear()
            if self._on_change is not None:
                self._on_change(self)


# SCTP user messages by their payload protocol identifier (RFC 8831 section 8).
DCEP, STRING, BINARY, EMPTY_STRING, EMPTY_BINARY = 50, 51, 53, 56, 57
_OPEN = Struct("!BBHIHH")  # RFC 8832 section 5.1
_OPEN_TYPE = b"\x03"
MAX_LABEL = 256  # octets


@dataclass(frozen=True, slots=True)
class DataChannel:
    """An open data channel as its client asked for it; `lifetime` of a message in milliseconds."""

    stream: int
    label: str
    ordered: bool
    retransmits: int | None
    lifetime: int | None


@dataclass(frozen=True, slots=True)
class DataLimits:
    """What one association may hold. What goes beyond `channels` and `message_bytes` is refused, the rest ends it."""

    channels: int
    message_bytes: int
    buffer_bytes: int  # waiting to be sent; more is refused
    window_bytes: int = 128 * 1024  # received, but not yet whole messages; announced to the client
    held_chunks: int = 512  # the same in pieces, and numbers received out of order
    streams: int = 64  # on which anything was received


class DataUser(Protocol):
    """Who takes what comes in."""

    def on_message(self, channel: DataChannel, kind: int, data: bytes) -> None:
        """A whole message; `kind` is STRING, BINARY, EMPTY_STRING or EMPTY_BINARY."""

    def on_refused(self, reason: str) -> None:
        """Something was dropped."""


class DataAssociation:
    """The SCTP association of one connected DTLS session. Nothing in it waits: what cannot be sent is queued."""

    def __init__(self, session: DtlsSession, remote_port: int, limits: DataLimits, user: DataUser) -> None:
        self._limits = limits
        self._sctp = _Sctp(session._dtls, limits, user)
        # No limit for aiortc: ours is per reader.
        _at_once(self._sctp.start(RTCSctpCapabilities(maxMessageSize=0), remote_port))

    def find(self, label: str) -> DataChannel | None:
        """The client's channel with this label, the oldest if there are several."""
        for channel in self._sctp._data_channels.values():
            if channel.label == label and channel.readyState == "open":
                return _described(channel)
        return None

    @property
    def buffered(self) -> int:
        """Octets that wait to be sent or to be acknowledged."""
        sctp = self._sctp
        return sum(chunk._book_size for queue in (sctp._outbound_queue, sctp._sent_queue) for chunk in queue)

    @property
    def closed(self) -> bool:
        """Whether it has ended; DTLS and media go on."""
        return self._sctp._association_state is self._sctp.State.CLOSED

    def send(self, stream: int, kind: int, data: bytes, like: DataChannel) -> bool:
        """A message as reliable and as ordered as `like`; False if too much waits already, or all is over."""
        sctp = self._sctp
        waiting = len(sctp._outbound_queue) + len(sctp._sent_queue)
        if waiting >= self._limits.held_chunks or self.buffered + len(data) > self._limits.buffer_bytes:
            return False
        if sctp._association_state is not sctp.State.ESTABLISHED:
            return False
        expiry = time.time() + like.lifetime / 1000 if like.lifetime is not None else None
        try:
            _at_once(sctp._send(stream, kind, data, expiry, like.retransmits, like.ordered))
        except ConnectionError:
            return False
        return True

    def close(self) -> None:
        """Forget everything; DTLS tells the client."""
        self._sctp._set_state(self._sctp.State.CLOSED)


class _Sctp(RTCSctpTransport):
    """aiortc's association with bounds, and with whole messages taken before it reads anything out of them."""

    def __init__(self, dtls: RTCDtlsTransport, limits: DataLimits, user: DataUser) -> None:
        super().__init__(dtls)
        self._limits = limits
        self._user = user
        self._advertised_rwnd = limits.window_bytes

    async def _handle_data(self, data: bytes) -> None:
        if self._association_state is self.State.CLOSED:
            return
        if not _sound(data):
            self._end("sctp_malformed")
            return
        try:
            await super()._handle_data(data)
        except ConnectionError:
            self._set_state(self.State.CLOSED)
        except Exception:  # noqa: BLE001
            # aiortc asserts what a client ought to do; raised further, that would end DTLS, with a traceback.
            self._end("sctp_malformed")
        limits = self._limits
        if len(self._inbound_streams) > limits.streams:
            self._end("sctp_too_many_streams")
        held = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        if held + len(self._sack_misordered) > limits.held_chunks or self._advertised_rwnd < 0:
            self._end("sctp_window_exceeded")

    def _end(self, reason: str) -> None:
        if self._association_state is not self.State.CLOSED:
            self._user.on_refused(reason)
            self._set_state(self.State.CLOSED)

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        # aiortc walks through every number of every gap, 65,536 in four octets: seconds for one datagram.
        if sum(end - start + 1 for start, end in chunk.gaps) > self._limits.held_chunks:
            self._end("sctp_malformed")
            return
        await super()._receive_sack_chunk(chunk)

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        channel = self._data_channels.get(stream_id)
        if pp_id == DCEP:
            opens = data[:1] == _OPEN_TYPE
            reason = self._fault(data) if opens else None
            if reason is not None:
                self._user.on_refused(reason)
            elif opens == (channel is None):
                await super()._receive(stream_id, pp_id, data)
            else:
                self._user.on_refused("data_unknown_channel")
        elif channel is None:
            self._user.on_refused("data_unknown_channel")
        elif len(data) > self._limits.message_bytes:
            self._user.on_refused("data_too_long")
        elif pp_id not in (STRING, BINARY, EMPTY_STRING, EMPTY_BINARY):
            self._user.on_refused("data_unknown_kind")
        else:
            self._user.on_message(_described(channel), pp_id, data)

    def _fault(self, data: bytes) -> str | None:
        """What is wrong with a DATA_CHANNEL_OPEN, None if nothing is."""
        if len(data) < _OPEN.size:
            return "data_bad_open"
        label, protocol = _OPEN.unpack_from(data)[4:]
        if label > MAX_LABEL or _OPEN.size + label + protocol > len(data):
            return "data_bad_open"
        try:
            data[_OPEN.size : _OPEN.size + label].decode()
            data[_OPEN.size + label : _OPEN.size + label + protocol].decode()
        except UnicodeDecodeError:
            return "data_bad_open"
        return "data_too_many_channels" if len(self._data_channels) >= self._limits.channels else None


# Where the parameters of a chunk begin, behind its head (RFC 9260 section 3.3, RFC 6525): INIT, INIT ACK, HEARTBEAT and
# its ACK, ABORT, ERROR, RE-CONFIG.
_PARAMETERS = {1: 16, 2: 16, 4: 0, 5: 0, 6: 0, 9: 0, 130: 0}
_CHUNK = Struct("!BBH")
_PARAMETER = Struct("!HH")


def _sound(data: bytes) -> bool:
    """Whether every chunk and parameter is at least as long as its head: aiortc would read a parameter of no length for
    ever, and remember each time."""
    at = 12
    while at + 4 <= len(data):
        kind, _, length = _CHUNK.unpack_from(data, at)
        if length < 4:
            return False
        place, end = at + 4 + _PARAMETERS.get(kind, length), min(at + length, len(data))
        while place + 4 <= end:
            size = _PARAMETER.unpack_from(data, place)[1]
            if size < 4:
                return False
            place += size + -size % 4
        at += length + -length % 4
    return True


def _described(channel: RTCDataChannel) -> DataChannel:
    return DataChannel(
        channel.id or 0, channel.label, channel.ordered, channel.maxRetransmits, channel.maxPacketLifeTime
    )


def _at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits, because `_Wire._send` does not."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("aiortc's SCTP has begun to wait when it sends")
