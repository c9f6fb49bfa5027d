"""IPv4 and IPv6 on one socket: calls over ::1 and 127.0.0.1 together, over UDP and TCP."""

from __future__ import annotations

import errno
import socket

import pytest

from media import MediaConfig, MediaServer, PeerLeft
from media.kernel import open_listener, open_ports
from tests.media.client import KEYFRAME, VP8_PT
from tests.media.conftest import MakeWorld
from tests.media.test_server import picture, shown, speak


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 (::1 cannot be bound)")


@needs_ipv6
@pytest.mark.parametrize("tcp", [False, True])
async def test_one_port_serves_both_families(make_world: MakeWorld, tcp: bool) -> None:
    world = await make_world(host="::", addresses=("::1", "127.0.0.1"))
    six = await world.join("six", host="::1", tcp=tcp)
    four = await world.join("four", tcp=tcp)
    candidates = [line.split(" ") for line in six.answer.splitlines() if line.startswith("a=candidate:")]
    assert [(c[2], c[4]) for c in candidates[:4]] == [
        ("udp", "::1"), ("udp", "127.0.0.1"), ("tcp", "::1"), ("tcp", "127.0.0.1"),
    ]  # fmt: skip
    assert {c[5] for c in candidates} == {str(world.server.port)}
    for client in (six, four):
        response = await client.check()
        # An IPv4 client sees its own address, not the mapped one of the socket.
        assert response.attributes["XOR-MAPPED-ADDRESS"][:2] == client.local_address
        speak(client, 1)
    await shown(world, six, "four")
    await shown(world, four, "six")
    for number in range(100, 130):  # bursts, by segmentation where the kernel cuts
        for client in (six, four):
            picture(client, number, KEYFRAME + bytes(1000))
    for client in (six, four):
        await client.until(lambda c=client: sum(p.payload_type == VP8_PT for p in c.rtp) >= 30)  # type: ignore[misc]
    assert not [name for name in world.server.counters().drops if name.startswith("send_")]


@needs_ipv6
async def test_from_one_family_to_the_other(make_world: MakeWorld) -> None:
    world = await make_world(host="::", addresses=("::1", "127.0.0.1"))
    ann, zoe = await world.join("ann"), await world.join("zoe")
    speak(ann, 1)
    await shown(world, zoe, "ann")
    for number, host in enumerate(("::1", "127.0.0.1", "::1"), 2):
        await ann.open(host=host, tcp=number == 3)
        await ann.check()
        speak(ann, number)
        said = b"opus-%d" % number
        await zoe.until(lambda s=said: any(p.payload == s for p in zoe.rtp))  # type: ignore[misc]
    assert world.all(PeerLeft) == []


@needs_ipv6
async def test_limits_are_of_the_ipv4_source_behind_the_mapped_address(make_world: MakeWorld) -> None:
    world = await make_world(
        host="::", addresses=("127.0.0.1",), stun_failures_per_second=0.001, stun_failures_burst=2.0
    )
    ann, zoe = await world.join("ann"), await world.join("zoe", host="::1")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await ann.check(password="wrong" * 5)
    assert world.server.counters().drops["stun_limited"] == 1
    await zoe.check()  # another source


def test_without_ipv6_everywhere_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    made = socket.socket

    def no_ipv6(family: int = socket.AF_INET, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return made(family, *rest)

    monkeypatch.setattr("media.kernel.socket.socket", no_ipv6)
    udp, listener = open_ports("::", 0, 65536, 65536, tcp=True)
    assert listener is not None
    with udp, listener:
        assert udp.family == listener.family == socket.AF_INET
        assert udp.getsockname()[1] == listener.getsockname()[1]


async def test_a_tcp_port_in_use_is_an_os_error_and_leaves_udp_free() -> None:
    with open_listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await MediaServer.start(MediaConfig(port=port), on_event=print)
        server = await MediaServer.start(MediaConfig(port=port, tcp=False), on_event=print)
        assert server.faults() == ()
        await server.close()
        assert server.faults() == ("the UDP socket is closed",)
