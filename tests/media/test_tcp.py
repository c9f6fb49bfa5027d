"""ICE over TCP: frames however the stream is cut, strangers, slow readers, and calls that come up and move over it."""

from __future__ import annotations

import asyncio
import itertools
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from media import LeaveReason, MediaConfig, PeerClosed, PeerJoined, PeerLeft
from media.answer import LocalTransport
from media.limits import source_key
from media.rtp import MAX_DATAGRAM, ParseError
from media.tcp import Frames, SlowReader, TcpPath
from tests.media.client import KEYFRAME, OPUS_PT, VP8_PT, Client, caller, rtp
from tests.media.conftest import MakeWorld, World
from tests.media.test_server import AUDIO, picture, shown, speak

FIRST = st.one_of(st.integers(0, 3), st.integers(20, 63), st.integers(128, 191))
FRAME = st.builds(lambda first, rest: bytes((first,)) + rest, FIRST, st.binary(max_size=300))


def framed(*frames: bytes) -> bytes:
    return b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(p % (len(data) + 1) for p in places), len(data)]
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


def take_all(frames: Frames) -> list[bytes]:
    buffer = bytearray(MAX_DATAGRAM)
    result = []
    while size := frames.take(buffer):
        result.append(bytes(buffer[:size]))
    return result


@given(st.lists(FRAME | st.just(b""), max_size=20), st.lists(st.integers(0, 10000), max_size=30))
def test_the_same_frames_come_out_however_the_stream_is_cut(sent: list[bytes], places: list[int]) -> None:
    frames = Frames()
    frames.checks_only = False
    got = []
    for piece in cut(framed(*sent), places):
        frames.feed(piece)
        got += take_all(frames)
    assert got == [frame for frame in sent if frame]  # empty frames are padding of the stream
    assert len(frames) == 0


@given(st.binary(max_size=6000), st.lists(st.integers(0, 10000), max_size=10), st.booleans())
def test_whatever_comes_is_frames_or_a_named_end_and_little_is_kept(
    data: bytes, places: list[int], stranger: bool
) -> None:
    def read(pieces: list[bytes]) -> tuple[list[bytes], str]:
        frames, got = Frames(), []
        frames.checks_only = stranger
        for piece in pieces:
            frames.feed(piece)
            try:
                got += take_all(frames)
            except ParseError as error:
                return got, error.reason
            assert len(frames) < MAX_DATAGRAM + 2
        return got, ""

    whole, in_pieces = read([data]), read(list(cut(data, places)))
    # Cutting changes nothing: neither the frames before the fault, nor the fault. (A whole read stops at once.)
    assert whole[1] == in_pieces[1]
    assert whole[1] in ("", "tcp_not_a_check", "tcp_frame_too_long", "tcp_garbage")
    assert whole[1] or whole[0] == in_pieces[0]


def test_what_other_protocols_begin_with_is_not_a_check() -> None:
    for opening in (
        b"GET / HTTP/1.1\r\n\r\n",
        bytes.fromhex("1603010200010001fc0303"),
        b"SSH-2.0-x\r\n",
        bytes(40),
    ):
        frames = Frames()
        frames.feed(opening)
        with pytest.raises(ParseError, match="tcp_not_a_check"):
            take_all(frames)


def test_candidates_are_ranked_udp_first_and_in_the_order_of_the_addresses() -> None:
    local = LocalTransport("u", "p", "f", ("192.0.2.1", "2001:db8::1"), 8081, tcp=True)
    lines = local.candidates()
    assert lines[0] == f"a=candidate:1 1 udp {126 << 24 | 65535 << 8 | 255} 192.0.2.1 8081 typ host"
    assert lines[3].startswith("a=candidate:4 1 tcp ") and lines[3].endswith(
        " 2001:db8::1 8081 typ host tcptype passive"
    )
    priorities = [int(line.split(" ")[3]) for line in lines]
    assert priorities == sorted(set(priorities), reverse=True)
    assert len({line.split(" ")[0] for line in lines}) == 4  # foundations
    assert all("tcp" not in line for line in LocalTransport("u", "p", "f", ("192.0.2.1",), 8081).candidates())


def test_a_source_is_an_address_or_an_ipv6_network() -> None:
    assert source_key("::ffff:192.0.2.7") == source_key("192.0.2.7") == "192.0.2.7"
    assert (
        source_key("2001:db8:1:2:3:4:5:6") == source_key("2001:db8:1:2::9") != source_key("2001:db8:1:3::9")
    )
    assert source_key("fe80::1%eth0") == source_key("fe80::2")


async def joined(world: World, participant: str) -> None:
    await world.until(lambda: any(e.participant_id == participant for e in world.all(PeerJoined)))


async def test_a_call_over_tcp_with_somebody_on_udp(world: World) -> None:
    ann, zoe = await world.join("ann", tcp=True), await world.join("zoe")
    assert world.server.counters().tcp_connections == 1
    speak(ann, 1)
    speak(zoe, 1)
    await shown(world, zoe, "ann")
    await shown(world, ann, "zoe")
    for number in range(2, 30):
        speak(ann, number)
        speak(zoe, number)
        picture(ann, 100 + number, KEYFRAME)
        picture(zoe, 100 + number, KEYFRAME + bytes(1000))
    for client in (ann, zoe):
        await client.until(lambda c=client: any(p.payload == b"opus-29" for p in c.rtp))  # type: ignore[misc]
        await client.until(lambda c=client: sum(p.payload_type == VP8_PT for p in c.rtp) >= 28)  # type: ignore[misc]
        numbers = [p.sequence for p in client.rtp if p.payload_type == VP8_PT]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    await ann.until(lambda: bool(ann.rtcp))  # reports and keyframe requests come the same way
    response = await ann.check()
    assert response.attributes["XOR-MAPPED-ADDRESS"] == ann.local_address
    await ann.say_goodbye()
    await world.until(lambda: bool(world.all(PeerClosed)))
    assert world.all(PeerClosed)[0].reason is LeaveReason.DTLS_CLOSE
    await world.until(lambda: world.server.counters().tcp_connections == 0)


async def test_a_peer_that_is_let_go_hears_it_and_is_hung_up(world: World) -> None:
    ann = await world.join("ann", tcp=True)
    stream = ann.stream
    assert stream is not None
    world.server.leave("room", "ann")
    await asyncio.wait_for(stream.closed.wait(), 5)
    await ann.until(lambda: ann.dtls.state == "closed")  # close_notify came before the end


async def test_from_udp_to_tcp_and_back_without_a_word_of_signalling(world: World) -> None:
    """Each move is a nominated check; what comes late over the path left behind is used, and does not lead back."""
    ann, zoe = await world.join("ann"), await world.join("zoe")
    speak(ann, 1)
    speak(zoe, 1)
    await shown(world, ann, "zoe")
    await shown(world, zoe, "ann")
    for sequence, tcp in enumerate((True, False, False, True, True, False), 2):
        former = ann.leave_open()
        await ann.open(tcp=tcp)
        await ann.check(nominate=False)
        await ann.check()
        former.send(
            ann.protect(rtp(AUDIO + sum(b"ann"), OPUS_PT, sequence, 960 * sequence, b"late", mid="0"))
        )
        await zoe.until(lambda n=sequence: sum(p.payload == b"late" for p in zoe.rtp) == n - 1)  # type: ignore[misc]
        former.close()
        speak(zoe, sequence)
        await ann.until(lambda n=sequence: any(p.payload == b"opus-%d" % n for p in ann.rtp))  # type: ignore[misc]
    assert world.all(PeerLeft) == [] and world.all(PeerClosed) == []
    assert world.server.counters().drops.get("send_failed", 0) == 0


async def test_ice_restart_from_udp_to_tcp(world: World) -> None:
    ann, zoe = await world.join("ann"), await world.join("zoe")
    speak(ann, 1)
    await shown(world, zoe, "ann")
    ann.ufrag = "restart1"
    await ann.join()
    await ann.open(tcp=True)
    await ann.check()
    speak(ann, 2)
    await zoe.until(lambda: any(p.payload == b"opus-2" for p in zoe.rtp))
    assert world.all(PeerClosed) == [] and world.server.counters().tcp_connections == 1


@pytest.mark.parametrize("tcp", [False, True])
async def test_only_authenticated_checks_are_consent(make_world: MakeWorld, tcp: bool) -> None:
    """RFC 7675 for a lite agent: it asks for no consent itself, but sends no longer than checks with the right
    password come; over whichever path of the peer."""
    world = await make_world(ice_timeout_seconds=1.0, stun_failures_burst=1000.0)
    ann = await world.join("ann", tcp=tcp)
    started = asyncio.get_running_loop().time()
    first = ann.leave_open()
    await ann.open(tcp=not tcp)
    while asyncio.get_running_loop().time() < started + 2:  # checks over a second path, never nominated
        await ann.check(nominate=False)
        await asyncio.sleep(0.1)
    assert world.all(PeerClosed) == []
    while not world.all(PeerClosed):
        with pytest.raises((TimeoutError, AssertionError)):
            async with asyncio.timeout(0.1):
                await ann.check(password="wrong" * 5)
        assert asyncio.get_running_loop().time() < started + 10
    assert world.all(PeerClosed)[0].reason is LeaveReason.ICE_TIMEOUT
    first.close()


async def test_the_end_of_a_connection_is_not_the_end_of_its_peer(make_world: MakeWorld) -> None:
    world = await make_world(media_silence_seconds=1.0, ice_timeout_seconds=2.5)
    ann = await world.join("ann", tcp=True)
    speak(ann, 1)
    await joined(world, "ann")
    ann.hang_up()
    await world.until(lambda: world.server.counters().tcp_connections == 0)
    assert world.server.counters().peers == 1
    await ann.open(tcp=True)
    await ann.check()
    speak(ann, 2)
    await asyncio.wait_for(ann.check(), 1)
    assert world.all(PeerLeft) == []
    ann.hang_up()
    await world.until(lambda: bool(world.all(PeerClosed)))
    assert world.all(PeerLeft)[0].reason is LeaveReason.MEDIA_SILENCE
    assert world.all(PeerClosed)[0].reason is LeaveReason.ICE_TIMEOUT


async def test_when_tcp_ends_media_go_on_where_the_peer_was_seen_before(world: World) -> None:
    ann, zoe = await world.join("ann"), await world.join("zoe")
    speak(ann, 1)
    speak(zoe, 1)
    await shown(world, ann, "zoe")
    udp, ann._transport = ann._transport, None
    await ann.open(tcp=True)
    await ann.check()
    assert ann.stream is not None and ann.stream.transport is not None
    ann.stream.transport.abort()
    ann.stream, ann._transport = None, udp
    await world.until(lambda: world.server.counters().tcp_connections == 0)
    speak(zoe, 2)
    await ann.until(lambda: any(p.payload == b"opus-2" for p in ann.rtp))


@contextmanager
def connected(world: World, count: int = 1) -> Iterator[list[socket.socket]]:
    """Plain connections to the media port."""
    sockets = [socket.create_connection(("127.0.0.1", world.server.port), timeout=5) for _ in range(count)]
    try:
        for sock in sockets:
            sock.setblocking(False)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


async def hung_up(sock: socket.socket) -> bool:
    """Waits until the server has closed the connection."""
    try:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    except ConnectionResetError:
        return True


async def test_strangers_have_little_time_and_few_connections(make_world: MakeWorld) -> None:
    world = await make_world(tcp_stranger_seconds=0.3, tcp_strangers_per_source=3)
    drops = world.server.counters
    with connected(world, 3) as sockets, connected(world) as newcomers:
        assert await hung_up(sockets[0])  # the oldest makes room
        assert drops().drops["tcp_too_many_of_source"] == 1
        for sock in (*sockets, *newcomers):
            assert await hung_up(sock)
    assert drops().drops["tcp_idle_stranger"] == 3
    ann = await world.join("ann", tcp=True)  # and the places are free again
    await asyncio.sleep(0.4)
    await ann.check()


async def test_connections_are_bounded_in_all(make_world: MakeWorld) -> None:
    world = await make_world(tcp_connections=2)
    ann = await world.join("ann", tcp=True)
    with connected(world) as (stranger,):
        zoe = await world.join("zoe", tcp=True)
        assert await hung_up(stranger)
        with connected(world) as (late,):
            assert await hung_up(late)
    assert world.server.counters().drops["tcp_too_many"] == 2
    assert world.server.counters().tcp_connections == 2
    for client in (ann, zoe):  # who is in a call stays
        await client.check()


async def test_a_peer_holds_so_many_connections_at_most(make_world: MakeWorld) -> None:
    world = await make_world(max_addresses_per_peer=3)
    ann = await world.join("ann", tcp=True)
    streams = []
    for _ in range(4):
        streams.append(ann.stream)
        ann.stream = None
        await ann.open(tcp=True)
        await ann.check()
    assert world.server.counters().tcp_connections == 3
    assert world.server.counters().drops["tcp_too_many_of_peer"] == 2
    for stream in streams:
        assert stream is not None and stream.transport is not None
        stream.transport.close()


async def test_a_connection_belongs_to_the_peer_that_proved_himself_on_it(world: World) -> None:
    ann = await world.join("ann", tcp=True)
    rogue = caller(world.server, "rogue")
    world.clients.append(rogue)
    await rogue.join()
    rogue.stream = ann.stream
    with pytest.raises(TimeoutError):
        await rogue.check()
    rogue.stream = None
    assert world.server.counters().drops["stun_address_taken"] == 1
    await ann.check()


async def test_garbage_ends_the_connection_and_has_a_name(world: World) -> None:
    ann, zoe = await world.join("ann", tcp=True), await world.join("zoe")
    speak(ann, 1)
    await joined(world, "ann")
    cases = {
        "tcp_not_a_check": b"GET / HTTP/1.0\r\n\r\n",
        "tcp_garbage": framed(b"\x50 neither of the four"),
        "tcp_frame_too_long": b"\xff\xff\x80",
    }
    for reason, data in cases.items():
        if reason == "tcp_not_a_check":
            with connected(world) as (stranger,):
                await asyncio.get_running_loop().sock_sendall(stranger, data)
                assert await hung_up(stranger)
        else:
            stream = ann.stream
            assert stream is not None and stream.transport is not None
            stream.transport.write(data)
            await asyncio.wait_for(stream.closed.wait(), 5)
            await ann.open(tcp=True)
            await ann.check()  # he is still himself
        assert world.server.counters().drops[reason] == 1
    speak(ann, 2)
    await zoe.until(lambda: any(p.payload == b"opus-2" for p in zoe.rtp))


async def test_wrong_passwords_are_limited_over_tcp_too(make_world: MakeWorld) -> None:
    world = await make_world(stun_failures_per_second=0.001, stun_failures_burst=3.0)
    ann = caller(world.server, "ann")
    world.clients.append(ann)
    await ann.join()
    await ann.open(tcp=True)
    checks = [asyncio.create_task(ann.check(password="wrong" * 5)) for _ in range(6)]
    assert all(isinstance(r, TimeoutError) for r in await asyncio.gather(*checks, return_exceptions=True))
    drops = world.server.counters().drops
    assert (drops["stun_integrity"], drops["stun_limited"]) == (3, 3)


async def test_dtls_work_is_limited_over_tcp_too(world: World) -> None:
    rogue = await world.join("rogue", tcp=True)
    for count in range(300):
        rogue.raw(b"\x17\xfe\xfd\x00\x01" + count.to_bytes(6, "big") + b"\x00\xc8" + bytes(200))
    await world.until(lambda: world.server.counters().drops.get("dtls_limited", 0) >= 200)
    await rogue.check()


async def test_a_slow_reader_loses_media_and_nothing_else(make_world: MakeWorld) -> None:
    """zoe stops reading: what waits for her is bounded and ann notices nothing; when she goes on, so does her video."""
    world = await make_world(tcp_media_bytes=40_000, tcp_queue_bytes=60_000)
    ann, zoe = await world.join("ann"), await world.join("zoe", tcp=True)
    speak(ann, 1)
    await shown(world, zoe, "ann")
    picture(ann, 100, KEYFRAME)
    await zoe.until(lambda: any(p.payload_type == VP8_PT for p in zoe.rtp))
    stop_reading(zoe)
    number = 101

    def drops() -> dict[str, int]:
        return world.server.counters().drops

    async with asyncio.timeout(20):
        while not drops().get("tcp_slow_reader"):
            for _ in range(50):
                picture(ann, number, KEYFRAME + bytes(1000))
                number += 1
            await ann.check()  # everything sent has been handled
    (path,) = world.server._transport._tcp.paths  # type: ignore[union-attr]
    assert 0 < path.waiting <= 40_000 + 2
    # Checks and reports are kept, up to their own bound.
    for _ in range(20):
        zoe.raw(unanswered_check(zoe))
    await ann.check()
    assert path.waiting > 0 and not path.closed
    assert zoe.stream is not None and zoe.stream.transport is not None
    zoe.stream.transport.resume_reading()
    await zoe.until(lambda: path.waiting == 0)
    await zoe.check()
    before = len(zoe.rtp)
    picture(ann, number, KEYFRAME)
    await zoe.until(lambda: len(zoe.rtp) > before)


def stop_reading(client: Client) -> None:
    """Leave everything in the kernel, whose buffer is small (see Client.open)."""
    assert client.stream is not None and client.stream.transport is not None
    client.stream.transport.pause_reading()


def unanswered_check(client: Client) -> bytes:
    """A check whose answer nobody waits for."""
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{client.value('ice-ufrag')}:{client.ufrag}"
    request.add_message_integrity(client.value("ice-pwd").encode())
    return bytes(request)


async def test_who_does_not_even_take_checks_is_hung_up(make_world: MakeWorld) -> None:
    world = await make_world(tcp_media_bytes=20_000, tcp_queue_bytes=30_000)
    zoe = await world.join("zoe", tcp=True)
    stop_reading(zoe)
    async with asyncio.timeout(30):
        while not world.server.counters().drops.get("tcp_stuck"):
            for _ in range(200):
                zoe.raw(unanswered_check(zoe))
            await asyncio.sleep(0)
    assert world.server.counters().tcp_connections == 0
    assert world.server.counters().peers == 1


async def test_whole_frames_leave_in_order_through_a_full_socket() -> None:
    """Whatever part of a frame the kernel takes, the other end reads whole frames."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    path = TcpPath(ours, ("x", 1), loop, MediaConfig(tcp_media_bytes=30_000, tcp_queue_bytes=40_000))
    sent: list[bytes] = []
    refused = 0
    frames = Frames()
    frames.checks_only = False
    got: list[bytes] = []
    for number in range(3000):
        frame = b"\x80" + number.to_bytes(4, "big") * (1 + number % 300)
        try:
            path.sendto(memoryview(frame), path)
            sent.append(frame)
        except SlowReader:
            refused += 1
            while path.waiting:  # now read until there is room again
                frames.feed(await loop.sock_recv(theirs, 7919))
                got += take_all(frames)
    while len(got) < len(sent):
        frames.feed(await asyncio.wait_for(loop.sock_recv(theirs, 7919), 5))
        got += take_all(frames)
    assert got == sent
    assert refused > 3
    assert path.close() and not path.close()
    with pytest.raises(BrokenPipeError):
        path.keep(b"too late")
    theirs.close()


async def test_without_descriptors_nobody_is_accepted_for_a_while(world: World) -> None:
    """It is said in `faults`, it does not spin, and it passes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as late:
        late.setblocking(False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (late.fileno() + 1, hard))
        try:
            await asyncio.get_running_loop().sock_connect(late, ("127.0.0.1", world.server.port))
            await world.until(lambda: "tcp_accept_failed" in world.server.counters().drops)
            assert any("TCP" in fault for fault in world.server.faults())
            tries = world.server.counters().drops["tcp_accept_failed"]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await world.until(lambda: world.server.counters().tcp_connections == 1)
    assert tries <= 2 and world.server.faults() == ()
