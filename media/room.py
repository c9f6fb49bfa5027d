"""A room: its peers, and who is offered to whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from media.api import Follow, Kind
from media.dynacast import wanted
from media.outlet import Outlet
from media.peer import Peer
from media.slots import SourceKey
from media.speaker import Speakers, Voices
from media.stream import Track

UNTOLD = 15  # decibels above silence of a packet that does not tell


class Room:
    """Peers by id, in the order they joined."""

    def __init__(self, room_id: str, loudest: int = 0) -> None:
        self.room_id = room_id
        self.peers: dict[str, Peer] = {}
        self.loudest = loudest  # sources of sound forwarded at most; 0: all
        self.speakers = Speakers()
        self.voices = Voices()
        self.recent: tuple[str, ...] = ()  # participants who spoke, the latest first
        self.crowded: frozenset[Kind] = (
            frozenset()
        )  # of which somebody has fewer slots than there are sources
        self._places = 0  # the fewest slots for sound that anybody has who has too few

    def arrange(self, now: float) -> list[Peer]:
        """Fill everybody's receive slots anew after somebody came or went; the peers whose slots changed."""
        sounds = self._sounds()
        self.voices.enter(track.key for _, track in sounds if track.source != "screen")
        crowded: set[Kind] = set()
        changed: list[Peer] = []
        self._places = 0
        for peer in self.peers.values():
            if peer.send_context is not None and peer.show(self._chosen_for(peer, crowded), now):
                changed.append(peer)
        self.crowded = frozenset(crowded)
        self._hush(sounds, now)
        return changed

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
                before = track.announced.rids
                if track.announced.step(layers, track.rids, now):
                    track.expect([rid for rid in track.announced.rids if rid not in before], now)
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

    def spoke(self, participant_id: str | None) -> bool:
        """The active speaker is another one; True if somebody who spoke less recently may have to leave for him."""
        if participant_id is None or self.recent[:1] == (participant_id,):
            return False
        here = {peer.participant_id for peer in self.peers.values()}
        self.recent = (participant_id, *(each for each in self.recent if each in here - {participant_id}))
        return True

    def speaker_for(self, viewer: Peer) -> str | None:
        """Who of the others speaks, or spoke last."""
        return next((each for each in self.recent if each != viewer.participant_id), None)

    def listen(self, now: float) -> bool:
        """Each 0.2 s: put the sources of sound in order; True if who hears whom may have to change."""
        if len(self.peers) < 3 and "audio" not in self.crowded:
            return False
        sounds = self._sounds()
        if not self.voices.step({t.key: _loudness(peer, t) for peer, t in sounds if t.source != "screen"}):
            return False
        self._hush(sounds, now)
        return "audio" in self.crowded

    def onset(self, track: Track, now: float) -> bool:
        """A sound that not everybody hears has become loud; True if that has brought it forward."""
        if not self.voices.onset(track.key):
            return False
        self._hush(self._sounds(), now)
        return True

    def _sounds(self) -> list[tuple[Peer, Track]]:
        """The sounds of those who send."""
        return [
            (peer, track)
            for peer in self.peers.values()
            if peer.flowing
            for track in peer.tracks.values()
            if track.kind == "audio"
        ]

    def _hush(self, sounds: list[tuple[Peer, Track]], now: float) -> None:
        """Hold back what is not among the loudest, and watch what not everybody hears. Never between two people, and
        never the sound of a screen."""
        order = self.voices.order
        most = self.loudest if len({peer.participant_id for peer, _ in sounds}) > 2 else 0
        heard = frozenset(order[:most] if 0 < most < len(order) else order)
        known = frozenset(order[: self._places] if self._places else order) & heard
        for _, track in sounds:
            microphone = track.source != "screen"
            held = microphone and track.key not in heard
            for stream in track.streams:
                stream.watched = microphone and track.key not in known
            if held is not track.held:
                track.held = held
                for outlet in track.outlets:
                    track.choose(outlet, now)

    @property
    def followed(self) -> bool:
        """Whether anybody wants to see who speaks."""
        return any(peer.purpose == Follow(None) for peer in self.peers.values())

    def _chosen_for(self, viewer: Peer, crowded: set[Kind]) -> dict[Kind, dict[SourceKey, Track]]:
        """The same, where they are more than the viewer has slots for only the most important: screens first, then the
        loudest, or who spoke most recently. Notes in `crowded` where that is so."""
        tracks = self._tracks_for(viewer)
        for kind, keyed in tracks.items():
            places = sum(outlet.kind == kind for outlet in viewer.outlets.values())
            if not 0 < places < len(keyed):
                continue
            crowded.add(kind)
            if kind == "audio":
                self._places = min(self._places or places, places)
                order = {key: place for place, key in enumerate(self.voices.order)}
                ranked = sorted(keyed, key=lambda key: (keyed[key].source != "screen", order.get(key, 0)))
            else:
                spoke = {participant: place for place, participant in enumerate(self.recent)}
                ranked = sorted(keyed, key=lambda key: _unimportance(keyed[key], spoke))
            chosen = set(ranked[:places])
            tracks[kind] = {key: track for key, track in keyed.items() if key in chosen}
        return tracks

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


def _unimportance(track: Track, spoke: Mapping[str, int]) -> tuple[bool, bool, int]:
    """Of a picture: what shows something first, screens before cameras, then who spoke most recently, then who came."""
    return not track.streams, track.source != "screen", spoke.get(track.participant_id, len(spoke))


def _loudness(peer: Peer, track: Track) -> int:
    """A client that does not tell how loud it is is taken for one that speaks whenever it sends."""
    if peer.plan.extension_ids.audio_level:
        return sum(stream.loudness for stream in track.streams)
    return sum(UNTOLD * stream.packets for stream in track.streams)
