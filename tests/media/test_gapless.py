"""Whatever happens on the way in, a subscriber sees one stream: no hole but real losses, time that goes on, and what he
asks for again is what he was sent. Real SRTP on both sides of the receiver and the forwarder."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from media import wire
from media.answer import plan
from media.api import MediaConfig
from media.forward import Sender
from media.layers import ALL, ladder
from media.peer import Peer
from media.receive import Receiver
from media.rtp import MID, REPAIRED_RID, RID, write_extensions
from media.sdp import parse_offer
from media.tally import Tally
from tests.media.client import EXTENSIONS, KEYFRAME, RTX_PT, VP8_PT, offer, rtp, section, vp8
from tests.media.test_forward import KEY, Network, Subscriber

HOME = ("192.0.2.1", 4000)
RIDS = ("f", "h")
LAYERS = [("f", 1000, 2000), ("h", 1001, 2001)]  # rid, SSRC, RTX SSRC


@dataclass
class Wire:
    """The socket from which the receiver reads, and everybody it asks besides."""

    peer: Peer
    datagrams: deque[bytes] = field(default_factory=deque)

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, Any]:
        if not self.datagrams:
            raise BlockingIOError
        data = self.datagrams.popleft()
        buffer[: len(data)] = data
        return len(data), HOME

    @property
    def by_address(self) -> dict[Any, Peer]:
        return {HOME: self.peer}

    def on_first_packet(self, peer: Peer, now: float) -> None:
        peer.flowing = True

    def on_unknown_stream(
        self, peer: Peer, ssrc: int, payload_type: int, names: tuple[str, str, str], now: float
    ) -> str | None:
        return peer.bind(ssrc, payload_type, names, now)


@dataclass
class Sent:
    """One packet of a publisher's layer."""

    plain: bytes
    payload: bytes
    number: int
    stamp: int


class Story:
    """A publisher with two layers, a subscriber to one of them at a time, and between them what is under test."""

    def __init__(self, bases: tuple[int, int], starts: tuple[int, int]) -> None:
        simulcast = ("a=rid:f send", "a=rid:h send", "a=simulcast:send f;h")
        config = MediaConfig(receive_packets_burst=100_000)
        text = offer([section("1", "video", "sendonly", extra=simulcast)])
        self.peer = Peer("r", "p", "p", 1, plan(parse_offer(text, 1 << 20, 10), config), config, 0.0)
        incoming = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_INBOUND))
        policy = Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_OUTBOUND)
        self.seal = Session(policy)
        self._held = (incoming, self.seal)
        self.peer.receive_context = wire.context_of(incoming)
        self.peer.address = HOME
        self.wire = Wire(self.peer)
        self.tally = Tally()
        self.viewer = Subscriber()
        self.viewer.outlet.resend_budget._rate = self.viewer.outlet.resend_budget._burst = 1e9
        self.sender = Sender(Network(self.viewer), self.tally, True)
        self.receiver = Receiver(self.wire, 64, self.tally, self.wire, self.wire, self.sender)  # type: ignore[arg-type]
        self.track = self.peer.tracks["1"]
        self.frame = 0
        self.bases, self.numbers = bases, list(starts)
        self.pictures, self.tl0 = [5, 900], [7, 80]
        self.lost: list[tuple[int, Sent]] = []
        self.repairs = [0, 0]
        self.delayed: list[tuple[int, int, Sent]] = []  # packets to wait for, layer, what
        self.clock = 0.0

    def deliver(self, layer: int, one: Sent) -> None:
        self.wire.datagrams.append(bytes(self.seal.protect(one.plain)))
        self.receiver.on_readable()
        waiting, self.delayed = self.delayed, []
        due = [(layer, sent) for left, layer, sent in waiting if left <= 1]
        self.delayed = [(left - 1, layer, sent) for left, layer, sent in waiting if left > 1]
        for late_layer, late in due:
            self.deliver(late_layer, late)

    def picture(self, key: bool, temporal: int, fate: str) -> None:
        """A frame of two packets in both layers; `fate` is that of the first packet of each."""
        self.frame += 1
        for layer, (rid, ssrc, _) in enumerate(LAYERS):
            self.tl0[layer] += temporal == 0
            stamp = self.bases[layer] + self.frame * 3000 & 0xFFFFFFFF
            for part in range(2):
                payload = vp8(
                    self.pictures[layer], self.tl0[layer], temporal, key=key, begins=part == 0, sync=True,
                    height=360 >> layer, body=b"%d %d %d" % (layer, self.frame, part),
                )  # fmt: skip
                number = self.numbers[layer]
                self.numbers[layer] += 1
                plain = rtp(ssrc, VP8_PT, number, stamp, payload, mid="1", rid=rid, marker=part == 1)
                sent = Sent(plain, payload, number, stamp)
                match fate if part == 0 else "":
                    case "lost":
                        self.lost.append((layer, sent))
                    case "late":
                        self.delayed.append((3, layer, sent))
                    case "twice":
                        sealed = bytes(self.seal.protect(plain))
                        self.wire.datagrams += [sealed, sealed]
                        self.receiver.on_readable()
                    case _:
                        self.deliver(layer, sent)
            self.pictures[layer] = self.pictures[layer] + 1 & 0x7FFF

    def padding(self) -> None:
        for layer, (rid, ssrc, _) in enumerate(LAYERS):
            stamp = self.bases[layer] + self.frame * 3000 & 0xFFFFFFFF
            number = self.numbers[layer]
            self.numbers[layer] += 1
            plain = rtp(ssrc, VP8_PT, number, stamp, b"", mid="1", rid=rid, padding=20)
            self.deliver(layer, Sent(plain, b"", number, stamp))

    def repair(self) -> None:
        """The publisher answers our NACKs: everything lost until now comes by RTX after all."""
        lost, self.lost = self.lost, []
        for layer, sent in lost:
            rid, _, ssrc = LAYERS[layer]
            self.repairs[layer] += 1
            block = write_extensions(
                [(EXTENSIONS[MID], b"1"), (EXTENSIONS[REPAIRED_RID], rid.encode()), (EXTENSIONS[RID], b"x")]
            )
            head = rtp(ssrc, RTX_PT | sent.plain[1] & 0x80, self.repairs[layer], sent.stamp, b"")
            plain = (
                bytes((head[0] | 0x10,))
                + head[1:]
                + block
                + (sent.number & 0xFFFF).to_bytes(2, "big")
                + sent.payload
            )
            self.deliver(layer, Sent(plain, sent.payload, sent.number, sent.stamp))

    def settle(self) -> None:
        """What is late comes at last."""
        while self.delayed:
            _, layer, sent = self.delayed.pop(0)
            self.deliver(layer, sent)


class Screen:
    """The subscriber's view: his stream by extended number, from the media and the RTX SSRC alike."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.seen = 0
        self.highest = 32000
        self.stream: dict[int, tuple[int, bytes]] = {}  # number -> timestamp, payload

    def look(self) -> None:
        got = self.story.viewer.got
        for ssrc, kind, sequence, stamp, payload, _ in got[self.seen :]:
            repaired = ssrc == 78
            if repaired:
                assert kind & 0x7F == 121
                sequence, payload = int.from_bytes(payload[:2], "big"), payload[2:]
            number = self.highest + ((sequence - self.highest + 0x8000) & 0xFFFF) - 0x8000
            assert number >= 32000
            if number in self.stream:
                assert repaired, "one number, two packets"
                assert self.stream[number] == (stamp, payload), "not what was sent under that number"
            self.stream[number] = (stamp, payload)
            self.highest = max(self.highest, number)
        self.seen = len(got)

    def holes(self) -> list[int]:
        return [n for n in range(32000, self.highest) if n not in self.stream]

    def ask(self, numbers: list[int]) -> None:
        self.story.clock += 1.0
        self.story.sender.resend(self.story.viewer.outlet, [n & 0xFFFF for n in numbers], self.story.clock)
        self.look()


FATES = st.sampled_from(["", "", "", "lost", "late", "twice"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("key"), FATES),
        st.tuples(st.sampled_from(["delta0", "delta1", "delta2"]), FATES),
        st.tuples(st.sampled_from(["switch", "pause", "resume", "padding", "repair"]), st.just("")),
        st.tuples(st.sampled_from(["limit0", "limit1", "limit3"]), st.just("")),
    ),
    max_size=40,
)
BASES = st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))


@given(STEPS, BASES, st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)))
def test_one_stream_whatever_happens(
    steps: list[tuple[str, str]], bases: tuple[int, int], starts: tuple[int, int]
) -> None:
    story = Story(bases, starts)
    screen = Screen(story)
    outlet, track = story.viewer.outlet, story.track
    outlet.attach(track)
    story.picture(True, 0, "")
    limited = False
    for what, fate in [*steps, ("repair", ""), ("key", ""), ("delta0", "")]:
        match what:
            case "key":
                story.picture(True, 0, fate)
            case "delta0" | "delta1" | "delta2":
                story.picture(False, int(what[5]), fate)
            case "switch":
                target = outlet.target or outlet.stream
                other = next((s for s in track.streams if s is not target), None)
                if target is not None and other is not None:
                    track.aim(outlet, other, monotonic())
            case "pause":
                story.settle()  # what comes after a pause belongs to nothing
                screen.look()
                screen.ask(screen.holes())
                track.aim(outlet, None, monotonic())
                # Holes of before a pause stay: nobody waits for them, the next thing shown is a keyframe.
                for number in screen.holes():
                    screen.stream[number] = screen.stream[max(n for n in screen.stream if n < number)]
            case "resume":
                if outlet.target is None:
                    track.aim(outlet, track.streams[0], monotonic())
            case "padding":
                story.padding()
            case "repair":
                story.repair()
            case _:
                outlet.limit_temporal(int(what[5]))
                limited = limited or what != "limit3"
        screen.look()
        screen.ask(screen.holes())
    story.settle()
    screen.look()
    screen.ask(screen.holes())
    # Everything lost came again in the end: but what came before the switch before the last one, nothing is missing.
    assert story.lost == []
    switches = [n for n in sorted(screen.stream) if _starts(screen, n)]
    final = switches[-2] if len(switches) > 1 else 32000
    assert [n for n in screen.holes() if n >= final] == []
    ordered = sorted(screen.stream.items())
    for (_, (before, _)), (_, (after, _)) in pairwise(ordered):
        assert 0 <= (after - before & 0xFFFFFFFF) < 90000 * 60, "time goes on"
    # Whatever he asks for again is what he was sent; what is answered is at least the layer shown now.
    asked = sorted(screen.stream)
    before = screen.seen
    screen.ask(asked)
    assert len(story.viewer.got) > before or outlet.stream is None
    unexpected = set(story.tally.drops) - {
        "srtp_replayed", "rtp_duplicate", "before_switch", "nack_too_late", "nack_without_stream",
    }  # fmt: skip
    assert unexpected == set()


def _starts(screen: Screen, number: int) -> bool:
    """Whether another layer begins here, by what the body of the payload says."""
    here, before = screen.stream[number][1], screen.stream.get(number - 1, (0, b""))[1]
    return bool(here and before) and _layer(here) != _layer(before)


def _layer(payload: bytes) -> bytes:
    return payload.split(b" ")[-3][-1:]


def test_temporal_layers_are_noticed_and_offered() -> None:
    """VP8 that numbers its base layer can be sent with fewer frames; VP8 that does not cannot."""
    story = Story((0, 0), (0, 0))
    story.picture(True, 0, "")
    rungs = ladder(story.track.streams, None, False)
    assert [(r.stream.rid, r.temporal) for r in rungs[:3]] == [("h", 0), ("h", 1), ("h", ALL)]
    plain = Story((0, 0), (0, 0))
    for rid, ssrc, _ in LAYERS:
        sent = rtp(ssrc, VP8_PT, 1, 0, KEYFRAME, mid="1", rid=rid, marker=True)
        plain.deliver(0, Sent(sent, KEYFRAME, 1, 0))
    assert [r.temporal for r in ladder(plain.track.streams, None, False)] == [ALL, ALL]
