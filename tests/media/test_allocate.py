"""Who gets how much of a narrow line: ladders, the order of importance, pauses and their end."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.allocate import RESUME_SECONDS, apply
from media.api import Source
from media.codec import OPUS, VP8
from media.downlink import Downlink
from media.layered import Layers
from media.layers import ladder
from media.outlet import Outlet
from media.ring import PacketRing
from media.stream import Stream, Track

LAYERS = (("f", 720, 1_500_000.0), ("h", 360, 400_000.0), ("q", 180, 100_000.0))


def source(name: str, shows: Source, layers: tuple[tuple[str, int, float], ...]) -> Track:
    """Somebody's track with layers of (rid, lines, bits per second)."""
    rids = tuple(rid for rid, _, _ in layers) if len(layers) > 1 else ()
    kind = "audio" if shows == "microphone" else "video"
    track = Track(name, "1", kind, 0, rids)  # type: ignore[arg-type]
    track.source = shows
    for place, (rid, lines, rate) in enumerate(layers):
        codec = OPUS if kind == "audio" else VP8
        stream = Stream(track, place + 1, 96, codec, PacketRing(64), rid, 0.0)
        stream.height = lines
        stream.bitrate.bits_per_second = rate
        track.add(stream, 0.0)
    return track


@dataclass
class Viewer:
    """A subscriber with a line of so many bits per second and a slot for each of these tracks."""

    tracks: list[Track]
    downlink: Downlink = field(default_factory=Downlink)
    outlets: list[Outlet] = field(default_factory=list)
    now: float = 10.0

    def __post_init__(self) -> None:
        for place, track in enumerate(self.tracks):
            outlet = Outlet(
                str(place), track.kind, place, {"vp8": (96, 97), "opus": (111, 0)}, (place, 0), (1, 1, 1)
            )
            outlet.attach(track)
            self.outlets.append(outlet)
        self.downlink.limited = True

    def give(self, rate: float, speaker: str | None = None) -> list[int]:
        """Lines of what each slot gets; 0 for nothing."""
        self.downlink.estimate = rate
        for track in self.tracks:
            for stream in track.streams:
                stream.alive_at = self.now
        self.changed, self.needed = apply(self.outlets, self.downlink, self.now, speaker)
        return [o.target.height if o.target is not None else 0 for o in self.outlets]

    def want(self, slot: int, lines: int) -> None:
        """As MediaServer.want does it."""
        self.outlets[slot].wanted = lines
        self.tracks[slot].choose(self.outlets[slot], self.now)


def test_each_rung_shows_more_and_costs_more() -> None:
    track = source("ann", "camera", LAYERS)
    for wanted, heights in ((None, [180, 360, 720]), (200, [180, 360]), (100, [180]), (0, [])):
        assert [rung.height for rung in ladder(track.streams, wanted, False)] == heights
    track.layers[
        "h"
    ].bitrate.bits_per_second = 90_000  # costs less than the smaller one: that one is of no use
    assert [rung.height for rung in ladder(track.streams, None, False)] == [360, 720]


class Svc(Layers):
    """Two spatial layers with two temporal ones each."""

    def rungs(self) -> list[tuple[int, int, int, float]]:
        return [(1, 1, 720, 1.0), (0, 0, 360, 0.2), (0, 1, 360, 0.3), (1, 0, 720, 0.6)]


def test_layers_inside_a_stream_are_rungs_too() -> None:
    track = source("ann", "camera", (("", 720, 1_000_000.0),))
    (stream,) = track.streams
    stream.scalable = Svc(False)
    rungs = ladder(track.streams, None, False)
    assert [(r.spatial, r.temporal, r.rate) for r in rungs] == [(0, 0, 2e5), (0, 1, 3e5), (1, 1, 1e6)]
    rungs = ladder(track.streams, None, True)  # a screen: sharp before smooth
    assert [(r.spatial, r.temporal) for r in rungs] == [(0, 0), (1, 0), (1, 1)]
    assert [(r.spatial, r.temporal) for r in ladder(track.streams, 300, False)] == [(0, 0), (0, 1)]


def test_sound_then_screen_then_speaker_then_the_others() -> None:
    viewer = Viewer([
        source("ann", "microphone", (("", 0, 40_000.0),)), source("ann", "camera", LAYERS),
        source("bob", "camera", LAYERS), source("kim", "screen", LAYERS),
    ])  # fmt: skip
    assert viewer.give(10e6)[1:] == [720, 720, 720]
    assert viewer.give(2.2e6)[1:] == [360, 180, 720]  # the screen first, then in the order of the slots ...
    assert viewer.give(2.2e6, "bob")[1:] == [180, 360, 720]  # ... but who speaks before the others
    assert viewer.give(380e3)[1:] == [180, 180, 180]
    assert viewer.give(250e3, "bob")[1:] == [0, 180, 180]
    assert viewer.give(150e3, "bob")[1:] == [0, 0, 180]
    assert [o.mid for o in viewer.outlets if o.paused] == ["1", "2"]
    assert (
        viewer.give(41e3)[0:1] == [0] and viewer.outlets[0].target is not None
    )  # sound has no lines, but goes
    assert [o.paused for o in viewer.outlets] == [False, True, True, True]


@given(
    st.lists(st.floats(50e3, 3e6), min_size=1, max_size=40),
    st.lists(st.sampled_from(["camera", "screen"]), min_size=2, max_size=5),
)
def test_no_screen_is_paused_while_a_camera_is_shown(rates: list[float], shows: list[Source]) -> None:
    viewer = Viewer([source(str(i), what, LAYERS) for i, what in enumerate(shows)])
    for rate in rates:
        lines = viewer.give(rate)
        viewer.now += 3.0
        held = [what for what, got in zip(shows, lines, strict=True) if not got]
        shown = [what for what, got in zip(shows, lines, strict=True) if got]
        assert "screen" not in held or "camera" not in shown
        assert [o.paused for o in viewer.outlets] == [not got for got in lines]


def test_a_pause_ends_with_room_to_spare_and_not_at_once() -> None:
    viewer = Viewer([source("ann", "camera", LAYERS)])
    assert viewer.give(200e3) == [180]
    assert viewer.give(90e3) == [0]
    assert [o.mid for o in viewer.changed] == ["0"]
    assert viewer.give(5e6) == [0]
    assert viewer.needed > 1.5e6, "what is held back is still probed for"
    viewer.now += RESUME_SECONDS
    assert viewer.give(110e3) == [0] and not viewer.changed
    assert viewer.give(130e3) == [180]
    assert [o.paused for o in viewer.changed] == [False]
    assert viewer.give(101e3) == [180]


def test_what_nobody_wants_is_neither_paid_for_nor_paused() -> None:
    viewer = Viewer([source("ann", "camera", LAYERS), source("bob", "camera", LAYERS)])
    assert viewer.give(150e3) == [180, 0]
    viewer.want(0, 0)
    viewer.now += RESUME_SECONDS
    assert viewer.give(150e3) == [0, 180]
    assert [o.paused for o in viewer.outlets] == [False, False]
    viewer.want(1, 0)
    assert viewer.give(10e3) == [0, 0] and viewer.needed == 0 and not viewer.changed
    viewer.want(1, 200)
    assert viewer.give(10e6)[1] == 360
    assert viewer.outlets[1].allowed is None


def test_a_slot_that_loses_its_source_is_not_paused() -> None:
    viewer = Viewer([source("ann", "camera", LAYERS)])
    assert viewer.give(50e3) == [0]
    viewer.outlets[0].detach(viewer.now)
    assert viewer.give(50e3) == [0]
    assert [o.paused for o in viewer.changed] == [False]


@pytest.mark.parametrize("shows", ["camera", "screen"])
def test_a_picture_of_one_size_is_held_back_late(shows: Source) -> None:
    viewer = Viewer([source("ann", shows, (("", 720, 1_000_000.0),))])
    assert viewer.give(620e3) == [720]
    assert viewer.give(590e3) == [720 if shows == "screen" else 0]
    assert viewer.give(390e3) == [0]
    assert viewer.outlets[0].allowed == ()
