"""The flight recorder: what it keeps, that it stays within its bounds, and that a recording can be run again."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import recorder
from media.recorder import (
    MAX_ENDED,
    MAX_NAMES,
    RECORD,
    Kind,
    PeerName,
    Recorder,
    Recording,
    RecordingError,
    Snapshot,
)
from media.rerun import Sent, rerun
from media.timeline import render
from tests.media.client import DELTA, KEYFRAME, OPUS_PT, VP8_PT, Client, rtp, section, vp8
from tests.media.conftest import MakeWorld, World
from tests.media.test_server import pair, picture, shown, speak

SECRET = b"not for anybody's eyes"


async def recorded(world: World) -> Recording:
    data = await world.server.record("room")
    assert data is not None
    return recorder.read(data)


def slot_of(recording: Recording, participant: str, kind: str) -> tuple[int, int]:
    """(serial, SSRC) of a person's first slot of a kind."""
    peer = next(p.serial for p in recording.peers.values() if p.participant_id == participant)
    return next((s.serial, s.ssrc) for s in recording.slots.values() if s.peer == peer and s.kind == kind)


def received(client: Client, ssrc: int) -> list[int]:
    return [p.sequence for p in client.rtp if p.ssrc == ssrc]


def sent(packets: list[Sent], slot: int) -> list[int]:
    return [p.sequence for p in packets if p.slot == slot]


async def test_headers_are_kept_and_payloads_are_not(world: World) -> None:
    ann, zoe = await pair(world)
    ann.send(rtp(1000 + sum(b"ann"), OPUS_PT, 2, 1920, SECRET, mid="0", level=10, marker=True))
    await zoe.until(lambda: any(p.payload == SECRET for p in zoe.rtp))
    data = await world.server.record("room")
    assert data is not None and SECRET not in data
    recording = recorder.read(data)
    assert {p.participant_id for p in recording.peers.values()} == {"ann", "zoe"}
    last = [r for r in recording.records if r.kind == Kind.PACKET][-1]
    name = recording.streams[last.subject]
    assert (name.mid, name.codec, recording.peers[name.peer].participant_id) == ("0", "opus", "ann")
    assert (last.a, last.b & 0xFFFF, last.c, last.flags & recorder.MARKER) == (1920, 2, len(SECRET), 0x80)
    kinds = {Kind(r.kind) for r in recording.records}
    assert kinds >= {Kind.PACKET, Kind.JOINED, Kind.SHOWN, Kind.TARGET, Kind.BEGUN}


async def test_a_room_that_has_ended_can_still_be_read_and_another_one_cannot(world: World) -> None:
    ann, zoe = await pair(world)
    stranger = await world.join("eve", room="elsewhere")
    speak(stranger, 7)
    await world.until(lambda: world.server.counters().packets_in > 0)
    world.server.leave("room", ann.peer)
    world.server.leave("room", zoe.peer)
    assert world.server.peer_stats("room") == ()
    recording = await recorded(world)
    assert {r.subject for r in recording.records} <= {
        0, *recording.peers, *recording.streams, *recording.slots
    }  # fmt: skip
    assert sum(r.kind == Kind.LEFT for r in recording.records) == 2
    assert "eve" not in json.dumps([p.participant_id for p in recording.peers.values()])
    assert await world.server.record("never was") is None


async def test_switched_off_there_is_none(make_world: MakeWorld) -> None:
    world = await make_world(recorder_bytes=0)
    await pair(world)
    assert await world.server.record("room") is None


async def test_a_recording_runs_again_to_the_same_numbers(world: World) -> None:
    """Loss, padding, a pause, a long gap and a newcomer who is shown the cached keyframe."""
    ann, zoe = await pair(world)
    chance = random.Random(1)
    number = 101
    for turn in range(6):
        for _ in range(40):
            number += 1
            if chance.random() < 0.1:
                continue
            which = chance.random()
            if which < 0.1:
                picture(ann, number, b"", padding=20)
            else:
                picture(ann, number, KEYFRAME if which < 0.15 else DELTA)
        speak(ann, 10 + turn)
        await zoe.until(lambda n=turn: any(p.payload == b"opus-%d" % (10 + n) for p in zoe.rtp))  # type: ignore[misc]
        match turn:
            case 1:
                world.server.want("room", zoe.peer, "3", 0)
            case 2:
                world.server.want("room", zoe.peer, "3", None)
                picture(ann, number + 1, KEYFRAME)
            case 3:
                number += 400  # too much to mend: everybody waits for a keyframe
            case 4:
                picture(ann, number + 1, KEYFRAME)
                late = await world.join("bob")
                await shown(world, late, "ann")
    recording = await recorded(world)
    result = rerun(recording)
    assert result.differences == [] and result.checked >= 5
    for client in (zoe, late):
        for kind in ("audio", "video"):
            serial, ssrc = slot_of(recording, client.participant, kind)
            numbers = received(client, ssrc)
            assert len(numbers) > 3 * (kind == "video")
            assert sent(result.sent, serial) == numbers


async def test_layers_are_switched_at_the_same_packets(world: World) -> None:
    """Three simulcast layers that arrive in one batch, keyframes on each now and then, and changing wishes."""
    sections = [
        section("0", "audio", "sendonly"),
        section("1", "video", "sendonly",
                extra=("a=rid:f send", "a=rid:h send", "a=rid:q send", "a=simulcast:send f;h;q")),
    ]  # fmt: skip
    ann = Client(world.server, "room", "ann", "ann", sections)
    world.clients.append(ann)
    await ann.connect()
    zoe = await world.join("zoe")
    speak(ann, 1)
    await shown(world, zoe, "ann")
    chance = random.Random(2)
    numbers = {"f": 100, "h": 20_000, "q": 65_500}  # the last one wraps
    for turn in range(40):
        burst = []
        for _ in range(12):
            rid = chance.choice("fhq")
            numbers[rid] += 1
            key = chance.random() < 0.15
            picture_id, height = numbers[rid] & 0x7FFF, {"f": 720, "h": 360, "q": 180}[rid]
            burst.append(
                ann.protect(
                    rtp(3000 + ord(rid), VP8_PT, numbers[rid], numbers[rid] * 3000,
                        vp8(picture_id, picture_id, chance.randrange(3), key=key, height=height),
                        mid="1", rid=rid, marker=True)
                )
            )  # fmt: skip
        for data in burst:
            ann.raw(data)
        speak(ann, 10 + turn)
        await zoe.until(lambda n=turn: any(p.payload == b"opus-%d" % (10 + n) for p in zoe.rtp))  # type: ignore[misc]
        world.server.want("room", zoe.peer, "3", chance.choice([180, 360, 720, None]))
        if turn == 20:
            world.server._peers[2].outlets["3"].limit_temporal(1)
    recording = await recorded(world)
    assert any(r.kind == Kind.LEFT_OUT for r in recording.records)
    serial, ssrc = slot_of(recording, "zoe", "video")
    begun = [r for r in recording.records if r.kind == Kind.BEGUN and r.subject == serial]
    assert len({r.a for r in begun}) == 3  # all layers were sent in turn
    result = rerun(recording)
    assert result.differences == []
    got = received(zoe, ssrc)
    assert sent(result.sent, serial) == got
    assert [n - got[0] & 0xFFFF for n in got] == list(range(len(got)))


async def test_a_recording_that_begins_in_the_middle_is_joined_at_the_next_second(
    make_world: MakeWorld,
) -> None:
    world = await make_world(recorder_bytes=60 * RECORD.size, report_seconds=0.1)
    ann, zoe = await pair(world)
    number = 101
    while True:
        for _ in range(10):
            number += 1
            picture(ann, number)
        await zoe.until(lambda n=number: len(zoe.rtp) >= n - 101)  # type: ignore[misc]
        recording = await recorded(world)
        slot, ssrc = slot_of(recording, "zoe", "video")
        begun = any(r.kind == Kind.BEGUN and r.subject == slot for r in recording.records)
        states = [r for r in recording.records if r.kind == Kind.STATE and r.subject == slot]
        if not begun and len(states) >= 1 and recording.records[-1].kind == Kind.PACKET:
            break
        assert len(recording.records) <= 60
    result = rerun(recording)
    assert result.differences == []
    tail = sent(result.sent, slot)
    assert tail and received(zoe, ssrc)[-len(tail) :] == tail


async def test_a_rerun_tells_where_it_differs(world: World) -> None:
    """Not a test that everything is always alike: a recording that was tampered with is found out."""
    ann, zoe = await pair(world)
    for number in range(102, 130):
        picture(ann, number)
    speak(ann, 2)
    await zoe.until(lambda: any(p.payload == b"opus-2" for p in zoe.rtp))
    world.server.want("room", zoe.peer, "3", 0)
    world.server.want("room", zoe.peer, "3", None)
    picture(ann, 130, KEYFRAME)
    speak(ann, 3)
    await zoe.until(lambda: any(p.payload == b"opus-3" for p in zoe.rtp))
    recording = await recorded(world)
    assert rerun(recording).differences == []
    records = list(recording.records)
    video = [i for i, r in enumerate(records) if r.kind == Kind.PACKET and r.b & 0xFFFF == 110]
    del records[video[0]]
    changed = Recording(
        recording.room_id, recording.offset, recording.reasons, recording.peers, recording.streams,
        recording.slots, tuple(records),
    )  # fmt: skip
    # A packet fewer leaves its number free, as a lost one would: the numbers after it stay.
    assert rerun(changed).differences == []
    padding = records[video[0]]._replace(c=0)
    records[video[0]] = padding
    changed = Recording(
        recording.room_id, recording.offset, recording.reasons, recording.peers, recording.streams,
        recording.slots, tuple(records),
    )  # fmt: skip
    assert len(rerun(changed).differences) == 1


# The ring and the format, without a server.


def taken(ring: Recorder, offset: float = 0.0) -> Snapshot:
    snapshot = ring.take("room", offset)
    assert snapshot is not None
    snapshot.ring.extend(ring.parts())
    return snapshot


@given(st.integers(0, 2000), st.lists(st.integers(1, 2**32 - 1), max_size=200))
def test_the_ring_keeps_the_newest_in_order(size: int, numbers: list[int]) -> None:
    ring = Recorder(size)
    ring._name("room", PeerName(1, "p", "p"))
    for number in numbers:
        ring.note(1.0, 1, number, 0, 0, Kind.PACKET, 0)
    snapshot = taken(ring)
    room = max(1, size // RECORD.size)
    assert [r.a for r in recorder.read(snapshot.write()).records] == numbers[-room:]
    assert sum(map(len, snapshot.ring)) == room * RECORD.size


@given(st.integers(), st.integers(), st.integers())
def test_events_are_cut_to_their_fields(a: int, b: int, c: int) -> None:
    ring = Recorder(RECORD.size)
    ring.event(Kind.LINE, 1, 2.0, a, b, c)


def test_names_are_bounded() -> None:
    ring = Recorder(1000)
    for serial in range(MAX_NAMES + 50):
        ring._name("busy", PeerName(serial, "p", "p"))
    for room in range(MAX_ENDED + 10):
        ring._name(f"room-{room}", PeerName(1, "p", "p"))
        ring.ended(f"room-{room}")
    busy = ring.take("busy", 0.0)
    assert busy is not None and len(busy.names) == MAX_NAMES
    assert ring.take("room-0", 0.0) is None
    assert ring.take(f"room-{MAX_ENDED + 9}", 0.0) is not None
    assert len(ring._rooms) == MAX_ENDED + 1


@given(st.binary(max_size=300))
def test_anything_else_is_no_recording(data: bytes) -> None:
    with pytest.raises(RecordingError):
        recorder.read(data)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_nor_is_a_broken_header(header: bytes, body: bytes) -> None:
    with pytest.raises(RecordingError):
        recorder.read(recorder._HEAD.pack(b"VVFR", 1, 24, len(header)) + header + body)


async def test_a_recording_in_words(world: World) -> None:
    """What an operator reads; every kind of record has its words."""
    ann, zoe = await pair(world)
    for number in range(102, 140):
        if number % 10:
            picture(ann, number)
    world.server.want("room", zoe.peer, "3", 0)
    world.server.want("room", zoe.peer, "3", 360)
    picture(ann, 140, KEYFRAME)
    speak(ann, 2)
    await zoe.until(lambda: any(p.payload == b"opus-2" for p in zoe.rtp))
    text = render(await recorded(world))
    assert "ann (ann) video 1 (vp8): 38 packets, 1 kB, 3 never came (7.3 %), 2 keyframe packets" in text
    for words in (
        "ann (ann) sends media", "zoe (zoe) slot 3 shows ann (ann)", "zoe (zoe) slot 3 is to get nothing",
        "zoe (zoe) slot 3 waits for something to start with", "zoe (zoe) slot 3 is to get 360 lines",
        "zoe (zoe) slot 3 aims at ann (ann) video 1", "zoe (zoe) slot 3 gets ann (ann) video 1 from 140 on, as ",
    ):  # fmt: skip
        assert words in text, words
    ring = Recorder(4096)
    ring._name("room", PeerName(1, "p", "p"))
    for kind in Kind:
        ring.event(kind, 1, 3.0, 50, 2, 0)
    ring.drops({"srtp_auth_failed": 7}, 4.0)
    snapshot = taken(ring, 1_000_000.0)
    text = render(recorder.read(snapshot.write()))
    assert "1970-01-12T13:46:44.000Z  dropped in the whole process: 7 x srtp_auth_failed" in text
    assert "the server was 50 ms late" in text and "the line carries 50 kb/s" in text
