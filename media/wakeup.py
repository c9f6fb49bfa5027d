"""When the socket is read: at once while it is quiet, and in batches a millisecond apart while traffic flows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import monotonic

BUSY = 4.0  # wake-ups less than so many windows apart are traffic worth collecting
EASY = 8.0  # datagrams in a window that are no load yet; with more, reads are further apart in proportion
LONGEST = 3.0  # windows between two reads at most


def pause(count: int, passed: float, window: float) -> float:
    """Seconds until the next read, after one that found `count` datagrams which came within `passed` seconds."""
    return window * min(max(count * window / (EASY * max(passed, window)), 1.0), LONGEST)


class Wakeups:
    """Calls `read` when there is something to read.

    A wake-up of the loop costs more than a packet's way through it. Under traffic the socket therefore leaves the
    selector and is read once per `window` seconds (0: never), until a read finds nothing; a read that fills its
    batch is followed by the next turn of the loop instead, because waiting then would overflow the kernel's buffer.
    Under load (8,000 datagrams a second with a window of 1 ms) reads are up to three windows apart: larger batches are
    cheaper by up to a tenth when that is needed, and the delay grows by a millisecond or two.
    """

    __slots__ = ("_batch", "_handle", "_loop", "_read", "_socket", "_window", "_woken")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        read: Callable[[], int],
        batch: int,
        window: float,
    ) -> None:
        """`read` handles up to `batch` datagrams and returns how many there were."""
        self._loop = loop
        self._socket = sock
        self._read = read
        self._batch = batch
        self._window = window
        self._woken = float("-inf")
        self._handle: asyncio.Handle | None = None
        loop.add_reader(sock, self._on_readable)

    def stop(self) -> None:
        """Read no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._loop.remove_reader(self._socket)

    def _on_readable(self) -> None:
        now = monotonic()
        busy = now - self._woken < self._window * BUSY
        self._woken = now
        count = self._read()
        if busy and count:
            self._loop.remove_reader(self._socket)
            self._again(count, self._window)

    def _poll(self) -> None:
        self._handle = None
        now = monotonic()
        passed, self._woken = now - self._woken, now
        count = self._read()
        if count:
            self._again(count, passed)
        else:
            self._loop.add_reader(self._socket, self._on_readable)

    def _again(self, count: int, passed: float) -> None:
        if count >= self._batch:
            self._handle = self._loop.call_soon(self._poll)
        else:
            self._handle = self._loop.call_later(pause(count, passed, self._window), self._poll)
