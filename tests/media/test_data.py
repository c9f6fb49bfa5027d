"""Data channels through the server: who gets what, how reliably, and that nobody can do harm with them."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import DataChunk, RTCSctpTransport, serialize_packet
from hypothesis import given
from hypothesis import strategies as st

from media import PeerClosed
from media.limits import Bucket
from tests.media.client import Client, section
from tests.media.conftest import MakeWorld, World
from tests.media.test_hostile import works
from tests.media.test_server import shown, speak

UNORDERED, FIRST, LAST = 4, 2, 1  # flags of a DATA chunk (RFC 9260 section 3.3.1)


@dataclass
class Talker:
    """A client with data channels; `heard` is what came on each."""

    client: Client
    sctp: RTCSctpTransport
    channels: dict[str, RTCDataChannel] = field(default_factory=dict)
    heard: dict[str, list[str | bytes]] = field(default_factory=dict)
    chunks: list[DataChunk] = field(default_factory=list)

    def __post_init__(self) -> None:
        deeper = self.sctp._receive_data_chunk

        async def spy(chunk: DataChunk) -> None:
            self.chunks.append(chunk)
            await deeper(chunk)

        self.sctp._receive_data_chunk = spy  # type: ignore[method-assign]

    async def channel(self, label: str, **parameters: object) -> RTCDataChannel:
        """An open channel."""
        channel = RTCDataChannel(self.sctp, RTCDataChannelParameters(label=label, **parameters))  # type: ignore[arg-type]
        self.channels[label] = channel
        heard = self.heard[label] = []
        channel.on("message", heard.append)
        await self.client.until(lambda: channel.readyState == "open")
        return channel

    async def hears(self, label: str, *messages: str | bytes) -> None:
        await self.client.until(lambda: self.heard[label] == list(messages))


async def talker(world: World, name: str, *, room: str = "room", label: str = "chat") -> Talker:
    client = Client(world.server, room, name, name, [section("0", "audio", "sendonly"), application("1")])
    world.clients.append(client)
    await client.connect()
    sctp = RTCSctpTransport(client.dtls)
    await sctp.start(RTCSctpTransport.getCapabilities(), 5000)
    result = Talker(client, sctp)
    await client.until(lambda: sctp.state == "connected")
    if label:
        await result.channel(label)
    return result


def application(mid: str) -> list[str]:
    return [
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{mid}",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
    ]


async def test_messages_reach_the_others_with_a_channel_of_the_same_label(world: World) -> None:
    ann, zoe, bob = [await talker(world, name) for name in ("ann", "zoe", "bob")]
    elsewhere = await talker(world, "eve", room="elsewhere")
    await zoe.channel("other")
    await ann.channel("nobody else has it")
    await world.join("dan")  # without data channels
    sent: list[str | bytes] = ["hello", b"\x00\xff", "", b"", "ünï", "x" * 16384]
    for message in sent:
        ann.channels["chat"].send(message)
    ann.channels["nobody else has it"].send("alone")
    zoe.channels["other"].send("not for chat")
    for reader in (zoe, bob):
        await reader.hears("chat", *sent)
    bob.channels["chat"].send("back")
    await ann.hears("chat", "back")
    assert zoe.heard == {"chat": [*sent, "back"], "other": []}
    assert elsewhere.heard == {"chat": []} and ann.heard["nobody else has it"] == []
    assert world.server.counters().data_messages == 2 * len(sent) + 2
    assert world.server.counters().drops == {}


async def test_a_closed_channel_hears_nothing_and_can_be_opened_again(world: World) -> None:
    ann, zoe = await talker(world, "ann"), await talker(world, "zoe")
    old = zoe.channels["chat"]
    old.close()
    await zoe.client.until(lambda: old.readyState == "closed")
    ann.channels["chat"].send("one")
    await ann.channel("later")
    await zoe.channel("later")
    ann.channels["later"].send("two")
    await zoe.hears("later", "two")
    assert zoe.heard["chat"] == []
    await zoe.channel("chat")
    ann.channels["chat"].send("three")
    await zoe.hears("chat", "three")


async def test_a_message_is_as_ordered_and_as_reliable_as_its_sender_asked(world: World) -> None:
    """Whatever the reader's own channel is like."""
    ann, zoe = await talker(world, "ann", label=""), await talker(world, "zoe")
    await ann.channel("chat", ordered=False, maxRetransmits=0)
    ann.channels["chat"].send("loose")
    await zoe.hears("chat", "loose")
    assert zoe.chunks[-1].flags == UNORDERED | FIRST | LAST
    zoe.channels["chat"].send("strict")
    await ann.hears("chat", "strict")
    assert ann.chunks[-1].flags == FIRST | LAST


async def test_what_is_lost_is_repaired_only_where_that_was_asked_for(world: World) -> None:
    ann, bob, zoe = [await talker(world, name, label="") for name in ("ann", "bob", "zoe")]
    await ann.channel("chat", ordered=False, maxRetransmits=0)
    await bob.channel("chat")
    await zoe.channel("chat")
    for loose, sender in ((True, ann), (False, bob)):
        zoe.heard["chat"].clear()
        lost = lose_next(zoe)
        sender.channels["chat"].send("lost")
        await zoe.client.until(lambda n=lost: len(n) == 1)  # type: ignore[misc]
        for number in range(8):  # so many acknowledgements tell that one is missing
            sender.channels["chat"].send(f"later {number}")
        expected = [f"later {number}" for number in range(8)]
        await zoe.hears("chat", *(expected if loose else ["lost", *expected]))


def lose_next(reader: Talker) -> list[bytes]:
    """The next DTLS record towards the reader is lost; it is kept in the list that is returned."""
    lost: list[bytes] = []
    queue = reader.client._link.queue
    put = queue.put_nowait

    def lose(item: bytes) -> None:
        if item[0] == 23 and not lost:
            lost.append(item)
        else:
            put(item)

    queue.put_nowait = lose  # type: ignore[method-assign]
    return lost


async def test_what_is_too_long_too_much_or_unknown_is_refused_by_name(make_world: MakeWorld) -> None:
    world = await make_world(
        data_deliveries_burst=20.0, data_deliveries_per_second=0.001, max_data_channels=3
    )
    beside = await Beside.of(world)
    ann, zoe = await talker(world, "ann"), await talker(world, "zoe")
    drops = world.server.counters
    ann.channels["chat"].send("x" * 16385)
    ann.channels["chat"].send("short")
    await zoe.hears("chat", "short")
    assert drops().drops == {"data_too_long": 1}
    await ann.sctp._send(40, 51, b"on no channel")
    await ann.sctp._send(ann.channels["chat"].id or 0, 51, b"\xff\xff")
    await ann.sctp._send(ann.channels["chat"].id or 0, 99, b"what")
    await world.until(
        lambda: {"data_unknown_channel", "data_not_text", "data_unknown_kind"} <= drops().drops.keys()
    )
    await ann.channel("second")
    await ann.channel("third")
    RTCDataChannel(ann.sctp, RTCDataChannelParameters(label="fourth"))
    await world.until(lambda: drops().drops.get("data_too_many_channels") == 1)
    for _ in range(30):
        ann.channels["chat"].send("again")
    await world.until(lambda: drops().drops.get("data_limited") == 12)  # two messages had gone before
    await zoe.client.until(lambda: len(zoe.heard["chat"]) == 19)
    await beside.goes_on()


async def test_octets_are_limited(make_world: MakeWorld) -> None:
    world = await make_world(data_bytes_burst=50_000.0, data_bytes_per_second=0.001)
    ann, zoe = await talker(world, "ann"), await talker(world, "zoe")
    for _ in range(8):
        ann.channels["chat"].send(b"x" * 10_000)
    await world.until(lambda: world.server.counters().drops.get("data_limited", 0) == 3)
    await zoe.client.until(lambda: len(zoe.heard["chat"]) == 5)


async def test_a_slow_reader_costs_a_bounded_amount_and_only_himself(make_world: MakeWorld) -> None:
    world = await make_world(
        data_buffer_bytes=40_000, data_bytes_per_second=1e9, data_bytes_burst=1e9, data_deliveries_burst=1e6,
    )  # fmt: skip
    ann, slow, zoe = [await talker(world, name) for name in ("ann", "slow", "zoe")]
    slow.client._link.queue.put_nowait = lambda item: None  # type: ignore[method-assign]
    for number in range(20):
        ann.channels["chat"].send(bytes([number]) * 8000)
        await zoe.client.until(lambda n=number: len(zoe.heard["chat"]) == n + 1)  # type: ignore[misc]
    assert world.server.counters().drops == {"data_slow_reader": 15}
    line = next(p for p in world.server._peers.values() if p.peer_id == "slow").data
    assert line is not None and line.association is not None and line.association.buffered == 40_000


async def test_nonsense_in_sctp_ends_the_association_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ann, zoe = await talker(world, "ann"), await talker(world, "zoe")
    rogue, beside = await talker(world, "rogue"), await Beside.of(world)
    chance = random.Random(1)
    tag = rogue.sctp._remote_verification_tag
    with caplog.at_level(logging.WARNING):
        # An INIT beside another chunk is an assertion of aiortc's.
        await rogue.client.dtls._send_data(chunks(tag, [(1, bytes(16)), (1, bytes(16))]))
        for number in range(100):
            if number % 10 == 0:
                await beside.goes_on()  # and the queue of datagrams is emptied
            body = chance.randbytes(chance.randrange(0, 60))
            await rogue.client.dtls._send_data(chunks(tag, [(chance.choice([*range(16), 130, 192]), body)]))
            await rogue.client.dtls._send_data(chance.randbytes(chance.randrange(0, 100)))
        ann.channels["chat"].send("still here")
        await zoe.hears("chat", "still here")
    assert world.server.counters().drops.keys() <= {"sctp_malformed", "dtls_queue_full"}
    assert world.all(PeerClosed) == [] and caplog.records == []
    await beside.goes_on()


def chunks(tag: int, parts: list[tuple[int, bytes]]) -> bytes:
    """An SCTP packet with these chunks, its checksum right."""

    class Raw:
        def __bytes__(self) -> bytes:
            out = b""
            for kind, body in parts:
                out += bytes((kind, 0)) + (len(body) + 4).to_bytes(2, "big") + body + bytes(-len(body) % 4)
            return out

    return serialize_packet(5000, 5000, tag, Raw())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "stream", "reason"),
    [
        (FIRST, lambda n: 1, "sctp_window_exceeded"),  # messages that never end
        (FIRST | LAST | UNORDERED, lambda n: 1, "sctp_window_exceeded"),  # numbers that never join
        (FIRST, lambda n: n, "sctp_too_many_streams"),
    ],
)
async def test_what_is_held_is_bounded(
    make_world: MakeWorld, flags: int, stream: Callable[[int], int], reason: str
) -> None:
    world = await make_world(data_datagrams_burst=1e6)  # what else would limit it
    ann, zoe = await talker(world, "ann"), await talker(world, "zoe")
    rogue, beside = await talker(world, "rogue"), await Beside.of(world)
    for number in range(600):
        chunk = DataChunk(flags=flags)
        chunk.tsn = rogue.sctp._local_tsn + 5 + 2 * number & 0xFFFFFFFF
        chunk.stream_id = stream(number)
        chunk.stream_seq = 0
        chunk.protocol = 51
        chunk.user_data = b"x"
        await rogue.sctp._send_chunk(chunk)
        if number % 20 == 0:  # so that the queue of datagrams does not overflow
            await beside.goes_on()
        if reason in world.server.counters().drops:
            break
    await world.until(lambda: world.server.counters().drops.get(reason) == 1)
    rogues = next(p for p in world.server._peers.values() if p.peer_id == "rogue").data
    assert rogues is not None and rogues.association is not None and rogues.association.closed
    ann.channels["chat"].send("still here")
    await zoe.hears("chat", "still here")


async def test_who_leaves_is_sent_nothing_and_a_newcomer_is(world: World) -> None:
    ann, zoe = await talker(world, "ann"), await talker(world, "zoe")
    world.server.leave("room", "zoe")
    ann.channels["chat"].send("too late")
    bob = await talker(world, "bob")
    ann.channels["chat"].send("welcome")
    await bob.hears("chat", "welcome")
    assert zoe.heard["chat"] == []


class Beside:
    """Two people in another room whose sound must go on."""

    def __init__(self, ann: Client, zoe: Client) -> None:
        self._ann, self._zoe = ann, zoe
        self._said = 1

    @classmethod
    async def of(cls, world: World) -> Beside:
        ann = await world.join("up", room="beside")
        zoe = await world.join("down", room="beside")
        speak(ann, 1)
        speak(zoe, 1)
        await shown(world, ann, "down")
        await shown(world, zoe, "up")
        return cls(ann, zoe)

    async def goes_on(self) -> None:
        self._said += 1
        await works(self._ann, self._zoe, self._said)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 5)), max_size=30))
def test_a_bucket_owes_at_most_its_burst(steps: list[tuple[float, float]]) -> None:
    bucket = Bucket(2.0, 10.0, 0.0)
    now = 0.0
    for cost, wait in steps:
        bucket.charge(cost)
        now += wait
        assert -10.0 <= bucket.level(now) <= 10.0
    assert bucket.level(now + 10.0) == pytest.approx(10.0)
