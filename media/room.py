"""A room: its peers, and who is offered to whom."""

from __future__ import annotations

from collections.abc import Collection

from media.api import Follow, Kind
from media.dynacast import wanted
from media.outlet import Outlet
from media.peer import Peer
from media.slots import SourceKey
from media.speaker import Speakers
from media.stream import Track


class Room:
    """Peers by id, in the order they joined."""

    def __init__(self, room_id: str) -> None:
        self.room_id = room_id
        self.peers: dict[str, Peer] = {}
        self.speakers = Speakers()
        self.latest: str | None = None  # the participant who speaks, or spoke last

    def arrange(self, now: float) -> list[Peer]:
        """Fill everybody's receive slots anew after somebody came or went; the peers whose slots changed."""
        return [
            peer
            for peer in self.peers.values()
            if peer.send_context is not None and peer.show(self._tracks_for(peer), now)
        ]

    def fresh(self) -> list[Outlet]:
        """The outlets that `arrange` attached to something."""
        return [o for peer in self.peers.values() for o in peer.outlets.values() if o.fresh]

    def layers_changed(self, now: float) -> list[tuple[Peer, Track]]:
        """The video tracks of which other layers are wanted than their publishers were told (track.announced).

        Who is still connecting counts as a viewer of everything, so that layers are on when he can be shown them.
        Whoever sends nothing but this video keeps its smallest layer: his presence is told by his packets.
        """
        changed: list[tuple[Peer, Track]] = []
        for peer in self.peers.values():
            for track in peer.tracks.values():
                if track.kind != "video" or not peer.flowing:
                    continue
                heights = [outlet.wanted for outlet in track.outlets]
                if any(p.send_context is None and p.participant_id != peer.participant_id and p.sees_video
                       for p in self.peers.values()):  # fmt: skip
                    heights.append(None)
                layers = wanted(track, heights)
                if not layers and not peer.sounds:
                    layers = track.rids[-1:] or ("",)
                if track.announced.step(layers, track.rids, now):
                    changed.append((peer, track))
        return changed

    def viewers(self, participant_id: str) -> dict[Kind, list[Collection[str]]]:
        """By kind, the codec variants that each of the others takes in his receive slots."""
        found: dict[Kind, list[Collection[str]]] = {"audio": [], "video": []}
        for peer in self.peers.values():
            if peer.participant_id != participant_id:
                for kind, taken in found.items():
                    slot = next((o for o in peer.outlets.values() if o.kind == kind), None)
                    if slot is not None:
                        taken.append(slot.payload_types.keys())
        return found

    @property
    def followed(self) -> bool:
        """Whether anybody wants to see who speaks."""
        return any(peer.purpose == Follow(None) for peer in self.peers.values())

    def _tracks_for(self, viewer: Peer) -> dict[Kind, dict[SourceKey, Track]]:
        """What the others publish, in the order they joined. Nobody gets his own media back, whichever tab sends it,
        unless he follows himself.

        Where a person has two live peers (a reload whose predecessor has not timed out, a second tab), the newer
        one is shown, in the older one's place.
        """
        only: str | None = None
        if isinstance(viewer.purpose, Follow):
            only = viewer.purpose.participant_id or self._spotlight(viewer)
        tracks: dict[Kind, dict[SourceKey, Track]] = {"audio": {}, "video": {}}
        for peer in self.peers.values():
            if not peer.flowing or (
                peer.participant_id == viewer.participant_id if only is None else peer.participant_id != only
            ):
                continue
            for track in peer.tracks.values():
                tracks[track.kind][track.key] = track
        return tracks

    def _spotlight(self, viewer: Peer) -> str | None:
        """Who speaks, else who was shown until now, else who came first, of the others."""
        others = [
            peer
            for peer in self.peers.values()
            if peer.flowing and peer.participant_id != viewer.participant_id
        ]
        here = [peer.participant_id for peer in others]
        speaking = [peer.participant_id for peer in others if peer.peer_id == self.speakers.current]
        shown = [key[0] for key in viewer.shown.values() if key[0] in here]
        return next(iter((*speaking, *shown, *here)), None)
