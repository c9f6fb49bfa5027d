"""What a client says to a server that offers and checks, as VideoRoom does to those who watch."""

from aioice.stun import Class, Message, Method, parse_message

from loadtest.answer import parse_answer
from loadtest.checks import Checks
from loadtest.offer import Identity, build_offer
from loadtest.sfu.mirror import answer_to
from media.rtp import MID, TRANSPORT_CC

SERVER = Identity("srvU", "serverpassword0123456789", 1, 2, 3)
CLIENT = Identity("cliU", "clientpassword0123456789", 4, 5, 6)
FINGERPRINT = ":".join(["AB"] * 32)


def test_everything_offered_is_taken_and_received() -> None:
    offer = build_offer(SERVER, ":".join(["CD"] * 32), 0, 0)
    answer = answer_to(offer, CLIENT, FINGERPRINT) + "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"
    read = parse_answer(answer, "active")
    assert (read.ufrag, read.password, read.fingerprint) == (CLIENT.ufrag, CLIENT.password, FINGERPRINT)
    assert [(it.mid, it.kind, it.direction) for it in read.sections] == [
        ("0", "audio", "recvonly"),
        ("1", "video", "recvonly"),
    ]
    assert read.sections[1].codecs == {96: "vp8", 97: "rtx"}
    assert all({MID, TRANSPORT_CC} <= it.extensions.keys() for it in read.sections)
    assert SERVER.password not in answer and "CD:CD" not in answer and "a=ssrc" not in answer


def agents(controlling: bool) -> tuple[Checks, Checks]:
    """Client and server of one pair, each knowing the other's credentials."""
    client = Checks(CLIENT.ufrag, CLIENT.password, SERVER.ufrag, SERVER.password, controlling)
    server = Checks(SERVER.ufrag, SERVER.password, CLIENT.ufrag, CLIENT.password, not controlling)
    return client, server


def test_two_full_agents_check_each_other() -> None:
    client, server = agents(controlling=False)
    for one, other in ((client, server), (server, client)):
        reply = other.reply(one.request(), ("192.0.2.7", 4000))
        assert reply is not None
        assert parse_message(reply).attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.7", 4000)
        assert one.accept(reply) and one.answered == 1
        assert not one.accept(reply), "an answer counts once"


def test_only_the_controlling_agent_nominates() -> None:
    for controlling in (True, False):
        request = parse_message(agents(controlling)[0].request())
        assert ("USE-CANDIDATE" in request.attributes) is controlling
        assert ("ICE-CONTROLLING" in request.attributes) is controlling
        assert ("ICE-CONTROLLED" in request.attributes) is not controlling


def test_a_check_that_is_not_authentic_gets_no_answer() -> None:
    client, server = agents(controlling=True)
    stranger = Checks("x" * 4, "y" * 24, CLIENT.ufrag, "wrong" * 5)
    assert client.reply(stranger.request(), ("192.0.2.7", 1)) is None
    assert client.reply(b"\0\1\0\0", ("192.0.2.7", 1)) is None
    assert client.reply(client.request(), ("192.0.2.7", 1)) is None, "not even our own"
    forged = Message(Method.BINDING, Class.REQUEST, attributes={"USERNAME": f"{CLIENT.ufrag}:{SERVER.ufrag}"})
    forged.add_message_integrity(b"not the password")
    assert client.reply(bytes(forged), ("192.0.2.7", 1)) is None
    assert client.reply(server.request(), ("192.0.2.7", 1)) is not None
