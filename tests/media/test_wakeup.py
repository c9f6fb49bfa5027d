"""When the socket is read: what arrives is read, whatever the pace, and a full batch is followed at once."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.wakeup import EASY, LONGEST, Wakeups, pause


class Reader:
    """Reads up to `batch` datagrams and notes how many."""

    def __init__(self, batch: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.batch = batch
        self.counts: list[int] = []
        self.changed = asyncio.Event()

    def read(self) -> int:
        count = 0
        while count < self.batch:
            try:
                self.socket.recv(100)
            except BlockingIOError:
                break
            count += 1
        self.counts.append(count)
        self.changed.set()
        return count

    def send(self, count: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(count):
                sender.sendto(b"x", self.socket.getsockname())

    async def until(self, total: int) -> None:
        async with asyncio.timeout(10):
            while sum(self.counts) < total:
                self.changed.clear()
                await self.changed.wait()


@pytest.mark.parametrize("window", [0.0, 0.001, 0.02])
async def test_everything_is_read_in_bursts_and_after_a_pause(window: float) -> None:
    reader = Reader(batch=8)
    wakeups = Wakeups(asyncio.get_running_loop(), reader.socket, reader.read, 8, window)
    total = 0
    for count in (1, 1, 1, 30, 8, 1, 0, 3):
        reader.send(count)
        total += count
        await reader.until(total)
        await asyncio.sleep(0.06 if count == 1 else 0)  # long enough to fall asleep in
    wakeups.stop()
    reader.send(5)
    await asyncio.sleep(0.05)
    assert sum(reader.counts) == total
    reader.socket.close()


async def test_under_traffic_the_socket_is_read_once_in_a_window() -> None:
    """A datagram every 5 ms with a window of 20 ms: collected by fours, where each would else cause a wake-up."""
    reader = Reader(batch=64)
    wakeups = Wakeups(asyncio.get_running_loop(), reader.socket, reader.read, 64, 0.02)
    for _ in range(40):
        reader.send(1)
        await asyncio.sleep(0.005)
    await reader.until(40)
    wakeups.stop()
    reader.socket.close()
    assert len(reader.counts) < 30
    assert max(reader.counts) > 1


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(0.0, 1.0), st.sampled_from([0.001, 0.02]))
def test_the_pause_grows_with_the_load_and_is_bounded(
    one: int, other: int, passed: float, window: float
) -> None:
    less, more = sorted((one, other))
    assert window <= pause(less, passed, window) <= pause(more, passed, window) <= LONGEST * window
    assert pause(int(EASY), max(passed, window), window) == window
    assert pause(2 * int(EASY), window, window) == pytest.approx(2 * window)


async def test_stopping_in_the_middle_of_a_window() -> None:
    reader = Reader(batch=4)
    wakeups = Wakeups(asyncio.get_running_loop(), reader.socket, reader.read, 4, 0.02)
    reader.send(6)
    await reader.until(4)
    wakeups.stop()
    before = sum(reader.counts)
    reader.send(3)
    await asyncio.sleep(0.05)
    assert sum(reader.counts) == before
    reader.socket.close()
