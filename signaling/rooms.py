"""Who sits in a room, and what follows when somebody comes, goes or changes: pure functions to (room, effects)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from media.api import LeaveReason
from signaling.messages import (
    Cause,
    ChatLine,
    Close,
    Ending,
    Layers,
    Outbound,
    Participant,
    ParticipantChanged,
    Paused,
    Presence,
    Quality,
    Said,
    SessionCard,
    SessionChanged,
    Slots,
    SlotView,
    Speaking,
)


@dataclass(frozen=True, slots=True)
class Door:
    """A peer that a person has beside the socket: a WHIP publication, or a WHEP view. ``seen``: its packets flow."""

    peer_id: str
    publishes: bool
    audio: bool = False
    video: bool = False
    seen: bool = False


@dataclass(frozen=True, slots=True)
class Seat:
    """One person's place. ``connection`` is the open socket's id; ``peer_id`` names their media at the SFU.

    ``in_media``: the SFU has accepted an offer for ``peer_id``; ``seen``: it sees packets flow. What it last said of
    these media, for whoever resumes them: ``slots`` whom it shows where, ``paused`` which of them (mids) it holds back,
    ``layers`` which are wanted of each m-line that sends.
    """

    user_id: UUID
    name: str
    role: str
    connection: str | None = None
    peer_id: str | None = None
    in_media: bool = False
    seen: bool = False
    audio: bool = False
    video: bool = False
    screen: bool = False
    slots: tuple[SlotView, ...] = ()
    paused: frozenset[str] = frozenset()
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    doors: tuple[Door, ...] = ()

    @property
    def present(self) -> bool:
        """The SFU sees packets of this person, whichever way they come."""
        return self.seen or any(door.seen for door in self.doors)

    @property
    def cleared(self) -> Seat:
        """The place without socket and media of its own; what came by other doors stays."""
        return Seat(self.user_id, self.name, self.role, doors=self.doors)

    @property
    def news(self) -> tuple[Outbound, ...]:
        """All that a client must hear again which comes back to its media."""
        slots: tuple[Outbound, ...] = (Slots(self.slots),) if self.slots else ()
        return (
            *slots,
            *(Paused(mid, True) for mid in sorted(self.paused)),
            *(Layers(mid, rids) for mid, rids in self.layers.items()),
        )

    @property
    def participant(self) -> Participant:
        if self.present:
            state = Presence.PRESENT
        else:
            state = Presence.AWAY if self.connection is None else Presence.CONNECTED
        audio = self.audio or any(door.audio and door.seen for door in self.doors)
        video = self.video or any(door.video and door.seen for door in self.doors)
        return Participant(self.user_id, self.name, self.role, state, audio, video, self.screen)


@dataclass(frozen=True, slots=True)
class Room:
    """``last_seq``: the newest chat line that was sent to everybody; ``speaker``: who speaks, as the SFU hears it."""

    card: SessionCard
    seats: Mapping[UUID, Seat]
    last_seq: int = 0
    speaker: UUID | None = None

    @property
    def empty(self) -> bool:
        return all(s.connection is None and not s.in_media and not s.doors for s in self.seats.values())


# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class Tell:
    connection: str
    message: Outbound


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Send ``goodbye`` and close the socket."""

    connection: str
    reason: Ending
    close: Close


@dataclass(frozen=True, slots=True)
class LeaveMedia:
    peer_id: str
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class HoldMedia:
    """The socket is gone and media may still flow: give the person a moment to come back."""

    peer_id: str


Effect: TypeAlias = Tell | Dismiss | LeaveMedia | HoldMedia
Effects: TypeAlias = tuple[Effect, ...]


def opened(card: SessionCard, people: Sequence[tuple[UUID, str, str]]) -> Room:
    """An empty room for the (user id, name, role) of a session."""
    return Room(
        card, MappingProxyType({user_id: Seat(user_id, name, role) for user_id, name, role in people})
    )


def known(room: Room, people: Sequence[tuple[UUID, str, str]]) -> tuple[Room, Effects]:
    """The room is for these people now: who is new has a seat, who has no business here any more goes."""
    wanted = {user_id for user_id, _, _ in people}
    if wanted == set(room.seats):
        return room, ()
    new = [Seat(*person) for person in people if person[0] not in room.seats]
    gone = [seat for user_id, seat in room.seats.items() if user_id not in wanted]
    effects: list[Effect] = []
    for seat in gone:
        if seat.peer_id is not None and seat.in_media:
            effects.append(LeaveMedia(seat.peer_id, LeaveReason.LEFT))
        effects += (LeaveMedia(door.peer_id, LeaveReason.LEFT) for door in seat.doors)
        if seat.connection is not None:
            effects.append(Dismiss(seat.connection, Ending.ENDED, Close.OVER))
    stay = {user_id: seat for user_id, seat in room.seats.items() if user_id in wanted}
    speaker = room.speaker if room.speaker in stay else None
    room = replace(
        room, seats=MappingProxyType({**stay, **{seat.user_id: seat for seat in new}}), speaker=speaker
    )
    told = [ParticipantChanged(seat.participant) for seat in new]
    told += [ParticipantChanged(Seat(seat.user_id, seat.name, seat.role).participant) for seat in gone]
    return room, (*effects, *(tell for message in told for tell in _everybody(room, message)))


def participants(room: Room) -> tuple[Participant, ...]:
    return tuple(seat.participant for seat in room.seats.values())


def by_connection(room: Room, connection: str) -> Seat | None:
    return next((seat for seat in room.seats.values() if seat.connection == connection), None)


def by_peer(room: Room, peer_id: str) -> Seat | None:
    return next((seat for seat in room.seats.values() if seat.peer_id == peer_id), None)


def by_door(room: Room, peer_id: str) -> Seat | None:
    return next((s for s in room.seats.values() if any(d.peer_id == peer_id for d in s.doors)), None)


# ---------------------------------------------------------------- what can happen


def sit(room: Room, user_id: UUID, connection: str, resume: str | None) -> tuple[Room, Effects, bool]:
    """The person's newest socket takes the seat: an older one is dismissed, its media end unless they are resumed.

    Returns the room, the effects, and whether the media of ``resume`` go on.
    """
    seat = room.seats[user_id]
    effects: list[Effect] = []
    if seat.connection is not None:
        effects.append(Dismiss(seat.connection, Ending.REPLACED, Close.REPLACED))
    resumed = resume is not None and resume == seat.peer_id and seat.in_media
    if resumed:
        seat = replace(seat, connection=connection)
        effects += (Tell(connection, message) for message in seat.news)
    else:
        if seat.peer_id is not None and seat.in_media:
            effects.append(LeaveMedia(seat.peer_id, LeaveReason.REPLACED))
        seat = replace(seat.cleared, connection=connection, peer_id=connection)
    if room.speaker is not None and room.speaker != user_id:
        effects.append(Tell(connection, Speaking(room.speaker)))
    room, told = _put(room, seat, but=connection)
    return room, (*effects, *told), resumed


def vacate(room: Room, connection: str) -> tuple[Room, Effects]:
    """The socket is gone without a goodbye. While media flow the person is still present."""
    seat = by_connection(room, connection)
    if seat is None:
        return room, ()
    if not seat.in_media:
        return _put(room, seat.cleared)
    room, told = _put(room, replace(seat, connection=None))
    return room, (*told, HoldMedia(seat.peer_id or ""))


def leave(room: Room, connection: str) -> tuple[Room, Effects]:
    """The person said goodbye."""
    seat = by_connection(room, connection)
    if seat is None:
        return room, ()
    media: Effects = (LeaveMedia(seat.peer_id, LeaveReason.LEFT),) if seat.peer_id and seat.in_media else ()
    room, told = _put(room, seat.cleared)
    return room, (*media, *told, Dismiss(connection, Ending.LEFT, Close.LEFT))


def let_go(room: Room, peer_id: str) -> tuple[Room, Effects]:
    """The moment for coming back is over. While packets still flow the SFU's word counts, not the socket's."""
    seat = by_peer(room, peer_id)
    if seat is None or seat.connection is not None or not seat.in_media:
        return room, ()
    if seat.seen:
        return room, (HoldMedia(peer_id),)
    room, told = _put(room, seat.cleared)
    return room, (LeaveMedia(peer_id, LeaveReason.MEDIA_SILENCE), *told)


def answered(room: Room, connection: str, peer_id: str) -> tuple[Room, Effects]:
    """The SFU accepted an offer. If the seat has been taken over meanwhile, those media have no owner and end."""
    seat = by_connection(room, connection)
    if seat is None or seat.peer_id != peer_id:
        return room, (LeaveMedia(peer_id, LeaveReason.REPLACED),)
    return _put(room, replace(seat, in_media=True))


def walk_in(room: Room, user_id: UUID, door: Door) -> tuple[Room, Effects]:
    """The SFU accepted a person's offer that came by WHIP or WHEP, beside the socket if there is one.

    One publication at a time: a new one ends the former, so that an encoder that crashed need not wait for its ghost.
    """
    seat = room.seats[user_id]
    former = [d.peer_id for d in seat.doors if d.publishes and door.publishes]
    room, told = _put(room, replace(seat, doors=(*seat.doors, door)))
    return room, (*(LeaveMedia(peer_id, LeaveReason.REPLACED) for peer_id in former), *told)


def media_seen(room: Room, peer_id: str, seen: bool) -> tuple[Room, Effects]:
    """Packets of the peer began or ceased to flow."""
    if (owner := by_door(room, peer_id)) is not None:
        doors = tuple(replace(d, seen=seen) if d.peer_id == peer_id else d for d in owner.doors)
        return _hush(*_put(room, replace(owner, doors=doors)))
    seat = by_peer(room, peer_id)
    if seat is None or seat.seen == seen:
        return room, ()
    return _hush(*_put(room, replace(seat, seen=seen)))


def media_closed(room: Room, peer_id: str) -> tuple[Room, Effects]:
    """The SFU has let the peer go: the client must offer again, as a new peer."""
    if (owner := by_door(room, peer_id)) is not None:
        doors = tuple(door for door in owner.doors if door.peer_id != peer_id)
        return _hush(*_put(room, replace(owner, doors=doors)))
    seat = by_peer(room, peer_id)
    if seat is None:
        return room, ()
    if seat.connection is None:
        return _hush(*_put(room, seat.cleared))
    return _hush(*_put(room, replace(_unsaid(seat), in_media=False, seen=False)))


def media_renewed(room: Room, peer_id: str) -> tuple[Room, Effects]:
    """The SFU has let old media of the peer go, and new ones have their name already: what was said is forgotten."""
    seat = by_peer(room, peer_id)
    return (room, ()) if seat is None else _put(room, _unsaid(seat))


def media_state(
    room: Room, connection: str, audio: bool, video: bool, screen: bool = False
) -> tuple[Room, Effects]:
    seat = by_connection(room, connection)
    return (room, ()) if seat is None else _put(room, replace(seat, audio=audio, video=video, screen=screen))


def slot_paused(room: Room, peer_id: str, mid: str, paused: bool) -> tuple[Room, Effects]:
    """The SFU holds a picture back from this person, or shows it again."""
    seat = by_peer(room, peer_id)
    if seat is None:
        return room, ()
    room, _ = _put(room, replace(seat, paused=seat.paused | {mid} if paused else seat.paused - {mid}))
    return room, (Tell(seat.connection, Paused(mid, paused)),) if seat.connection is not None else ()


def layers_wanted(room: Room, peer_id: str, mid: str, rids: tuple[str, ...]) -> tuple[Room, Effects]:
    """Which layers of one of this person's m-lines anybody wants."""
    seat = by_peer(room, peer_id)
    if seat is None:
        return room, ()
    room, _ = _put(room, replace(seat, layers=MappingProxyType({**seat.layers, mid: rids})))
    return room, (Tell(seat.connection, Layers(mid, rids)),) if seat.connection is not None else ()


def judged(room: Room, peer_id: str, score: int, cause: Cause | None) -> Effects:
    """How good this person's line is. The next judgement comes soon, so nothing of it is remembered."""
    seat = by_peer(room, peer_id)
    if seat is None or seat.connection is None or not seat.seen:
        return ()
    return (Tell(seat.connection, Quality(score, cause)),)


def spoke(room: Room, user_id: UUID | None) -> tuple[Room, Effects]:
    """Another person speaks now, or nobody does."""
    if user_id == room.speaker or (user_id is not None and user_id not in room.seats):
        return room, ()
    return replace(room, speaker=user_id), _everybody(room, Speaking(user_id))


def slots_changed(room: Room, peer_id: str, slots: tuple[SlotView, ...]) -> tuple[Room, Effects]:
    seat = by_peer(room, peer_id)
    if seat is None:
        return room, ()
    room, _ = _put(room, replace(seat, slots=slots))
    return room, (Tell(seat.connection, Slots(slots)),) if seat.connection is not None else ()


def said(room: Room, connection: str, line: ChatLine) -> tuple[Room, Effects]:
    """A stored line goes to everybody once; a repeated one only to the sender, who must have missed it."""
    if line.seq <= room.last_seq:
        return room, (Tell(connection, Said(line)),)
    return replace(room, last_seq=line.seq), _everybody(room, Said(line))


def caught_up(room: Room, seq: int) -> Room:
    """Lines up to ``seq`` were stored before anybody here could have missed them."""
    return replace(room, last_seq=max(room.last_seq, seq))


def session_over(room: Room, status: str, outcome: str | None) -> tuple[Room, Effects]:
    """The join window closed, or the session was cancelled or settled: everybody goes."""
    news = _everybody(room, SessionChanged(status, outcome))
    media = _all_media(room, LeaveReason.LEFT)
    gone = tuple(
        Dismiss(s.connection, Ending.ENDED, Close.OVER)
        for s in room.seats.values()
        if s.connection is not None
    )
    seats = {s.user_id: Seat(s.user_id, s.name, s.role) for s in room.seats.values()}
    return replace(room, seats=MappingProxyType(seats)), (*news, *media, *gone)


def announced(room: Room, message: Outbound) -> tuple[Room, Effects]:
    return room, _everybody(room, message)


def rescheduled(room: Room, card: SessionCard) -> Room:
    return replace(room, card=card)


def drained(room: Room) -> tuple[Room, Effects]:
    """The server stops: everybody is asked to come back in a moment."""
    media = _all_media(room, LeaveReason.SERVER_STOP)
    gone = tuple(
        Dismiss(s.connection, Ending.DRAINING, Close.DRAINING)
        for s in room.seats.values()
        if s.connection is not None
    )
    return room, (*media, *gone)


def _all_media(room: Room, reason: LeaveReason) -> Effects:
    own = tuple(LeaveMedia(s.peer_id, reason) for s in room.seats.values() if s.peer_id and s.in_media)
    return (*own, *(LeaveMedia(d.peer_id, reason) for s in room.seats.values() for d in s.doors))


def _put(room: Room, seat: Seat, but: str | None = None) -> tuple[Room, Effects]:
    """Change a seat; tell everybody (``but`` one connection) if that changed what others see of the person."""
    before = room.seats[seat.user_id].participant
    room = replace(room, seats=MappingProxyType({**room.seats, seat.user_id: seat}))
    if seat.participant == before:
        return room, ()
    return room, _everybody(room, ParticipantChanged(seat.participant), but)


def _unsaid(seat: Seat) -> Seat:
    return replace(seat, paused=frozenset(), layers=MappingProxyType({}))


def _hush(room: Room, effects: Effects) -> tuple[Room, Effects]:
    """Whose media are gone no longer speaks: an SFU that has nobody left in the room does not say so."""
    if room.speaker is None or room.seats[room.speaker].present:
        return room, effects
    room, told = spoke(room, None)
    return room, (*effects, *told)


def _everybody(room: Room, message: Outbound, but: str | None = None) -> Effects:
    connections = (seat.connection for seat in room.seats.values())
    return tuple(Tell(c, message) for c in connections if c is not None and c != but)
