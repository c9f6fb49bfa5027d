"""What the benchmark asks of an SFU, whosever it is; and ours."""

import asyncio
import json
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from OpenSSL import SSL

from loadtest.answer import parse_answer
from loadtest.dtls import Certificate
from loadtest.engine import Engine
from loadtest.offer import AUDIO_SLOTS, VIDEO_SLOTS, Identity, build_offer
from loadtest.options import Load, LoadError
from loadtest.sfu import process
from loadtest.sfu.batch import Batch
from loadtest.sfu.client import Client, Counts
from loadtest.sfu.scenario import Person

REPLY_SECONDS = 20.0
START_SECONDS = 20.0
MAX_MESSAGE = 200_000


class Workshop:
    """Makes clients: what all of them in a process share."""

    def __init__(self, engine: Engine, load: Load, decrypt: int) -> None:
        certificate = Certificate.fresh()
        self.engine = engine
        self.load, self.decrypt = load, decrypt
        self.fingerprint = certificate.fingerprint
        self.counts = Counts()
        self.clients: list[Client] = []
        self._context: SSL.Context = certificate.context()
        self._batch = Batch()

    def client(self, identity: Identity, sdp: str, number: int, sends: bool, offered: bool = False) -> Client:
        """A client, not yet started, for a server's answer, or for what it `offered`. Raises LoadError."""
        remote = parse_answer(sdp, "actpass" if offered else "passive")
        client = Client(
            self.engine, self._batch, self.counts, self._context, identity, remote, number,
            self.load if sends else None, self.decrypt, not offered,
        )  # fmt: skip
        self.clients.append(client)
        return client

    def drop(self, client: Client) -> None:
        """Close it and forget it."""
        client.close()
        self.clients.remove(client)


class Target(Protocol):
    """An SFU in a process of its own, as an asynchronous context. All methods raise LoadError."""

    name: str

    @property
    def pid(self) -> int: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def publish(self, person: Person) -> Client:
        """Somebody who sends comes into his room; the client on which he sends."""

    async def watch(self, person: Person, senders: list[Person]) -> Client:
        """He sees the others of his room, who are there already, on the client returned."""

    async def leave(self, person: Person) -> None:
        """He goes."""

    async def figures(self) -> dict[str, Any]:
        """What it says of itself, if anything."""


class PacketSocket:
    """JSON requests and replies over a Unix socket of packets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_MESSAGE)
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._receipts: set[str] = set()
        self._next = 0

    async def connect(self, child: asyncio.subprocess.Process, log: Path) -> None:
        """Raises LoadError with the end of the log if nobody listens in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS
        while child.returncode is None and loop.time() < deadline:
            try:
                self._socket.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.05)
            else:
                loop.add_reader(self._socket, self._hear)
                return
        raise LoadError(f"The SFU did not start:\n{_tail(log)}")

    def close(self) -> None:
        """Everybody who still waits gets an error."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        for waiting in self._waiting.values():
            waiting.cancel()

    async def ask(self, message: dict[str, Any], key: str, receipt: bool = False) -> dict[str, Any]:
        """Send with a fresh `key`; the reply that bears it, a mere receipt only if that is wanted. Raises LoadError."""
        self._next += 1
        number = str(self._next)
        if receipt:
            self._receipts.add(number)
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                await asyncio.get_running_loop().sock_sendall(
                    self._socket, json.dumps(message | {key: number}).encode()
                )
                return dict(await reply)
        except TimeoutError:
            raise LoadError(f"The SFU did not answer for {REPLY_SECONDS:.0f} s") from None
        except OSError as error:
            raise LoadError(f"The SFU's control socket: {error}") from error
        finally:
            self._waiting.pop(number, None)
            self._receipts.discard(number)

    def _hear(self) -> None:
        try:
            data = self._socket.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._socket)
            for left in self._waiting.values():
                if not left.done():
                    left.set_exception(LoadError("The SFU is gone"))
            return
        message = json.loads(data)
        number = str(message.get("id", message.get("transaction")))
        if message.get("janus") == "ack" and number not in self._receipts:
            return
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


class Visavis:
    """Ours: one transport for each person, who sends and sees on it."""

    name = "visavis"

    def __init__(self, workshop: Workshop, core: int | None) -> None:
        self._workshop, self._core = workshop, core
        self._directory = Path()
        self._there: dict[int, Client] = {}
        self._process: asyncio.subprocess.Process
        self._control: PacketSocket

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="visavis-sfu-"))
        path, log = self._directory / "control", self._directory / "log"
        self._control = PacketSocket(path)
        with log.open("wb") as out:
            self._process = await process.start(
                (sys.executable, "-m", "loadtest.sfu.serve", str(path)), self._core, out
            )
        try:
            await self._control.connect(self._process, log)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        await process.stop(self._process)
        shutil.rmtree(self._directory, ignore_errors=True)

    async def publish(self, person: Person) -> Client:
        return await self.enter(person)

    async def watch(self, person: Person, senders: list[Person]) -> Client:
        return self._there.get(person.number) or await self.enter(person)

    async def enter(self, person: Person) -> Client:
        """Offer, as the room's page does it: whoever sends also asks for the slots to see others in."""
        workshop = self._workshop
        identity = Identity.random()
        offer = build_offer(identity, workshop.fingerprint, AUDIO_SLOTS, VIDEO_SLOTS, person.sends)
        reply = await self._ask(
            "join", room=person.room, participant=f"p{person.number}", peer=f"c{person.number}", sdp=offer
        )
        client = self._there[person.number] = workshop.client(
            identity, reply["sdp"], person.number, person.sends
        )
        client.start()
        return client

    async def leave(self, person: Person) -> None:
        client = self._there.pop(person.number, None)
        if client is not None:
            self._workshop.drop(client)
        await self._ask("leave", room=person.room, peer=f"c{person.number}")

    async def figures(self) -> dict[str, Any]:
        return await self._ask("figures")

    async def _ask(self, what: str, **values: str) -> dict[str, Any]:
        reply = await self._control.ask({"do": what, **values}, "id")
        if "error" in reply:
            raise LoadError(f"The SFU refused to {what}: {reply['error']}")
        return reply
