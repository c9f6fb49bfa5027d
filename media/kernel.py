"""What the kernel knows about our UDP port: buffers granted, and datagrams it dropped before we could read them."""

from __future__ import annotations

import socket
from pathlib import Path

_RCVBUFFORCE = 33  # Linux SO_RCVBUFFORCE and SO_SNDBUFFORCE: beyond net.core.[rw]mem_max, for the privileged
_SNDBUFFORCE = 32
_UDP_SEGMENT = 103  # Linux 4.18


def open_port(host: str, port: int, receive_bytes: int, send_bytes: int) -> socket.socket:
    """A bound non-blocking UDP socket with as much of the wanted buffers as the kernel grants. Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for force, plain, size in (
            (_RCVBUFFORCE, socket.SO_RCVBUF, receive_bytes),
            (_SNDBUFFORCE, socket.SO_SNDBUF, send_bytes),
        ):
            try:
                sock.setsockopt(socket.SOL_SOCKET, force, size)
            except OSError:  # not privileged, or not Linux
                sock.setsockopt(socket.SOL_SOCKET, plain, size)
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
