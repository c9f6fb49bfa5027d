"""Who listens in this process, and what each of them has not heard yet."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import structlog
from aiohttp import web as http

from server.base.context import Context
from server.base.errors import Unauthenticated, Unavailable
from server.base.sockets import Outlet
from server.base.talk import Close, Error
from server.inbox import actions as inbox
from server.inbox.model import Look as Seen
from server.inbox.model import news, since
from server.people.tokens import read_access_token
from web.live.messages import (
    Ending,
    Goodbye,
    Hello,
    Inbound,
    Inbox,
    Look,
    LookAgain,
    Notification,
    Outbound,
    Ping,
    Pong,
    Read,
    ReadAll,
    Unread,
    serialise,
)

log = structlog.get_logger(__name__)

MAX_QUEUED = 32  # texts; more means that the client does not keep up
MAX_QUEUED_BYTES = 128 * 1024  # one look is at most 20 messages of a few hundred bytes
MAX_PER_PERSON = 10  # sockets; a newer one takes the place of the oldest
CHECK_SECONDS = 60.0  # a login that ended, or a token that ran out, is noticed so late
AGAIN_SECONDS = 1.0  # while the database is away

Still = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class Counters:
    """``refusals`` by name since the start; ``connections`` are of now."""

    connections: int = 0
    refusals: Counter[str] = field(default_factory=Counter)


class Ear(Outlet):
    """One socket of a person. ``send`` never waits; whoever does not keep up gets all of the queue replaced by "look
    again", so that a slow line costs a question and no memory."""

    def __init__(
        self,
        id: str,
        socket: http.WebSocketResponse,
        transport: asyncio.Transport | None,
        public_url: str,
        still: Still,
    ) -> None:
        super().__init__(id, socket, transport)
        self._public_url = public_url
        self.still = still  # whether who opened it is still signed in
        self.user_id: UUID | None = None
        self.known: frozenset[UUID] | None = (
            None  # the newest messages as last told; None before the first look
        )
        self.unread = 0
        self.overlooked = False  # something changed before the first look was through

    def send(self, message: Outbound) -> None:
        if self.closing or self.put(serialise(message, self._public_url), MAX_QUEUED, MAX_QUEUED_BYTES):
            return
        self.instead(serialise(Look(), self._public_url))

    def close(self, code: Close, reason: Ending | None = None) -> None:
        self.shut(code, None if reason is None else serialise(Goodbye(reason), self._public_url))

    def told(self, look: Seen) -> None:
        self.known, self.unread = look.ids, look.unread

    def tell(self, look: Seen) -> None:
        """Say what is new in this look."""
        if self.known is None:
            self.overlooked = True
            return
        fresh = news(self.known, look)
        if fresh is None:
            self.send(Look())
        for item in fresh or ():
            self.send(Notification(item, look.unread))
        if not fresh and look.unread != self.unread:
            self.send(Unread(look.unread))
        self.told(look)


class Hub:
    """`heard` and `gap` come from the LISTEN connection, `run` and `watch` are tasks of the application."""

    def __init__(self, ctx: Context, counters: Counters) -> None:
        self._ctx = ctx
        self._counters = counters
        self._ears: dict[UUID, list[Ear]] = {}  # oldest first
        self._stale: set[UUID] = set()  # people with a socket whose inbox has changed: bounded by the sockets
        self._bell = asyncio.Event()
        self._draining = False

    # ------------------------------------------------------------ people

    async def greet(self, ear: Ear, hello: Hello, user_id: UUID | None, away: Unavailable | None) -> None:
        """Seat the socket of ``user_id`` (by login or by the upgrade's header), or of whom the hello's token names.
        ``away``: there may be a login, but it cannot be looked at now."""
        if hello.access_token is not None:
            token, settings, clock = hello.access_token, self._ctx.settings, self._ctx.clock
            try:
                user_id = read_access_token(settings, token, clock.now()).user_id
            except Unauthenticated as refusal:
                self.refuse(ear, Error(refusal.code, refusal.detail), Close.BAD_TOKEN)
                return

            async def still() -> bool:
                try:
                    read_access_token(settings, token, clock.now())
                except Unauthenticated:
                    return False
                return True

            ear.still = still
        if user_id is None and away is not None:
            self.refuse(ear, Error(away.code, away.detail), Close.OVERLOADED)
            return
        if user_id is None:
            error = Error("sign_in_required", "Log in, or send an access token with the hello.")
            self.refuse(ear, error, Close.BAD_TOKEN)
            return
        if self._draining:
            ear.close(Close.DRAINING, Ending.DRAINING)
            return
        ear.user_id = user_id
        ears = self._ears.setdefault(user_id, [])
        ears.append(ear)
        if len(ears) > MAX_PER_PERSON:
            self._counters.refusals["replaced"] += 1
            ears.pop(0).close(Close.REPLACED, Ending.REPLACED)
        await self._look(ear, user_id, hello.seen)

    def lost(self, ear: Ear) -> None:
        ears = self._ears.get(ear.user_id, []) if ear.user_id is not None else []
        if ear in ears:
            ears.remove(ear)
        if not ears and ear.user_id is not None:
            self._ears.pop(ear.user_id, None)

    async def perform(self, ear: Ear, message: Inbound) -> None:
        """What a greeted client asks for."""
        user_id = ear.user_id
        if user_id is None or ear.closing:
            return
        try:
            match message:
                case LookAgain(seen):
                    await self._look(ear, user_id, seen)
                case Read(ids):
                    await inbox.mark_read(self._ctx, user_id, ids)
                case ReadAll(until):
                    await inbox.mark_all_read(self._ctx, user_id, until)
                case Ping(t):
                    ear.send(Pong(t))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.warning("live_unavailable", user_id=str(user_id), error=repr(error))
            self.refuse(ear, Error("unavailable", "Try again in a moment."), None)

    def refuse(self, ear: Ear, error: Error, close: Close | None) -> None:
        self._counters.refusals[error.code] += 1
        ear.send(error)
        if close is not None:
            ear.close(close)

    async def _look(self, ear: Ear, user_id: UUID, seen: UUID | None) -> None:
        try:
            look = await inbox.look(self._ctx, user_id)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.warning("live_unavailable", user_id=str(user_id), error=repr(error))
            self.refuse(ear, Error("unavailable", "Try again in a moment."), Close.OVERLOADED)
            return
        items, more = since(look, seen)
        ear.send(Inbox(look.unread, items, more))
        ear.told(look)
        if ear.overlooked:
            ear.overlooked = False
            self._changed(user_id)

    # ------------------------------------------------------------ news

    def heard(self, payload: str) -> None:
        """Somebody's inbox has changed."""
        try:
            self._changed(UUID(payload))
        except ValueError:
            log.warning("strange_notification", payload=payload[:100])

    def gap(self) -> None:
        """For a while nothing was heard: everybody has to look again, and comes with jitter of their own."""
        for ear in self._everybody():
            ear.send(Look())

    def _changed(self, user_id: UUID) -> None:
        if user_id in self._ears:
            self._stale.add(user_id)
            self._bell.set()

    async def run(self) -> None:
        """Look into changed inboxes, one after the other, and tell their people. However often one changes meanwhile,
        it is looked into once."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            while self._stale:
                user_id = self._stale.pop()
                try:
                    look = await inbox.look(self._ctx, user_id)
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                    log.warning("live_unavailable", user_id=str(user_id), error=repr(error))
                    self._changed(user_id)
                    await asyncio.sleep(AGAIN_SECONDS)
                    continue
                for ear in tuple(self._ears.get(user_id, ())):
                    ear.tell(look)

    async def watch(self) -> None:
        """Close the sockets of those who are no longer signed in."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for ear in self._everybody():
                try:
                    still = await ear.still()
                except Unavailable:
                    break  # Redis is away, as web.identity has logged: nobody is thrown out for that
                if not still:
                    ear.close(Close.BAD_TOKEN, Ending.SIGNED_OUT)

    def drain(self) -> None:
        self._draining = True
        for ear in self._everybody():
            ear.close(Close.DRAINING, Ending.DRAINING)

    def _everybody(self) -> list[Ear]:
        return [ear for ears in self._ears.values() for ear in ears]
