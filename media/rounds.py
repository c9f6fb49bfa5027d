"""Everything periodic: requests, feedback, reports, layers, who speaks, and who has gone silent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Protocol

from media import allocate, presence, reports
from media.api import (
    LayersWanted,
    LeaveReason,
    MediaConfig,
    MediaEvent,
    Publish,
    SlotPaused,
    SlotsChanged,
    SpeakerChanged,
)
from media.downlink import Standstills
from media.forward import Sender
from media.pace import Stalls
from media.peer import Peer
from media.recorder import Kind as Recorded
from media.recorder import Recorder
from media.room import Room
from media.tally import Tally
from media.transport import Transport

TICK = 0.02  # seconds: the finest schedule there is, that of NACKs
STALL = 0.5  # seconds: a tick this late means that packets are waiting unread, so silence proves nothing
STEP_SECONDS = 0.2  # the step of speaker.py
DYNACAST_SECONDS = 1.0  # which layers nobody wants any more; what somebody wants is told at once


class House(Protocol):
    """What the rounds may set in motion (server.MediaServer)."""

    def emit(self, event: MediaEvent) -> None: ...

    def arrange(self, room_id: str, now: float) -> None: ...

    def close_peer(self, peer: Peer, reason: LeaveReason, now: float) -> None: ...

    def stop_flowing(self, peer: Peer, reason: LeaveReason, now: float) -> None: ...


class Rounds:
    """A tick every 20 ms while there are peers.

    Each peer has a turn once in `feedback_seconds`, by its join order, so that work is spread evenly; a room's turn is
    that of the peer that has been in it longest. In between only those are looked at that have something to ask of a
    publisher, or are probed.
    """

    def __init__(
        self,
        house: House,
        config: MediaConfig,
        transport: Transport,
        sender: Sender,
        tally: Tally,
        rooms: Mapping[str, Room],
        peers: Mapping[int, Peer],
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder
        self._house = house
        self._config = config
        self._transport = transport
        self._sender = sender
        self._tally = tally
        self._rooms = rooms
        self._peers = peers
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._ticked_at = monotonic()
        self.stalls = Stalls()
        self.standstills = Standstills()
        self._every = max(1, round(config.feedback_seconds / TICK))  # ticks between two turns of a peer
        self._report_turns = max(1, round(config.report_seconds / config.feedback_seconds))
        self._step_turns = max(1, round(STEP_SECONDS / config.feedback_seconds))
        self._dynacast_turns = max(1, round(DYNACAST_SECONDS / config.feedback_seconds))
        self._turns: list[dict[int, Peer]] = [{} for _ in range(self._every)]
        self.restless: set[Peer] = set()  # a stream of theirs misses packets or wants a keyframe
        self._limited: set[Peer] = set()  # their lines are narrow

    def enter(self, peer: Peer) -> None:
        """The peer has its turns from now on."""
        self._turns[peer.order % self._every][peer.order] = peer

    def leave(self, peer: Peer) -> None:
        """It is gone."""
        self._turns[peer.order % self._every].pop(peer.order, None)
        self.restless.discard(peer)
        self._limited.discard(peer)

    def wake(self) -> None:
        """There are peers: tick."""
        if self._timer is None and self._peers:
            self._timer = self._loop.call_later(TICK, self._tick)
            self._ticked_at = monotonic()

    def stop(self) -> None:
        """No tick any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now, before = monotonic(), self._ticked_at
        self._timer = None
        self.wake()
        stalled = now - before > STALL
        self.standstills.tick(before, now, TICK)
        late = self.stalls.tick(now, TICK)
        if not self._peers:
            self.stalls.pause()
        self._ticks += 1
        if self._recorder is not None:
            if late:
                self._recorder.event(Recorded.STALL, 0, now, int(late * 1000))
            if self._ticks % (self._every * self._report_turns) == 0:
                self._recorder.drops(self._tally.drops, now)
        for peer in tuple(self._turns[-self._ticks % self._every].values()):
            self._turn(peer, (self._ticks + peer.order) // self._every, now, stalled)
        nacks = not self._sender.behind  # what was lost for want of time is not asked for while there is none
        for peer in tuple(self.restless):
            self._transport.send_rtcp(
                peer, reports.requests(peer, now, self._config.keyframe_interval_seconds, nacks)
            )
            if not any(stream.missing or stream.keyframe_wanted for stream in peer.streams.values()):
                self.restless.discard(peer)
        for peer in tuple(self._limited):
            self._probe(peer, now, min(now - before, 5 * TICK))

    def _turn(self, peer: Peer, turn: int, now: float, stalled: bool) -> None:
        """What a peer is due about every tenth of a second, and its room where it is the one that stands for it."""
        if not stalled and self._timed_out(peer, now):
            return
        room = self._rooms[peer.room_id]
        if next(iter(room.peers.values())) is peer:
            if turn % self._step_turns == 0:
                self._listen(room, now)
            if turn % self._dynacast_turns == 0:
                self.tell_layers(room, now)
        if peer.send_context is None:
            return
        presence.watch(peer, self._tally, now)
        if peer.streams:
            peer.aim(now)
            self._transport.send_rtcp(peer, reports.feedback(peer))
        if peer.downlink.limited:
            self._limited.add(peer)
            self._allocate(peer, now)
        if turn % self._report_turns == 0:
            undecodable = {o.mid: o.undecodable for o in peer.outlets.values() if o.undecodable}
            if undecodable != peer.undecodable:  # a source has begun, or has changed its codec
                peer.undecodable = undecodable
                self._house.emit(SlotsChanged(peer.room_id, peer.peer_id, peer.slots()))
            self._transport.send_rtcp(peer, reports.reports(peer, now))
            if self._recorder is not None:
                self._recorder.look(peer, now)

    def tell_layers(self, room: Room, now: float) -> None:
        """Tell publishers which of their layers are wanted, where that has changed."""
        for peer, track in room.layers_changed(now):
            self._house.emit(LayersWanted(room.room_id, peer.peer_id, track.mid, track.announced.rids))

    def _listen(self, room: Room, now: float) -> None:
        """Tell who speaks, when that has changed, and let the loudest be heard."""
        turned = False
        if room.speakers.step({p.peer_id: p.talk_packets for p in room.peers.values() if p.flowing}):
            speaker = room.speakers.current
            participant = room.peers[speaker].participant_id if speaker is not None else None
            turned = (room.spoke(participant) and "video" in room.crowded) or room.followed
            self._house.emit(SpeakerChanged(room.room_id, participant, speaker))
        if room.listen(now) or turned:
            self._house.arrange(room.room_id, now)

    def _allocate(self, peer: Peer, now: float) -> None:
        """A narrow line: choose what goes over it."""
        speaker = self._rooms[peer.room_id].speaker_for(peer)
        changed, peer.needed = allocate.apply(tuple(peer.outlets.values()), peer.downlink, now, speaker)
        for outlet in changed:
            outlet.note(Recorded.PAUSED, now, outlet.paused)
            self._house.emit(SlotPaused(peer.room_id, peer.peer_id, outlet.mid, outlet.paused))

    def _probe(self, peer: Peer, now: float, passed: float) -> None:
        """Find out whether a narrow line has become wider, with the padding for the `passed` seconds."""
        if peer.downlink.wants_probe(peer.needed, now):
            outlets = peer.outlets.values()
            probed = next((o for o in outlets if o.kind == "video" and o.track is not None), None)
            if probed is not None:
                self._sender.probe(probed, int(peer.downlink.probe_extra / 8 * passed))

    def _timed_out(self, peer: Peer, now: float) -> bool:
        """Whether the peer is gone; if only its media have stopped, it is no longer present."""
        last_sign = peer.created_at if peer.send_context is None else peer.checked_at
        if isinstance(peer.purpose, Publish):
            # Encoders (ffmpeg) check once and then only send; what they get is feedback, which needs no consent.
            last_sign = max(last_sign, peer.last_packet)
        if now - last_sign > self._config.ice_timeout_seconds:
            self._house.close_peer(peer, LeaveReason.ICE_TIMEOUT, now)
            return True
        if peer.flowing and now - peer.last_packet > self._config.media_silence_seconds:
            self._house.stop_flowing(peer, LeaveReason.MEDIA_SILENCE, now)
            self._house.arrange(peer.room_id, now)
        return False
