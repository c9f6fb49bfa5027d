"""The fan-out on real SRTP sessions: what a subscriber gets from any mixture of sources, losses and padding."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from media import wire
from media.codec import OPUS, VP8
from media.downlink import Downlink
from media.forward import Sender
from media.outlet import Outlet
from media.receive import BEHIND, Receiver
from media.ring import PacketRing
from media.rtp import HEADER, ExtensionIds, Extras, parse_extensions, parse_payload
from media.stream import Packet, Stream, Track
from media.tally import Tally
from tests.media.client import DELTA, KEYFRAME

KEY = bytes(range(30))


class Subscriber:
    """An outlet whose packets are decrypted as they are sent; `full` simulates a full socket buffer."""

    def __init__(self, kind: Any = "video", ssrc: int = 77, mid: str = "7") -> None:
        self.outlet = Outlet(
            mid, kind, 0, {"vp8": (120, 121), "opus": (110, 0)}, (ssrc, ssrc + 1), (32000, 5, 9000)
        )
        policy = Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_OUTBOUND)
        policy.allow_repeat_tx = True
        self.sender = Session(policy)
        self.receiver = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_INBOUND))
        self.outlet.open(wire.context_of(self.sender), ssrc, ExtensionIds(mid=4, orientation=5), True)
        self.forms: list[int] = []  # extension profiles of what came
        self.got: list[tuple[int, int, int, int, bytes, dict[int, bytes]]] = []

    def take(self, data: memoryview) -> None:
        plain = self.receiver.unprotect(bytes(data))
        start, end, extension, profile = parse_payload(plain, len(plain))
        _, kind, sequence, timestamp, ssrc = HEADER.unpack_from(plain)
        elements = {
            n: plain[at : at + size] for n, at, size in parse_extensions(plain, extension, start, profile)
        }
        self.forms.append(profile)
        self.got.append((ssrc, kind, sequence, timestamp, plain[start:end], elements))


class Network:
    """sendto for several subscribers, told apart by the outlet's address."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self.by_address = {s.outlet.address: s for s in subscribers}
        for subscriber in subscribers:
            subscriber.outlet.move(subscriber.outlet.address, self.sendto, True)
        self.full: set[Any] = set()
        self.refuses: int | None = None  # errno of segmented sending
        self.bursts: list[int] = []  # datagrams in each

    def sendto(self, data: memoryview, address: Any) -> int:
        if address in self.full:
            raise BlockingIOError
        self.by_address[address].take(data)
        return len(data)

    def sendmsg(self, buffers: Any, ancillary: Any, flags: int, address: Any) -> int:
        """Cuts as the kernel does: segments of the asked size, the last one shorter."""
        (data,) = buffers
        ((level, kind, value),) = ancillary
        assert (level, kind, flags) == (17, 103, 0)
        size = int.from_bytes(value, sys.byteorder)
        if self.refuses is not None:
            raise OSError(self.refuses, "refused")
        self.bursts.append(-(-len(data) // size))
        assert 1 < self.bursts[-1] <= 64 and len(data) <= 65507
        for at in range(0, len(data), size):
            self.sendto(data[at : at + size], address)
        return len(data)


def forward(
    stream: Stream,
    number: int,
    timestamp: int,
    payload: bytes,
    sender: Sender,
    now: float = 1.0,
    *,
    marker: int = 0,
    extras: Extras | None = None,
) -> None:
    """One packet as a batch of its own."""
    stream.queue.append((number, timestamp, marker, payload, extras, now))
    sender.forward(stream, 1.0)


def source(ssrc: int, codec: Any = VP8) -> Stream:
    track = Track("someone", "1", codec.kind, 0, ())
    stream = Stream(track, ssrc, 96, codec, PacketRing(256) if codec is VP8 else None)
    track.add(stream, 0.0)
    return stream


STORY = st.lists(
    st.sampled_from(["key", "delta", "delta", "delta", "padding", "loss", "switch"]), min_size=1, max_size=80
)


@given(STORY, st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20)), st.integers(0, (1 << 32) - 1))
def test_a_subscribers_video_is_gapless_and_monotonous(
    story: list[str], starts: tuple[int, int], base: int
) -> None:
    viewer = Subscriber()
    network = Network(viewer)
    tally = Tally()
    sender = Sender(network, tally, True)
    streams = [source(1000), source(2000)]
    numbers = [start + 0x10000 for start in starts]
    stamps = [base, base ^ 0x5555_5555]
    active = 0
    viewer.outlet.attach(streams[0].track)
    now = 10.0
    sent: list[tuple[int, bytes, int]] = []  # what must come out: (hole before it, payload, source)
    started = False
    hole = 0
    for count, step in enumerate(story):
        now += 0.033
        number = numbers[active]
        stamp = stamps[active] = stamps[active] + 2970 & 0xFFFFFFFF
        stream = streams[active]
        if step == "switch":
            viewer.outlet.detach(now)
            active = 1 - active
            viewer.outlet.attach(streams[active].track)
            started, hole = False, 0
            continue
        numbers[active] = number + 1
        if step == "loss":
            hole += started
            continue
        if step == "padding":
            forward(stream, number, stamp, b"", sender, now)
            continue
        payload = (KEYFRAME if step == "key" else DELTA) + b"%d" % count
        forward(stream, number, stamp, payload, sender, now)
        if step == "key" or started:
            sent.append((hole if started else 0, payload, active))
            started, hole = True, 0
    assert [g[4] for g in viewer.got] == [payload for _, payload, _ in sent]
    assert {g[0] for g in viewer.got} <= {77} and {g[1] for g in viewer.got} <= {120}
    for before, after, (holes, _, _) in zip(viewer.got, viewer.got[1:], sent[1:], strict=False):
        assert after[2] - before[2] & 0xFFFF == 1 + holes  # no hole but real losses
        assert 0 < (after[3] - before[3] & 0xFFFFFFFF) < 90000 * 10  # time goes on by what passed
    assert tally.drops == {}


def test_one_full_buffer_does_not_stop_the_others() -> None:
    viewers = [Subscriber(ssrc=100 + 10 * i) for i in range(3)]
    network = Network(*viewers)
    stream = source(1)
    for viewer in viewers:
        viewer.outlet.attach(stream.track)
    network.full = {110}
    tally = Tally()
    for number in range(5):
        forward(stream, number, 0, KEYFRAME, Sender(network, tally, True))
    assert [len(v.got) for v in viewers] == [5, 0, 5]
    assert tally.drops == {"send_buffer_full": 5}
    assert tally.packets_out == 10


def test_a_codec_the_subscriber_did_not_accept_is_not_sent() -> None:
    viewer = Subscriber()
    viewer.outlet.payload_types = {"h264": (102, 0)}
    stream = source(1)
    viewer.outlet.attach(stream.track)
    tally = Tally()
    forward(stream, 1, 0, KEYFRAME, Sender(Network(viewer), tally, True))
    assert viewer.got == [] and tally.drops == {"codec_not_accepted": 1}


def test_late_packets_take_their_old_numbers() -> None:
    viewer = Subscriber()
    stream = source(1)
    viewer.outlet.attach(stream.track)
    tally = Tally()
    sender = Sender(Network(viewer), tally, True)

    def one(number: int, payload: bytes = DELTA) -> None:
        forward(stream, number, number, payload + b"%d" % number if payload else b"", sender)

    one(10, KEYFRAME)
    one(12)
    one(13, b"")  # padding
    one(14)
    one(11)  # from before the padding
    one(9)  # from before the keyframe: of no use
    first = viewer.got[0][2]
    assert [(g[2] - first, g[4][len(DELTA) :]) for g in viewer.got[1:]] == [
        (2, b"12"),
        (3, b"14"),
        (1, b"11"),
    ]
    assert tally.drops == {"before_switch": 1}


def test_orientation_is_passed_on_only_where_it_was() -> None:
    viewer = Subscriber()
    stream = source(1)
    viewer.outlet.attach(stream.track)
    for number, extras in enumerate([None, Extras(orientation=3), None, Extras(orientation=0)]):
        sender = Sender(Network(viewer), Tally(), True)
        forward(stream, number, 0, KEYFRAME, sender, marker=0x80, extras=extras)
    assert [g[5] for g in viewer.got] == [{4: b"7"}, {4: b"7", 5: b"\3"}, {4: b"7"}, {4: b"7", 5: b"\0"}]
    assert all(g[1] == 0x80 | 120 for g in viewer.got)


def test_audio_starts_with_any_packet() -> None:
    viewer = Subscriber("audio")
    stream = source(1, OPUS)
    viewer.outlet.attach(stream.track)
    forward(stream, 5, 960, b"sound", Sender(Network(viewer), Tally(), True))
    assert [(g[1], g[4], g[5]) for g in viewer.got] == [(110, b"sound", {4: b"7"})]


@given(st.sets(st.integers(0, 30), max_size=12), st.booleans())
def test_what_is_asked_for_again_is_what_was_sent(asked: set[int], with_rtx: bool) -> None:
    viewer = Subscriber()
    viewer.outlet.payload_types = {"vp8": (120, 121 if with_rtx else 0)}
    # A real client has not received what it asks for again; this one has, so it gets a replay-free session.
    stream = source(1)
    viewer.outlet.attach(stream.track)
    tally = Tally()
    sender = Sender(Network(viewer), tally, True)
    assert stream.ring is not None
    for number in range(25):
        payload = KEYFRAME + b"%d" % number
        stream.ring.store((number, number * 3000, 0, payload, None, 1.0))
        forward(stream, number, number * 3000, payload, sender)
    original = {g[2]: g for g in viewer.got}
    first = viewer.got[0][2]
    viewer.got.clear()
    viewer.receiver = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_INBOUND))
    wanted = [first + place & 0xFFFF for place in sorted(asked)]
    sender.resend(viewer.outlet, wanted, 2.0)
    known = [n for n in wanted if n in original]
    assert len(viewer.got) == len(known)
    for number, again in zip(known, viewer.got, strict=True):
        if with_rtx:
            assert again[:2] == (78, 121) and int.from_bytes(again[4][:2], "big") == number
            assert (again[3], again[4][2:], again[5]) == original[number][3:]
        else:
            assert again == original[number]
    assert tally.drops.get("nack_too_late", 0) == len(wanted) - len(known)
    # Asked twice in a moment, sent once.
    sender.resend(viewer.outlet, wanted, 2.01)
    assert len(viewer.got) == len(known)


def test_nobody_is_sent_anything_again_while_what_comes_waits() -> None:
    viewer, tally = Subscriber(), Tally()
    sender = Sender(Network(viewer), tally, True)
    stream = source(1)
    viewer.outlet.attach(stream.track)
    assert stream.ring is not None
    stream.ring.store((1, 0, 0, KEYFRAME, None, 1.0))
    forward(stream, 1, 0, KEYFRAME, sender)
    wanted = [viewer.got.pop()[2]]
    viewer.receiver = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_INBOUND))
    sender.behind = True
    sender.resend(viewer.outlet, wanted, 2.0)
    assert not viewer.got
    assert tally.drops == {"nack_while_behind": 1}
    sender.behind = False
    sender.resend(viewer.outlet, wanted, 2.0)
    assert [int.from_bytes(got[4][:2]) for got in viewer.got] == wanted


class Flood:
    """A socket in which so many datagrams of no kind wait."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, object]:
        if not self.waiting:
            raise BlockingIOError
        self.waiting -= 1
        buffer[0] = 0x7F
        return 1, ("192.0.2.1", 1)


def test_who_reads_full_batches_only_is_behind() -> None:
    tally = Tally()
    flood = Flood(8 * BEHIND - 1)
    network: Any = Network(Subscriber())
    control: Any = None
    sender = Sender(network, tally, True)
    receiver = Receiver(cast(socket.socket, flood), 8, tally, network, control, sender)
    seen = []
    for _ in range(BEHIND):
        receiver.on_readable()
        seen.append(sender.behind)
    flood.waiting = 8 * BEHIND + 1
    for _ in range(BEHIND + 1):
        receiver.on_readable()
        seen.append(sender.behind)
    assert seen == [False] * (2 * BEHIND - 1) + [True, False]
    assert tally.drops == {"datagram_unknown": 16 * BEHIND}


SIZES = st.lists(st.one_of(st.sampled_from([60, 900, 900, 900, 901]), st.integers(1, 1400)), max_size=150)


@given(SIZES, st.sampled_from([None, errno.EINVAL, errno.EIO, errno.EMSGSIZE]), st.booleans())
def test_bursts_arrive_as_single_packets_do(
    sizes: list[int], refuses: int | None, segmentation: bool
) -> None:
    viewers = [Subscriber(ssrc=100 + 10 * i) for i in range(2)]
    network, tally = Network(*viewers), Tally()
    network.refuses = refuses
    stream = source(1)
    for viewer in viewers:
        viewer.outlet.attach(stream.track)
    payloads = [KEYFRAME] + [bytes((number & 0xFF,)) * size for number, size in enumerate(sizes)]
    stream.queue = [(10 + n, n * 3000, 0, payload, None, 1.0) for n, payload in enumerate(payloads)]
    Sender(network, tally, segmentation).forward(stream, 1.0)
    for viewer in viewers:
        assert [g[4] for g in viewer.got] == payloads
        first = viewer.got[0][2]
        assert [g[2] - first & 0xFFFF for g in viewer.got] == list(range(len(payloads)))
        assert viewer.outlet.packets == len(payloads)
        assert viewer.outlet.octets == sum(map(len, payloads))
    assert tally.packets_out == 2 * len(payloads)
    refusals = tally.drops.pop("segmentation_refused", 0)
    assert tally.drops == {}
    assert refusals == sum(not v.outlet.segmentation for v in viewers)  # tried once for each path
    if not segmentation or refuses is not None:
        assert network.bursts == []


def test_equal_packets_leave_in_one_burst_with_a_shorter_last() -> None:
    viewer = Subscriber()
    network, tally = Network(viewer), Tally()
    stream = source(1)
    viewer.outlet.attach(stream.track)
    payloads = [KEYFRAME + bytes(500)] * 70 + [DELTA] + [DELTA * 2, DELTA * 3]
    stream.queue = [(10 + n, 0, 0, payload, None, 1.0) for n, payload in enumerate(payloads)]
    Sender(network, tally, True).forward(stream, 1.0)
    assert network.bursts == [64, 7]  # 64 is the kernel's limit; the two larger ones at the end go alone
    assert [g[4] for g in viewer.got] == payloads
    stream.queue = [(100 + n, 0, 0, bytes(1400), None, 1.0) for n in range(60)]
    Sender(network, tally, True).forward(stream, 1.0)
    assert network.bursts[2:] == [45, 15]  # 84 KB do not fit one IP datagram
    network.full = {viewer.outlet.address}
    stream.queue = [(200 + n, 0, 0, DELTA, None, 1.0) for n in range(5)]
    Sender(network, tally, True).forward(stream, 1.0)
    assert tally.drops == {"send_buffer_full": 5}


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([None, None, None, Extras(orientation=2)])),
        min_size=1,
        max_size=60,
    ),
    st.lists(st.integers(1, 9), min_size=1, max_size=60),
)
def test_however_batched_the_same_comes_out(
    story: list[tuple[int, Extras | None]], batches: list[int]
) -> None:
    """Singly and in bursts: same numbers, times, extensions, and transport-wide numbers without a hole."""
    results = []
    for sizes in ([1] * len(story), batches * len(story)):
        viewer, downlink, tally = Subscriber(), Downlink(), Tally()
        ids = ExtensionIds(mid=4, orientation=5, transport_cc=3)
        viewer.outlet.open(wire.context_of(viewer.sender), 77, ids, True, downlink)
        sender = Sender(Network(viewer), tally, True)
        stream = source(1)
        viewer.outlet.attach(stream.track)
        packets: list[Packet] = [(9, 0, 0, KEYFRAME, None, 1.0)]
        packets += [(10 + n, n * 90, 0x80, bytes(size), turn, 1.0) for n, (size, turn) in enumerate(story)]
        at = 0
        for size in sizes:
            if at < len(packets):
                stream.queue = packets[at : at + size]
                sender.forward(stream, 1.0)
                at += size
        while at < len(packets):
            stream.queue = [packets[at]]
            sender.forward(stream, 1.0)
            at += 1
        assert [int.from_bytes(g[5][3], "big") for g in viewer.got] == list(range(1, 1 + len(viewer.got)))
        assert downlink.next == 1 + len(viewer.got) and tally.drops == {}
        assert len(viewer.got) == 1 + sum(size > 0 for size, _ in story)
        results.append(viewer.got)
    assert results[0] == results[1]
