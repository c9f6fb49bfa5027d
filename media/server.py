"""The control plane: who is in which room, the one socket, the timers, and the events that leave the SFU."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping
from time import monotonic

from media import kernel, presence, reports, rtcp
from media.answer import Plan, plan, write_answer
from media.api import (
    Converse,
    Counters,
    Follow,
    LeaveReason,
    MediaConfig,
    MediaEvent,
    OfferError,
    PeerClosed,
    PeerJoined,
    PeerLeft,
    PeerStats,
    PresenceSample,
    Publish,
    Purpose,
    SlotsChanged,
    Source,
)
from media.data import DataExchange
from media.forward import Sender
from media.fragment import parse_fragment, write_fragment
from media.peer import Peer
from media.receive import Receiver
from media.recorder import Kind as Recorded
from media.recorder import Recorder
from media.room import Room
from media.rounds import Rounds
from media.rtp import ParseError
from media.sdp import narrow, parse_offer
from media.stream import Stream
from media.tally import Tally
from media.transport import Transport
from media.wakeup import Wakeups
from media.wire import DtlsSession, DtlsState, context_of

logger = logging.getLogger("visavis.media")

MAX_RESTARTS = (
    8  # credentials of one peer that nobody has used yet: a client that restarts ICE faster than it connects
)
CONVERSE = Converse()


class MediaServer:
    """One SFU on one port. Everything runs on the loop that called `start`."""

    def __init__(
        self,
        config: MediaConfig,
        sock: socket.socket,
        listener: socket.socket | None,
        wall_clock: Callable[[], float],
        on_event: Callable[[MediaEvent], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._port = int(sock.getsockname()[1])
        self._config = config
        self._wall_clock = wall_clock
        self._on_event = on_event
        self._events: list[MediaEvent] = []
        self._tally = Tally()
        self._rooms: dict[str, Room] = {}
        self._peers: dict[int, Peer] = {}  # by join order
        self._next_order = 0
        self._data = DataExchange(config, self._tally, self._rooms)
        self._transport = Transport(sock, config, self._tally, self._on_dtls_change)
        self._recorder = Recorder(config.recorder_bytes) if config.recorder_bytes else None
        self._sender = Sender(sock, self._tally, config.segmentation and kernel.segments(sock))
        self._receiver = Receiver(
            sock, config.batch_datagrams, self._tally, self._transport, self, self._sender, self._recorder
        )
        self._rounds = Rounds(
            self, config, self._transport, self._sender, self._tally, self._rooms, self._peers, self._recorder
        )
        if listener is not None:
            self._transport.listen(listener, self._receiver.receive)
        self._closed = False
        self._wakeups = Wakeups(
            self._loop, sock, self._receiver.on_readable, config.batch_datagrams, config.coalesce_seconds
        )

    @classmethod
    async def start(
        cls,
        config: MediaConfig,
        *,
        wall_clock: Callable[[], float] = time.time,
        on_event: Callable[[MediaEvent], None],
    ) -> MediaServer:
        """Bind the port (UDP and TCP) and begin to serve. Raises OSError if it cannot be bound."""
        sock, listener = kernel.open_ports(
            config.host,
            config.port,
            config.receive_buffer_bytes,
            config.send_buffer_bytes,
            tcp=config.tcp,
        )
        return cls(config, sock, listener, wall_clock, on_event)

    @property
    def port(self) -> int:
        """The port in use, UDP and TCP."""
        return self._port

    async def join(
        self,
        *,
        room_id: str,
        participant_id: str,
        peer_id: str,
        offer_sdp: str,
        purpose: Purpose = CONVERSE,
    ) -> str:
        """Take an SDP offer, return the answer. Raises OfferError before any resource is made.

        `purpose` narrows what the client may do: only send, or only receive, and whom.

        The same peer_id again is a renegotiation or ICE restart of that peer: its DTLS association stays if the
        offer comes from the same RTCPeerConnection (session id of o=, fingerprints), else the peer is closed as
        `replaced` and begins anew.
        """
        if self._closed:
            raise OfferError("closed", "the media server is stopping")
        now = monotonic()
        offer = parse_offer(offer_sdp, self._config.max_sdp_bytes, self._config.max_media_sections)
        if not isinstance(purpose, Converse):
            narrow(offer, sends=isinstance(purpose, Publish), receives=isinstance(purpose, Follow))
        room = self._rooms.get(room_id)
        decided = plan(offer, self._config, room.viewers(participant_id) if room is not None else None)
        if isinstance(purpose, Publish):
            decided.expect_whole()
        peer = room.peers.get(peer_id) if room is not None else None
        if peer is not None and not (
            peer.participant_id == participant_id
            and peer.fingerprints == offer.fingerprints
            and peer.offer_session == offer.session_id
        ):
            self.close_peer(peer, LeaveReason.REPLACED, now)
            peer = None
        if peer is None:
            peer = self._new_peer(room_id, participant_id, peer_id, decided, now)
        else:
            peer.apply(decided, now)
        peer.purpose = purpose
        if self._recorder is not None:
            self._recorder.peer(peer)
        if peer.remote_ufrag != offer.ice_ufrag:
            self._transport.renew_credentials(peer, offer.ice_ufrag, now)
        if peer.send_context is not None:
            self._data.open(peer, now)
            self.arrange(room_id, now)
        self._rounds.wake()
        return self._answer(peer, decided)

    def patch_ice(self, room_id: str, peer_id: str, fragment: str) -> str | None:
        """Take an SDP fragment (RFC 8840). Candidates need no answer; another ufrag restarts ICE, DTLS goes on, and our
        new credentials are returned as a fragment. Raises OfferError (bad_sdp, no_peer, too_many_restarts)."""
        ufrag = parse_fragment(fragment)
        room = self._rooms.get(room_id)
        peer = room.peers.get(peer_id) if room is not None else None
        if peer is None:
            raise OfferError("no_peer", "this peer is not here any more")
        if ufrag in ("", peer.remote_ufrag):
            return None
        if len(peer.password_of) >= MAX_RESTARTS:
            raise OfferError("too_many_restarts", "none of the last ICE restarts has been used yet")
        self._transport.renew_credentials(peer, ufrag, monotonic())
        local = self._transport.local(peer)
        return write_fragment(local.ice_ufrag, local.ice_password)

    def leave(self, room_id: str, peer_id: str, reason: LeaveReason = LeaveReason.LEFT) -> None:
        """Send close_notify and free the peer; nothing happens if there is no such peer."""
        room = self._rooms.get(room_id)
        peer = room.peers.get(peer_id) if room is not None else None
        if peer is not None:
            self.close_peer(peer, reason, monotonic())

    def want(self, room_id: str, peer_id: str, mid: str, height: int | None) -> None:
        """How many lines of picture a peer wants in its receive slot `mid`: None the best there is (the default),
        0 nothing for now. Of a simulcast source it gets the smallest layer that fills them. Nothing happens if
        there is no such slot."""
        room = self._rooms.get(room_id)
        peer = room.peers.get(peer_id) if room is not None else None
        outlet = peer.outlets.get(mid) if peer is not None else None
        if outlet is not None and outlet.wanted != height:
            outlet.wanted = height
            outlet.note(Recorded.WANTED, monotonic(), 0xFFFFFFFF if height is None else height)
            if outlet.track is not None:
                now = monotonic()
                outlet.track.choose(outlet, now)
                self._rounds.tell_layers(self._rooms[room_id], now)

    def sources(self, room_id: str, peer_id: str, sources: Mapping[str, Source]) -> None:
        """What a peer's own m-lines (by mid) show; without a word a video is a camera and an audio a microphone.

        A screen goes before cameras where not all fit a viewer's slots or his line. Remembered for m-lines that
        a later offer brings; nothing happens if there is no such peer.
        """
        room = self._rooms.get(room_id)
        peer = room.peers.get(peer_id) if room is not None else None
        if peer is not None and peer.name_sources(sources):
            self.arrange(room_id, monotonic())

    def presence(self, room_id: str) -> tuple[PresenceSample, ...]:
        """Every peer of the room, also those that are silent or still connecting."""
        room = self._rooms.get(room_id)
        now, wall_now = monotonic(), self._wall_clock()
        return (
            tuple(presence.sample(p, now, wall_now) for p in room.peers.values()) if room is not None else ()
        )

    def peer_stats(self, room_id: str) -> tuple[PeerStats, ...]:
        """Statistics of every stream of every peer of the room, with the judgement on its line.

        Costs about 4 us a stream, when it is asked for; each look is an observation of `Counters.quality_counts`.
        """
        room = self._rooms.get(room_id)
        now, stalled = monotonic(), self._rounds.stalls.share
        found = (
            tuple(presence.stats(p, stalled, now) for p in room.peers.values()) if room is not None else ()
        )
        for stats in found:
            self._tally.quality_counts[stats.score - 1] += 1
        return found

    async def record(self, room_id: str) -> bytes | None:
        """What the flight recorder has of a room that runs or has lately ended, as recorder.py documents it; None
        for any other room, or without a recorder. The loop goes on meanwhile."""
        if self._recorder is None:
            return None
        snapshot = self._recorder.take(room_id, self._wall_clock() - monotonic())
        if snapshot is None:
            return None
        for part in self._recorder.parts():
            snapshot.ring.append(part)
            await asyncio.sleep(0)
        return await asyncio.to_thread(snapshot.write)

    def slots(self, room_id: str, peer_id: str) -> SlotsChanged | None:
        """The current content of a peer's receive slots, as the latest SlotsChanged told it."""
        room = self._rooms.get(room_id)
        peer = room.peers.get(peer_id) if room is not None else None
        return SlotsChanged(room_id, peer_id, peer.slots()) if peer is not None else None

    def counters(self) -> Counters:
        """Totals of the process and gauges of now."""
        tally = self._tally
        drops = dict(tally.drops)
        lost = 0 if self._closed else kernel.dropped(self._port)
        if lost:
            drops["receive_buffer_full"] = lost
        return Counters(
            packets_in=tally.packets_in,
            packets_out=tally.packets_out,
            bytes_in=tally.bytes_in,
            bytes_out=tally.bytes_out,
            drops=drops,
            rooms=len(self._rooms),
            peers=len(self._peers),
            delay_counts=tuple(tally.delay_counts),
            delay_sum_seconds=tally.delay_sum,
            receive_buffer_bytes=0 if self._closed else kernel.receive_buffer(self._socket),
            tcp_connections=self._transport.connections,
            data_messages=tally.data_messages,
            freezes_in=tally.freezes_in,
            freezes_out=tally.freezes_out,
            freeze_seconds_in=tally.freeze_seconds_in,
            freeze_seconds_out=tally.freeze_seconds_out,
            stalls=self._rounds.stalls.count,
            stall_seconds=self._rounds.stalls.seconds,
            quality_counts=tuple(tally.quality_counts),
        )

    def faults(self) -> tuple[str, ...]:
        """What is wrong with the port, UDP and TCP, in words; empty when all is well."""
        return self._transport.faults()

    async def close(self) -> None:
        """Say goodbye to everybody, deliver the last events, free the port. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for peer in list(self._peers.values()):
            self.close_peer(peer, LeaveReason.SERVER_STOP, monotonic())
        self._rounds.stop()
        self._wakeups.stop()
        await self._transport.drain(timeout=2)
        self._deliver()
        self._transport.close()
        self._socket.close()

    # What the receive loop hands over (receive.Control).

    def on_rtcp(self, peer: Peer, data: bytes, now: float) -> None:
        """Parse and act; a malformed packet is counted."""
        try:
            packets = rtcp.parse(data, len(data))
        except ParseError as error:
            self._tally.drop(error.reason)
            return
        reports.handle(peer, packets, now, self._sender)

    def on_first_packet(self, peer: Peer, now: float) -> None:
        """The peer is present from now on."""
        peer.flowing = True
        peer.joined_at = now
        peer.joined_wall = self._wall_clock()
        self._record(Recorded.JOINED, peer, now)
        self.emit(PeerJoined(peer.room_id, peer.participant_id, peer.peer_id, peer.joined_wall))
        # Not from within the packet's own way: the fan-out lists change after this batch.
        self._loop.call_soon(self.arrange, peer.room_id, now)

    def on_unknown_stream(
        self, peer: Peer, ssrc: int, payload_type: int, names: tuple[str, str, str], now: float
    ) -> str | None:
        """See Peer.bind; also remembers whose SSRC this is."""
        refused = peer.bind(ssrc, payload_type, names, now)
        if refused is None:
            self._transport.remember(peer, ssrc)
            if (
                "video" in self._rooms[peer.room_id].crowded
            ):  # a camera that shows something goes before one that does not
                self._loop.call_soon(self.arrange, peer.room_id, now)
        elif peer.dtls is not None and ssrc not in peer.ssrcs:
            peer.dtls.receive_session.remove_stream(
                ssrc
            )  # libsrtp made one; strangers must not pile up there
        return refused

    def on_voice(self, peer: Peer, stream: Stream, now: float) -> None:
        """Let him be heard from this packet on, if there is a place."""
        room = self._rooms[peer.room_id]
        if room.onset(stream.track, now) and "audio" in room.crowded:
            self.arrange(peer.room_id, now)

    # Peers.

    def _new_peer(self, room_id: str, participant_id: str, peer_id: str, decided: Plan, now: float) -> Peer:
        config = self._config
        if len(self._peers) >= config.max_peers:
            raise OfferError("server_full", f"this server holds {config.max_peers} peers at most")
        room = self._rooms.get(room_id)
        if room is None and len(self._rooms) >= config.max_rooms:
            raise OfferError("server_full", f"this server holds {config.max_rooms} rooms at most")
        if room is not None and len(room.peers) >= config.max_peers_per_room:
            raise OfferError("room_full", f"a room holds {config.max_peers_per_room} peers at most")
        if room is None:
            room = self._rooms[room_id] = Room(room_id, config.loudest)
        self._next_order += 1
        peer = Peer(
            room_id,
            participant_id,
            peer_id,
            self._next_order,
            decided,
            config,
            now,
            self._rounds.standstills,
            self._rounds.restless,
        )
        room.peers[peer_id] = peer
        self._peers[peer.order] = peer
        self._rounds.enter(peer)
        return peer

    def _answer(self, peer: Peer, decided: Plan) -> str:
        peer.answer_version += 1
        outlets = peer.outlets
        return write_answer(
            decided,
            self._transport.local(peer),
            peer.session_number,
            peer.answer_version,
            lambda mid: (outlets[mid].ssrc, outlets[mid].rtx_ssrc) if mid in outlets else None,
        )

    def _on_dtls_change(self, peer: Peer, session: DtlsSession) -> None:
        now = monotonic()
        if session.state is DtlsState.CONNECTED:
            peer.receive_context = context_of(session.receive_session)
            peer.send_context = context_of(session.send_session)
            peer.open_outlets()
            self._data.open(peer, now)
            self.arrange(peer.room_id, now)
            return
        if session.state is DtlsState.FAILED:
            self._tally.drop("dtls_failed")
        self.close_peer(peer, LeaveReason.DTLS_CLOSE, now)

    def close_peer(self, peer: Peer, reason: LeaveReason, now: float) -> None:
        """Free everything of the peer and tell of it; a second call does nothing."""
        if self._peers.pop(peer.order, None) is None:
            return
        self._rounds.leave(peer)
        self.stop_flowing(peer, reason, now)
        self._transport.forget(peer)
        peer.release(now)
        room = self._rooms[peer.room_id]
        del room.peers[peer.peer_id]
        if not room.peers:
            del self._rooms[peer.room_id]
            if self._recorder is not None:
                self._recorder.ended(peer.room_id)
        self.emit(PeerClosed(peer.room_id, peer.participant_id, peer.peer_id, reason))
        if not self._closed:
            self.arrange(peer.room_id, now)

    def stop_flowing(self, peer: Peer, reason: LeaveReason, now: float) -> None:
        """No media comes from the peer any more: he is not present."""
        if not peer.flowing:
            return
        peer.flowing = False
        self._record(Recorded.LEFT, peer, now)
        peer.media_seconds += max(0.0, peer.last_packet - peer.joined_at)
        at = self._wall_clock() - (now - peer.last_packet)
        self.emit(
            PeerLeft(peer.room_id, peer.participant_id, peer.peer_id, max(at, peer.joined_wall), reason)
        )

    def arrange(self, room_id: str, now: float) -> None:
        """Who is in the room, or what he sends, has changed: fill everybody's receive slots anew."""
        room = self._rooms.get(room_id)
        if room is not None:
            changed = room.arrange(now)
            for outlet in room.fresh():
                self._sender.replay(outlet, self._config.keyframe_cache_seconds, now)
            for peer in changed:
                if self._recorder is not None:
                    self._recorder.shown(room, peer, now)
                self.emit(SlotsChanged(room_id, peer.peer_id, peer.slots()))
            self._rounds.tell_layers(room, now)

    # Events.

    def _record(self, kind: Recorded, peer: Peer, now: float) -> None:
        if self._recorder is not None:
            self._recorder.event(kind, peer.serial, now)

    def emit(self, event: MediaEvent) -> None:
        """Deliver an event in the loop's next turn, in the order in which they came."""
        if not self._events:
            self._loop.call_soon(self._deliver)
        self._events.append(event)

    def _deliver(self) -> None:
        events, self._events = self._events, []
        for event in events:
            try:
                self._on_event(event)
            except Exception:
                self._tally.drop("on_event_failed")
                logger.exception("the handler of media events failed")
