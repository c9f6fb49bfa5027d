"""A UDP relay that loses every n-th media packet in each direction, always the same ones for the same traffic."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, Self


class _Port(asyncio.DatagramProtocol):
    def __init__(self, relay: LossyRelay, outside: bool, client: Any = None) -> None:
        self.relay, self.outside, self.client = relay, outside, client
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.outside:
            self.relay.up(data, addr)
        else:
            self.relay.down(data, self.client)


class LossyRelay:
    """`port` is where clients send to; each client gets a port of its own towards the server.

    Only RTP is lost, and only large packets (video): the handshake is another test's subject.
    """

    def __init__(self, server_port: int, every: int) -> None:
        self._server = ("127.0.0.1", server_port)
        self._every = every
        self._inside: dict[Any, asyncio.DatagramTransport] = {}
        self._opening: dict[Any, asyncio.Task[None]] = {}
        self._outside: asyncio.DatagramTransport | None = None
        self._counts = {"up": 0, "down": 0}
        self.lost_up = self.lost_down = 0
        self.cut = False  # nothing passes, as when the network is gone
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._outside, _ = await loop.create_datagram_endpoint(
            lambda: _Port(self, outside=True), local_addr=("127.0.0.1", 0)
        )
        self.port = self._outside.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._opening.values():
            task.cancel()
        for transport in (*self._inside.values(), self._outside):
            if transport is not None:
                transport.close()

    async def move(self) -> None:
        """Every client is suddenly seen at another port, as behind a NAT that has forgotten it; the old one is dead."""
        for client, former in list(self._inside.items()):
            self._inside[client] = await self._port_towards_server(client)
            former.close()

    def up(self, data: bytes, client: Any) -> None:
        if self.cut:
            return
        if self._loses("up", data):
            self.lost_up += 1
        elif client in self._inside:
            self._inside[client].sendto(data)
        elif client not in self._opening:
            self._opening[client] = asyncio.get_running_loop().create_task(self._open(client, data))

    def down(self, data: bytes, client: Any) -> None:
        if self.cut:
            return
        if self._loses("down", data):
            self.lost_down += 1
        elif self._outside is not None and not self._outside.is_closing():
            self._outside.sendto(data, client)

    async def _open(self, client: Any, first: bytes) -> None:
        self._inside[client] = await self._port_towards_server(client)
        self._inside[client].sendto(first)

    async def _port_towards_server(self, client: Any) -> asyncio.DatagramTransport:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Port(self, outside=False, client=client), remote_addr=self._server
        )
        return transport

    def _loses(self, direction: str, data: bytes) -> bool:
        if not (127 < data[0] < 192) or 192 <= data[1] <= 223 or len(data) < 300:
            return False
        self._counts[direction] += 1
        return self._counts[direction] % self._every == 0


class RadioRelay(LossyRelay):
    """Loses this share of all media and its reports at random, in both directions; the same story each time."""

    def __init__(self, server_port: int, share: float) -> None:
        super().__init__(server_port, every=1)
        self._share = share
        self._random = Random(10)

    def _loses(self, direction: str, data: bytes) -> bool:
        return 127 < data[0] < 192 and self._random.random() < self._share


class NarrowRelay(LossyRelay):
    """Loses nothing of its own accord, but lets only `rate` bits per second down, behind a queue of `queue` seconds."""

    def __init__(self, server_port: int, rate: float, queue: float = 0.3) -> None:
        super().__init__(server_port, every=1 << 30)
        self.rate = rate
        self._queue = queue
        self._free = 0.0
        self.overflowed = 0

    def down(self, data: bytes, client: Any) -> None:
        loop = asyncio.get_running_loop()
        start = max(loop.time(), self._free)
        if start - loop.time() > self._queue:
            self.overflowed += 1
            return
        self._free = start + len(data) * 8 / self.rate
        loop.call_at(self._free, super().down, data, client)
