"""The loop of one generator process: sends what is due, reads what came, sleeps at most half a millisecond."""

import asyncio
import select
import time
from array import array
from typing import Any, Protocol

from loadtest.tally import Tally
from loadtest.wheel import Wheel
from media import wire
from media.srtp import TRAILER, Scratch

RECEIVE_BUFFER = 1 << 20  # per socket: 100 ms of keyframes at the largest rate
CONTROL_OCTETS = 64  # room for a timestamp and a drop counter
# Linux: SO_TIMESTAMPNS gives the kernel's arrival time, so that our own delay in reading is not measured.
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40


class Pollable(Protocol):
    """What the engine asks of a peer."""

    def fileno(self) -> int: ...
    def drain(self) -> None: ...


class SendBuffer:
    """Room for one burst: packets are written and protected one after another, then sent with one system call."""

    SIZE = 63 * 1024  # below the 64 KB limit of one segmented send

    def __init__(self) -> None:
        self.buffer = bytearray(self.SIZE + TRAILER)
        self.view = memoryview(self.buffer)
        self._pointer = wire.pin(self.buffer)
        self._length = wire.new_length()

    def protect(self, context: Any, at: int, size: int) -> int:
        """Protect the `size` octets at `at` in place; the new size. Raises ValueError if libsrtp refuses."""
        self._length[0] = size
        if status := wire.protect(context, self._pointer + at, self._length):
            raise ValueError(f"SRTP refuses to protect a packet: status {status}")
        return int(self._length[0])


class ReceiveBuffer:
    """Room for one datagram, decrypted in place."""

    def __init__(self) -> None:
        self.scratch = Scratch()
        self.buffer = self.scratch.buffer
        self.into = (self.scratch.view,)

    def unprotect(self, context: Any, size: int) -> int:
        """The size of the plain RTP packet, or minus libsrtp's status."""
        self.scratch.length[0] = size
        status = wire.unprotect(context, self.scratch.pointer, self.scratch.length)
        return -status if status else int(self.scratch.length[0])

    def unprotect_rtcp(self, context: Any, size: int) -> int:
        """The size of the plain RTCP packet, or minus libsrtp's status."""
        self.scratch.length[0] = size
        status = wire.unprotect_rtcp(context, self.scratch.pointer, self.scratch.length)
        return -status if status else int(self.scratch.length[0])


class Engine:
    """Everything the peers of one process share. All instants are nanoseconds since the epoch."""

    REST_NS = Wheel.TICK_NS

    def __init__(self, run: int) -> None:
        self.run = run
        self.now = time.time_ns
        self.wheel = Wheel(self.now())
        self.sending = SendBuffer()
        self.receiving = ReceiveBuffer()
        self.window_from = 0  # packets that leave in [window_from, window_to) are measured
        self.window_to = 0
        self.latencies = array("I")  # microseconds, of the packets of the window
        self.lateness = array("I")  # microseconds between due and sent, of the sends of the window
        self.tallies: dict[int, Tally] = {}  # by stream; in a room of two each stream has one receiver
        self.segmented = True  # UDP_SEGMENT works here (Linux 4.18 and newer)
        self.blocked = 0  # packets of the window our own socket buffer refused
        self.skipped = 0  # sends of the window left out because we were more than 200 ms late
        self.strange = 0  # datagrams that were not authentic, not stamped, or not understood
        self.repaired = 0  # packets that came only as retransmissions
        self.feedback: dict[str, int] = {}  # RTCP from the server, by kind
        self._poll = select.epoll()
        self._peers: dict[int, Pollable] = {}
        self._handle: asyncio.Handle | None = None
        self.crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, peer: Pollable) -> None:
        """Read this peer's socket from now on."""
        self._peers[peer.fileno()] = peer
        self._poll.register(peer.fileno(), select.EPOLLIN)

    def remove(self, peer: Pollable) -> None:
        """Forget it; its socket is still open."""
        if self._peers.pop(peer.fileno(), None) is not None:
            self._poll.unregister(peer.fileno())

    def start(self) -> None:
        """Take turns within the running event loop until `stop`."""
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def stop(self) -> None:
        """No more turns."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._poll.close()

    def tally(self, stream: int) -> Tally:
        """The account of one incoming stream."""
        found = self.tallies.get(stream)
        if found is None:
            found = self.tallies[stream] = Tally()
        return found

    def count(self, kind: str) -> None:
        """Note one RTCP packet from the server."""
        self.feedback[kind] = self.feedback.get(kind, 0) + 1

    def _turn(self) -> None:
        began = self.now()
        try:
            self.wheel.turn(self.now)
            for number, _ in self._poll.poll(0):
                peer = self._peers.get(number)
                if peer is not None:
                    peer.drain()
        except Exception as error:  # noqa: BLE001  a fault of ours ends the run with its name, not with silence
            if not self.crashed.done():
                self.crashed.set_exception(error)
            return
        rest = self.REST_NS - (self.now() - began)
        if rest > 0:
            # The event loop's own timers count whole milliseconds, which would bunch up the sends of all peers.
            # Sockets of the signalling wait for half a millisecond at most.
            time.sleep(rest / 1e9)
        self._handle = asyncio.get_running_loop().call_soon(self._turn)
