"""The contract with the private names of aiortc and pylibsrtp, one test each; they tell what an upgrade has moved."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pylibsrtp
import pytest
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpTransport
from pylibsrtp import Policy, Session

from media import wire
from media.srtp import Scratch, refusal
from media.wire import DtlsSession, DtlsState


class Ends:
    """A DTLS client and our server session on an in-memory wire; `losing` drops what the server sends."""

    role = "controlling"

    def __init__(self, fingerprint: str | None = None) -> None:
        certificate = RTCCertificate.generateCertificate()
        own = next(f.value for f in certificate.getFingerprints() if f.algorithm == "sha-256")
        self.client = RTCDtlsTransport(self, [certificate])  # type: ignore[arg-type]
        self.client._set_role("client")
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.changed = asyncio.Event()
        self.to_client: list[bytes] = []
        self.to_server: list[bytes] = []
        self.losing = 0
        self.answered = asyncio.Event()
        self.client_changed = asyncio.Event()
        self.client.on("statechange", self.client_changed.set)
        self.certificate = wire.make_certificate()
        self.session = DtlsSession(
            self.certificate,
            [("sha-256", fingerprint or own)],
            self._deliver,
            lambda _: self.changed.set(),
            32,
        )

    def _deliver(self, data: bytes) -> None:
        self.to_client.append(data)
        self.answered.set()
        if self.losing:
            self.losing -= 1
        else:
            self.queue.put_nowait(data)

    async def _recv(self) -> bytes:
        return await self.queue.get()

    async def _send(self, data: bytes) -> None:
        self.to_server.append(data)
        self.session.feed(data)

    async def connect(self) -> None:
        value = wire.fingerprint_of(self.certificate)
        async with asyncio.timeout(10):
            await self.client.start(RTCDtlsParameters([RTCDtlsFingerprint("sha-256", value)]))
            await self.changed.wait()

    async def close(self) -> None:
        self.session.close()
        await self.client.stop()
        await asyncio.wait([self.session.task])


async def test_handshake_leaves_srtp_sessions_behind() -> None:
    """`_set_role`, `_rx_srtp`, `_tx_srtp`, `_recv` and `_send` of the transport, `Session._srtp`."""
    ends = Ends()
    await ends.connect()
    assert ends.session.state is DtlsState.CONNECTED
    scratch = Scratch()
    packet = bytes.fromhex("806f0001 00000002 00000003") + b"payload"
    scratch.view[: len(packet)] = packet
    size = scratch.protect(wire.context_of(ends.session.send_session), len(packet))
    assert ends.client._rx_srtp.unprotect(bytes(scratch.view[:size])) == packet
    sealed = ends.client._tx_srtp.protect(packet)
    scratch.view[: len(sealed)] = sealed
    scratch.length[0] = len(sealed)
    assert wire.unprotect(wire.context_of(ends.session.receive_session), scratch.pointer, scratch.length) == 0
    assert scratch.view[: scratch.length[0]] == packet
    await ends.close()


async def test_close_says_goodbye_and_ends_the_tasks() -> None:
    """`_ssl` with `shutdown` and `bio_read`, and the task in `_task`."""
    ends = Ends()
    await ends.connect()
    pump = ends.session.pump
    assert isinstance(pump, asyncio.Future)
    ends.client_changed.clear()
    ends.session.close()
    await asyncio.wait_for(ends.client_changed.wait(), 5)
    assert ends.client.state == "closed"
    await asyncio.wait([pump, ends.session.task], timeout=5)
    assert pump.done() and ends.session.task.done()
    await ends.close()


async def test_close_notify_of_the_client_is_a_change_of_state() -> None:
    ends = Ends()
    await ends.connect()
    ends.changed.clear()
    await ends.client.stop()
    await asyncio.wait_for(ends.changed.wait(), 5)
    assert ends.session.state is DtlsState.CLOSED
    await ends.close()


async def test_another_certificate_than_announced_fails() -> None:
    ends = Ends(fingerprint=":".join(["00"] * 32))
    await ends.connect()
    assert ends.session.state is DtlsState.FAILED
    await ends.close()


async def test_the_flight_fits_what_aiortc_reads_at_once() -> None:
    """`_write_ssl` reads 1,500 octets once; more would be left behind."""
    ends = Ends()
    await ends.connect()
    assert max(len(data) for data in ends.to_client) < 1400
    await ends.close()


async def test_a_repeated_client_hello_brings_the_flight_again() -> None:
    ends = Ends()
    ends.losing = 1  # the answer to the ClientHello
    start = asyncio.create_task(ends.connect())
    await asyncio.wait_for(ends.answered.wait(), 5)
    hello = bytearray(ends.to_server[0])
    hello[10] += 5  # a retransmission has another record sequence number and is otherwise the same
    ends.session.feed(bytes(hello))
    await asyncio.wait_for(start, 0.9)  # well before OpenSSL's own timer of one second
    assert ends.to_client[0] == ends.to_client[1]
    await ends.close()


async def test_garbage_does_not_disturb_a_handshake() -> None:
    ends = Ends()
    for rubbish in (b"\x16", b"\x16\xfe\xfd" + bytes(40), bytes([22]) + b"\xff" * 1400, b"\x3f" * 13):
        ends.session.feed(rubbish)
    await ends.connect()
    assert ends.session.state is DtlsState.CONNECTED
    await ends.close()


async def test_the_queue_is_bounded() -> None:
    ends = Ends()
    accepted = [ends.session.feed(b"\x17" + bytes(20)) for _ in range(40)]
    assert accepted == [True] * 32 + [False] * 8
    await ends.close()


async def test_sctp_runs_on_the_session_without_waiting() -> None:
    """`_register_data_receiver` and `_send_data` of the transport; of the association `_send`, `_receive`,
    `_handle_data`, `_receive_sack_chunk`, `_data_channels`, `_advertised_rwnd`, `_inbound_streams` with `reassembly`,
    `_sack_misordered`, `_outbound_queue`, `_sent_queue` with `_book_size`, `_association_state`, `_set_state`."""

    class User:
        def __init__(self) -> None:
            self.messages: list[tuple[str, int, bytes]] = []
            self.refused: list[str] = []
            self.changed = asyncio.Event()

        def on_message(self, channel: wire.DataChannel, kind: int, data: bytes) -> None:
            self.messages.append((channel.label, kind, data))
            self.changed.set()

        def on_refused(self, reason: str) -> None:
            self.refused.append(reason)

    ends, user = Ends(), User()
    await ends.connect()
    ours = wire.DataAssociation(ends.session, 5000, wire.DataLimits(2, 1000, 5000), user)
    assert isinstance(ours._sctp._advertised_rwnd, int) and isinstance(ours._sctp._sack_misordered, set)
    theirs = RTCSctpTransport(ends.client)
    await theirs.start(RTCSctpTransport.getCapabilities(), 5000)
    channel = RTCDataChannel(theirs, RTCDataChannelParameters("label", ordered=False, maxPacketLifeTime=700))
    heard: asyncio.Queue[str] = asyncio.Queue()
    channel.on("message", heard.put_nowait)
    channel.on("open", lambda: channel.send("up"))
    async with asyncio.timeout(10):
        await user.changed.wait()
        assert user.messages == [("label", wire.STRING, b"up")]
        found = ours.find("label")
        assert found == wire.DataChannel(channel.id or 0, "label", False, None, 700)
        assert ours.send(found.stream, wire.STRING, b"down", found)
        assert ours.buffered == 4
        assert await heard.get() == "down"
    assert all(isinstance(s.reassembly, list) for s in ours._sctp._inbound_streams.values())
    assert not ours.send(found.stream, wire.STRING, bytes(6000), found)
    handles = [
        ours._sctp._t1_handle,
        ours._sctp._t2_handle,
        ours._sctp._t3_handle,
        ours._sctp._reconfig_handle,
    ]
    ours.close()
    assert (
        ours.closed and ours.find("label") is None and not ours.send(found.stream, wire.STRING, b"x", found)
    )
    assert all(handle is None or handle.cancelled() for handle in handles)
    await theirs.stop()
    await ends.close()
    assert user.refused == []


def test_libsrtp_is_called_in_place() -> None:
    """`pylibsrtp._binding.ffi` and `.lib` with the four functions, and the status codes we name."""
    key = bytes(range(30))
    out = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    into = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND))
    scratch = Scratch()
    packet = bytes.fromhex("80c90001 00000001")
    size = scratch.protect_rtcp(wire.context_of(out), packet)
    sealed = bytes(scratch.view[:size])
    assert sealed != packet and into.unprotect_rtcp(sealed) == packet

    def unprotect(data: bytes) -> int:
        scratch.view[: len(data)] = data
        scratch.length[0] = len(data)
        return wire.unprotect(wire.context_of(into), scratch.pointer, scratch.length)

    rtp = out.protect(bytes.fromhex("806f0001 00000002 00000003") + b"payload")
    damaged = rtp[:-1] + bytes((rtp[-1] ^ 1,))
    assert refusal(unprotect(damaged)) == "srtp_auth_failed"
    assert unprotect(rtp) == 0
    assert refusal(unprotect(rtp)) == "srtp_replayed"
    assert refusal(unprotect(b"\x80\x6f\x00")) in ("srtp_error", "srtp_malformed")
    assert refusal(99, "send_") == "send_srtp_error"


def test_the_replay_rules_aiortc_sets() -> None:
    """`_setup_srtp` allows repeated numbers outwards, which retransmission without RTX needs."""
    source = inspect.getsource(RTCDtlsTransport._setup_srtp)
    assert source.count("allow_repeat_tx = True") == 2


def test_session_hides_its_context_in_one_place() -> None:
    session: Any = Session(Policy(key=bytes(30), ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    assert "srtp_ctx" in str(type(session._srtp[0])) or "srtp_ctx" in repr(session._srtp[0])
    assert pylibsrtp.__version__ == "1.0.0"


def test_a_pinned_buffer_cannot_be_resized() -> None:
    buffer = bytearray(10)
    pointer = wire.pin(buffer)
    with pytest.raises(BufferError):
        buffer.append(1)
    assert pointer is not None
