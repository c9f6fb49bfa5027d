"""Simulcast: which layer is chosen, and that a subscriber never notices from which one his packets come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.codec import VP8
from media.forward import Sender
from media.layers import alive, best_first, pick
from media.ring import PacketRing
from media.rtcp import KeyframeRequest
from media.stream import Stream, Track
from media.tally import Tally
from media.vp8 import Pictures, describe
from tests.media.client import KEYFRAME, RTX_PT, VP8_PT, Client, caller, rtp, section, vp8
from tests.media.conftest import World
from tests.media.test_forward import Network, Subscriber, forward

RIDS = ("f", "h", "q")


def layered(rids: tuple[str, ...] = RIDS) -> Track:
    track = Track("someone", "1", "video", 0, rids)
    for place, rid in enumerate(rids):
        track.add(Stream(track, 1000 + place, 96, VP8, PacketRing(256), rid), 0.0)
    return track


def test_the_smallest_layer_that_fills_the_picture() -> None:
    track = layered()
    chosen = [pick(track.streams, wanted) for wanted in (None, 2000, 720, 700, 361, 360, 200, 180, 1, 0)]
    assert [s.rid if s else "" for s in chosen] == ["f", "f", "f", "f", "f", "h", "h", "q", "q", ""]
    track.layers["q"].height, track.layers["h"].height, track.layers["f"].height = 1080, 540, 270
    track.sort(0.0)  # an offer in the other order, recognised by its heights
    assert [s.rid for s in track.streams] == ["q", "h", "f"]
    assert pick(track.streams, 300) is track.layers["h"]
    assert pick((), 300) is None


def test_a_layer_the_sender_has_switched_off_is_left() -> None:
    track = layered()
    best, middle, small = track.streams
    middle.alive_at = small.alive_at = 10.0
    best.alive_at = 9.7
    assert alive(track.streams, 10.0) == (best, middle, small)  # a late frame is no reason
    best.alive_at = 9.5
    assert alive(track.streams, 10.0) == (middle, small)
    assert alive(track.streams, 20.0) == (best, middle, small)  # all silent: a still screen
    assert best_first(track.streams, RIDS) == (best, middle, small)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), st.sampled_from([0, 0, 2, 1, 2])),
        st.tuples(st.just("aim"), st.integers(0, 2)),
        st.tuples(st.just("temporal"), st.sampled_from([0, 1, 3])),
        st.tuples(st.just("key"), st.just(0)),
    ),
    min_size=4, max_size=80,
)  # fmt: skip


@given(
    STEPS,
    st.tuples(*[st.integers(0, 32767)] * 3),
    st.tuples(*[st.integers(0, (1 << 32) - 1)] * 3),
    st.booleans(),
)
def test_numbers_pictures_and_time_go_on_whatever_is_switched_or_left_out(
    steps: list[tuple[str, int]], pictures: tuple[int, ...], bases: tuple[int, ...], reported: bool
) -> None:
    track = layered()
    viewer, tally = Subscriber(), Tally()
    sender = Sender(Network(viewer), tally, True)
    outlet = viewer.outlet
    outlet.attach(track, 0.0)
    numbers = [100, 40000, 65530]
    picture, tl0 = list(pictures), [250, 3, 77]
    expected: list[tuple[int, int]] = []  # (layer, frame) of every packet that must come out
    if reported:
        for place, stream in enumerate(track.streams):
            stream.report_ntp, stream.report_timestamp = 1 << 40, bases[place]
    frame = 0
    for action, value in [("key", 0), *steps]:
        if action == "aim":
            track.aim(outlet, track.streams[value], frame / 30)
            continue
        if action == "temporal":
            outlet.limit_temporal(value)
            continue
        frame += 1
        now = frame / 30
        for place, stream in enumerate(track.streams):
            temporal = 0 if action == "key" else value
            tl0[place] += temporal == 0
            stamp = bases[place] + frame * 3000 & 0xFFFFFFFF
            stream.transit = int(now * 90000) - stamp & 0xFFFFFFFF
            for part in range(2):
                payload = vp8(
                    picture[place], tl0[place], temporal, key=action == "key", begins=part == 0, sync=True,
                    body=b"%d %d" % (place, frame),
                )  # fmt: skip
                assert stream.ring is not None
                stream.ring.store((numbers[place], stamp, 0x80 if part else 0, payload, None, now))
                stream.highest = numbers[place]
                forward(stream, numbers[place], stamp, payload, sender, now, marker=0x80 if part else 0)
                numbers[place] += 1
                limit = outlet.rewriter.limit if isinstance(outlet.rewriter, Pictures) else 3
                if outlet.stream is stream and temporal <= limit:
                    expected.append((place, frame))
            picture[place] = picture[place] + 1 & 0x7FFF
        if action == "key":
            assert outlet.stream is outlet.target  # a keyframe completes every switch
    assert [tuple(map(int, _body(g[4]).split())) for g in viewer.got] == expected
    said = [describe(g[4]) for g in viewer.got]
    for at in range(1, len(viewer.got)):
        before, after = viewer.got[at - 1], viewer.got[at]
        old, new = said[at - 1], said[at]
        assert old is not None and new is not None
        assert after[2] - before[2] & 0xFFFF == 1
        same = expected[at] == expected[at - 1]
        assert new.picture - old.picture & 0x7FFF == (0 if same else 1)
        step = after[3] - before[3] & 0xFFFFFFFF
        frames = expected[at][1] - expected[at - 1][1]
        assert abs(step - frames * 3000) <= 2  # layers have unrelated bases; rounding may take a tick
        assert (new.tl0 - old.tl0 & 0xFF) == (1 if new.temporal == 0 and not same else 0)
    assert tally.drops == {}


def _body(payload: bytes) -> bytes:
    said = payload[0]
    start = 6 if not said & 0x10 else 6 + (10 if payload[6] & 1 == 0 else 3)
    return payload[start:]


# Through the server's port.

SIMULCAST = ("a=rid:f send", "a=rid:h send", "a=rid:q send", "a=simulcast:send f;h;q")
HEIGHTS = {"f": 720, "h": 360, "q": 180}


class Camera:
    """A client's three layers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.frame = 0
        self.sequence = {"f": 10, "h": 20000, "q": 65000}
        self.active = list(RIDS)

    def send(self, *, key: bool = False, named: bool = True) -> None:
        self.frame += 1
        for place, rid in enumerate(RIDS):
            if rid in self.active:
                payload = vp8(self.frame, self.frame, key=key, height=HEIGHTS[rid], body=rid.encode())
                self.sequence[rid] += 1
                self.client.send(
                    rtp(2000 + place, VP8_PT, self.sequence[rid], self.frame * 3000 + place * 777_777, payload,
                        mid="1" if named else "", rid=rid if named else "", marker=True)
                )  # fmt: skip


async def show(world: World) -> tuple[Camera, Client]:
    ann = caller(world.server, "ann")
    ann.sections[1] = section("1", "video", "sendonly", extra=SIMULCAST)
    world.clients.append(ann)
    await ann.connect()
    zoe = await world.join("zoe")
    camera = Camera(ann)
    camera.send()
    await ann.until(lambda: any(isinstance(p, KeyframeRequest) and p.ssrc == 2000 for p in ann.rtcp))
    camera.send(key=True)
    await zoe.until(lambda: layers(zoe)[-1:] == ["f"])
    return camera, zoe


def layers(client: Client) -> list[str]:
    return [chr(p.payload[-1]) for p in client.rtp if p.payload_type == VP8_PT]


async def test_a_slot_gets_the_layer_it_wants(world: World) -> None:
    camera, zoe = await show(world)
    for wanted, layer in ((200, "h"), (10, "q"), (None, "f")):
        count = len(layers(zoe))
        asked = len(camera.client.rtcp)
        world.server.want("room", "zoe", "3", wanted)
        camera.send()  # still the old layer: there is no keyframe yet
        await zoe.until(lambda: len(layers(zoe)) == count + 1)  # noqa: B023
        assert layers(zoe)[-1] != layer
        ssrc = 2000 + RIDS.index(layer)
        await camera.client.until(
            lambda: any(
                isinstance(p, KeyframeRequest) and p.ssrc == ssrc  # noqa: B023
                for p in camera.client.rtcp[asked:]  # noqa: B023
            )
        )
        camera.send(key=True)
        await zoe.until(lambda: layers(zoe)[-1] == layer)  # noqa: B023
        stats = {s.participant_id: s for s in world.server.peer_stats("room")}
        assert next(s for s in stats["zoe"].streams if s.mid == "3").rid == layer
    world.server.want("room", "zoe", "3", 0)
    count = len(layers(zoe))
    camera.send(key=True)
    world.server.want("room", "zoe", "3", None)
    camera.send()
    camera.send(key=True)
    await zoe.until(lambda: len(layers(zoe)) > count)
    got = [p for p in zoe.rtp if p.payload_type == VP8_PT]
    assert [p.sequence - got[0].sequence & 0xFFFF for p in got] == list(range(len(got)))
    world.server.want("room", "zoe", "no such slot", 100)
    world.server.want("room", "nobody", "3", 100)


async def test_when_the_best_layer_stops_the_next_one_takes_over_and_back(world: World) -> None:
    camera, zoe = await show(world)
    camera.active = ["h", "q"]  # what a browser does when its uplink gets narrow

    async def run(layer: str) -> None:
        while layers(zoe)[-1] != layer:
            camera.send(key=camera.frame % 10 == 0, named=False)
            await zoe.until(lambda: True)
            await _pause(zoe)

    await run("h")
    camera.client.send_rtcp(_bye(2000))
    await _pause(zoe)
    camera.active = list(RIDS)  # with the SSRC of before, and without naming it again
    await run("f")


async def _pause(client: Client) -> None:
    before = len(client.rtp)
    try:
        await client.until(lambda: len(client.rtp) > before, 0.05)
    except TimeoutError:
        return


def _bye(ssrc: int) -> bytes:
    return bytes((0x81, rtcp.BYE, 0, 1)) + ssrc.to_bytes(4, "big")


async def test_a_repair_finds_its_layer(world: World) -> None:
    camera, zoe = await show(world)
    ann = camera.client
    count = len(layers(zoe))
    camera.send()
    lost = camera.sequence["f"] + 1
    camera.sequence["f"] += 1
    camera.send()
    body = (lost & 0xFFFF).to_bytes(2, "big") + vp8(3, 3, body=b"f")
    ann.send(rtp(3000, RTX_PT, 1, 9000, body, mid="1", rid="f"))
    await zoe.until(lambda: len(layers(zoe)) == count + 3)
    got = [p.sequence for p in zoe.rtp if p.payload_type == VP8_PT]
    assert sorted(got) == list(range(got[0], got[0] + len(got)))


async def test_an_unknown_layer_is_refused(world: World) -> None:
    camera, _ = await show(world)
    camera.client.send(rtp(4000, VP8_PT, 1, 1, KEYFRAME, mid="1", rid="x"))
    await world.until(lambda: world.server.counters().drops.get("rtp_layer_not_accepted", 0) == 1)
