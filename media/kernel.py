"""What we ask of the kernel: ports on both IP families, buffers, and what it dropped before we could read it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path

_RCVBUFFORCE = 33  # Linux SO_RCVBUFFORCE and SO_SNDBUFFORCE: beyond net.core.[rw]mem_max, for the privileged
_SNDBUFFORCE = 32
_UDP_SEGMENT = 103  # Linux 4.18
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
_ATTEMPTS = 16  # a number that UDP is given is rarely taken for TCP


def open_port(host: str, port: int, receive_bytes: int, send_bytes: int) -> socket.socket:
    """A bound non-blocking UDP socket with as much of the wanted buffers as the kernel grants. Raises OSError."""

    def prepare(sock: socket.socket) -> None:
        for force, plain, size in (
            (_RCVBUFFORCE, socket.SO_RCVBUF, receive_bytes),
            (_SNDBUFFORCE, socket.SO_SNDBUF, send_bytes),
        ):
            try:
                sock.setsockopt(socket.SOL_SOCKET, force, size)
            except OSError:  # not privileged, or not Linux
                sock.setsockopt(socket.SOL_SOCKET, plain, size)

    return _bound(host, port, socket.SOCK_DGRAM, prepare)


def open_listener(host: str, port: int, backlog: int = 256) -> socket.socket:
    """A listening non-blocking TCP socket. Raises OSError."""

    def prepare(sock: socket.socket) -> None:
        # Connections of a former run that are in TIME_WAIT are no obstacle.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    sock = _bound(host, port, socket.SOCK_STREAM, prepare)
    try:
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def open_ports(
    host: str, port: int, receive_bytes: int, send_bytes: int, *, tcp: bool
) -> tuple[socket.socket, socket.socket | None]:
    """The UDP socket and, if wanted, the TCP listener on the same number; where the kernel chooses it (port 0), one
    that is free for both. Raises OSError."""
    for attempt in range(_ATTEMPTS):
        sock = open_port(host, port, receive_bytes, send_bytes)
        try:
            return sock, open_listener(host, int(sock.getsockname()[1])) if tcp else None
        except OSError as error:
            sock.close()
            if port or error.errno != errno.EADDRINUSE or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _bound(
    host: str, port: int, kind: socket.SocketKind, prepare: Callable[[socket.socket], None]
) -> socket.socket:
    """A bound socket. "::" is one socket for both families (IPv4 shows as ::ffff:a.b.c.d); without IPv6, for IPv4."""
    if host == "::":
        try:
            return _bound_to(socket.AF_INET6, host, port, kind, prepare)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
            host = "0.0.0.0"  # everywhere is what was asked for
    return _bound_to(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port, kind, prepare)


def _bound_to(
    family: int, host: str, port: int, kind: socket.SocketKind, prepare: Callable[[socket.socket], None]
) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        prepare(sock)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def segments(sock: socket.socket) -> bool:
    """Whether the kernel cuts one send into datagrams for us. One that does not know the option must not be tried:
    it would ignore the control message and send a single datagram of the whole burst."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)
    except OSError:
        return False
    return True


def receive_buffer(sock: socket.socket) -> int:
    """Bytes granted; Linux reports twice that, for its own bookkeeping."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def dropped(port: int, tables: tuple[str, ...] = ("/proc/net/udp", "/proc/net/udp6")) -> int:
    """Datagrams for `port` that found the receive buffer full; 0 where the kernel does not tell."""
    total = 0
    for table in tables:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) >= 13 and fields[1].endswith(f":{port:04X}") and fields[-1].isdigit():
                total += int(fields[-1])
    return total
