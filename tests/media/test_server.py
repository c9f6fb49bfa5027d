"""What MediaServer promises, through its UDP port and its methods, with real clients."""

from __future__ import annotations

import asyncio
import time

import pytest

from media import (
    LeaveReason,
    MediaConfig,
    MediaServer,
    OfferError,
    PeerClosed,
    PeerJoined,
    PeerLeft,
    SlotsChanged,
)
from media import rtcp as wire_rtcp
from media.rtcp import KeyframeRequest, Nack, ReceiverReport, SenderReport
from tests.media.client import DELTA, KEYFRAME, OPUS_PT, RTX_PT, VP8_PT, Client, caller, rtp, section
from tests.media.conftest import MakeWorld, World

AUDIO, VIDEO = 1000, 2000  # SSRCs


def speak(client: Client, sequence: int, *, level: int = 30) -> None:
    ssrc = AUDIO + sum(client.participant.encode())
    client.send(rtp(ssrc, OPUS_PT, sequence, sequence * 960, b"opus-%d" % sequence, mid="0", level=level))


def picture(
    client: Client, sequence: int, payload: bytes = DELTA, *, ssrc: int = VIDEO, padding: int = 0
) -> None:
    client.send(rtp(ssrc, VP8_PT, sequence, sequence * 3000, payload, mid="1", padding=padding))


def video_of(client: Client) -> list[int]:
    return [p.sequence for p in client.rtp if p.payload_type == VP8_PT]


async def shown(world: World, viewer: Client, participant: str) -> None:
    """Wait until `viewer` has `participant` in a slot."""

    def condition() -> bool:
        event = world.server.slots(viewer.room, viewer.peer)
        return event is not None and any(s.participant_id == participant for s in event.slots)

    await world.until(condition)


async def pair(world: World) -> tuple[Client, Client]:
    """Two connected people who have spoken, and video of ann's is running at zoe's."""
    ann, zoe = await world.join("ann"), await world.join("zoe")
    speak(ann, 1)
    speak(zoe, 1)
    await shown(world, zoe, "ann")
    await shown(world, ann, "zoe")
    picture(ann, 100)  # binds the stream; a delta frame is nothing to start with
    await ann.until(lambda: any(isinstance(p, KeyframeRequest) and p.ssrc == VIDEO for p in ann.rtcp))
    picture(ann, 101, KEYFRAME)
    await zoe.until(lambda: len(video_of(zoe)) == 1)
    return ann, zoe


async def test_media_reach_the_others_slots_and_not_oneself(world: World) -> None:
    ann, zoe = await pair(world)
    for sequence in range(2, 12):
        speak(ann, sequence)
    for sequence in range(102, 112):
        picture(ann, sequence)
    await zoe.until(lambda: len(zoe.rtp) >= 21)
    audio = [p for p in zoe.rtp if p.payload_type == OPUS_PT]
    video = [p for p in zoe.rtp if p.payload_type == VP8_PT]
    assert {p.mid for p in audio} == {"2"}
    assert {p.mid for p in video} == {"3"}
    assert len({p.ssrc for p in audio}) == len({p.ssrc for p in video}) == 1
    assert [p.payload for p in audio][-10:] == [b"opus-%d" % i for i in range(2, 12)]
    first = video[0].sequence
    assert [p.sequence - first for p in video] == list(range(11))
    assert [p.timestamp - video[0].timestamp for p in video] == [3000 * i for i in range(11)]
    # Nobody is shown to himself, in no slot.
    assert all(
        slot.participant_id != "ann"
        for e in world.all(SlotsChanged)
        if e.peer_id == "ann"
        for slot in e.slots
    )
    assert not [p for p in ann.rtp if p.payload_type == VP8_PT]


async def test_a_second_tab_of_a_person_does_not_see_itself(world: World) -> None:
    tab, other = await world.join("ann", peer="tab1"), await world.join("ann", peer="tab2")
    speak(tab, 1)
    speak(other, 1)
    await world.until(lambda: len(world.all(PeerJoined)) == 2)
    zoe = await world.join("zoe", slots=3)
    await shown(world, zoe, "ann")
    assert world.server.slots("room", "tab1") is not None
    for peer in ("tab1", "tab2"):
        event = world.server.slots("room", peer)
        assert event is not None and {s.participant_id for s in event.slots} == {None}
    event = world.server.slots("room", "zoe")
    assert event is not None and [s.participant_id for s in event.slots] == [
        "ann",
        "ann",
        None,
        None,
        None,
        None,
    ]


async def test_presence_follows_the_packets(make_world: MakeWorld) -> None:
    world = await make_world(media_silence_seconds=0.4)
    ann = await world.join("ann")
    assert world.all(PeerJoined) == []  # connected, but nothing has been sent
    before = time.time()
    speak(ann, 1)
    await world.until(lambda: len(world.all(PeerJoined)) == 1)
    joined = world.all(PeerJoined)[0]
    assert (joined.room_id, joined.participant_id, joined.peer_id) == ("room", "ann", "ann")
    assert before - 0.01 <= joined.at <= time.time()
    speak(ann, 2)
    last = time.time()
    await world.until(lambda: bool(world.all(PeerLeft)))
    left = world.all(PeerLeft)[0]
    assert left.reason is LeaveReason.MEDIA_SILENCE
    assert abs(left.at - last) < 0.3  # the time of the packet, not of the discovery
    assert world.all(PeerClosed) == []
    (sample,) = world.server.presence("room")
    assert sample.joined_at is None
    assert sample.talk_seconds == pytest.approx(0.04)
    assert sample.media_seconds == pytest.approx(left.at - joined.at, abs=0.05)
    speak(ann, 3)
    await world.until(lambda: len(world.all(PeerJoined)) == 2)
    world.server.leave("room", "ann")
    await world.until(lambda: bool(world.all(PeerClosed)))
    assert [e.reason for e in world.all(PeerLeft)] == [LeaveReason.MEDIA_SILENCE, LeaveReason.LEFT]
    assert world.server.presence("room") == ()
    assert world.server.counters().rooms == world.server.counters().peers == 0


async def test_quiet_audio_is_not_talk(world: World) -> None:
    ann = await world.join("ann")
    for sequence in range(10):
        speak(ann, sequence, level=20 if sequence < 4 else 60)
    await world.until(lambda: world.server.counters().packets_in > 0 and bool(world.all(PeerJoined)))
    await world.until(lambda: world.server.peer_stats("room")[0].streams[0].packets == 10)
    assert world.server.presence("room")[0].talk_seconds == pytest.approx(0.08)


async def test_close_notify_ends_the_stay_and_frees_the_slots(world: World) -> None:
    ann, zoe = await pair(world)
    await ann.say_goodbye()
    await world.until(lambda: any(e.participant_id == "ann" for e in world.all(PeerClosed)))
    assert [(e.participant_id, e.reason) for e in world.all(PeerLeft)] == [("ann", LeaveReason.DTLS_CLOSE)]
    event = world.all(SlotsChanged)[-1]
    assert event.peer_id == "zoe" and {s.participant_id for s in event.slots} == {None}
    kim = await world.join("kim")
    speak(kim, 1)
    await shown(world, zoe, "kim")
    before = len(zoe.rtp)
    speak(kim, 2)
    await zoe.until(lambda: len(zoe.rtp) > before)
    sequences = [p.sequence for p in zoe.rtp if p.mid == "2"]
    assert sequences == list(
        range(sequences[0], sequences[0] + len(sequences))
    )  # another person, the same stream


async def test_leave_sends_close_notify(world: World) -> None:
    ann = await world.join("ann")
    world.server.leave("room", "ann", LeaveReason.REPLACED)
    await ann.until(lambda: ann.dtls.state == "closed")
    await world.until(lambda: bool(world.all(PeerClosed)))
    assert world.all(PeerClosed)[0].reason is LeaveReason.REPLACED
    assert world.all(PeerLeft) == []  # he never sent anything, so he was never there


async def test_without_checks_the_peer_times_out(make_world: MakeWorld) -> None:
    world = await make_world(ice_timeout_seconds=0.6)
    ann = await world.join("ann")
    await ann.check()
    await world.until(lambda: bool(world.all(PeerClosed)))
    assert world.all(PeerClosed)[0].reason is LeaveReason.ICE_TIMEOUT


async def test_checks_alone_do_not_hold_a_place(make_world: MakeWorld) -> None:
    world = await make_world(ice_timeout_seconds=0.6)
    ann = caller(world.server, "ann")
    world.clients.append(ann)
    await ann.join()
    await ann.open()
    answered = 0
    while not world.all(PeerClosed):
        try:
            await ann.check()
            answered += 1
            await world.until(lambda: bool(world.all(PeerClosed)), 0.1)
        except TimeoutError:
            continue  # not closed yet, or closed just before this check
    assert answered > 2
    assert world.all(PeerClosed)[0].reason is LeaveReason.ICE_TIMEOUT


async def test_server_stop_says_goodbye_to_everybody(world: World) -> None:
    ann, zoe = await pair(world)
    await world.server.close()
    assert {(e.participant_id, e.reason) for e in world.all(PeerLeft)} == {
        ("ann", LeaveReason.SERVER_STOP),
        ("zoe", LeaveReason.SERVER_STOP),
    }
    await ann.until(lambda: ann.dtls.state == "closed")
    await zoe.until(lambda: zoe.dtls.state == "closed")
    with pytest.raises(OfferError) as refused:
        await ann.join()
    assert refused.value.code == "closed"


async def test_a_subscriber_gets_lost_packets_again_as_rtx(world: World) -> None:
    ann, zoe = await pair(world)
    for sequence in range(102, 112):
        picture(ann, sequence, DELTA + b"%d" % sequence)
    await zoe.until(lambda: len(video_of(zoe)) == 11)
    lost = [p for p in zoe.rtp if p.payload_type == VP8_PT][3:5]
    zoe.send_rtcp(wire_rtcp.write_nack(1, lost[0].ssrc, [p.sequence for p in lost]))
    await zoe.until(lambda: sum(p.payload_type == RTX_PT for p in zoe.rtp) == 2)
    again = [p for p in zoe.rtp if p.payload_type == RTX_PT]
    assert [int.from_bytes(p.payload[:2], "big") for p in again] == [p.sequence for p in lost]
    assert [p.payload[2:] for p in again] == [p.payload for p in lost]
    assert [p.timestamp for p in again] == [p.timestamp for p in lost]
    assert {p.mid for p in again} == {"3"} and {p.ssrc for p in again}.isdisjoint({p.ssrc for p in lost})


async def test_a_publisher_is_asked_for_lost_packets_and_their_rtx_is_undone(world: World) -> None:
    ann, zoe = await pair(world)
    picture(ann, 102)
    picture(ann, 105)
    await ann.until(lambda: any(isinstance(p, Nack) for p in ann.rtcp))
    nack = next(p for p in ann.rtcp if isinstance(p, Nack))
    assert (nack.ssrc, nack.missing) == (VIDEO, (103, 104))
    for order, sequence in enumerate(nack.missing):
        body = sequence.to_bytes(2, "big") + DELTA + b"again"
        ann.send(rtp(2001, RTX_PT, 500 + order, sequence * 3000, body, mid="1"))
    await zoe.until(lambda: len(video_of(zoe)) == 5)
    first = video_of(zoe)[0]
    assert sorted(s - first for s in video_of(zoe)) == [0, 1, 2, 3, 4]
    recovered = [p for p in zoe.rtp if p.payload == DELTA + b"again"]
    assert [p.timestamp - recovered[0].timestamp for p in recovered] == [0, 3000]
    (ann_stats,) = (s for s in world.server.peer_stats("room") if s.participant_id == "ann")
    assert (
        next(s for s in ann_stats.streams if s.ssrc == VIDEO).lost == 2
    )  # the network's loss, recovered or not


async def test_nacks_are_repeated_and_given_up(world: World) -> None:
    ann, _zoe = await pair(world)
    picture(ann, 103)
    await ann.until(lambda: sum(isinstance(p, Nack) for p in ann.rtcp) == 5)
    await asyncio.sleep(0.5)  # one more would have come within 0.4 s
    assert sum(isinstance(p, Nack) for p in ann.rtcp) == 5


async def test_padding_leaves_no_hole(world: World) -> None:
    ann, zoe = await pair(world)
    picture(ann, 102)
    picture(ann, 103, b"", padding=200)
    picture(ann, 104, b"", padding=100)
    picture(ann, 105, DELTA, padding=9)
    await zoe.until(lambda: len(video_of(zoe)) == 3)
    first = video_of(zoe)[0]
    assert [s - first for s in video_of(zoe)] == [0, 1, 2]
    assert zoe.rtp[-1].payload == DELTA


async def test_keyframe_requests_are_throttled_and_repeated(world: World) -> None:
    ann, zoe = await pair(world)
    asked = sum(isinstance(p, KeyframeRequest) for p in ann.rtcp)
    slot = next(p.ssrc for p in zoe.rtp if p.payload_type == VP8_PT)
    started = time.monotonic()
    for _ in range(30):
        zoe.send_rtcp(wire_rtcp.write_pli(1, slot))
    await ann.until(lambda: sum(isinstance(p, KeyframeRequest) for p in ann.rtcp) >= asked + 2)
    assert time.monotonic() - started >= 0.45  # the second request came by repetition, not by the other 29
    picture(ann, 102, KEYFRAME)
    await zoe.until(lambda: len(video_of(zoe)) == 2)
    total = sum(isinstance(p, KeyframeRequest) for p in ann.rtcp)
    await asyncio.sleep(0.7)
    assert sum(isinstance(p, KeyframeRequest) for p in ann.rtcp) == total  # satisfied


async def test_reports_carry_the_publishers_clock_and_the_round_trip(world: World) -> None:
    ann, zoe = await pair(world)
    ntp = (3_900_000_000 << 32) | 12345
    ann.send_rtcp(wire_rtcp.write_sender_report(SenderReport(VIDEO, ntp, 101 * 3000, 5, 500)))
    slot = next(p for p in zoe.rtp if p.payload_type == VP8_PT)
    await zoe.until(lambda: any(isinstance(p, SenderReport) and p.ssrc == slot.ssrc for p in zoe.rtcp))
    report = next(p for p in zoe.rtcp if isinstance(p, SenderReport) and p.ssrc == slot.ssrc)
    elapsed = (report.ntp - ntp) / (1 << 32)
    assert 0 <= elapsed < 5
    assert report.timestamp - slot.timestamp == pytest.approx(elapsed * 90000, abs=2)
    # The publisher learns his losses and our answer to his report.
    await ann.until(lambda: any(b.last_report == ntp >> 16 & 0xFFFFFFFF for b in blocks(ann)))
    # A subscriber's report gives his round trip time.
    zoe.send_rtcp(
        wire_rtcp.write_receiver_report(
            7, (wire_rtcp.ReportBlock(slot.ssrc, 0, 3, 9, 90, report.ntp >> 16 & 0xFFFFFFFF, 0),)
        )
    )

    def seen() -> bool:
        streams = next(s for s in world.server.peer_stats("room") if s.participant_id == "zoe").streams
        one = next(s for s in streams if s.ssrc == slot.ssrc)
        return one.lost == 3 and one.jitter_seconds == pytest.approx(0.001) and one.rtt_seconds is not None

    await world.until(seen)


def blocks(client: Client) -> list[wire_rtcp.ReportBlock]:
    return [b for p in client.rtcp if isinstance(p, SenderReport | ReceiverReport) for b in p.blocks]


async def test_transport_feedback_reports_every_packet(world: World) -> None:
    ann = await world.join("ann")
    for number in range(50):
        ann.send(rtp(VIDEO, VP8_PT, number, 0, DELTA, mid="1", transport=65530 + number & 0xFFFF))

    def counted() -> int:
        return sum(
            int.from_bytes(p[14:16], "big")
            for p in ann.raw_rtcp
            if p[1] == wire_rtcp.RTPFB and p[0] & 31 == 15
        )

    await ann.until(lambda: counted() == 50)


async def test_the_peer_follows_an_authenticated_packet_to_another_port(world: World) -> None:
    ann, zoe = await pair(world)
    await ann.open()  # a NAT has chosen another port; no check yet
    speak(ann, 2)
    speak(zoe, 2)
    before = len(ann.rtp)
    await zoe.until(lambda: any(p.payload == b"opus-2" for p in zoe.rtp))
    speak(zoe, 3)
    await ann.until(lambda: len(ann.rtp) > before)  # and what is for her arrives at the new port


async def test_a_replayed_packet_moves_nobody(world: World) -> None:
    ann, zoe = await pair(world)
    packet = ann.protect(rtp(AUDIO, OPUS_PT, 2, 1920, b"opus-2", mid="0"))
    ann.raw(packet)
    await zoe.until(lambda: any(p.payload == b"opus-2" for p in zoe.rtp))
    thief = caller(world.server, "thief")
    world.clients.append(thief)
    await thief.open()
    thief.raw(packet)
    await world.until(lambda: world.server.counters().drops.get("srtp_replayed", 0) == 1)
    speak(zoe, 2)
    await ann.until(lambda: any(p.payload == b"opus-2" for p in ann.rtp))


async def test_a_check_without_nomination_does_not_move_the_peer(world: World) -> None:
    ann, zoe = await pair(world)
    other = caller(world.server, "other")  # only lends its socket: Chromium checks from several
    world.clients.append(other)
    await other.open()
    other.answer, other.ufrag = ann.answer, ann.ufrag
    response = await other.check(nominate=False)
    assert response.attributes["XOR-MAPPED-ADDRESS"] == other.local_address
    speak(zoe, 2)
    await ann.until(lambda: any(p.payload == b"opus-2" for p in ann.rtp))
    await other.check(nominate=True)
    speak(zoe, 3)
    await other.until(lambda: other.unreadable > 0)  # it has no keys, but the packet came here
    assert not any(p.payload == b"opus-3" for p in ann.rtp)


async def test_ice_restart_keeps_dtls_and_the_stay(world: World) -> None:
    ann, zoe = await pair(world)
    old = (ann.value("ice-ufrag"), ann.value("ice-pwd"))
    ann.ufrag = "restart1"
    await ann.join()
    assert (ann.value("ice-ufrag"), ann.value("ice-pwd")) != old
    await ann.check(ufrag=old[0], password=old[1])  # until the new ones are used the old ones work
    await ann.open()
    await ann.check()
    with pytest.raises(TimeoutError):
        await ann.check(ufrag=old[0], password=old[1])
    speak(ann, 2)
    await zoe.until(lambda: any(p.payload == b"opus-2" for p in zoe.rtp))
    assert world.all(PeerLeft) == [] and world.all(PeerClosed) == []


async def test_another_connection_under_the_same_peer_id_replaces_it(world: World) -> None:
    await pair(world)
    again = await world.join("ann")
    speak(again, 1)
    await world.until(lambda: len([e for e in world.all(PeerJoined) if e.participant_id == "ann"]) == 2)
    assert [(e.participant_id, e.reason) for e in world.all(PeerLeft)] == [("ann", LeaveReason.REPLACED)]
    assert world.server.counters().peers == 2


async def test_renegotiation_adds_slots(world: World) -> None:
    ann, zoe = await pair(world)
    kim = await world.join("kim")
    speak(kim, 1)
    await world.until(lambda: len(world.all(PeerJoined)) == 3)
    event = world.server.slots("room", "zoe")
    assert event is not None and [s.participant_id for s in event.slots] == ["ann", "ann"]
    zoe.sections += [section("4", "audio", "recvonly"), section("5", "video", "recvonly")]
    await zoe.join()
    await shown(world, zoe, "kim")
    speak(kim, 2)
    await zoe.until(lambda: any(p.mid == "4" for p in zoe.rtp))
    speak(ann, 2)
    await zoe.until(lambda: any(p.mid == "2" and p.payload == b"opus-2" for p in zoe.rtp))


async def test_sendrecv_lines_are_tracks_and_slots(world: World) -> None:
    sections = [section("a", "audio", "sendrecv"), section("v", "video", "sendrecv")]
    clients = [Client(world.server, "room", name, name, sections) for name in ("ann", "zoe")]
    world.clients += clients
    for client in clients:
        await client.connect()
        client.send(rtp(AUDIO, OPUS_PT, 1, 960, b"hello", mid="a"))
    await shown(world, clients[0], "zoe")
    await shown(world, clients[1], "ann")
    for client in clients:
        client.send(rtp(AUDIO, OPUS_PT, 2, 1920, b"again " + client.participant.encode(), mid="a"))
    await clients[0].until(lambda: any(p.payload == b"again zoe" and p.mid == "a" for p in clients[0].rtp))
    await clients[1].until(lambda: any(p.payload == b"again ann" and p.mid == "a" for p in clients[1].rtp))


async def test_limits_refuse_by_name(make_world: MakeWorld) -> None:
    world = await make_world(max_rooms=2, max_peers_per_room=2, max_peers=3, max_tracks_per_peer=2)

    async def code(room: str, peer: str) -> str:
        try:
            await caller(world.server, peer, room=room).join()
        except OfferError as error:
            return error.code
        return "ok"

    assert [await code("a", "1"), await code("a", "2"), await code("a", "3")] == ["ok", "ok", "room_full"]
    assert [await code("b", "4"), await code("c", "5")] == ["ok", "server_full"]
    world.server.leave("a", "1")
    world.server.leave("a", "2")
    assert await code("d", "6") == "ok"
    client = caller(world.server, "7", room="b")
    client.sections.append(section("9", "video", "sendonly"))
    with pytest.raises(OfferError) as refused:
        await client.join()
    assert refused.value.code == "too_many_streams"


async def test_a_wrong_fingerprint_is_nobody(world: World) -> None:
    ann = caller(world.server, "ann")
    world.clients.append(ann)
    text = ann.offer()
    right = next(f.value for f in ann.certificate.getFingerprints() if f.algorithm == "sha-256")
    ann.answer = await world.server.join(
        room_id="room",
        participant_id="ann",
        peer_id="ann",
        offer_sdp=text.replace(right, ":".join(["00"] * 32)),
    )
    await ann.open()
    await ann.check()
    await ann.handshake()  # the client cannot know yet
    await world.until(lambda: bool(world.all(PeerClosed)))
    assert world.server.counters().drops["dtls_failed"] == 1
    assert world.all(PeerJoined) == []


async def test_an_event_handler_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("handler")

    server = await MediaServer.start(MediaConfig(port=0), on_event=broken)
    ann = await caller(server, "ann").connect()
    speak(ann, 1)
    await ann.until(lambda: server.counters().drops.get("on_event_failed", 0) == 1)
    speak(ann, 2)
    await ann.until(
        lambda: bool(server.peer_stats("room")) and server.peer_stats("room")[0].streams[0].packets == 2
    )
    await ann.close()
    await server.close()
    assert "handler of media events failed" in caplog.text


async def test_stale_passwords_are_limited_per_source(make_world: MakeWorld) -> None:
    world = await make_world(stun_failures_per_second=0.001, stun_failures_burst=3)
    ann = caller(world.server, "ann")
    world.clients.append(ann)
    await ann.join()
    await ann.open()
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ann.check(password="wrong" * 5)
    drops = world.server.counters().drops
    assert (drops["stun_integrity"], drops["stun_limited"]) == (3, 1)
