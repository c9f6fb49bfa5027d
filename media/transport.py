"""From datagrams to authenticated peers: connectivity checks, DTLS, moved addresses, and the way out to each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from media import ice
from media.answer import LocalTransport
from media.api import MediaConfig
from media.limits import SourceLimiter, plain_host, source_key
from media.peer import Peer
from media.rtp import ParseError
from media.srtp import Scratch, refusal
from media.tally import Tally
from media.tcp import Read, SlowReader, TcpPath, TcpPort
from media.wire import DtlsSession, DtlsState, Identity

_APPLICATION_DATA = 23  # content type of a DTLS record: data channels


class Transport:
    """Knows which peer a datagram belongs to. Everything unauthenticated is limited per source or per peer."""

    def __init__(
        self,
        sock: socket.socket,
        config: MediaConfig,
        tally: Tally,
        on_dtls_change: Callable[[Peer, DtlsSession], None],
    ) -> None:
        """`on_dtls_change` is called when a peer's DTLS session connects, fails or is closed by the client."""
        self.by_address: dict[Any, Peer] = {}  # validated source addresses; the receive loop reads it
        self._socket = sock
        self._port = int(sock.getsockname()[1])
        self._config = config
        self._tally = tally
        self._on_dtls_change = on_dtls_change
        self._tcp: TcpPort | None = None
        self._rotated_at = monotonic()
        self._identity = Identity.make()
        self._scratch = Scratch()
        self._by_ufrag: dict[str, Peer] = {}
        self._by_ssrc: dict[int, Peer] = {}
        self._stun_failures = SourceLimiter(
            config.stun_failures_per_second, config.stun_failures_burst, config.max_tracked_sources
        )
        self._moves = SourceLimiter(config.moves_per_second, config.moves_burst, config.max_tracked_sources)
        self._ending: set[asyncio.Future[None]] = set()  # DTLS tasks of closed peers that have yet to end

    # The port.

    def listen(self, listener: socket.socket, receive: Callable[[Read], int]) -> None:
        """Take connections (ICE over TCP) as well; `receive` as in TcpPort."""
        self._tcp = TcpPort(listener, self._config, self._tally, receive, self._on_path_closed)

    def close(self) -> None:
        """Close what `listen` opened."""
        if self._tcp is not None:
            self._tcp.close()

    def faults(self) -> tuple[str, ...]:
        """What is wrong with the port, in words; empty when all is well."""
        faults = []
        if self._socket.fileno() < 0:
            faults.append("the UDP socket is closed")
        if self._tcp is not None and not self._tcp.accepting:
            faults.append("the TCP port accepts nobody (no file descriptors left, or closed)")
        return tuple(faults)

    @property
    def connections(self) -> int:
        """TCP connections open now."""
        return len(self._tcp.paths) if self._tcp is not None else 0

    # The life of a peer.

    def renew_credentials(self, peer: Peer, remote_ufrag: str, now: float) -> None:
        """A first offer or an ICE restart; the old credentials work until the new ones have been used."""
        ufrag, password = ice.make_credentials()
        peer.remote_ufrag = remote_ufrag
        peer.password_of[ufrag] = password
        peer.checked_at = now
        if peer.send_context is None:
            peer.created_at = now
        if peer.identity is None:  # it keeps what its first answer announces
            self._rotate(now)
            peer.identity = self._identity
        self._by_ufrag[ufrag] = peer

    def local(self, peer: Peer) -> LocalTransport:
        """Our side of the transport as the answer tells it."""
        ufrag, password = next(reversed(peer.password_of.items()))
        return LocalTransport(
            ufrag,
            password,
            (peer.identity or self._identity).fingerprint,
            self._config.addresses,
            self._port,
            self._tcp is not None,
            self._config.max_data_message_bytes,
        )

    def _rotate(self, now: float) -> None:
        """Make a new certificate for those who join from now on, if the present one has served its time."""
        if now - self._rotated_at >= self._config.certificate_seconds:
            self._rotated_at = now
            self._identity = Identity.make()

    def remember(self, peer: Peer, ssrc: int) -> None:
        """This peer sends this SSRC; where two claim one, the later is remembered and the other is merely slower
        to follow when its address changes."""
        self._by_ssrc[ssrc] = peer

    def forget(self, peer: Peer) -> None:
        """The peer is closed: nothing that arrives is its own any more. Call before Peer.release."""
        for ufrag in peer.password_of:
            self._by_ufrag.pop(ufrag, None)
        for ssrc in peer.ssrcs:
            if self._by_ssrc.get(ssrc) is peer:
                del self._by_ssrc[ssrc]
        for address in peer.addresses:
            if self.by_address.get(address) is peer:
                del self.by_address[address]
            if isinstance(address, TcpPath) and self._tcp is not None:
                # After what is said in farewell on this turn of the loop.
                asyncio.get_running_loop().call_soon(self._tcp.drop, address)
        if peer.dtls is not None:
            for task in (peer.dtls.task, peer.dtls.pump):
                if task is not None and not task.done():
                    self._ending.add(task)
                    task.add_done_callback(self._ending.discard)

    async def drain(self, timeout: float) -> None:
        """Wait until the DTLS tasks of closed peers have ended."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=timeout)

    # What the receive loop hands over (receive.Arrivals).

    def on_stun(self, data: bytes, address: Any, now: float) -> None:
        """Answer a connectivity check; bind or move its peer."""
        try:
            ufrag = ice.local_ufrag(data)
        except ParseError as error:
            self._tally.drop(error.reason)
            return
        peer = self._by_ufrag.get(ufrag)
        if peer is None:
            self._tally.drop("stun_unknown_ufrag")
            return
        host, port = _remote(address)
        source = source_key(host)
        if not self._stun_failures.allowed(source, now):
            self._tally.drop("stun_limited")
            return
        password = peer.password_of[ufrag]
        try:
            check = ice.verify(data, password)
        except ParseError as error:
            self._stun_failures.charge(source, now)
            self._tally.drop(error.reason)
            return
        if not self._validate(peer, address, now):
            self._tally.drop("stun_address_taken")
            return
        peer.checked_at = now
        if len(peer.password_of) > 1 and ufrag == next(reversed(peer.password_of)):
            for old in [u for u in peer.password_of if u != ufrag]:  # the ICE restart has come through
                del peer.password_of[old]
                self._by_ufrag.pop(old, None)
        self.send(ice.respond(check, (plain_host(host), port), password), address)
        if address not in peer.addresses:
            return  # a connection that did not even take the answer
        if peer.address is None:
            self._move(peer, address)
        elif check.nominated and address != peer.address:
            self._move(peer, address)
            peer.nominated_at = now
        if peer.dtls is None and peer.plan.offer.answers_dtls:
            peer.dtls = self._begin_dtls(peer)  # it waits for our ClientHello, and its address is proven

    def on_dtls(self, peer: Peer, data: bytes, address: Any, now: float) -> None:
        """Feed the peer's DTLS session, which begins with the first datagram."""
        if not peer.dtls_budget.take(now):
            self._tally.drop("dtls_limited")
            return
        if peer.dtls is None:
            peer.dtls = self._begin_dtls(peer)
        if peer.dtls.state is DtlsState.NEW and address != peer.address:
            self._move(peer, address)  # the handshake runs on the pair the client chose, nominated or not
        if not peer.dtls.feed(data):
            self._tally.drop("dtls_queue_full")

    def _begin_dtls(self, peer: Peer) -> DtlsSession:
        return DtlsSession(
            (peer.identity or self._identity).certificate,
            peer.fingerprints,
            lambda out: self.send(out, peer.address),
            lambda session: self._on_dtls_change(peer, session),
            self._config.dtls_queue,
            client=peer.plan.offer.answers_dtls,
        )

    def find_by_ssrc(self, ssrc: int, address: Any, now: float) -> Peer | None:
        """The peer that sends this SSRC, if the source may still cause authentication work."""
        peer = self._by_ssrc.get(ssrc)
        source = source_key(_remote(address)[0])
        if peer is None or not self._moves.allowed(source, now):
            return None
        self._moves.charge(source, now)
        return peer

    def on_moved(self, peer: Peer, address: Any, now: float) -> None:
        """The client's address changed (a NAT rebinding, another network); libsrtp has excluded replays.

        What comes late over the path that the client has just left by nomination does not lead back to it.
        """
        if address in peer.addresses and now - peer.nominated_at < self._config.late_path_seconds:
            return
        if self._validate(peer, address, now):
            self._move(peer, address)

    def _move(self, peer: Peer, address: Any) -> None:
        if isinstance(address, TcpPath):
            peer.move(address, address.sendto, segmentation=False)
        else:
            peer.move(address, self._socket.sendto)

    def _on_path_closed(self, path: TcpPath) -> None:
        """An address has gone away, not a peer: he goes on where he was seen last, or comes back with a check."""
        peer = self.by_address.pop(path, None)
        if peer is None:
            return
        peer.addresses.pop(path, None)
        if peer.address is path and peer.addresses:
            self._move(peer, next(reversed(peer.addresses)))

    def _validate(self, peer: Peer, address: Any, now: float) -> bool:
        """Let datagrams from `address` be the peer's; False if another live peer is using it."""
        if isinstance(address, TcpPath) and (self._tcp is None or not self._tcp.adopt(address, peer)):
            return False
        holder = self.by_address.get(address)
        if holder is not None and holder is not peer:
            if holder.address == address and now - holder.last_packet < self._config.media_silence_seconds:
                return False
            holder.addresses.pop(address, None)
        if address not in peer.addresses:
            if len(peer.addresses) >= self._config.max_addresses_per_peer:
                oldest = next(a for a in peer.addresses if a != peer.address)
                del peer.addresses[oldest]
                self.by_address.pop(oldest, None)
                if isinstance(oldest, TcpPath) and self._tcp is not None:
                    self._tcp.drop(oldest, "tcp_too_many_of_peer")
            peer.addresses[address] = None
        self.by_address[address] = peer
        return True

    # The way out for everything that is not fan-out.

    def send(self, data: bytes | memoryview, address: Any) -> bool:
        """One datagram; False (and counted) if the kernel did not take it."""
        try:
            if isinstance(address, TcpPath):
                address.keep(data)
            else:
                self._socket.sendto(data, address)
        except SlowReader:
            if data[0] == _APPLICATION_DATA:
                self._tally.drop("tcp_slow_reader")  # SCTP repeats it
            elif self._tcp is not None:
                self._tcp.drop(address, "tcp_stuck")
            return False
        except BlockingIOError:
            self._tally.drop("send_buffer_full")
            return False
        except OSError:
            self._tally.drop("send_failed")
            return False
        return True

    def send_rtcp(self, peer: Peer, packets: list[bytes]) -> None:
        """Protect and send RTCP packets to a connected peer."""
        for packet in packets:
            size = self._scratch.protect_rtcp(peer.send_context, packet)
            if size < 0:
                self._tally.drop(refusal(-size, "send_rtcp_"))
            elif self.send(self._scratch.view[:size], peer.address):
                self._tally.packets_out += 1
                self._tally.bytes_out += size


def _remote(address: Any) -> tuple[str, int]:
    """Host and port of a datagram's source, or of a connection's other end."""
    host, port, *_ = address.remote if isinstance(address, TcpPath) else address
    return host, port
