"""Everything periodic: requests, feedback, reports, layers, who speaks, and who has gone silent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Protocol

from media import allocate, presence, reports
from media.api import LayersWanted, LeaveReason, MediaConfig, MediaEvent, Publish, SlotPaused, SpeakerChanged
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
AIM_TICKS = 5  # layers that came or went are noticed within a tenth of a second
SPEAKER_TICKS = 10  # the step of speaker.py, 0.2 s
TIMEOUT_TICKS = 12  # silence and ICE time-outs are looked at every quarter of a second
DYNACAST_TICKS = 25  # which layers nobody wants any more, every half second


class House(Protocol):
    """What the rounds may set in motion (server.MediaServer)."""

    def emit(self, event: MediaEvent) -> None: ...

    def arrange(self, room_id: str, now: float) -> None: ...

    def close_peer(self, peer: Peer, reason: LeaveReason, now: float) -> None: ...

    def stop_flowing(self, peer: Peer, reason: LeaveReason, now: float) -> None: ...


class Rounds:
    """A tick every 20 ms while there are peers. They take turns by their join order, so that work is spread evenly."""

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
        feedback_every = max(1, round(self._config.feedback_seconds / TICK))
        report_every = max(1, round(self._config.report_seconds / TICK))
        if self._recorder is not None:
            if late:
                self._recorder.event(Recorded.STALL, 0, now, int(late * 1000))
            if self._ticks % report_every == 0:
                self._recorder.drops(self._tally.drops, now)
        for peer in self._peers.values():
            if peer.send_context is None:
                continue
            turn = self._ticks + peer.order
            if turn % AIM_TICKS == 0:
                presence.watch(peer, self._tally, now)
            if peer.streams:
                if turn % AIM_TICKS == 0:
                    peer.aim(now)
                self._transport.send_rtcp(
                    peer, reports.requests(peer, now, self._config.keyframe_interval_seconds)
                )
                if turn % feedback_every == 0:
                    self._transport.send_rtcp(peer, reports.feedback(peer))
            if peer.downlink.limited:
                self._allocate(peer, now, turn % AIM_TICKS == 0)
            if turn % report_every == 0:
                self._transport.send_rtcp(peer, reports.reports(peer, now))
                if self._recorder is not None:
                    self._recorder.look(peer, now)
        if self._ticks % SPEAKER_TICKS == 0:
            self._listen()
        if self._ticks % DYNACAST_TICKS == 0:
            for room in self._rooms.values():
                self.tell_layers(room, now)
        if self._ticks % TIMEOUT_TICKS == 0 and not stalled:
            self._time_out(now)

    def tell_layers(self, room: Room, now: float) -> None:
        """Tell publishers which of their layers are wanted, where that has changed."""
        for peer, track in room.layers_changed(now):
            self._house.emit(LayersWanted(room.room_id, peer.peer_id, track.mid, track.announced.rids))

    def _listen(self) -> None:
        """Tell each room who speaks, when that has changed, and let the loudest be heard."""
        for room in list(self._rooms.values()):
            turned = False
            if room.speakers.step({p.peer_id: p.talk_packets for p in room.peers.values() if p.flowing}):
                speaker = room.speakers.current
                participant = room.peers[speaker].participant_id if speaker is not None else None
                turned = (room.spoke(participant) and "video" in room.crowded) or room.followed
                self._house.emit(SpeakerChanged(room.room_id, participant, speaker))
            now = monotonic()
            if room.listen(now) or turned:
                self._house.arrange(room.room_id, now)

    def _allocate(self, peer: Peer, now: float, anew: bool) -> None:
        """A narrow line: choose what goes over it, and probe whether it has become wider."""
        downlink = peer.downlink
        outlets = list(peer.outlets.values())
        if anew:
            changed, peer.needed = allocate.apply(
                outlets, downlink, now, self._rooms[peer.room_id].speaker_for(peer)
            )
            for outlet in changed:
                outlet.note(Recorded.PAUSED, now, outlet.paused)
                self._house.emit(SlotPaused(peer.room_id, peer.peer_id, outlet.mid, outlet.paused))
        if downlink.wants_probe(peer.needed, now):
            probed = next((o for o in outlets if o.kind == "video" and o.track is not None), None)
            if probed is not None:
                self._sender.probe(probed, int(downlink.probe_extra / 8 * TICK))

    def _time_out(self, now: float) -> None:
        for peer in list(self._peers.values()):
            last_sign = peer.created_at if peer.send_context is None else peer.checked_at
            if isinstance(peer.purpose, Publish):
                # Encoders (ffmpeg) check once and then only send; what they get is feedback, which needs no consent.
                last_sign = max(last_sign, peer.last_packet)
            if now - last_sign > self._config.ice_timeout_seconds:
                self._house.close_peer(peer, LeaveReason.ICE_TIMEOUT, now)
            elif peer.flowing and now - peer.last_packet > self._config.media_silence_seconds:
                self._house.stop_flowing(peer, LeaveReason.MEDIA_SILENCE, now)
                self._house.arrange(peer.room_id, now)
