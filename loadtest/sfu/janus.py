"""The peer of the comparison: Janus VideoRoom as the distribution packages it, with one event loop."""

import asyncio
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loadtest.offer import Identity, build_offer
from loadtest.options import LoadError
from loadtest.sfu import process
from loadtest.sfu.client import Client
from loadtest.sfu.mirror import answer_to
from loadtest.sfu.scenario import Person
from loadtest.sfu.target import PacketSocket, Workshop

PUBLISHERS = 10  # of a room at most
# Its transport's thread ends at once if it runs before the variable is set that keeps it going, and then it exits:
# nearly always on one core. So it starts on all of them, more than once if need be, and is pinned afterwards.
START_TRIES = 10
FEED_TRIES = 20
_PLUGINS, _TRANSPORTS = "plugins", "transports"
_VIDEOROOM, _PFUNIX = "libjanus_videoroom.so", "libjanus_pfunix.so"

# No log of its own beyond warnings, no event handlers: nothing that costs it time for no use here.
_CONFIG = """
general: {{
    configs_folder = "{home}"
    plugins_folder = "{home}/plugins"
    transports_folder = "{home}/transports"
    events_folder = "{home}"
    loggers_folder = "{home}"
    debug_level = 2
    event_loops = 1
    session_timeout = 0
}}
media: {{ ipv6 = false }}
nat: {{
    ice_enforce_list = "{address}"
}}
events: {{ broadcast = false }}
"""
_TRANSPORT = """
general: {{
    enabled = true
    json = "compact"
    path = "{home}/control"
    type = "SOCK_SEQPACKET"
}}
"""
_NOT_INSTALLED = (
    "Janus is not installed, so the figures are ours alone. To compare, install your distribution's package: "
    "sudo apt-get install janus (it need not run as a service)."
)


def missing() -> str | None:
    """Why there is no comparison on this machine; None if there can be one."""
    if shutil.which("janus") is None or _library() is None:
        return _NOT_INSTALLED
    try:
        _own_address()
    except LoadError as error:
        return str(error)
    return None


def _library() -> Path | None:
    for root in (*Path("/usr/lib").glob("*-linux-*/janus"), Path("/usr/lib/janus"), Path("/usr/lib64/janus")):
        if (root / _PLUGINS / _VIDEOROOM).exists() and (root / _TRANSPORTS / _PFUNIX).exists():
            return root
    return None


def _own_address() -> str:
    """An IPv4 address of this machine: its ICE library leaves loopback out. What is sent to it stays in the kernel all
    the same. Raises LoadError if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # sends nothing: only asks which address we would send from (RFC 5737)
        except OSError as error:
            raise LoadError("Janus needs an IPv4 address besides loopback on this machine") from error
        return str(probe.getsockname()[0])


class Janus:
    """One transport for what somebody sends, and one for each sender he sees: that is how VideoRoom works."""

    name = "janus"

    def __init__(self, workshop: Workshop, core: int | None) -> None:
        self._workshop, self._core = workshop, core
        self._home = Path()
        self._process: asyncio.subprocess.Process
        self._control: PacketSocket
        self._session = 0
        self._rooms: dict[str, int] = {}
        self._there: dict[int, list[tuple[int, Client]]] = {}  # handles and clients of a person

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        library = _library()
        if library is None:
            raise LoadError(_NOT_INSTALLED)
        home = self._home = Path(tempfile.mkdtemp(prefix="visavis-janus-"))
        for folder, name in ((_PLUGINS, _VIDEOROOM), (_TRANSPORTS, _PFUNIX)):
            (home / folder).mkdir()
            (home / folder / name).symlink_to(library / folder / name)
        (home / "janus.jcfg").write_text(_CONFIG.format(home=home, address=_own_address()))
        (home / "janus.transport.pfunix.jcfg").write_text(_TRANSPORT.format(home=home))
        (home / "janus.plugin.videoroom.jcfg").write_text("")
        for attempt in range(START_TRIES):
            try:
                await self._start(home)
            except LoadError:
                if attempt == START_TRIES - 1:
                    raise
            else:
                break
        return self

    async def _start(self, home: Path) -> None:
        self._control = PacketSocket(home / "control")
        with (home / "log").open("wb") as out:
            self._process = await process.start(("janus", "-F", str(home)), None, out)
        try:
            await self._control.connect(self._process, home / "log")
            process.pin_threads(self._process.pid, self._core)
            self._session = int((await self._ask({"janus": "create"}))["data"]["id"])
        except BaseException:
            self._control.close()
            await process.stop(self._process)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        await process.stop(self._process)
        shutil.rmtree(self._home, ignore_errors=True)

    async def publish(self, person: Person) -> Client:
        workshop = self._workshop
        room = await self._room(person.room)
        handle = await self._attach()
        identity = Identity.random()
        # It would take the active role of DTLS if we left it the choice.
        offer = build_offer(identity, workshop.fingerprint, 0, 0, True, "active")
        body = {
            "request": "joinandconfigure", "ptype": "publisher", "room": room, "id": person.number + 1,
            "audiocodec": "opus", "videocodec": "vp8",
        }  # fmt: skip
        reply = await self._tell(handle, body, {"type": "offer", "sdp": offer})
        client = workshop.client(identity, reply["jsep"]["sdp"], person.number, sends=True)
        await self._begin(person, handle, client)
        return client

    async def watch(self, person: Person, senders: list[Person]) -> Client:
        workshop = self._workshop
        room = await self._room(person.room)
        handle = await self._attach()
        identity = Identity.random()
        body = {
            "request": "join", "ptype": "subscriber", "room": room,
            "streams": [{"feed": sender.number + 1} for sender in senders],
        }  # fmt: skip
        offer = await self._offer(handle, body)
        answer = answer_to(offer, identity, workshop.fingerprint)
        await self._tell(handle, {"request": "start"}, {"type": "answer", "sdp": answer})
        client = workshop.client(identity, offer, person.number, sends=False, offered=True)
        await self._begin(person, handle, client)
        return client

    async def _offer(self, handle: int, body: dict[str, Any]) -> str:
        """A sender's feed exists a moment after his DTLS is connected."""
        for _ in range(FEED_TRIES):
            try:
                return str((await self._tell(handle, body))["jsep"]["sdp"])
            except LoadError:
                await asyncio.sleep(0.05)
        return str((await self._tell(handle, body))["jsep"]["sdp"])

    async def leave(self, person: Person) -> None:
        for handle, client in self._there.pop(person.number, []):
            self._workshop.drop(client)
            await self._ask({"janus": "detach", "session_id": self._session, "handle_id": handle})

    async def figures(self) -> dict[str, Any]:
        return {}

    async def _begin(self, person: Person, handle: int, client: Client) -> None:
        """It wants to know our candidate before it takes a check for a nomination."""
        host, port = client.address
        self._there.setdefault(person.number, []).append((handle, client))
        for candidate in (
            {
                "sdpMid": "0",
                "sdpMLineIndex": 0,
                "candidate": f"candidate:1 1 udp 2130706431 {host} {port} typ host",
            },
            {"completed": True},
        ):
            trickle = {"janus": "trickle", "session_id": self._session, "handle_id": handle}
            await self._ask(trickle | {"candidate": candidate}, receipt=True)
        client.start()

    async def _room(self, name: str) -> int:
        number = self._rooms.get(name)
        if number is None:
            number = self._rooms[name] = len(self._rooms) + 1
            handle = await self._attach()
            body = {
                "request": "create", "room": number, "publishers": PUBLISHERS, "permanent": False,
                "audiocodec": "opus", "videocodec": "vp8", "fir_freq": 0, "transport_wide_cc_ext": True,
            }  # fmt: skip
            await self._tell(handle, body)
        return number

    async def _attach(self) -> int:
        message = {"janus": "attach", "session_id": self._session, "plugin": "janus.plugin.videoroom"}
        return int((await self._ask(message))["data"]["id"])

    async def _tell(
        self, handle: int, body: dict[str, Any], jsep: dict[str, str] | None = None
    ) -> dict[str, Any]:
        message = {"janus": "message", "session_id": self._session, "handle_id": handle, "body": body}
        reply = await self._ask(message | ({"jsep": jsep} if jsep is not None else {}))
        data = reply.get("plugindata", {}).get("data", {})
        if "error" in data:
            raise LoadError(f"Janus refused to {body['request']}: {data['error']}")
        return reply

    async def _ask(self, message: dict[str, Any], receipt: bool = False) -> dict[str, Any]:
        reply = await self._control.ask(message, "transaction", receipt)
        if reply.get("janus") == "error":
            raise LoadError(f"Janus refused to {message['janus']}: {reply['error'].get('reason')}")
        return reply
