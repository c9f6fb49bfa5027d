"""What an event of the SFU means for a room: one pure translation."""

from __future__ import annotations

from uuid import UUID

from media.api import (
    LayersWanted,
    MediaEvent,
    PeerClosed,
    PeerJoined,
    PeerLeft,
    SlotPaused,
    SlotsChanged,
    SpeakerChanged,
)
from media.api import Slot as MediaSlot
from signaling import rooms
from signaling.messages import SlotView, Source
from signaling.rooms import Effects, Room


def heard(room: Room, event: MediaEvent, renewed: bool) -> tuple[Room, Effects]:
    """The room after ``event`` and what follows from it.

    ``renewed``: the SFU has a peer of the event's id now. A new offer replaces the peer under the same id, and the news
    of the old one's end comes after it.
    """
    match event:
        case PeerJoined(peer_id=peer_id):
            return rooms.media_seen(room, peer_id, True)
        case PeerLeft(peer_id=peer_id):
            return rooms.media_seen(room, peer_id, False)
        case PeerClosed(peer_id=peer_id):
            return (rooms.media_renewed if renewed else rooms.media_closed)(room, peer_id)
        case SlotsChanged(peer_id=peer_id, slots=slots):
            return rooms.slots_changed(room, peer_id, tuple(_view(slot) for slot in slots))
        case SlotPaused(peer_id=peer_id, mid=mid, paused=paused):
            return rooms.slot_paused(room, peer_id, mid, paused)
        case LayersWanted(peer_id=peer_id, mid=mid, rids=rids):
            return rooms.layers_wanted(room, peer_id, mid, rids)
        case SpeakerChanged(participant_id=speaker):
            return rooms.spoke(room, UUID(speaker) if speaker else None)


def _view(slot: MediaSlot) -> SlotView:
    shown = UUID(slot.participant_id) if slot.participant_id else None
    return SlotView(
        slot.mid, slot.kind, shown, Source(slot.source) if slot.source else None, slot.undecodable
    )
