"""One end of a WebRTC transport on one UDP socket: connectivity checks, DTLS, and then media for whoever takes them."""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable
from struct import Struct
from typing import Protocol

from OpenSSL import SSL
from pylibsrtp import Session

from loadtest.answer import Answer
from loadtest.checks import Checks
from loadtest.dtls import DtlsClient
from loadtest.engine import CONTROL_OCTETS, RECEIVE_BUFFER, SO_RXQ_OVFL, SO_TIMESTAMPNS, Engine
from loadtest.offer import Identity
from loadtest.options import LoadError

CHECK_NS = 2_500_000_000  # Chromium's interval between checks of a working pair
FIRST_CHECK_NS = 50_000_000  # doubled until the first answer
LOST_NS = 15_000_000_000  # no answer for so long: the server has forgotten us
HANDSHAKE_NS = 50_000_000  # how often DTLS is asked whether a flight must be repeated
FULL_AGENT_NS = 20_000_000  # what a full agent may take from our answer to readiness for DTLS
BATCH = 128  # datagrams read of one socket before the others have their turn

_TIME = Struct("=qq")
_DROPS = Struct("=I")


class Media(Protocol):
    """Who takes the media of a connected link. The packet lies in the engine's buffer; `now` is its arrival in ns."""

    def rtp(self, size: int, now: int) -> None: ...
    def rtcp(self, size: int, now: int) -> None: ...
    def stop(self) -> None: ...


class Link(ABC):
    """From an answer to media. `failed` ends with a LoadError when the call cannot go on."""

    COUNTS_DROPS = True  # the kernel tells with each packet how many it dropped

    def __init__(
        self,
        engine: Engine,
        context: SSL.Context,
        identity: Identity,
        answer: Answer,
        address: tuple[str, int],
        controlling: bool = True,
    ) -> None:
        """`address` is the server's candidate to use, `controlling` our role in ICE. Raises LoadError."""
        loop = asyncio.get_running_loop()
        self.first_media: asyncio.Future[int] = loop.create_future()  # when the first packet arrived, in ns
        self.failed: asyncio.Future[None] = loop.create_future()
        self._engine = engine
        self._identity, self._answer = identity, answer
        self._checks = Checks(identity.ufrag, identity.password, answer.ufrag, answer.password, controlling)
        self._address = address
        self._dtls = DtlsClient(context, answer.fingerprint)
        self._handshaking = False
        self._checked = False  # the server has checked us
        self._check_step = FIRST_CHECK_NS
        self._answered = engine.now()
        self._sessions: tuple[Session, Session] | None = None
        self.overflowed = 0  # datagrams our own receive buffer dropped
        self._media: Media | None = None
        self._closed = False
        self._socket = socket.socket(
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            if self.COUNTS_DROPS:
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise LoadError(f"No way to {address[0]}:{address[1]}: {error}") from error

    def fileno(self) -> int:
        return self._socket.fileno()

    def start(self) -> None:
        """Begin with a connectivity check; everything else follows from what comes back."""
        self._engine.add(self)
        self._engine.wheel.add(self._engine.now(), self._check)

    def close(self) -> None:
        """Say close_notify and be gone. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._media is not None:
            self._media.stop()
        self._put(self._dtls.close())
        self._engine.remove(self)
        self._socket.close()
        self.failed.cancel()
        self.first_media.cancel()

    def drain(self) -> None:
        """Read what has come, at most a batch."""
        engine = self._engine
        buffer, into, receive = engine.receiving.buffer, engine.receiving.into, self._socket.recvmsg_into
        try:
            for _ in range(BATCH):
                size, control, _, _ = receive(into, CONTROL_OCTETS)
                now = 0
                for _, kind, value in control:
                    if kind == SO_TIMESTAMPNS:
                        seconds, nanoseconds = _TIME.unpack(value)
                        now = seconds * 1_000_000_000 + nanoseconds
                    elif kind == SO_RXQ_OVFL:
                        self.overflowed = _DROPS.unpack(value)[0]
                if size == 0:
                    continue
                first = buffer[0]
                if first & 0xC0 == 0x80 and self._media is not None:
                    if size > 1 and 192 <= buffer[1] <= 223:  # RFC 5761 section 4
                        self._media.rtcp(size, now or engine.now())
                    else:
                        self._media.rtp(size, now or engine.now())
                elif 20 <= first <= 63:
                    self._hear_dtls(bytes(engine.receiving.scratch.view[:size]))
                elif first <= 3:
                    self._hear_stun(bytes(engine.receiving.scratch.view[:size]))
                else:
                    engine.strange += 1
                if self._closed:
                    return
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            self._fail("Nobody listens on the media port")
        except LoadError as error:
            self._fail(str(error))

    def _hear_stun(self, data: bytes) -> None:
        if not self._checks.accept(data):
            reply = self._checks.reply(data, self._address)
            if reply is None:
                self._engine.strange += 1
                return
            self._put((reply,))
            self._checked = True
        else:
            self._answered = self._engine.now()
        # A full agent takes DTLS only when its own check has been answered as well.
        if not self._handshaking and self._checks.answered and (self._checked or self._answer.lite):
            self._handshaking = True
            now = self._engine.now()
            if self._answer.lite:
                self._shake_hands(now, now)
            else:
                self._engine.wheel.add(now + FULL_AGENT_NS, self._shake_hands)

    def _shake_hands(self, due: int, now: int) -> int:
        if self._closed:
            return 0
        self._put(self._dtls.start())
        self._engine.wheel.add(now + HANDSHAKE_NS, self._retry)
        return 0

    def _hear_dtls(self, data: bytes) -> None:
        if not self._handshaking:
            return
        self._put(self._dtls.feed(data))
        if self._dtls.closed:
            self._fail("The server closed DTLS")
        elif self._dtls.connected and self._media is None:
            self._sessions = outgoing, incoming = self._dtls.sessions()
            self._media = self._begin(outgoing, incoming)

    @abstractmethod
    def _begin(self, outgoing: Session, incoming: Session) -> Media:
        """DTLS is connected: begin to send and to receive. Raises LoadError."""

    def media_came(self, at: int) -> None:
        """The first media packet arrived at `at`."""
        if not self.first_media.done():
            self.first_media.set_result(at)

    def _check(self, due: int, now: int) -> int:
        if self._closed:
            return 0
        if now - self._answered > LOST_NS:
            self._fail("No answer to connectivity checks for 15 s")
            return 0
        self._put((self._checks.request(),))
        if self._checks.answered and self._dtls.connected:
            return now + CHECK_NS
        self._check_step = min(self._check_step * 2, CHECK_NS)
        return now + self._check_step // 2

    def _retry(self, due: int, now: int) -> int:
        if self._closed or self._dtls.connected:
            return 0
        remaining = self._dtls.timeout()
        if remaining is not None and remaining <= 0:
            try:
                self._put(self._dtls.repeat())
            except LoadError as error:
                self._fail(str(error))
                return 0
        return now + HANDSHAKE_NS

    def _put(self, packets: Iterable[bytes]) -> None:
        for data in packets:
            try:
                self._socket.send(data)
            except BlockingIOError:
                return  # checks and flights are repeated
            except ConnectionRefusedError:
                self._fail("Nobody listens on the media port")

    def _fail(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(LoadError(reason))
