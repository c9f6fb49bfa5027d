"""The live rooms of this process: applies what the pure rooms decide to sockets, the SFU, chat and presence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import structlog

from media.api import (
    LeaveReason,
    MediaEvent,
    OfferError,
    PeerClosed,
    PeerJoined,
    PeerLeft,
    PeerStats,
    PresenceSample,
    Purpose,
    SlotPaused,
)
from media.api import Source as MediaSource
from server.base.context import Context
from server.base.errors import Refusal
from server.chat import actions as chat
from server.chat.model import ChatMessage
from server.chat.model import History as ChatPage
from signaling import rooms
from signaling.admission import Admitted, Refused, Standing, admit, look_again
from signaling.connection import Connection
from signaling.counters import Counters
from signaling.heard import heard
from signaling.messages import (
    Answer,
    AskHistory,
    Cause,
    ChatLine,
    Close,
    Ending,
    Error,
    Goodbye,
    Hello,
    History,
    Inbound,
    Leave,
    MediaState,
    Nudged,
    Offer,
    Ping,
    Pong,
    Say,
    SessionChanged,
    Want,
    Welcome,
)
from signaling.observer import Observer
from signaling.presence import TRANSIENT, Attendance, AttendanceActions, PresenceSink
from signaling.receive import identifier
from signaling.rooms import Dismiss, Door, Effects, HoldMedia, LeaveMedia, Room, Tell

log = structlog.get_logger(__name__)

JOIN_TIMEOUT = 10.0  # seconds for the SFU to answer an offer; it takes milliseconds
HOLD_MEDIA = 15.0  # seconds for a lost socket to come back before its media, once silent, are let go
TICK = 1.0
UNSEEN: tuple[type[Exception], ...] = (Refusal, *TRANSIENT)
LOOK_AGAIN = 5.0  # seconds between looks at how the session of a live room stands
JUDGE_EVERY = 5.0  # seconds between judgements of everybody's line


class Sfu(Protocol):
    """What the rooms want of the media plane."""

    async def join(
        self,
        *,
        room_id: str,
        participant_id: str,
        peer_id: str,
        offer_sdp: str,
        purpose: Purpose = ...,
    ) -> str: ...

    def patch_ice(self, room_id: str, peer_id: str, fragment: str) -> str | None: ...

    def leave(self, room_id: str, peer_id: str, reason: LeaveReason) -> None: ...

    def sources(self, room_id: str, peer_id: str, sources: Mapping[str, MediaSource]) -> None: ...

    def want(self, room_id: str, peer_id: str, mid: str, height: int | None) -> None: ...

    def presence(self, room_id: str) -> Sequence[PresenceSample]: ...

    def peer_stats(self, room_id: str) -> Sequence[PeerStats]: ...

    def faults(self) -> Sequence[str]: ...


@dataclass(slots=True)
class LiveRoom:
    """``voice`` orders chat: a line is stored, then sent, before the next one is stored. ``users`` counts the calls
    that wait for something and will come back to the room, so that it is not forgotten under them."""

    room: Room
    standing: Standing
    voice: asyncio.Lock = field(default_factory=asyncio.Lock)
    connections: dict[str, Connection] = field(default_factory=dict)
    holds: dict[str, float] = field(default_factory=dict)  # peer_id -> loop time at which its moment is over
    looked_at: float = 0.0
    judged_at: float = 0.0
    users: int = 0


class Hub:
    """Runs on one event loop. Between two awaits a room and what was told about it agree."""

    def __init__(
        self, ctx: Context, sfu: Sfu, counters: Counters, attendance: Attendance | None = None
    ) -> None:
        self._ctx = ctx
        self._sfu = sfu
        self._counters = counters
        self._live: dict[UUID, LiveRoom] = {}
        self._draining = False
        self._observer = Observer(sfu.presence)
        self.sink = PresenceSink(
            attendance or AttendanceActions(ctx),
            self._observer.heartbeats,
            counters,
            switches=lambda: self._observer.switched(self._says, ctx.clock.now()),
        )

    def _says(self, room_id: str, peer_id: str) -> tuple[bool, bool] | None:
        """What a person's page says of microphone and camera; None while it is away, and of encoders."""
        live = self._live.get(UUID(room_id))
        seat = rooms.by_peer(live.room, peer_id) if live is not None else None
        return (seat.audio, seat.video) if seat is not None and seat.connection is not None else None

    # ------------------------------------------------------------ sockets

    async def greet(self, connection: Connection, session_id: UUID, hello: Hello) -> bool:
        """Seat a person by their room token. False: the connection was told why not and closes."""
        if self._sent_away(connection):
            return False
        try:
            admitted = await admit(self._ctx, hello.room_token, session_id)
        except Refused as no:
            self._refuse_with(connection, Error(no.code, no.detail))
            connection.close(no.close, Goodbye(Ending.ENDED) if no.close is Close.OVER else None)
            return False
        except TRANSIENT as trouble:
            return self._unavailable(connection, session_id, trouble)
        try:
            with self.visiting(session_id, admitted) as live:
                async with live.voice:  # no line may be stored between the history and the seat
                    page = await chat.recent(self._ctx, session_id)
                    if self._sent_away(connection):
                        return False
                    self._seat(connection, session_id, live, admitted.room_pass.user_id, hello.resume, page)
        except TRANSIENT as trouble:
            return self._unavailable(connection, session_id, trouble)
        return True

    def _sent_away(self, connection: Connection) -> bool:
        if self._draining:
            connection.close(Close.DRAINING, Goodbye(Ending.DRAINING))
        return connection.closing

    def _unavailable(self, connection: Connection, session_id: UUID, trouble: Exception) -> bool:
        log.warning("room_unavailable", session_id=str(session_id), error=repr(trouble))
        self._refuse_with(connection, Error("unavailable", "The room cannot be opened just now."))
        connection.close(Close.OVERLOADED)
        return False

    def _seat(
        self,
        connection: Connection,
        session_id: UUID,
        live: LiveRoom,
        me: UUID,
        resume: str | None,
        page: ChatPage,
    ) -> None:
        live.connections[connection.id] = connection
        if page.items:
            live.room = rooms.caught_up(live.room, page.items[-1].seq)
        live.room, effects, resumed = rooms.sit(live.room, me, connection.id, resume)
        seat = live.room.seats[me]
        self._counters.takeovers += sum(isinstance(e, Dismiss) for e in effects)
        self._counters.resumed += resumed
        if resumed and seat.peer_id:
            live.holds.pop(seat.peer_id, None)
        connection.send(
            Welcome(
                peer_id=seat.peer_id or connection.id,
                resumed=resumed,
                you=seat.participant,
                session=live.room.card,
                participants=rooms.participants(live.room),
                chat=tuple(_line(m) for m in page.items),
                more=page.more,
                server_time=self._ctx.clock.now(),
            )
        )
        if live.standing.missing:
            connection.send(Nudged(live.standing.missing))
        self._apply(session_id, effects)

    async def handle(self, connection: Connection, session_id: UUID, message: Inbound) -> None:
        """Do what a greeted connection asks. Refusals and trouble go back to it as `Error`, never further."""
        try:
            await self._do(connection, session_id, message)
        except Refusal as no:
            self._refuse(connection, message, no.code, no.detail)
        except OfferError as no:
            self._refuse(connection, message, no.code, no.detail)
        except TRANSIENT as trouble:
            log.warning(
                "room_unavailable", session_id=str(session_id), message=message.TYPE, error=repr(trouble)
            )
            self._refuse(
                connection, message, "unavailable", "This did not work just now. Try again in a moment."
            )

    async def _do(self, connection: Connection, session_id: UUID, message: Inbound) -> None:
        live = self._live.get(session_id)
        if live is None:
            return
        match message:
            case Offer() as offer:
                await self._answer(connection, session_id, live, offer)
            case Want(slots):
                seat = rooms.by_connection(live.room, connection.id)
                if seat is not None and seat.peer_id is not None and seat.in_media:
                    for mid, height in slots:
                        self._sfu.want(str(session_id), seat.peer_id, mid, height)
            case MediaState(audio, video, screen):
                self._step(session_id, rooms.media_state(live.room, connection.id, audio, video, screen))
            case Say(client_id, text):
                await self._say(connection, session_id, live, client_id, text)
            case AskHistory(before):
                page = await chat.recent(self._ctx, session_id, before)
                connection.send(History(tuple(_line(m) for m in page.items), page.more))
            case Ping(t):
                connection.send(Pong(t))
            case Leave():
                self._step(session_id, rooms.leave(live.room, connection.id))
            case Hello():  # `receive` lets only the first one through
                pass

    async def _answer(self, connection: Connection, session_id: UUID, live: LiveRoom, offer: Offer) -> None:
        seat = rooms.by_connection(live.room, connection.id)
        if seat is None or seat.peer_id is None:
            return
        if not self.sink.accepting:
            self._refuse_with(
                connection, Error("presence_backlog", "The server is catching up. Try again soon.", offer.id)
            )
            return
        peer_id = seat.peer_id
        live.users += 1
        try:
            async with asyncio.timeout(JOIN_TIMEOUT):
                answer = await self._sfu.join(
                    room_id=str(session_id),
                    participant_id=str(seat.user_id),
                    peer_id=peer_id,
                    offer_sdp=offer.sdp,
                )
        except (TimeoutError, asyncio.CancelledError):
            self._sfu.leave(str(session_id), peer_id, LeaveReason.LEFT)
            raise
        finally:
            live.users -= 1
        # Before a packet of it can come: nobody sees a screen where a camera is expected.
        self._sfu.sources(str(session_id), peer_id, {mid: source.value for mid, source in offer.sources})
        self._step(session_id, rooms.answered(live.room, connection.id, peer_id))
        connection.send(Answer(offer.id, answer))

    async def _say(
        self, connection: Connection, session_id: UUID, live: LiveRoom, client_id: str, text: str
    ) -> None:
        async with live.voice:
            seat = rooms.by_connection(live.room, connection.id)
            if seat is None:  # replaced while waiting for a turn: the newer tab will send it again
                return
            stored = await chat.say(self._ctx, session_id, seat.user_id, client_id, text)
            self._step(session_id, rooms.said(live.room, connection.id, _line(stored)))

    def lost(self, connection: Connection, session_id: UUID) -> None:
        """The socket is closed, whoever closed it."""
        live = self._live.get(session_id)
        if live is None:
            return
        live.connections.pop(connection.id, None)
        self._step(session_id, rooms.vacate(live.room, connection.id))

    def visitors(self) -> list[tuple[UUID, str, UUID]]:
        """(room, connection, person) of every seat with an open socket, whatever becomes of its media."""
        return [
            (session_id, seat.connection, seat.user_id)
            for session_id, live in self._live.items()
            for seat in live.room.seats.values()
            if seat.connection is not None
        ]

    # ------------------------------------------------------------ doors beside the socket (doors.py)

    @property
    def accepting(self) -> bool:
        """Whether new media may come in."""
        return not self._draining and self.sink.accepting

    @contextlib.contextmanager
    def visiting(self, session_id: UUID, admitted: Admitted) -> Iterator[LiveRoom]:
        """The live room, which is not forgotten while somebody waits in it."""
        live = self._live.get(session_id)
        if live is None:
            room = rooms.opened(admitted.standing.card, admitted.people)
            live = self._live[session_id] = LiveRoom(room, admitted.standing)
        live.users += 1
        try:
            self._step(session_id, rooms.known(live.room, admitted.people))
            yield live
        finally:
            live.users -= 1
            self._forget(session_id)

    def walk_in(self, session_id: UUID, user_id: UUID, door: Door) -> None:
        """Media that came without a socket are in the room."""
        if (live := self._live.get(session_id)) is not None:
            self._step(session_id, rooms.walk_in(live.room, user_id, door))

    # ------------------------------------------------------------ the SFU

    def on_media_event(self, event: MediaEvent) -> None:
        """The SFU's callback: notes and tells, never waits."""
        session_id = UUID(event.room_id)
        if isinstance(event, PeerJoined | PeerLeft | PeerClosed):
            sighting = self._observer.see(event)
            if sighting is not None:
                self.sink.take(sighting)
        live = self._live.get(session_id)
        if live is None:
            return
        renewed = False
        match event:
            case PeerClosed(room_id=room_id, peer_id=peer_id):
                renewed = any(sample.peer_id == peer_id for sample in self._sfu.presence(room_id))
                if not renewed:
                    live.holds.pop(peer_id, None)
            case SlotPaused():
                live.judged_at = 0.0  # a good line would be an odd thing to show beside it
            case _:
                pass
        self._step(session_id, heard(live.room, event, renewed))

    # ------------------------------------------------------------ time

    async def run(self) -> None:
        """Let go of what was held for too long, and end rooms whose session is over, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK)
            self._release(loop.time())
            for session_id, live in list(self._live.items()):
                self._judge(session_id, live, loop.time())
                try:
                    await self._look(session_id, live, loop.time())
                except UNSEEN as trouble:
                    log.warning("session_not_looked_at", session_id=str(session_id), error=repr(trouble))

    def _release(self, now: float) -> None:
        for session_id, live in list(self._live.items()):
            for peer_id in [p for p, at in live.holds.items() if at <= now]:
                del live.holds[peer_id]
                self._step(session_id, rooms.let_go(live.room, peer_id))

    def _judge(self, session_id: UUID, live: LiveRoom, now: float) -> None:
        if now - live.judged_at < JUDGE_EVERY:
            return
        live.judged_at = now
        for stats in self._sfu.peer_stats(str(session_id)):
            cause = Cause(stats.cause) if stats.cause else None
            self._apply(session_id, rooms.judged(live.room, stats.peer_id, stats.score, cause))

    async def _look(self, session_id: UUID, live: LiveRoom, now: float) -> None:
        known = live.standing
        if now - live.looked_at >= LOOK_AGAIN:
            live.looked_at = now
            known = await look_again(self._ctx, session_id)
            if self._live.get(session_id) is not live:
                return
            if known.elsewhere:
                self._step(session_id, rooms.drained(live.room))  # joining again leads into the other room
                return
            self._step(session_id, rooms.known(live.room, known.people))
            if self._live.get(session_id) is not live:
                return
        over = known.over or self._ctx.clock.now() >= known.card.closes_at
        if over:
            self._step(session_id, rooms.session_over(live.room, known.status, known.outcome))
            return
        if (known.status, known.outcome) != (live.standing.status, live.standing.outcome):
            self._step(session_id, rooms.announced(live.room, SessionChanged(known.status, known.outcome)))
        if known.missing != live.standing.missing:
            self._step(session_id, rooms.announced(live.room, Nudged(known.missing)))
        live.standing = known
        live.room = rooms.rescheduled(live.room, known.card)

    async def drain(self, seconds: float) -> None:
        """Send everybody away until the restarted server is there, and get what was seen into the database."""
        self._draining = True
        for session_id, live in list(self._live.items()):
            self._step(session_id, rooms.drained(live.room))
        await self.sink.flush(seconds)

    # ------------------------------------------------------------ effects

    def _step(self, session_id: UUID, step: tuple[Room, Effects]) -> None:
        live = self._live.get(session_id)
        if live is None:
            return
        live.room, effects = step
        self._apply(session_id, effects)
        self._forget(session_id)

    def _apply(self, session_id: UUID, effects: Effects) -> None:
        live = self._live[session_id]
        for effect in effects:
            match effect:
                case Tell(connection, message):
                    if (other := live.connections.get(connection)) is not None:
                        other.send(message)
                case Dismiss(connection, reason, close):
                    if (other := live.connections.get(connection)) is not None:
                        other.close(close, Goodbye(reason))
                case LeaveMedia(peer_id, reason):
                    live.holds.pop(peer_id, None)
                    self._sfu.leave(str(session_id), peer_id, reason)
                case HoldMedia(peer_id):
                    live.holds[peer_id] = asyncio.get_running_loop().time() + HOLD_MEDIA

    def _forget(self, session_id: UUID) -> None:
        live = self._live.get(session_id)
        if live is not None and live.room.empty and not live.connections and not live.users:
            del self._live[session_id]

    def _refuse(self, connection: Connection, message: Inbound, code: str, detail: str) -> None:
        self._refuse_with(connection, Error(code, detail, identifier(message)))

    def _refuse_with(self, connection: Connection, error: Error) -> None:
        self._counters.refusals[error.code] += 1
        connection.send(error)


def _line(message: ChatMessage) -> ChatLine:
    m = message
    return ChatLine(m.seq, m.client_id, m.user_id, m.name, m.text, m.at)
