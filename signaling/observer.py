"""Translates the SFU's events and running totals into sightings of people and heartbeats of their stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from media.api import PeerClosed, PeerJoined, PeerLeft, PresenceSample
from signaling.presence import Came, Heartbeat, Sighting, Went, instant_of

PeerKey = tuple[str, str]  # (room id, peer id)


@dataclass(slots=True)
class Stay:
    """A peer's present stay: since when (unix seconds), and how much it has talked (seconds)."""

    since: float
    talked: float = 0.0


class Observer:
    """The SFU counts a peer's media over all its stays; attendance wants each stay by itself.

    ``samples`` asks the SFU for the totals of a room's peers now. Events may arrive when the peer is gone already.
    """

    def __init__(self, samples: Callable[[str], Sequence[PresenceSample]]) -> None:
        self._samples = samples
        self._stays: dict[PeerKey, Stay] = {}
        self._before: dict[PeerKey, tuple[float, float]] = {}  # media and talk of the stays that are over

    def see(self, event: PeerJoined | PeerLeft | PeerClosed) -> Sighting | None:
        """What attendance should note of ``event``."""
        key = (event.room_id, event.peer_id)
        session_id, user_id = UUID(event.room_id), UUID(event.participant_id)
        match event:
            case PeerJoined(at=at):
                self._stays[key] = Stay(at)
                return Came(session_id, user_id, event.peer_id, instant_of(at))
            case PeerLeft(at=at, reason=reason):
                stay = self._stays.get(key)
                for sample in self._samples(event.room_id):
                    if sample.peer_id == event.peer_id and stay is not None:
                        stay.talked = max(stay.talked, self._beat(event.room_id, sample, at).talk_seconds)
                        self._before[key] = (sample.media_seconds, sample.talk_seconds)
                self._stays.pop(key, None)
                last = None
                if stay is not None:
                    length = max(0.0, at - stay.since)
                    last = Heartbeat(
                        session_id, event.peer_id, instant_of(at), length, min(stay.talked, length)
                    )
                return Went(session_id, user_id, event.peer_id, instant_of(at), reason.value, last)
            case PeerClosed():
                self._stays.pop(key, None)
                self._before.pop(key, None)
                return None

    def heartbeats(self) -> list[Heartbeat]:
        """One for each peer whose media flow."""
        found = []
        for room_id in {room_id for room_id, _ in self._stays}:
            for sample in self._samples(room_id):
                stay = self._stays.get((room_id, sample.peer_id))
                if stay is not None and sample.last_packet_at is not None:
                    beat = self._beat(room_id, sample, sample.last_packet_at)
                    stay.talked = beat.talk_seconds
                    found.append(beat)
        return found

    def _beat(self, room_id: str, sample: PresenceSample, at: float) -> Heartbeat:
        media, talk = self._before.get((room_id, sample.peer_id), (0.0, 0.0))
        return Heartbeat(
            UUID(room_id),
            sample.peer_id,
            instant_of(at),
            max(0.0, sample.media_seconds - media),
            max(0.0, sample.talk_seconds - talk),
        )
