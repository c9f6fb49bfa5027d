"""One person in a room: the socket's conversation, and the media peer that follows from it."""

import asyncio
import json
import secrets
from typing import Any

import aiohttp
from OpenSSL import SSL

from loadtest.answer import Answer, parse_answer
from loadtest.bookings import Ticket
from loadtest.engine import Engine
from loadtest.offer import Identity, build_offer
from loadtest.options import Load, LoadError, is_loopback
from loadtest.peer import Peer

JOIN_SECONDS = 20.0  # from the socket to the first packet of the other person
LEAVE_SECONDS = 3.0
MAX_FRAME = 1 << 20


class Participant:
    """Runs from the socket's opening to its close. `joined` is set when the other person's media arrive."""

    def __init__(
        self,
        engine: Engine,
        http: aiohttp.ClientSession,
        context: SSL.Context,
        fingerprint: str,
        ticket: Ticket,
        number: int,
        load: Load,
        own_server: bool,
    ) -> None:
        """`context` and `fingerprint` belong to the generator's certificate, `number` to the person in the run."""
        self._engine, self._http = engine, http
        self._context, self._fingerprint = context, fingerprint
        self._ticket, self._number, self._load, self._own_server = ticket, number, load, own_server
        self.join_ns = 0  # from the offer's leaving to the arrival of the first media packet
        self.port = 0  # of the server, for media
        self.peer: Peer | None = None
        self.joined = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Join, stay until `stop`, leave. Raises LoadError when the call does not come about or breaks."""
        timeout = aiohttp.ClientWSTimeout(ws_close=LEAVE_SECONDS)
        try:
            async with self._http.ws_connect(
                self._ticket.ws_url, timeout=timeout, max_msg_size=MAX_FRAME, compress=0
            ) as ws:
                await self._converse(ws, stop)
        except (aiohttp.ClientError, OSError) as error:
            raise LoadError(f"The room's socket: {error!r}") from error
        finally:
            if self.peer is not None:
                self.peer.close()

    async def _converse(self, ws: aiohttp.ClientWebSocketResponse, stop: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                peer = await self._join(ws)
        except TimeoutError:
            raise LoadError(f"Not in the call after {JOIN_SECONDS:.0f} s") from None
        self.joined.set()
        stopping = asyncio.ensure_future(stop.wait())
        listening = asyncio.ensure_future(self._listen(ws))
        try:
            await asyncio.wait((stopping, listening, peer.failed), return_when=asyncio.FIRST_COMPLETED)
            if peer.failed.done():
                peer.failed.result()
            if listening.done():
                listening.result()
        finally:
            stopping.cancel()
            listening.cancel()
            await asyncio.gather(stopping, listening, return_exceptions=True)
        await ws.send_json({"type": "leave"})

    async def _join(self, ws: aiohttp.ClientWebSocketResponse) -> Peer:
        await ws.send_json({"type": "hello", "room_token": self._ticket.room_token})
        await self._hear(ws, "welcome")
        identity = Identity.random()
        offer = build_offer(identity, self._fingerprint)
        offered_at = self._engine.now()
        await ws.send_json({"type": "offer", "id": secrets.token_hex(4), "sdp": offer})
        answer = parse_answer(str((await self._hear(ws, "answer")).get("sdp")))
        address = self._address(answer)
        self.port = address[1]
        peer = self.peer = Peer(
            self._engine, self._context, identity, answer, address, self._number, self._load
        )
        peer.start()
        await ws.send_json({"type": "media_state", "audio": True, "video": True})
        listening = asyncio.ensure_future(self._listen(ws))
        try:
            await asyncio.wait(
                (peer.first_media, peer.failed, listening), return_when=asyncio.FIRST_COMPLETED
            )
            if peer.failed.done():
                peer.failed.result()
            if listening.done():
                listening.result()
            self.join_ns = peer.first_media.result() - offered_at
            return peer
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def _address(self, answer: Answer) -> tuple[str, int]:
        address = answer.candidates[0]
        if not self._own_server and not all(is_loopback(host) for host, _ in answer.candidates):
            local = [candidate for candidate in answer.candidates if is_loopback(candidate[0])]
            if not local:
                raise LoadError(
                    f"The server wants media at {address[0]}, which is not this machine (see --i-own-this-server)"
                )
            return local[0]
        return address

    async def _hear(self, ws: aiohttp.ClientWebSocketResponse, wanted: str) -> dict[str, Any]:
        """The next message of the wanted type. Raises LoadError on a refusal or a close."""
        while True:
            frame = await ws.receive()
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise LoadError(f"The server closed the room's socket ({ws.close_code})")
            message = json.loads(frame.data)
            match message.get("type"):
                case "error":
                    raise LoadError(f"The server refused: {message.get('code')}: {message.get('detail')}")
                case "goodbye":
                    raise LoadError(f"The server said goodbye: {message.get('reason')}")
                case kind if kind == wanted:
                    return dict(message)
                case _:
                    continue

    async def _listen(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Read whatever the server tells, until it says something that ends the call."""
        await self._hear(ws, "")
