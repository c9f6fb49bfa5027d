"""The SFU: forwards real-time media between the peers of a room and observes who was there. Imports nothing of ours."""

from media.api import (
    DELAY_EDGES,
    Counters,
    Kind,
    LeaveReason,
    MediaConfig,
    MediaError,
    MediaEvent,
    OfferError,
    PeerClosed,
    PeerJoined,
    PeerLeft,
    PeerStats,
    PresenceSample,
    Slot,
    SlotPaused,
    SlotsChanged,
    StreamStats,
)
from media.collector import Collector, CollectorPolicy
from media.server import MediaServer

# Modules a media packet passes through: synchronous, without logging, locks or I/O besides the socket.
HOT_PATH: tuple[str, ...] = (
    "media.codec",
    "media.downlink",
    "media.feedback",
    "media.forward",
    "media.layers",
    "media.nack",
    "media.outlet",
    "media.receive",
    "media.replay",
    "media.ring",
    "media.rtp",
    "media.sequence",
    "media.srtp",
    "media.stream",
    "media.tally",
    "media.vp8",
    "media.wakeup",
)

__all__ = [
    "DELAY_EDGES",
    "HOT_PATH",
    "Collector",
    "CollectorPolicy",
    "Counters",
    "Kind",
    "LeaveReason",
    "MediaConfig",
    "MediaError",
    "MediaEvent",
    "MediaServer",
    "OfferError",
    "PeerClosed",
    "PeerJoined",
    "PeerLeft",
    "PeerStats",
    "PresenceSample",
    "Slot",
    "SlotPaused",
    "SlotsChanged",
    "StreamStats",
]
