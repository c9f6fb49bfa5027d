"""Asks a STUN or TURN server what a browser would ask it: a binding, and a relayed address with our credentials."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import parse_qs

from aioice import stun
from aioice.turn import create_turn_endpoint

from server.turn.credentials import IceServer

STANDARD_PORT, STANDARD_TLS_PORT = 3478, 5349  # RFC 8656 section 3
RETRANSMIT = 0.5  # seconds, RFC 8489 section 6.2.1


@dataclass(frozen=True, slots=True)
class Target:
    """Where one URL leads."""

    relays: bool  # TURN, not only STUN
    tls: bool
    host: str
    port: int
    transport: str  # udp or tcp

    @classmethod
    def of(cls, url: str) -> Target:
        """Read a URL that the settings have accepted."""
        scheme, _, rest = url.partition(":")
        where, _, query = rest.partition("?")
        tls = scheme.endswith("s")
        transport = parse_qs(query).get("transport", ["tcp" if tls else "udp"])[0]
        host, port = where, ""
        if where.startswith("["):
            host, _, tail = where[1:].partition("]")
            port = tail.removeprefix(":")
        elif ":" in where:
            host, _, port = where.partition(":")
        standard = STANDARD_TLS_PORT if tls else STANDARD_PORT
        return cls(scheme.startswith("turn"), tls, host, int(port) if port else standard, transport)


async def probe(url: str, server: IceServer, seconds: float) -> str | None:
    """None if the server at ``url`` does its work, else a sentence that says what it did instead.

    Over UDP first a STUN binding, which tells "nobody there" from "not with these credentials"; for TURN an
    Allocate request, whose relayed address is given back at once.
    """
    target = Target.of(url)
    try:
        async with asyncio.timeout(seconds):
            if target.transport == "udp" and not target.tls:
                await _bind(target)
            if target.relays:
                await _allocate(target, server)
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except stun.TransactionTimeout:
        return "no answer"
    except stun.TransactionFailed as failed:
        number, words = failed.response.attributes.get("ERROR-CODE", (0, "no reason given"))
        return f"refused our request: {number} {words}"
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


class _Binding(asyncio.DatagramProtocol):
    """Waits for the answer to one binding request."""

    def __init__(self, transaction_id: bytes) -> None:
        self._transaction_id = transaction_id
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        with contextlib.suppress(ValueError):  # not STUN: somebody else's datagram
            message = stun.parse_message(data)
            ours = message.transaction_id == self._transaction_id
            if ours and message.message_class is stun.Class.RESPONSE and not self.answered.done():
                self.answered.set_result(None)

    def error_received(self, exc: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc)


async def _bind(target: Target) -> None:
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Binding(request.transaction_id), remote_addr=(target.host, target.port)
    )
    try:
        while not protocol.answered.done():
            transport.sendto(bytes(request))
            await asyncio.wait((protocol.answered,), timeout=RETRANSMIT)
        protocol.answered.result()
    finally:
        transport.close()


class _Relayed(asyncio.DatagramProtocol):
    """Knows when the allocation is gone again."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.over.set()


async def _allocate(target: Target, server: IceServer) -> None:
    transport, relayed = await create_turn_endpoint(
        _Relayed,
        (target.host, target.port),
        username=server.username,
        password=server.credential,
        ssl=True if target.tls else None,  # checked against the host's name
        transport=target.transport,
    )
    transport.close()
    await relayed.over.wait()
