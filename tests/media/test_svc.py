"""Scalable streams on their way to subscribers: whatever is chosen, lost or late, what is sent can be decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.codec import AV1, VP9
from media.forward import Sender
from media.layered import TEMPORAL, Layers
from media.layers import ALL
from media.ring import PacketRing
from media.rtp import Extras
from media.stream import Packet
from media.svc import HISTORY, Selector
from media.tally import Tally
from media.vp9 import describe
from tests.media.descriptors import Encoder, LayerFrame, vp9, write
from tests.media.test_forward import Network, Subscriber, source

Form = Literal["descriptor", "vp9"]


@dataclass
class Camera:
    """A publisher of three spatial and three temporal layers, with the SFU's end of his line."""

    form: Form
    key_only: bool
    stream: Any = None
    packets: dict[int, LayerFrame] = field(default_factory=dict)  # by number
    made: dict[int, LayerFrame] = field(default_factory=dict)  # by frame number
    arrived: set[int] = field(default_factory=set)
    number: int = 70_000

    def __post_init__(self) -> None:
        self.encoder = Encoder(self.key_only)
        self.stream = source(1000, VP9 if self.form == "vp9" else AV1)
        self.stream.ring = PacketRing(512)
        self.tally = Tally()

    def film(self, key: bool, sizes: tuple[int, ...] = (1, 2, 2)) -> list[Packet]:
        """The packets of the next picture, `sizes` by spatial layer."""
        result: list[Packet] = []
        for frame in self.encoder.picture_frames(key):
            self.made[frame.number] = frame
            for place in range(sizes[frame.spatial]):
                first, last = place == 0, place == sizes[frame.spatial] - 1
                body = self.number.to_bytes(4, "big") + bytes(20 << frame.spatial)
                extras = None
                if self.form == "vp9":
                    head = vp9(frame, key, self.key_only, first, last, Encoder.SIZES)
                else:
                    # N bit and a sequence header with keyframes; else some other OBU, without a length.
                    head = b"\x18\x08" if frame.key and first else b"\x10\x30"
                    extras = Extras(descriptor=self.encoder.descriptor(frame, first, last))
                marker = 0x80 if last and frame.last else 0
                result.append((self.number, frame.picture * 3000, marker, head + body, extras, 1.0))
                self.packets[self.number] = frame
                self.number += 1
        return result

    def arrive(self, packets: list[Packet], sender: Sender) -> None:
        """A batch, as the receiver treats it."""
        stream = self.stream
        for packet in packets:
            if packet[0] in self.arrived:
                continue
            self.arrived.add(packet[0])
            stream.ring.store(packet)
            stream.highest = max(stream.highest, packet[0])
            if stream.scalable.note(packet[0], packet[3], packet[4].descriptor if packet[4] else b""):
                if stream.queue:
                    sender.forward(stream, 1.0)
                stream.track.sort(1.0)
            if stream.codec.keyframe(packet[3], 0, len(packet[3])):
                stream.keyframe_wanted = False
            stream.queue.append(packet)
        if stream.queue:
            sender.forward(stream, 1.0)


class Viewer(Subscriber):
    """Remembers for each packet which of the camera's it was, from the octets of its payload."""

    def show(self, camera: Camera, limits: tuple[int, int]) -> None:
        """Limits as an allocator sets them (it, not the size of the slot, then decides)."""
        self.outlet.allowed = (camera.stream,)
        self.outlet.limits = limits
        self.outlet.attach(camera.stream.track)

    @property
    def selector(self) -> Selector | None:
        """What chooses his layers, if anything does."""
        return self.outlet.rewriter if isinstance(self.outlet.rewriter, Selector) else None

    def sequence(self, camera: Camera) -> list[tuple[int, bool, LayerFrame | None, int]]:
        """(sequence number from the first on, marker, frame or None for an empty packet, number), as they came."""
        first = self.got[0][2] if self.got else 0
        result = []
        for ssrc, kind, sequence, _, payload, _ in self.got:
            if ssrc == self.outlet.rtx_ssrc:  # the number it had comes first
                sequence, payload = int.from_bytes(payload[:2], "big"), payload[2:]
            number = int.from_bytes(self._body(camera, payload), "big") if payload else -1
            place = (sequence - first + 0x8000 & 0xFFFF) - 0x8000
            result.append((place, bool(kind & 0x80), camera.packets.get(number), number))
        return result

    def ask_again(self, camera: Camera, sender: Sender) -> None:
        """Ask for what is missing: what came to the SFU before the keyframe this subscriber began with, it has."""
        places = {place for place, _, _, _ in self.sequence(camera)}
        if places:
            holes = sorted(set(range(min(places), max(places))) - places)
            sender.resend(self.outlet, [self.got[0][2] + place & 0xFFFF for place in holes], 2.0)

    @staticmethod
    def _body(camera: Camera, payload: bytes) -> bytes:
        if camera.form == "descriptor":
            return payload[2:6]
        said = describe(payload)
        assert said is not None
        return payload[said.at : said.at + 4]


def viewer() -> Viewer:
    found = Viewer()
    found.outlet.payload_types = {"vp9": (98, 99), "av1": (45, 46)}
    found.outlet.takes_descriptor = True
    return found


LIMITS = st.tuples(st.sampled_from([0, 1, 2, ALL]), st.sampled_from([0, 1, 2, ALL]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("picture"), st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))),
        st.tuples(st.just("limit"), LIMITS),
    ),
    min_size=1,
    max_size=60,
)
FORMS = st.sampled_from(["descriptor", "vp9"])


@given(STEPS, FORMS, st.booleans(), LIMITS)
def test_whatever_is_chosen_pictures_are_whole_and_numbers_gapless(
    steps: list[tuple[str, tuple[int, ...]]], form: Form, key_only: bool, limits: tuple[int, int]
) -> None:
    camera, watcher = Camera(form, key_only), viewer()
    sender = Sender(Network(watcher), camera.tally, True)
    watcher.show(camera, limits)
    camera.arrive(camera.film(key=True), sender)
    limits_at: list[tuple[int, tuple[int, int]]] = [(0, limits)]
    for what, value in [*steps, *[("picture", (1, 1, 1))] * 18]:
        if what == "limit":
            watcher.outlet.limit(value[0], value[1])
            limits_at.append((camera.encoder.picture + 1, (value[0], value[1])))
        else:
            camera.arrive(camera.film(camera.stream.keyframe_wanted, value), sender)
            watcher.outlet.limit(*limits_at[-1][1])  # as the control plane does
    got = watcher.sequence(camera)
    assert [place for place, _, _, _ in got] == list(range(len(got)))
    frames = {frame.number: frame for _, _, frame, _ in got if frame is not None}
    assert all(frame is not None for _, _, frame, _ in got)
    sent = {number for _, _, _, number in got}
    assert all(
        number in sent for number, frame in camera.packets.items() if frame.number in frames
    )  # whole frames
    for frame in frames.values():
        assert all(number in frames for number in frame.needs), (frame, sorted(frames))
    pictures: dict[int, list[tuple[bool, LayerFrame]]] = {}
    for _, marker, shown, _ in got:
        if shown is not None:
            pictures.setdefault(shown.picture, []).append((marker, shown))
    for packets in pictures.values():
        assert [marker for marker, _ in packets] == [False] * (len(packets) - 1) + [True]
    # In the end what is wanted is sent: exactly that, in the last four pictures.
    spatial, temporal = (min(limit, 2) for limit in limits_at[-1][1])
    last = camera.encoder.picture
    for picture in range(last - 3, last + 1):
        made = [f for f in camera.made.values() if f.picture == picture]
        if made[0].temporal > temporal:
            assert picture not in pictures
        else:
            assert max(frame.spatial for _, frame in pictures[picture]) == spatial
            if key_only and not made[0].key:
                assert {frame.spatial for _, frame in pictures[picture]} == {spatial}
    assert camera.tally.drops == {}


@given(st.data(), FORMS, st.booleans(), LIMITS)
def test_whatever_is_lost_or_late_nothing_is_sent_that_cannot_be_decoded(
    data: st.DataObject, form: Form, key_only: bool, limits: tuple[int, int]
) -> None:
    """Packets are delayed by some others, lost for good, or lost and repaired later."""
    camera, watcher = Camera(form, key_only), viewer()
    sender = Sender(Network(watcher), camera.tally, True)
    watcher.show(camera, limits)
    now: list[tuple[float, Packet]] = []
    clock = 0.0
    lost: set[int] = set()
    for picture in range(data.draw(st.integers(4, 25))):
        if data.draw(st.integers(0, 5)) == 0:
            limits = data.draw(LIMITS)
        watcher.outlet.limit(*limits)
        for packet in camera.film(picture == 0 or camera.stream.keyframe_wanted):
            clock += 1
            fate = data.draw(st.sampled_from(["", "", "", "", "", "late", "repaired", "lost"]))
            if fate == "lost" and picture:
                lost.add(packet[0])
                continue
            delay = data.draw(st.integers(1, 6)) if fate == "late" else 20 if fate == "repaired" else 0
            now.append((clock + delay, packet))
        now.sort(key=lambda pair: pair[0])
        while now and now[0][0] <= clock:
            camera.arrive([now.pop(0)[1]], sender)
        if picture < 8:
            watcher.ask_again(camera, sender)
    camera.arrive([packet for _, packet in now], sender)
    watcher.ask_again(camera, sender)
    got = watcher.sequence(camera)
    if not got:
        return
    # Every number up to the last is there, or was lost on the publisher's line.
    places = sorted(place for place, _, _, _ in got)
    assert len(set(places)) == len(places)
    assert places[-1] - places[0] + 1 - len(places) <= len(lost)
    frames = {frame.number: frame for _, _, frame, _ in got if frame is not None}
    known = {camera.packets[number].number for number in camera.arrived}
    earliest = min(frames)
    for frame in frames.values():
        # What was never seen may be missing; what was seen, before the subscriber began, was not needed.
        needs = [number for number in frame.needs if number in known and number >= earliest]
        assert all(number in frames for number in needs), (frame, sorted(frames))


@pytest.mark.parametrize("form", ["descriptor", "vp9"])
def test_less_at_once_more_with_a_keyframe(form: Form) -> None:
    camera, watcher = Camera(form, False), viewer()
    sender = Sender(Network(watcher), camera.tally, True)
    watcher.show(camera, (ALL, ALL))

    def shown(pictures: int, key: bool = False) -> list[int]:
        """The best spatial layer of each of the next pictures."""
        before = len(watcher.got)
        for picture in range(pictures):
            camera.arrive(camera.film(key and picture == 0), sender)
        found: dict[int, int] = {}
        for _, _, frame, _ in watcher.sequence(camera)[before:]:
            assert frame is not None
            found[frame.picture] = max(found.get(frame.picture, 0), frame.spatial)
        return list(found.values())

    assert shown(4, key=True) == [2, 2, 2, 2]
    assert watcher.outlet.rewriter is None  # who gets everything costs nothing
    watcher.outlet.limit(0, ALL)
    assert shown(3) == [0, 0, 0]
    assert not camera.stream.keyframe_wanted
    watcher.outlet.limit(1, 1)
    assert camera.stream.keyframe_wanted
    assert shown(4) == [0, 0]  # fewer frames already, and no hole while the keyframe is awaited
    assert shown(5, key=True) == [1, 1, 1]
    watcher.outlet.limit(1, ALL)
    assert not camera.stream.keyframe_wanted
    assert len(shown(8)) >= 6  # at the first base picture
    selector = watcher.selector
    assert selector is not None
    assert (selector.spatial, selector.temporal, selector.height) == (1, 2, 360)


@pytest.mark.parametrize("form", ["descriptor", "vp9"])
def test_what_each_choice_costs(form: Form) -> None:
    camera = Camera(form, False)
    sender = Sender(Network(), camera.tally, True)
    assert camera.stream.scalable.rungs() == ()
    for picture in range(40):
        camera.arrive(camera.film(picture == 0, (1, 1, 1)), sender)
    rungs = {
        (spatial, temporal): (lines, share)
        for spatial, temporal, lines, share in camera.stream.scalable.rungs()
    }
    assert {key: lines for key, (lines, _) in rungs.items()} == {
        (s, t): lines for s, lines in enumerate((180, 360, 720)) for t in range(3)
    }
    assert rungs[2, 2][1] == pytest.approx(1.0)
    assert rungs[2, 0][1] == pytest.approx(0.25, abs=0.05)  # every fourth picture
    assert rungs[0, 2][1] == pytest.approx(28 / 164, abs=0.05)
    shares = [rungs[s, t][1] for s in range(3) for t in range(3)]
    assert shares[0] == min(shares)


def test_a_repeated_request_is_answered_with_what_was_sent() -> None:
    camera, watcher = Camera("descriptor", False), viewer()
    sender = Sender(Network(watcher), camera.tally, True)
    watcher.show(camera, (0, ALL))
    for picture in range(12):
        camera.arrive(camera.film(picture == 0, (2, 3, 3)), sender)
    first = watcher.got[0][2]
    sent = {g[2]: (g[1] & 0x80, g[4]) for g in watcher.got}
    watcher.got.clear()
    sender.resend(watcher.outlet, sorted(sent), 2.0)
    again = {int.from_bytes(g[4][:2], "big"): (g[1] & 0x80, g[4][2:]) for g in watcher.got}
    assert again == sent and len(sent) == 24
    sender.resend(watcher.outlet, [first + 24], 3.0)
    assert camera.tally.drops == {"nack_too_late": 1}


def test_spatial_layers_only_for_who_can_tell_them_apart() -> None:
    """AV1's decoders need the descriptor for that; VP9's do not."""
    for form, best in (("descriptor", 0), ("vp9", 2)):
        camera, watcher = Camera("vp9" if form == "vp9" else "descriptor", False), viewer()
        watcher.outlet.takes_descriptor = False
        sender = Sender(Network(watcher), camera.tally, True)
        watcher.show(camera, (ALL, ALL))
        for picture in range(6):
            camera.arrive(camera.film(picture == 0), sender)
        assert {frame.spatial for _, _, frame, _ in watcher.sequence(camera) if frame} == set(range(best + 1))


def test_a_sender_who_breaks_his_word_costs_a_keyframe_and_no_broken_picture() -> None:
    """A frame said to be of the lowest layer needs one that was left out."""
    layers = Layers(False)
    encoder = Encoder()

    def note(number: int, data: bytes) -> None:
        layers.note(number, b"payload", data)

    frames = [frame for picture in range(4) for frame in encoder.picture_frames(picture == 0)]
    for number, frame in enumerate(frames):
        note(number, encoder.descriptor(frame, True, True))
    selector = Selector(layers, 0, ALL, everything=False)
    left_out = [
        selector.leaves_out(selector.describe((n, 0, 0, b"", None, 0.0)), f.picture)
        for n, f in enumerate(frames)
    ]
    assert left_out == [False, True, True] * 4
    note(50, write(True, True, 1, 12, differences=(2,)))  # of S1
    said = selector.describe((50, 0, 0, b"", None, 0.0))
    assert selector.leaves_out(said, 99) and selector.needs_keyframe
    assert selector.leaves_out(selector.describe((51, 0, 0, b"", None, 0.0)), 99)  # says nothing


@given(st.lists(st.binary(max_size=40), max_size=40), st.booleans(), LIMITS)
def test_any_octets_do_no_harm(payloads: list[bytes], is_vp9: bool, limits: tuple[int, int]) -> None:
    layers = Layers(is_vp9)
    selector = Selector(layers, *limits, everything=True)
    for number, payload in enumerate(payloads):
        layers.note(number, payload, b"" if is_vp9 else payload)
        said = selector.describe((number, 0, 0, payload, None, 0.0))
        if not selector.leaves_out(said, number):
            assert selector.marker(said, 0) in (0, 0x80)
        selector.limit(*limits)
    assert all(0 <= share <= 1 for _, _, _, share in layers.rungs())


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 11)), max_size=300))
def test_what_is_remembered_is_bounded(frames: list[tuple[int, int]]) -> None:
    encoder, layers = Encoder(), Layers(False)
    key = next(encoder.picture_frames(True))
    layers.note(0, b"payload", encoder.descriptor(key, True, True))
    selector = Selector(layers, 0, 0, everything=False)
    for packet, (number, template) in enumerate(frames, 1):
        layers.note(packet, b"payload", write(True, True, template, number, differences=(number % 4096 + 1,)))
        selector.leaves_out(selector.describe((packet, 0, 0, b"", None, 0.0)), packet)
        assert len(selector._frames) <= HISTORY and len(selector._changes) <= 8
        assert 0 <= selector.spatial < TEMPORAL and 0 <= selector.temporal < TEMPORAL
