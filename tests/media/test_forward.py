"""The fan-out on real SRTP sessions: what a subscriber gets from any mixture of sources, losses and padding."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from media import wire
from media.codec import OPUS, VP8
from media.forward import fan_out, resend, swallow
from media.rtp import HEADER, ExtensionIds, ExtensionReader, parse_extensions, parse_payload
from media.srtp import Scratch
from media.stream import Outlet, Stream, Track
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
        self.outlet.open(wire.context_of(self.sender), ssrc, 4, 5)
        self.got: list[tuple[int, int, int, int, bytes, dict[int, bytes]]] = []

    def take(self, data: memoryview) -> None:
        plain = self.receiver.unprotect(bytes(data))
        start, end, extension, profile = parse_payload(plain, len(plain))
        _, kind, sequence, timestamp, ssrc = HEADER.unpack_from(plain)
        elements = {
            n: plain[at : at + size] for n, at, size in parse_extensions(plain, extension, start, profile)
        }
        self.got.append((ssrc, kind, sequence, timestamp, plain[start:end], elements))


class Network:
    """sendto for several subscribers, told apart by the outlet's address."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self.by_address = {s.outlet.address: s for s in subscribers}
        self.full: set[Any] = set()

    def sendto(self, data: memoryview, address: Any) -> int:
        if address in self.full:
            raise BlockingIOError
        self.by_address[address].take(data)
        return len(data)


def source(ssrc: int, codec: Any = VP8) -> Stream:
    track = Track("someone", "1", codec.kind, 0, ())
    stream = Stream(track, ssrc, 96, codec, ExtensionReader(ExtensionIds(orientation=5)), 256)
    track.bind(stream, 0.0)
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
            assert swallow(stream, number)
            continue
        payload = (KEYFRAME if step == "key" else DELTA) + b"%d" % count
        fan_out(stream, number, stamp, 0, memoryview(payload), -1, now, network.sendto, tally)
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
        fan_out(stream, number, 0, 0, memoryview(KEYFRAME), -1, 1.0, network.sendto, tally)
    assert [len(v.got) for v in viewers] == [5, 0, 5]
    assert tally.drops == {"send_buffer_full": 5}
    assert tally.packets_out == 10


def test_a_codec_the_subscriber_did_not_accept_is_not_sent() -> None:
    viewer = Subscriber()
    viewer.outlet.payload_types = {"h264": (102, 0)}
    stream = source(1)
    viewer.outlet.attach(stream.track)
    tally = Tally()
    fan_out(stream, 1, 0, 0, memoryview(KEYFRAME), -1, 1.0, Network(viewer).sendto, tally)
    assert viewer.got == [] and tally.drops == {"codec_not_accepted": 1}


def test_late_packets_take_their_old_numbers() -> None:
    viewer = Subscriber()
    stream = source(1)
    viewer.outlet.attach(stream.track)
    network, tally = Network(viewer), Tally()

    def forward(number: int, payload: bytes = DELTA) -> None:
        fan_out(
            stream, number, number, 0, memoryview(payload + b"%d" % number), -1, 1.0, network.sendto, tally
        )

    forward(10, KEYFRAME)
    forward(12)
    assert swallow(stream, 13)
    forward(14)
    forward(11)  # from before the padding
    forward(9)  # from before the keyframe: of no use
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
    for number, orientation in enumerate([-1, 3, -1, 0]):
        fan_out(
            stream, number, 0, 0x80, memoryview(KEYFRAME), orientation, 1.0, Network(viewer).sendto, Tally()
        )
    assert [g[5] for g in viewer.got] == [{4: b"7"}, {4: b"7", 5: b"\3"}, {4: b"7"}, {4: b"7", 5: b"\0"}]
    assert all(g[1] == 0x80 | 120 for g in viewer.got)


def test_audio_starts_with_any_packet() -> None:
    viewer = Subscriber("audio")
    stream = source(1, OPUS)
    viewer.outlet.attach(stream.track)
    fan_out(stream, 5, 960, 0, memoryview(b"sound"), -1, 1.0, Network(viewer).sendto, Tally())
    assert [(g[1], g[4], g[5]) for g in viewer.got] == [(110, b"sound", {4: b"7"})]


@given(st.sets(st.integers(0, 30), max_size=12), st.booleans())
def test_what_is_asked_for_again_is_what_was_sent(asked: set[int], with_rtx: bool) -> None:
    viewer = Subscriber()
    viewer.outlet.payload_types = {"vp8": (120, 121 if with_rtx else 0)}
    # A real client has not received what it asks for again; this one has, so it gets a replay-free session.
    stream = source(1)
    viewer.outlet.attach(stream.track)
    network, tally = Network(viewer), Tally()
    assert stream.ring is not None
    for number in range(25):
        payload = KEYFRAME + b"%d" % number
        packet = HEADER.pack(0x80, 96, number, number * 3000, 1) + payload
        stream.ring.store(number, packet)
        fan_out(stream, number, number * 3000, 0, memoryview(payload), -1, 1.0, network.sendto, tally)
    original = {g[2]: g for g in viewer.got}
    first = viewer.got[0][2]
    viewer.got.clear()
    viewer.receiver = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_INBOUND))
    wanted = [first + place & 0xFFFF for place in sorted(asked)]
    resend(viewer.outlet, wanted, 2.0, Scratch(), network.sendto, tally)
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
    resend(viewer.outlet, wanted, 2.01, Scratch(), network.sendto, tally)
    assert len(viewer.got) == len(known)
