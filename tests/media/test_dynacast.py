"""What publishers are told of layers nobody wants: off after a while, on at once, what a viewer may need stays."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from media import LayersWanted
from media.dynacast import OFF_SECONDS, Announced, wanted
from media.rtcp import KeyframeRequest
from tests.media.client import DELTA, KEYFRAME, OPUS_PT, VP8_PT, Client, rtp
from tests.media.conftest import World
from tests.media.test_layers import RIDS, layered, layers, show

WANTS = st.lists(st.one_of(st.none(), st.integers(0, 1500)), max_size=6)


def test_the_best_that_somebody_is_sent_and_what_he_falls_back_to() -> None:
    track = layered()  # heights unknown: 720, 360, 180
    told = [
        wanted(track, heights) for heights in ([None], [720, 100], [360, 0], [181], [180], [1, 0], [0, 0], [])
    ]
    assert told == [RIDS, RIDS, ("h", "q"), ("h", "q"), ("q",), ("q",), (), ()]
    track.layers["h"].height = 540  # then the others are 1080 and 270
    assert [wanted(track, [height]) for height in (541, 540, 270)] == [RIDS, ("h", "q"), ("q",)]
    assert wanted(layered(("",)), [100]) == ("",)
    assert wanted(layered(("",)), [0]) == ()


@given(st.lists(st.tuples(st.floats(0, 5), WANTS), max_size=30))
def test_nobody_waits_for_a_layer_and_none_goes_before_its_time(
    story: list[tuple[float, list[int | None]]],
) -> None:
    track = layered()
    announced = Announced(RIDS)
    now = 100.0
    last_wanted = dict.fromkeys(RIDS, now)
    for passed, heights in story:
        now += passed
        needed = wanted(track, heights)
        before = announced.rids
        assert announced.step(needed, RIDS, now) == (announced.rids != before)
        assert set(needed) <= set(announced.rids)
        for rid in needed:
            last_wanted[rid] = now
        for rid in set(before) - set(announced.rids):
            assert now - last_wanted[rid] >= OFF_SECONDS


async def until_told(world: World, rids: tuple[str, ...]) -> None:
    await world.until(lambda: bool(world.all(LayersWanted)) and world.all(LayersWanted)[-1].rids == rids)


async def test_what_a_slot_wants_reaches_the_publisher(world: World) -> None:
    camera, _ = await show(world)
    talking = asyncio.create_task(_talk(camera.client))
    try:
        assert not world.all(LayersWanted)
        world.server.want("room", "zoe", "3", 200)
        await until_told(world, ("h", "q"))
        world.server.want("room", "zoe", "3", None)
        await until_told(world, RIDS)
        world.server.want("room", "zoe", "3", 0)
        await until_told(world, ())
        kim = await world.join("kim")
        await until_told(world, RIDS)
        world.server.leave("room", "kim")
        await until_told(world, ())
        assert {(e.peer_id, e.mid) for e in world.all(LayersWanted)} == {("ann", "1")}
        await kim.close()
    finally:
        talking.cancel()


async def test_a_layer_that_was_off_is_shown_from_its_first_keyframe(world: World) -> None:
    camera, zoe = await show(world)

    async def run(frames: int) -> None:
        for _ in range(frames):
            camera.send()
            await asyncio.sleep(0.02)

    world.server.want("room", "zoe", "3", 200)
    await run(2)
    camera.send(key=True)
    await zoe.until(lambda: layers(zoe)[-1] == "h")
    while not world.all(LayersWanted):
        await run(1)
    camera.active = ["h", "q"]
    await run(40)  # longer than a layer is taken for alive
    asked = len(camera.client.rtcp)
    world.server.want("room", "zoe", "3", None)
    await camera.client.until(
        lambda: any(isinstance(p, KeyframeRequest) and p.ssrc == 2000 for p in camera.client.rtcp[asked:])
    )
    assert world.all(LayersWanted)[-1].rids == RIDS
    camera.active = list(RIDS)
    camera.send(key=True)
    await zoe.until(lambda: layers(zoe)[-1] == "f")


async def _talk(client: Client) -> None:
    number = 0
    while True:
        number += 1
        client.send(rtp(1000, OPUS_PT, number, number * 960, b"sound", mid="0"))
        await asyncio.sleep(0.02)


async def test_whoever_sends_only_a_picture_goes_on_sending_something(world: World) -> None:
    """His presence is told by his packets."""
    camera, _ = await show(world)
    world.server.want("room", "zoe", "3", 0)
    await until_told(world, ("q",))
    assert camera.active


async def test_a_picture_without_layers_is_wanted_or_not(world: World) -> None:
    ann = await world.join("ann", slots=0)
    talking = asyncio.create_task(_talk(ann))
    try:
        ann.send(rtp(2000, VP8_PT, 1, 1, KEYFRAME, mid="1"))
        await until_told(world, ())  # there is nobody else
        zoe = world.join("zoe")
        await asyncio.gather(zoe, until_told(world, ("",)))
        ann.send(rtp(2000, VP8_PT, 2, 3001, DELTA, mid="1"))
    finally:
        talking.cancel()
