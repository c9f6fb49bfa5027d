"""Translates the SFU's events and running totals into sightings of people and heartbeats of their stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from media.api import PeerClosed, PeerJoined, PeerLeft, PresenceSample
from signaling.presence import Came, Heartbeat, Sighting, Switched, Went, instant_of

# Looks at what a page says of microphone and camera, one each heartbeat (5 s), between two lines about one person: at
# least 30 s, so a camera that flaps for a whole hour writes 120 lines and not 7,200 (a page may say so twice a second).
LOOKS_BETWEEN = 6

PeerKey = tuple[str, str]  # (room id, peer id)


@dataclass(slots=True)
class Stay:
    """A peer's present stay: since when (unix seconds), and how much it has talked and sent (seconds).

    ``packets``: how many with sound or picture had come at ``looked``; None where the SFU does not say.
    ``noted``: (microphone, camera) as they were last noted, ``looks`` ago; nobody has to say that both are off.
    """

    user_id: UUID
    since: float
    looked: float
    packets: int | None
    talked: float = 0.0
    sent: float = 0.0
    sending: bool = False
    noted: tuple[bool, bool] = (False, False)
    looks: int = LOOKS_BETWEEN

    def look(self, packets: int, at: float) -> None:
        """A stretch between two looks counts as a whole when something came in it: heartbeats are 5 s apart."""
        self.sending = packets > (self.packets or 0)
        if self.sending:
            self.sent += max(0.0, at - self.looked)
        self.looked, self.packets = max(self.looked, at), packets

    def turns(self, says: tuple[bool, bool]) -> bool:
        """Whether what the page says is to be noted now: it is news, and the last note is long enough ago."""
        self.looks += 1
        if says == self.noted or self.looks < LOOKS_BETWEEN:
            return False
        self.noted, self.looks = says, 0
        return True


class Observer:
    """The SFU counts a peer's media over all its stays; attendance wants each stay by itself.

    ``samples`` asks the SFU for the totals of a room's peers now. Events may arrive when the peer is gone already.
    """

    def __init__(self, samples: Callable[[str], Sequence[PresenceSample]]) -> None:
        self._samples = samples
        self._stays: dict[PeerKey, Stay] = {}
        # Media and talk (seconds) and packets of the stays that are over.
        self._before: dict[PeerKey, tuple[float, float, int | None]] = {}

    def see(self, event: PeerJoined | PeerLeft | PeerClosed) -> Sighting | None:
        """What attendance should note of ``event``."""
        key = (event.room_id, event.peer_id)
        session_id, user_id = UUID(event.room_id), UUID(event.participant_id)
        match event:
            case PeerJoined(at=at):
                self._stays[key] = Stay(user_id, at, at, self._before.get(key, (0.0, 0.0, None))[2])
                return Came(session_id, user_id, event.peer_id, instant_of(at))
            case PeerLeft(at=at, reason=reason):
                stay = self._stays.get(key)
                for sample in self._samples(event.room_id):
                    if sample.peer_id == event.peer_id and stay is not None:
                        stay.talked = max(
                            stay.talked, self._beat(event.room_id, sample, at, stay).talk_seconds
                        )
                        self._before[key] = (sample.media_seconds, sample.talk_seconds, sample.rtp_packets)
                self._stays.pop(key, None)
                last = None
                if stay is not None:
                    length = max(0.0, at - stay.since)
                    sent = length
                    if (
                        stay.packets is not None
                    ):  # of a peer that is gone already the last stretch is like the one before
                        sent = stay.sent + (max(0.0, at - stay.looked) if stay.sending else 0.0)
                    last = Heartbeat(
                        session_id,
                        event.peer_id,
                        instant_of(at),
                        min(sent, length),
                        min(stay.talked, length),
                    )
                return Went(session_id, user_id, event.peer_id, instant_of(at), reason.value, last)
            case PeerClosed():
                self._stays.pop(key, None)
                self._before.pop(key, None)
                return None

    def switched(self, says: Callable[[str, str], tuple[bool, bool] | None], at: datetime) -> list[Switched]:
        """What is to be noted of people who are present. ``says`` (room, peer) asks for (microphone, camera), None
        where there is no page to say it."""
        return [
            Switched(UUID(room_id), stay.user_id, peer_id, at, *said)
            for (room_id, peer_id), stay in self._stays.items()
            if (said := says(room_id, peer_id)) is not None and stay.turns(said)
        ]

    def heartbeats(self) -> list[Heartbeat]:
        """One for each peer whose media flow."""
        found = []
        for room_id in {room_id for room_id, _ in self._stays}:
            for sample in self._samples(room_id):
                stay = self._stays.get((room_id, sample.peer_id))
                if stay is not None and sample.last_packet_at is not None:
                    beat = self._beat(room_id, sample, sample.last_packet_at, stay)
                    stay.talked = beat.talk_seconds
                    found.append(beat)
        return found

    def _beat(self, room_id: str, sample: PresenceSample, at: float, stay: Stay) -> Heartbeat:
        media, talk, _ = self._before.get((room_id, sample.peer_id), (0.0, 0.0, None))
        seconds = max(0.0, sample.media_seconds - media)
        if sample.rtp_packets is not None:
            stay.look(sample.rtp_packets, at)
            seconds = min(seconds, stay.sent)
        return Heartbeat(
            UUID(room_id),
            sample.peer_id,
            instant_of(at),
            seconds,
            max(0.0, sample.talk_seconds - talk),
        )
