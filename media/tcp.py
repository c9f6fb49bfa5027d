"""ICE over TCP, passive (RFC 6544): connections whose frames (RFC 4571) are datagrams to the rest of the plane."""

from __future__ import annotations

import asyncio
import errno
import math
import resource
import socket
from collections import Counter
from collections.abc import Callable
from struct import Struct
from typing import Any

from media.api import MediaConfig
from media.ice import MAX_CHECK
from media.limits import source_key
from media.rtp import MAX_DATAGRAM, ParseError
from media.tally import Tally

READ = (
    16384  # octets per wake-up and connection: about ten packets, and no connection keeps the others waiting
)
ACCEPTS = 16  # connections taken per wake-up
PAUSE = 1.0  # seconds without accepting when the process has no descriptor left
_NOTSENT_LOWAT = 25  # Linux TCP_NOTSENT_LOWAT (tcp(7))
# What the kernel keeps unsent. Without a limit it takes megabytes for a slow reader, seconds of video that nobody
# wants any more; what waits here instead can be left out.
_UNSENT = 16384
_LENGTH = Struct("!H")

Read = Callable[[bytearray], tuple[int, Any]]


class SlowReader(BlockingIOError):
    """The connection's queue is full: the client or its line takes less than it is sent."""


class Frames:
    """Cuts a byte stream into frames: two octets of length, then so many octets (RFC 4571 section 2).

    Only what STUN, DTLS, RTP and RTCP can begin with is a frame (RFC 7983); `checks_only` until somebody has shown
    that he knows a password. A stream that is out of step cannot be put in step again.
    """

    __slots__ = ("_at", "_data", "checks_only")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        self.checks_only = True

    def __len__(self) -> int:
        """Octets waiting: less than one frame once `take` has returned 0."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """The next piece of the stream."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def take(self, buffer: bytearray) -> int:
        """Copy the next frame into `buffer` (MAX_DATAGRAM octets at least) and return its size, 0 if none is complete.

        Empty frames are ignored. Raises ParseError: tcp_not_a_check (something else before the first authenticated
        check), tcp_frame_too_long, tcp_garbage.
        """
        data, at = self._data, self._at
        while len(data) - at >= 2:
            size = data[at] << 8 | data[at + 1]
            if size == 0 and not self.checks_only:
                self._at = at = at + 2
                continue
            if self.checks_only and not 20 <= size <= MAX_CHECK:
                raise ParseError("tcp_not_a_check")
            if size > MAX_DATAGRAM:
                raise ParseError("tcp_frame_too_long")
            if len(data) - at > 2:
                first = data[at + 2]
                if self.checks_only and first > 3:
                    raise ParseError("tcp_not_a_check")
                if not (first < 4 or 19 < first < 64 or 127 < first < 192):
                    raise ParseError("tcp_garbage")
            end = at + 2 + size
            if end > len(data):
                return 0
            buffer[:size] = data[at + 2 : end]
            self._at = end
            return size
        return 0


class TcpPath:
    """One connection, in the place of a datagram's address: hashable, and with its own `sendto`.

    `owner` is the peer whose authenticated check came first; it stays the connection's only one.
    """

    __slots__ = ("_config", "_frames", "_loop", "_pending", "_sock", "deadline", "fault", "owner", "remote")

    def __init__(
        self,
        sock: socket.socket,
        remote: tuple[str, int],
        loop: asyncio.AbstractEventLoop,
        config: MediaConfig,
    ) -> None:
        self.remote = remote
        self.owner: object | None = None
        self.fault = ""  # why it must be closed
        self.deadline: asyncio.TimerHandle | None = None  # of the first authenticated check
        self._sock: socket.socket | None = sock
        self._loop = loop
        self._config = config
        self._frames = Frames()
        self._pending = bytearray()  # framed, and not yet taken by the kernel

    @property
    def closed(self) -> bool:
        """Nothing comes or goes any more."""
        return self._sock is None

    @property
    def waiting(self) -> int:
        """Octets that the kernel has not taken."""
        return len(self._pending)

    def adopt(self, owner: object) -> bool:
        """An authenticated check of this peer came over the connection; False if it is another's."""
        if self.owner is None:
            self.owner = owner
            self._frames.checks_only = False
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None
        return self.owner is owner

    # Receiving, by the Receiver that also reads the UDP socket.

    def feed(self, data: bytes) -> None:
        """What the connection brought."""
        self._frames.feed(data)

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, TcpPath]:
        """The next frame. Raises BlockingIOError when there is none, or the stream is broken (`fault`)."""
        if self._sock is None or self.fault:
            raise BlockingIOError
        try:
            size = self._frames.take(buffer)
        except ParseError as error:
            self.fault = error.reason
            raise BlockingIOError from error
        if not size:
            raise BlockingIOError
        return size, self

    # Sending.

    def sendto(self, data: Any, _address: Any) -> int:
        """A media packet. Raises SlowReader when too much is waiting already, OSError when the connection is gone."""
        if len(self._pending) + len(data) > self._config.tcp_media_bytes:
            raise SlowReader
        return self._write(data)

    def keep(self, data: Any) -> int:
        """A packet that is not left out (STUN, DTLS, RTCP). Raises SlowReader when not even those are taken any more:
        the connection is of no use."""
        if len(self._pending) + len(data) > self._config.tcp_queue_bytes:
            raise SlowReader
        return self._write(data)

    def _write(self, data: Any) -> int:
        sock, pending, size = self._sock, self._pending, len(data)
        if sock is None:
            raise BrokenPipeError(errno.EPIPE, "closed")
        sent = 0
        head = _LENGTH.pack(size)
        if not pending:
            try:
                sent = sock.sendmsg((head, data))
            except BlockingIOError:
                sent = 0
            if sent == size + 2:
                return size
            self._loop.add_writer(sock, self._flush)
        if sent < 2:
            pending += head[sent:]
            pending += data
        else:
            pending += data[sent - 2 :]
        return size

    def _flush(self) -> None:
        sock, pending = self._sock, self._pending
        if sock is None:
            return
        try:
            del pending[: sock.send(pending)]
        except BlockingIOError:
            return
        except OSError:  # the reader of the connection is told the same, and closes it
            pending.clear()
        if not pending:
            self._loop.remove_writer(sock)

    def read(self) -> bytes | None:
        """Up to READ octets; b"" when the client has closed the connection, None when there is nothing.
        Raises OSError when it is broken."""
        if self._sock is None:
            return None
        try:
            return self._sock.recv(READ)
        except BlockingIOError:
            return None

    def close(self) -> bool:
        """Free the connection; False if that was done before. What the kernel has taken still arrives."""
        sock = self._sock
        if sock is None:
            return False
        self._sock = None
        if self.deadline is not None:
            self.deadline.cancel()
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        sock.close()
        self._pending.clear()
        return True


class TcpPort:
    """The listening socket and all its connections.

    Strangers are few: `tcp_strangers_per_source` connections of one source without an authenticated check, each for
    `tcp_stranger_seconds`, and `tcp_connections` in all (half of what the process may open at most). Who is one too
    many takes the place of the stranger who has said nothing for longest: Chromium opens connections that it does not
    use as long as UDP works, and who wants one for a call proves himself within a round trip.
    """

    def __init__(
        self,
        sock: socket.socket,
        config: MediaConfig,
        tally: Tally,
        receive: Callable[[Read], int],
        on_closed: Callable[[TcpPath], None],
    ) -> None:
        """`receive(read)` handles a batch of datagrams got by `read(buffer)` and returns how many there were (see
        Receiver.receive); `on_closed` is told of every connection that had an owner."""
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._config = config
        self._tally = tally
        self._receive = receive
        self._on_closed = on_closed
        self._limit = min(config.tcp_connections, _descriptors() / 2)
        self._strangers: dict[TcpPath, str] = {}  # -> source, the oldest first
        self._sources: Counter[str] = Counter()
        self._resume: asyncio.TimerHandle | None = None
        self.paths: set[TcpPath] = set()
        self._loop.add_reader(sock, self._accept)

    @property
    def accepting(self) -> bool:
        """False when closed, or while the process has no descriptor for another connection."""
        return self._socket.fileno() >= 0 and self._resume is None

    def close(self) -> None:
        """Accept nobody any more, and close every connection."""
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for path in list(self.paths):
            self.drop(path)

    def drop(self, path: TcpPath, reason: str = "") -> None:
        """Close a connection; a `reason` is counted."""
        if not path.close():
            return
        if reason:
            self._tally.drop(reason)
        self.paths.discard(path)
        if path.owner is None:
            self._forget_stranger(path)
        else:
            self._on_closed(path)

    def adopt(self, path: TcpPath, owner: object) -> bool:
        """See TcpPath.adopt."""
        if path.owner is None:
            self._forget_stranger(path)
        return path.adopt(owner)

    def _forget_stranger(self, path: TcpPath) -> None:
        source = self._strangers.pop(path)
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def _accept(self) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors left: the loop would call again at once, for nothing
                self._tally.drop("tcp_accept_failed")
                self._loop.remove_reader(self._socket)
                self._resume = self._loop.call_later(PAUSE, self._accept_again)
                return
            source = source_key(address[0])
            if self._make_room(source):
                self._welcome(sock, (address[0], address[1]), source)
            else:
                sock.close()

    def _make_room(self, source: str) -> bool:
        """Whether one more of this source may stay, at the cost of a silent one if need be."""
        if len(self.paths) >= self._limit:
            reason, oldest = "tcp_too_many", next(iter(self._strangers), None)
        elif self._sources[source] >= self._config.tcp_strangers_per_source:
            reason = "tcp_too_many_of_source"
            oldest = next((path for path, of in self._strangers.items() if of == source), None)
        else:
            return True
        if oldest is None:
            self._tally.drop(reason)
            return False
        self.drop(oldest, reason)
        return True

    def _accept_again(self) -> None:
        self._resume = None
        self._loop.add_reader(self._socket, self._accept)

    def _welcome(self, sock: socket.socket, remote: tuple[str, int], source: str) -> None:
        path = TcpPath(sock, remote, self._loop, self._config)
        self.paths.add(path)
        self._strangers[path] = source
        self._sources[source] += 1
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # nobody acknowledges: as dead as without checks
                patience = int(self._config.ice_timeout_seconds * 1000)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)
        except OSError:  # gone already
            self.drop(path)
            return
        path.deadline = self._loop.call_later(
            self._config.tcp_stranger_seconds, self.drop, path, "tcp_idle_stranger"
        )
        self._loop.add_reader(sock, self._on_readable, path)

    def _on_readable(self, path: TcpPath) -> None:
        try:
            data = path.read()
        except OSError:
            self.drop(path)
            return
        if data is None:
            return
        if not data:
            self.drop(path)
            return
        path.feed(data)
        while self._receive(path.recvfrom_into) and not path.closed:
            continue  # a batch was full; READ octets have an end
        if path.fault:
            self.drop(path, path.fault)


def _descriptors() -> float:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else soft
