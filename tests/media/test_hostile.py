"""Malformed and foreign datagrams on the real port: dropped, counted by name, and nobody else notices."""

from __future__ import annotations

import asyncio
import logging
import random
import socket

import pytest

from media import PeerClosed, PeerJoined, PeerLeft
from tests.media.client import OPUS_PT, VP8_PT, Client, caller, rtp
from tests.media.conftest import MakeWorld, World
from tests.media.test_server import pair, speak

REASONS = {
    "datagram_empty", "datagram_unknown", "dtls_limited", "dtls_queue_full", "dtls_unknown_address",
    "rtcp_before_dtls", "rtcp_malformed", "rtcp_srtp_auth_failed", "rtcp_srtp_error", "rtcp_unknown_address",
    "rtp_before_dtls", "rtp_extension_malformed", "rtp_malformed", "rtp_unknown_address", "rtp_unknown_payload_type",
    "rtp_unknown_ssrc", "rtp_too_many_ssrcs", "rtx_without_media", "srtp_auth_failed", "srtp_error", "srtp_malformed",
    "srtp_no_context", "stun_integrity", "stun_limited", "stun_malformed", "stun_no_username", "stun_not_a_check",
    "stun_unknown_ufrag", "srtp_replay_old", "rtp_too_late", "rtcp_srtp_replay_old", "rtcp_srtp_malformed",
}  # fmt: skip


BROKEN = {"tcp_not_a_check", "tcp_garbage", "tcp_frame_too_long"}  # streams that are no frames of ours


def nonsense(seed: int, known: list[bytes]) -> list[bytes]:
    """Random datagrams of every class, and damaged copies of real ones."""
    chance = random.Random(seed)
    result = [b""]
    for first in range(256):
        for size in (1, 2, 11, 12, 20, 60, chance.randrange(1, 1400)):
            result.append(bytes((first,)) + chance.randbytes(size - 1))
    for data in known:
        for _ in range(60):
            damaged = bytearray(data)
            for _ in range(chance.randrange(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            result.append(bytes(damaged[: chance.randrange(1, len(damaged) + 1)]))
    chance.shuffle(result)
    return result


async def works(ann: Client, zoe: Client, sequence: int) -> None:
    """Sound still gets through in both directions."""
    speak(ann, sequence)
    speak(zoe, sequence)
    for client in (ann, zoe):
        await client.until(lambda c=client: any(p.payload == b"opus-%d" % sequence for p in c.rtp))  # type: ignore[misc]


@pytest.mark.parametrize("seed", [1, 2])
async def test_nonsense_from_strangers(world: World, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    ann, zoe = await pair(world)
    sealed = [
        ann.protect(rtp(1, OPUS_PT, 9, 9, b"x" * 50, mid="0", level=9)),
        bytes(80),
        zoe.offer().encode()[:500],
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, caplog.at_level(logging.WARNING):
        stranger.connect(("127.0.0.1", world.server.port))
        for count, data in enumerate(nonsense(seed, sealed)):
            stranger.send(data)
            if count % 200 == 0:
                await works(ann, zoe, 10 + count // 200)
    await works(ann, zoe, 500)
    assert world.all(PeerLeft) == [] and world.all(PeerClosed) == []
    assert world.server.counters().drops.keys() <= REASONS
    assert caplog.records == []


async def test_nonsense_from_a_peer_hurts_only_himself(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The same from a validated address, and properly encrypted nonsense on top."""
    ann, zoe = await pair(world)
    rogue = await world.join("rogue")
    chance = random.Random(3)
    with caplog.at_level(logging.WARNING):
        for count, data in enumerate(nonsense(4, [rogue.protect(rtp(5, VP8_PT, 1, 1, b"y" * 30, mid="1"))])):
            if data and not 20 <= data[0] < 64:  # a DTLS alert may well end his own session: next test
                rogue.raw(data)
            if count % 200 == 0:
                await works(ann, zoe, 10 + count // 200)
        for count in range(400):
            size = chance.randrange(4, 60) * 4
            words = (size // 4 - 1).to_bytes(2, "big")
            kind = chance.choice([200, 201, 202, 203, 204, 205, 206, 207, 220])
            rogue.send_rtcp(bytes((0x80 | chance.randrange(64), kind)) + words + chance.randbytes(size - 4))
            elements = chance.randbytes(4 * chance.randrange(0, 6))
            head = rtp(chance.randrange(60), chance.choice([OPUS_PT, VP8_PT, 97, 55]), count, 0, b"")
            block = b"\xbe\xde" + (len(elements) // 4).to_bytes(2, "big") + elements
            rogue.send(bytes((0x90 | chance.choice([0, 0x20]),)) + head[1:] + block + chance.randbytes(20))
            if count % 50 == 0:
                await works(ann, zoe, 600 + count // 50)
    await works(ann, zoe, 700)
    assert {e.participant_id for e in world.all(PeerClosed)} <= {"rogue"}
    assert world.server.counters().drops.keys() <= REASONS
    assert caplog.records == []


async def test_a_flood_of_dtls_is_limited(world: World) -> None:
    ann, zoe = await pair(world)
    rogue = await world.join("rogue")
    chance = random.Random(5)
    for count in range(300):
        rogue.raw(b"\x17\xfe\xfd\x00\x01" + count.to_bytes(6, "big") + b"\x00\xc8" + chance.randbytes(200))
        if count % 100 == 0:
            await works(ann, zoe, 10 + count // 100)
    await works(ann, zoe, 100)
    assert world.server.counters().drops["dtls_limited"] >= 200
    speak(rogue, 1)  # forged records do not end an association
    await world.until(lambda: any(e.participant_id == "rogue" for e in world.all(PeerJoined)))


async def test_a_broken_handshake_ends_its_own_peer(world: World) -> None:
    ann, zoe = await pair(world)
    rogue = caller(world.server, "rogue")
    world.clients.append(rogue)
    await rogue.join()
    await rogue.open()
    await rogue.check()
    chance = random.Random(6)
    for _ in range(20):
        body = chance.randbytes(200)
        rogue.raw(b"\x16\xfe\xfd" + bytes(8) + len(body).to_bytes(2, "big") + body)
    await world.until(lambda: bool(world.all(PeerClosed)))
    assert [e.participant_id for e in world.all(PeerClosed)] == ["rogue"]
    assert world.server.counters().drops["dtls_failed"] == 1
    await works(ann, zoe, 100)


async def test_a_peer_cannot_take_anothers_address(world: World) -> None:
    """A check signed with his own password, sent from her address: refused while she is using it."""
    ann, zoe = await pair(world)
    rogue = caller(world.server, "rogue")
    world.clients.append(rogue)
    await rogue.join()
    rogue._transport = ann._transport  # as a spoofer would
    with pytest.raises(TimeoutError):
        await rogue.check()
    rogue._transport = None
    assert world.server.counters().drops["stun_address_taken"] == 1
    await works(ann, zoe, 50)


async def test_streams_of_one_peer_are_limited(make_world: MakeWorld) -> None:
    """However many SSRCs he invents, libsrtp and we remember a bounded number."""
    world = await make_world(max_ssrcs_per_peer=4)
    ann, zoe = await pair(world)
    rogue = await world.join("rogue")
    for ssrc in range(1, 30):
        rogue.send(rtp(ssrc, OPUS_PT, ssrc, ssrc, b"x", mid="0"))
        rogue.send(rtp(1000 + ssrc, OPUS_PT, ssrc, ssrc, b"x", mid="none"))
    await world.until(lambda: world.server.counters().drops.get("rtp_too_many_ssrcs", 0) == 25)
    assert world.server.counters().drops["rtp_unknown_ssrc"] == 29
    await works(ann, zoe, 60)


async def test_someone_elses_ssrc_and_mid_change_nothing(world: World) -> None:
    """A peer may send whatever SSRC and mid: they count within his own session only."""
    ann, zoe = await pair(world)
    rogue = await world.join("rogue", slots=3)
    rogue.send(rtp(1000 + sum(b"ann"), OPUS_PT, 1, 1, b"forged", mid="0"))
    rogue.send(rtp(2000, VP8_PT, 1, 1, b"forged", mid="nobody"))
    await world.until(lambda: world.server.counters().drops.get("rtp_unknown_ssrc", 0) == 1)
    await works(ann, zoe, 60)
    assert not any(p.payload == b"forged" for p in zoe.rtp)  # zoe has one slot and ann is in it


async def test_nonsense_over_tcp(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Raw and framed, from strangers and from a peer: connections end by name, and nobody else notices."""
    ann, zoe = await pair(world)
    rogue = await world.join("rogue", tcp=True)
    chance = random.Random(8)
    known = [rogue.protect(rtp(5, VP8_PT, 1, 1, b"y" * 30, mid="1")), zoe.offer().encode()[:500]]
    with caplog.at_level(logging.WARNING):
        for count, data in enumerate(nonsense(9, known)[::6]):
            framed = len(data).to_bytes(2, "big") + data if chance.random() < 0.7 else data
            with socket.create_connection(("127.0.0.1", world.server.port), timeout=5) as stranger:
                stranger.sendall(framed)
            await asyncio.sleep(0)
            if rogue.stream is None or rogue.stream.transport is None or rogue.stream.transport.is_closing():
                await rogue.open(tcp=True)
                await rogue.check()
            if not (data and 20 <= data[0] < 64):  # a DTLS alert may well end his own session
                rogue.write(framed)
            if count % 50 == 0:
                await works(ann, zoe, 10 + count // 50)
    await works(ann, zoe, 500)
    drops = world.server.counters().drops.keys()
    assert drops <= REASONS | {"tcp_too_many_of_source", "send_failed"} | BROKEN
    assert drops >= BROKEN
    assert {e.participant_id for e in world.all(PeerClosed)} <= {"rogue"}
    await world.until(lambda: world.server.counters().tcp_connections <= 1)
    assert caplog.records == []
