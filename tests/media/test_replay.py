"""What a newcomer sees before the next live keyframe, through the server's port and on the forwarder itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.forward import Sender
from media.replay import MAX_KEYFRAME_PACKETS, MAX_SINCE_PACKETS, Opening
from media.rtcp import KeyframeRequest
from media.tally import Tally
from tests.media.client import DELTA, KEYFRAME, OPUS_PT, VP8_PT, Client, rtp
from tests.media.conftest import MakeWorld, World
from tests.media.test_forward import Network, Subscriber, forward, source

VIDEO = 2000


def picture(client: Client, sequence: int, payload: bytes, *, frame: int, marker: bool = True) -> None:
    client.send(rtp(VIDEO, VP8_PT, sequence, frame * 3000, payload, mid="1", marker=marker))


def keyframe(client: Client, sequence: int, frame: int) -> None:
    """A keyframe of three packets."""
    picture(client, sequence, KEYFRAME + b"k0", frame=frame, marker=False)
    picture(client, sequence + 1, b"\0k1", frame=frame, marker=False)
    picture(client, sequence + 2, b"\0k2", frame=frame)


def requests(client: Client) -> int:
    return sum(isinstance(p, KeyframeRequest) for p in client.rtcp)


def video_of(client: Client) -> list[bytes]:
    return [p.payload for p in client.rtp if p.payload_type == VP8_PT]


async def publisher(world: World) -> Client:
    """Somebody who has sent a keyframe and five frames to one viewer, and was asked for that keyframe."""
    ann, zoe = await world.join("ann"), await world.join("zoe")
    picture(ann, 99, DELTA, frame=0)
    await ann.until(lambda: requests(ann) == 1)
    keyframe(ann, 100, 1)
    for number in range(5):
        picture(ann, 103 + number, DELTA + b"%d" % number, frame=2 + number)
    await zoe.until(lambda: len(video_of(zoe)) == 8)
    return ann


async def test_a_newcomer_is_live_at_once(world: World) -> None:
    ann = await publisher(world)
    kim = await world.join("kim")
    await kim.until(lambda: len(video_of(kim)) == 8)
    picture(ann, 108, DELTA + b"live", frame=7)
    await kim.until(lambda: len(video_of(kim)) == 9)
    assert video_of(kim)[0] == KEYFRAME + b"k0" and video_of(kim)[-1] == DELTA + b"live"
    got = [p for p in kim.rtp if p.payload_type == VP8_PT]
    assert [p.sequence - got[0].sequence & 0xFFFF for p in got] == list(range(9))
    stamps = [p.timestamp - got[0].timestamp & 0xFFFFFFFF for p in got]
    assert stamps == [0, 0, 0, 90, 180, 270, 360, 450, 450 + 3000]  # frames squeezed to now, then real time
    assert requests(ann) == 1  # nobody had to ask
    # What got lost of the replay is sent again just as it was.
    kim.send_rtcp(rtcp.write_nack(1, got[0].ssrc, [got[1].sequence, got[5].sequence]))
    await kim.until(lambda: sum(p.payload_type == 97 for p in kim.rtp) == 2)
    again = [p for p in kim.rtp if p.payload_type == 97]
    assert [(p.timestamp, p.payload[2:]) for p in again] == [
        (p.timestamp, p.payload) for p in (got[1], got[5])
    ]


async def test_after_too_much_a_still_is_shown_until_the_live_keyframe(world: World) -> None:
    ann = await publisher(world)
    for number in range(MAX_SINCE_PACKETS):
        picture(ann, 108 + number, DELTA, frame=7 + number)
    kim = await world.join("kim")
    await kim.until(lambda: len(video_of(kim)) == 3)
    await ann.until(lambda: requests(ann) == 2)
    picture(ann, 500, DELTA + b"not for kim", frame=300)
    keyframe(ann, 501, 301)
    await kim.until(lambda: len(video_of(kim)) == 6)
    got = [p for p in kim.rtp if p.payload_type == VP8_PT]
    assert [p.payload for p in got] == [KEYFRAME + b"k0", b"\0k1", b"\0k2"] * 2
    assert [p.sequence - got[0].sequence & 0xFFFF for p in got] == list(range(6))
    assert 0 < (got[3].timestamp - got[0].timestamp & 0xFFFFFFFF) < 90000 * 10  # the time that passed


async def test_an_old_picture_is_not_shown(make_world: MakeWorld) -> None:
    world = await make_world(keyframe_cache_seconds=0.0)
    ann = await publisher(world)
    kim = await world.join("kim")
    await ann.until(lambda: requests(ann) == 2)
    ann.send(rtp(1000, OPUS_PT, 1, 960, b"sound", mid="0"))
    await kim.until(lambda: any(p.payload == b"sound" for p in kim.rtp))
    assert video_of(kim) == []


@given(st.permutations(range(6)), st.sets(st.integers(1, 5), max_size=2), st.booleans())
def test_a_keyframe_is_whole_or_nothing(order: list[int], lost: set[int], ends: bool) -> None:
    opening = Opening(3000, 1.0)
    for number in order:
        if number not in lost:
            marker = 0x80 if number == 5 and ends else 0
            opening.add((100 + number, 3000, marker, b"%d" % number, None, 1.0))
    whole = [b"%d" % number for number in range(6)]
    expected = whole if ends and not lost else []  # the first packet is what an Opening is made for
    assert [p[3] for p in opening.packets()] == expected


def test_a_keyframe_without_end_is_not_kept() -> None:
    opening = Opening(0, 1.0)
    for number in range(MAX_KEYFRAME_PACKETS + 50):
        opening.add((number, 0, 0x80, b"", None, 1.0))
    assert opening.packets() == []


@given(
    st.integers(1, 5), st.lists(st.integers(1, 3), max_size=20), st.sets(st.integers(0, 60), max_size=1),
    st.integers(0, (1 << 32) - 1),
)  # fmt: skip
def test_replayed_or_not_the_output_is_gapless_and_time_goes_on(
    key: int, deltas: list[int], missing: set[int], base: int
) -> None:
    viewer, tally = Subscriber(), Tally()
    sender = Sender(Network(viewer), tally, True)
    before = source(1000)
    viewer.outlet.attach(before.track)
    forward(before, 5, 12345, KEYFRAME, sender, 9.0)
    viewer.outlet.detach(9.1)
    stream = source(2000)
    number, frame, lost = 100, 0, False
    stream.opening = Opening(base, 10.0)
    for size in [key, *deltas]:
        for place in range(size):
            last = place == size - 1
            stamp = base + frame * 3000 & 0xFFFFFFFF
            payload = (KEYFRAME if frame == 0 and place == 0 else DELTA) + b"%d" % number
            assert stream.ring is not None
            if frame and number - 100 in missing:
                lost = True
            else:
                stream.ring.store((number, stamp, last << 7, payload, None, 10.0))
            if frame == 0:
                stream.opening.add((number, stamp, last << 7, payload, None, 10.0))
            stream.highest = number
            number += 1
        frame += 1
    viewer.outlet.attach(stream.track)
    sender.replay(viewer.outlet, 10.0, 10.5)
    assert viewer.outlet.waiting is lost
    assert stream.keyframe_wanted is lost
    assert len(viewer.got) == 1 + (key if lost else number - 100)
    forward(stream, number, base + frame * 3000 & 0xFFFFFFFF, DELTA, sender, 10.6)
    forward(stream, number + 1, base + (frame + 1) * 3000 & 0xFFFFFFFF, KEYFRAME, sender, 10.7)
    for one, two in zip(viewer.got, viewer.got[1:], strict=False):
        assert two[2] - one[2] & 0xFFFF == 1
        assert 0 <= (two[3] - one[3] & 0xFFFFFFFF) < 90000 * 3
