"""The socket and what the kernel tells about it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from media import MediaConfig, MediaServer
from media.kernel import dropped, open_port, receive_buffer


def test_datagrams_that_did_not_fit_are_counted() -> None:
    with open_port("127.0.0.1", 0, 4096, 65536) as sock:
        port = sock.getsockname()[1]
        assert receive_buffer(sock) >= 2048
        assert dropped(port) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(200):
                sender.sendto(bytes(1000), ("127.0.0.1", port))
        kept = 0
        with pytest.raises(BlockingIOError):
            while True:
                sock.recv(2000)
                kept += 1
        if Path("/proc/net/udp").exists():
            assert kept + dropped(port) == 200
        assert kept < 200


def test_no_table_means_nothing_is_known(tmp_path: Path) -> None:
    broken = tmp_path / "udp"
    broken.write_text("head\n1: 0100007F:1F91 x\n")
    assert dropped(8081, (str(tmp_path / "none"), str(broken))) == 0


async def test_a_port_in_use_is_an_os_error() -> None:
    with open_port("127.0.0.1", 0, 4096, 4096) as sock, pytest.raises(OSError, match="in use"):
        await MediaServer.start(MediaConfig(port=sock.getsockname()[1]), on_event=print)


async def test_ipv6() -> None:
    try:
        server = await MediaServer.start(MediaConfig(host="::1", port=0, addresses=("::1",)), on_event=print)
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert server.port > 0
    await server.close()
