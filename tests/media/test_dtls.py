"""DTLS as clients meet it: the one certificate and its rotation, the SRTP profiles, the handshake over TCP."""

from __future__ import annotations

from typing import Any

import pytest
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
)

from media import PeerClosed
from tests.media.client import KEYFRAME, VP8_PT, Client, caller
from tests.media.conftest import MakeWorld, World
from tests.media.test_server import picture, shown, speak


@pytest.mark.parametrize(
    "profile",
    [SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80],
    ids=lambda p: p.openssl_profile.decode(),
)
async def test_a_client_that_knows_one_srtp_profile_only(world: World, profile: Any) -> None:
    """Media, retransmissions' bookkeeping and RTCP go both ways between it and one that knows them all."""
    zoe = await world.join("zoe")
    ann = caller(world.server, "ann")
    world.clients.append(ann)
    ann.dtls._srtp_profiles = [profile]
    await ann.connect()
    assert ann.dtls._ssl is not None
    assert ann.dtls._ssl.get_selected_srtp_profile() == profile.openssl_profile
    speak(ann, 1)
    speak(zoe, 1)
    await shown(world, zoe, "ann")
    await shown(world, ann, "zoe")
    for number in range(100, 110):
        picture(ann, number, KEYFRAME + bytes(900))
        picture(zoe, number, KEYFRAME + bytes(900))
    for client in (ann, zoe):
        await client.until(lambda c=client: sum(p.payload_type == VP8_PT for p in c.rtp) >= 10)  # type: ignore[misc]
        await client.until(lambda c=client: bool(c.rtcp))  # type: ignore[misc]
    refused = [name for name in world.server.counters().drops if "srtp" in name]
    assert refused == []


async def test_a_client_without_a_profile_of_ours_is_let_go(world: World) -> None:
    ann = caller(world.server, "ann")
    world.clients.append(ann)
    await ann.join()
    await ann.open()
    await ann.check()
    ann.dtls._srtp_profiles = [
        type(SRTP_AES128_CM_SHA1_80)(
            libsrtp_profile=SRTP_AES128_CM_SHA1_80.libsrtp_profile,
            openssl_profile=b"SRTP_AES128_CM_SHA1_32",
            key_length=16,
            salt_length=14,
        )
    ]
    with pytest.raises(AssertionError):
        await ann.handshake()
    await world.until(lambda: bool(world.all(PeerClosed)))
    assert world.server.counters().drops["dtls_failed"] == 1


async def test_all_peers_share_a_certificate(world: World) -> None:
    ann, zoe = await world.join("ann"), await world.join("zoe")
    assert ann.value("fingerprint") == zoe.value("fingerprint")


async def test_rotation_disturbs_nobody(make_world: MakeWorld) -> None:
    """A new certificate for everyone who joins: whoever is connected, or still connecting, keeps his own."""
    world = await make_world(certificate_seconds=0.0)
    ann = await world.join("ann")
    slow = caller(world.server, "slow")
    world.clients.append(slow)
    await slow.join()  # has the answer, and takes his time
    zoe = await world.join("zoe")
    seen = {c.value("fingerprint") for c in (ann, slow, zoe)}
    assert len(seen) == 3
    await slow.open(tcp=True)
    await slow.check()
    await slow.handshake()  # verifies the fingerprint that his answer announced
    clients: list[Client] = [ann, slow, zoe]
    for client in clients:
        speak(client, 1)
    await shown(world, zoe, "ann")

    # A renegotiation and an ICE restart in the middle of the call announce what the association was made with.
    before = ann.value("fingerprint")
    ann.ufrag = "restarted"
    await ann.join()
    assert ann.value("fingerprint") == before
    await ann.check()
    speak(ann, 2)
    await zoe.until(lambda: any(p.payload == b"opus-2" for p in zoe.rtp))
    assert world.all(PeerClosed) == []
