"""What the SFU says of somebody's media reaches that person, and again when they come back to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from media.api import LeaveReason
from signaling import rooms
from signaling.messages import (
    Cause,
    Layers,
    Outbound,
    Paused,
    Quality,
    SessionCard,
    Slots,
    SlotView,
    Source,
    Speaking,
)
from signaling.rooms import Effects, LeaveMedia, Room, Tell

ADA, BEN = uuid4(), uuid4()
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CARD = SessionCard(uuid4(), NOON, NOON, NOON, "A talk")


def both_seated() -> Room:
    """Ada on socket "a", Ben on socket "b", both with media that flow."""
    room = rooms.opened(CARD, [(ADA, "Ada", "mentor"), (BEN, "Ben", "mentee")])
    for user, socket in ((ADA, "a"), (BEN, "b")):
        room, _, _ = rooms.sit(room, user, socket, None)
        room, _ = rooms.answered(room, socket, socket)
        room, _ = rooms.media_seen(room, socket, True)
    return room


def said_to(effects: Effects, connection: str) -> list[Outbound]:
    return [e.message for e in effects if isinstance(e, Tell) and e.connection == connection]


def come_back(room: Room, user: UUID, peer_id: str) -> list[Outbound]:
    room, effects, resumed = rooms.sit(room, user, "again", peer_id)
    assert resumed
    return said_to(effects, "again")


def test_only_whose_line_is_narrow_hears_of_the_pause() -> None:
    room, effects = rooms.slot_paused(both_seated(), "a", "4", True)
    assert effects == (Tell("a", Paused("4", True)),)
    assert come_back(room, ADA, "a") == [Paused("4", True)]
    room, effects = rooms.slot_paused(room, "a", "4", False)
    assert effects == (Tell("a", Paused("4", False)),)
    assert come_back(room, ADA, "a") == []


def test_what_was_said_while_the_socket_was_away_is_said_again() -> None:
    room, _ = rooms.vacate(both_seated(), "a")
    steps: tuple[Callable[[Room], tuple[Room, Effects]], ...] = (
        lambda r: rooms.slots_changed(r, "a", (SlotView("4", "video", BEN, Source.CAMERA),)),
        lambda r: rooms.slot_paused(r, "a", "4", True),
        lambda r: rooms.layers_wanted(r, "a", "1", ("h",)),
        lambda r: rooms.layers_wanted(r, "a", "2", ()),
    )
    for step in steps:
        room, effects = step(room)
        assert effects == ()
    room, _ = rooms.spoke(room, BEN)
    assert come_back(room, ADA, "a") == [
        Slots((SlotView("4", "video", BEN, Source.CAMERA),)),
        Paused("4", True),
        Layers("1", ("h",)),
        Layers("2", ()),
        Speaking(BEN),
    ]


def test_new_media_begin_with_nothing_said() -> None:
    room, _ = rooms.slot_paused(both_seated(), "a", "4", True)
    room, _ = rooms.layers_wanted(room, "a", "1", ())
    renewed, effects = rooms.media_renewed(room, "a")
    assert effects == () and come_back(renewed, ADA, "a") == []
    room, effects, resumed = rooms.sit(room, ADA, "another tab", None)
    assert not resumed and LeaveMedia("a", LeaveReason.REPLACED) in effects
    assert said_to(effects, "another tab") == []


def test_a_judgement_is_for_whose_line_it_is() -> None:
    room = both_seated()
    assert rooms.judged(room, "a", 2, Cause.UPLINK) == (Tell("a", Quality(2, Cause.UPLINK)),)
    room, _ = rooms.vacate(room, "a")
    assert rooms.judged(room, "a", 2, Cause.UPLINK) == ()


def test_everybody_hears_who_speaks_and_nobody_twice() -> None:
    room, effects = rooms.spoke(both_seated(), BEN)
    assert effects == (Tell("a", Speaking(BEN)), Tell("b", Speaking(BEN)))
    assert rooms.spoke(room, BEN) == (room, ())
    assert rooms.spoke(room, uuid4()) == (room, ())  # whoever it is has no seat here
    # The last one's media end: an SFU without anybody in the room says nothing more.
    room, effects = rooms.media_seen(room, "b", False)
    assert Tell("a", Speaking(None)) in effects and room.speaker is None
