"""Clients that are not ours, nor browsers: offers without header extensions, one-way purposes, following who speaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from av import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from media import (
    Follow,
    MediaConfig,
    OfferError,
    PeerClosed,
    PeerJoined,
    Publish,
    Purpose,
    SpeakerChanged,
)
from media.answer import plan
from media.fragment import parse_fragment
from media.sdp import parse_offer
from tests.media.client import OPUS_PT, Client, caller, offer, rtp, section
from tests.media.conftest import World
from tests.support.foreign import Negotiate, anonymous, bare, foreigner, waiting

CONFIG = MediaConfig()


def way_in(world: World, participant: str, purpose: Purpose, peer: str = "") -> Negotiate:
    async def join(sdp: str) -> str:
        return await world.server.join(
            room_id="room",
            participant_id=participant,
            peer_id=peer or participant,
            offer_sdp=sdp,
            purpose=purpose,
        )

    return join


@pytest.mark.parametrize("publisher", [str, bare, anonymous, waiting])
@pytest.mark.parametrize("viewer", [str, bare])
async def test_an_aiortc_broadcast_is_decoded_by_an_aiortc_viewer(
    world: World, publisher: Callable[[str], str], viewer: Callable[[str], str]
) -> None:
    async with foreigner() as camera, foreigner() as screen:
        camera.send()
        await camera.negotiate(way_in(world, "ann", Publish()), publisher)
        screen.receive()
        await screen.negotiate(way_in(world, "zoe", Follow("ann")), viewer)
        await screen.watch()
        frame = screen.last["video"]
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.height) == (640, 480)
        assert not world.server.counters().drops.get("rtp_unknown_ssrc")


async def test_the_codec_of_most_encoders_arrives_too(world: World) -> None:
    async with foreigner() as camera, foreigner() as screen:
        camera.send()
        camera.prefer("video/H264")
        await camera.negotiate(way_in(world, "ann", Publish()), waiting)
        screen.receive()
        await screen.negotiate(way_in(world, "zoe", Follow()))
        await screen.watch()
        assert isinstance(screen.last["video"], VideoFrame)


def follower(world: World, participant: str, whom: str | None) -> Client:
    client = caller(world.server, participant, peer=f"{participant}-screen", slots=1)
    client.purpose = Follow(whom)
    world.clients.append(client)
    return client


def shown(world: World, client: Client) -> set[str | None]:
    """Who is in the client's receive slots now."""
    found = world.server.slots("room", client.peer)
    assert found is not None
    return {slot.participant_id for slot in found.slots}


async def talk(world: World, client: Client, number: int) -> int:
    """Speak until the server says so; the next sequence number."""

    def speaks() -> bool:
        said = world.all(SpeakerChanged)
        return bool(said) and said[-1].participant_id == client.participant

    async with asyncio.timeout(10):
        while not speaks():
            number += 1
            client.send(
                rtp(
                    1000 + ord(client.participant[0]),
                    OPUS_PT,
                    number,
                    number * 960,
                    b"speech",
                    mid="0",
                    level=20,
                )
            )
            await asyncio.sleep(0.01)
    return number


async def test_whoever_speaks_is_shown_and_stays_until_another_does(world: World) -> None:
    ann, bob = await world.join("ann"), await world.join("bob")
    ann.send(rtp(1097, OPUS_PT, 1, 960, b"breath", mid="0", level=100))
    bob.send(rtp(1098, OPUS_PT, 1, 960, b"breath", mid="0", level=100))
    await world.until(lambda: len(world.all(PeerJoined)) == 2)
    screen, own = follower(world, "zoe", None), follower(world, "ann", None)
    await screen.connect()
    await own.connect()
    assert shown(world, screen) == {"ann"}  # who came first, before a word is said
    assert shown(world, own) == {"bob"}  # never oneself unasked
    await talk(world, bob, 1)
    await world.until(lambda: shown(world, screen) == {"bob"})
    await world.until(lambda: world.all(SpeakerChanged)[-1].participant_id is None)
    assert shown(world, screen) == {"bob"}
    await talk(world, ann, 1)
    await world.until(lambda: shown(world, screen) == {"ann"})
    assert shown(world, own) == {"bob"}
    world.server.leave("room", "ann")
    await world.until(lambda: shown(world, screen) == {"bob"})


async def test_one_is_followed_whoever_else_is_there_also_oneself(world: World) -> None:
    for name in ("ann", "bob"):
        client = await world.join(name)
        client.send(rtp(1000 + ord(name[0]), OPUS_PT, 1, 960, b"breath", mid="0"))
    await world.until(lambda: len(world.all(PeerJoined)) == 2)
    bobs, mirror, nobody = (follower(world, *who) for who in (("zoe", "bob"), ("ann", "ann"), ("kim", "eve")))
    for client in (bobs, mirror, nobody):
        await client.connect()
    assert shown(world, bobs) == {"bob"}
    assert shown(world, mirror) == {"ann"}
    assert shown(world, nobody) == {None}


async def test_who_only_watches_is_never_present_and_who_only_publishes_sees_nothing(world: World) -> None:
    viewer = follower(world, "zoe", None)
    await viewer.connect()
    assert "a=recvonly" not in viewer.answer and viewer.answer.count("a=sendonly") == 2
    viewer.send(rtp(1, OPUS_PT, 1, 960, b"speech", mid="0", level=20))  # what it has no business to send
    await world.until(lambda: bool(world.server.counters().drops.get("rtp_unknown_ssrc")))
    publisher = caller(world.server, "ann", slots=2)
    publisher.purpose = Publish()
    world.clients.append(publisher)
    await publisher.connect()
    assert "a=sendonly" not in publisher.answer and publisher.answer.count("a=recvonly") == 2
    found = world.server.slots("room", "ann")
    assert found is not None and found.slots == ()


@pytest.mark.parametrize(
    ("purpose", "directions", "code"),
    [
        (Publish(), ("recvonly", "inactive"), "no_media"),
        (Follow(), ("sendonly", "sendonly"), "no_media"),
        (Publish(), ("sendonly", "sendonly"), "no_common_codec"),  # the video is none of ours
        (Publish(), ("sendonly", "recvonly"), None),
        (Follow(), ("sendrecv", "sendrecv"), None),
    ],
)
async def test_one_way_offers(
    world: World, purpose: Purpose, directions: tuple[str, str], code: str | None
) -> None:
    audio, video = section("0", "audio", directions[0]), section("1", "video", directions[1])
    sections = [audio, [line.replace("VP8", "THEORA").replace("VP9", "DIRAC") for line in video]]
    if code is None:
        await way_in(world, "ann", purpose)(offer(sections))
        return
    with pytest.raises(OfferError) as refused:
        await way_in(world, "ann", purpose)(offer(sections))
    assert refused.value.code == code
    assert world.server.counters().peers == 0


async def test_ice_restarts_by_fragment_and_the_media_go_on(world: World) -> None:
    client = await world.join("ann")
    server = world.server
    old = client.value("ice-ufrag"), client.value("ice-pwd")
    trickled = (
        f"a=ice-ufrag:{client.ufrag}\r\na=ice-pwd:{'p' * 24}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n"
    )
    assert server.patch_ice("room", "ann", trickled) is None
    client.ufrag = "restarted"
    answer = server.patch_ice("room", "ann", f"a=ice-ufrag:{client.ufrag}\r\na=ice-pwd:{'q' * 24}\r\n")
    assert answer is not None
    assert parse_fragment(answer) != old[0]
    client.answer = answer
    await client.check()
    client.send(rtp(1000, OPUS_PT, 1, 960, b"speech", mid="0"))
    await world.until(lambda: bool(world.all(PeerJoined)))
    assert not world.all(PeerClosed)
    with pytest.raises(OfferError) as gone:
        server.patch_ice("room", "eve", trickled)
    assert gone.value.code == "no_peer"
    with pytest.raises(OfferError) as busy:
        for number in range(20):
            server.patch_ice("room", "ann", f"a=ice-ufrag:again{number}\r\na=ice-pwd:{'q' * 24}\r\n")
    assert busy.value.code == "too_many_restarts"


@given(
    st.text()
    | st.lists(st.sampled_from(["a=ice-ufrag:abcd", "a=ice-pwd:x", "m=audio 9 RTP/AVP 0", "\r\n", "a="])).map(
        "\n".join
    )
)
def test_any_text_is_a_fragment_or_refused(text: str) -> None:
    with contextlib.suppress(OfferError):
        assert isinstance(parse_fragment(text), str)


def plain(kind: str, mid: str, direction: str = "sendonly", *ssrcs: int) -> list[str]:
    """An m-line without header extensions."""
    lines = [line for line in section(mid, kind, direction) if "extmap" not in line]
    return lines + [f"a=ssrc:{ssrc} cname:x" for ssrc in ssrcs]


@pytest.mark.parametrize(
    ("sections", "accepted"),
    [
        ([plain("audio", "0"), plain("video", "1")], True),
        ([plain("video", "0"), plain("video", "1")], False),
        ([plain("video", "0", "sendonly", 1), plain("video", "1", "sendonly", 2)], True),
        ([plain("video", "0", "sendonly", 1), plain("video", "1")], False),
        ([section("0", "video", "sendonly"), plain("video", "1")], False),
        ([plain("video", "0"), plain("video", "1", "recvonly"), plain("video", "2", "recvonly")], True),
    ],
)
def test_an_m_line_needs_something_that_names_its_packets(sections: list[list[str]], accepted: bool) -> None:
    text = offer(sections)
    if accepted:
        assert all(s.accepted for s in plan(parse_offer(text, 10**6, 100), CONFIG).sections)
        return
    with pytest.raises(OfferError) as refused:
        plan(parse_offer(text, 10**6, 100), CONFIG)
    assert refused.value.code == "no_mid_extension"
