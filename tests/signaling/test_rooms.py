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
    Presence,
    Quality,
    SessionCard,
    Slots,
    SlotView,
    Source,
    Speaking,
)
from signaling.rooms import Door, Effects, LeaveMedia, Room, Tell

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


def participant_of(room: Room, user: UUID) -> tuple[Presence, bool, bool]:
    found = next(p for p in rooms.participants(room) if p.user_id == user)
    return found.state, found.audio, found.video


def test_who_publishes_beside_the_socket_is_present_by_either() -> None:
    room = rooms.opened(CARD, [(ADA, "Ada", "mentor"), (BEN, "Ben", "mentee")])
    room, _ = rooms.walk_in(room, ADA, Door("obs", True, audio=True, video=True))
    assert participant_of(room, ADA) == (Presence.AWAY, False, False)  # nothing flows yet
    room, _ = rooms.media_seen(room, "obs", True)
    assert participant_of(room, ADA) == (Presence.PRESENT, True, True)
    room, _, _ = rooms.sit(room, ADA, "a", None)
    room, _ = rooms.leave(room, "a")
    assert participant_of(room, ADA) == (Presence.PRESENT, True, True) and not room.empty
    room, _, _ = rooms.sit(room, ADA, "a", None)
    room, _ = rooms.media_closed(room, "obs")
    assert participant_of(room, ADA) == (Presence.CONNECTED, False, False)


def test_a_person_publishes_once_and_watches_as_often_as_allowed() -> None:
    room = rooms.opened(CARD, [(ADA, "Ada", "mentor"), (BEN, "Ben", "mentee")])
    for peer in ("tv", "wall"):
        room, effects = rooms.walk_in(room, ADA, Door(peer, False))
        assert effects == ()
    room, effects = rooms.walk_in(room, ADA, Door("obs", True))
    assert effects == ()
    room, effects = rooms.walk_in(room, ADA, Door("obs again", True))
    assert effects == (LeaveMedia("obs", LeaveReason.REPLACED),)


def test_nobody_is_forgotten_behind_a_door_when_the_room_ends() -> None:
    room = both_seated()
    room, _ = rooms.walk_in(room, BEN, Door("obs", True))
    for step in (rooms.drained(room), rooms.session_over(room, "settled", "completed")):
        assert {e.peer_id for e in step[1] if isinstance(e, LeaveMedia)} == {"a", "b", "obs"}
