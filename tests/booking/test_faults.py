"""A process that dies at any moment of a booking's life leaves money and booking in step.

Every statement of a step, BEGIN and COMMIT among them, is once the last one that is sent (the reply never comes) and
once the first one that is not: the connection breaks as it does when a process is killed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest

from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import _init
from server.base.errors import Refusal
from server.booking import actions as booking
from server.booking.model import Booking, Status, Terms
from server.people.model import User
from server.sessions import actions as sessions
from tests.booking.world import booked, books_balance, hour, mentor, person

if TYPE_CHECKING:
    Plain: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Plain = asyncpg.Connection


class Killed(Exception):
    """The process is gone."""


@dataclass
class Fuse:
    """Burns at the ``left``-th statement, before or after the database has seen it."""

    left: int
    after: bool

    def step(self, now_after: bool) -> bool:
        if now_after is not self.after:
            return False
        self.left -= 1
        return self.left == 0


def connections_with(fuse: Fuse) -> type[Plain]:
    """A connection class whose statements burn the fuse."""

    class Burning(Plain):
        async def _burn(self, call: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
            if fuse.step(now_after=False):
                self.terminate()
                raise Killed
            result = await call(*arguments, **named)
            if fuse.step(now_after=True):
                self.terminate()
                raise Killed
            return result

        async def execute(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().execute, *arguments, **named)

        async def executemany(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().executemany, *arguments, **named)

        async def fetch(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().fetch, *arguments, **named)

        async def fetchrow(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().fetchrow, *arguments, **named)

        async def fetchval(self, *arguments: Any, **named: Any) -> Any:
            return await self._burn(super().fetchval, *arguments, **named)

    return Burning


@dataclass(frozen=True)
class Cast:
    """Who plays, and the booking it is about (None before there is one)."""

    ada: User
    bo: User
    booking: Booking | None = None

    @property
    def id(self) -> Any:
        assert self.booking is not None
        return self.booking.id


Step = Callable[[Context, Cast], Awaitable[Any]]
Scene = tuple[Callable[[Context, SteppedClock, Cast], Awaitable[Cast]], Step]


async def nothing(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    return cast


async def held(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    return replace(cast, booking=await booked(ctx, cast.ada.id, cast.bo.id, hour(10), hold=True))


async def requested(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    return replace(cast, booking=await booked(ctx, cast.ada.id, cast.bo.id, hour(10)))


async def approved(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    made = await requested(ctx, clock, cast)
    await sessions.approve(ctx, cast.ada.id, made.id)
    return made


async def late(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    await booking.put_terms(ctx, cast.ada.id, Terms(free_until_hours=24, late_fee_percent=50))
    return await approved(ctx, clock, cast)


async def proposed(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    made = await approved(ctx, clock, cast)
    await sessions.reschedule(ctx, cast.ada.id, made.id, start=hour(14), end=hour(15))
    return made


async def overdue(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    made = await requested(ctx, clock, cast)
    clock.set(hour(10))
    return made


async def over(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    made = await approved(ctx, clock, cast)
    clock.set(hour(12))
    return made


SCENES: dict[str, Scene] = {
    "book": (nothing, lambda ctx, cast: booked(ctx, cast.ada.id, cast.bo.id, hour(10))),
    "hold": (nothing, lambda ctx, cast: booked(ctx, cast.ada.id, cast.bo.id, hour(10), hold=True)),
    "confirm": (held, lambda ctx, cast: sessions.confirm(ctx, cast.bo.id, cast.id)),
    "approve": (requested, lambda ctx, cast: sessions.approve(ctx, cast.ada.id, cast.id)),
    "reject": (requested, lambda ctx, cast: sessions.reject(ctx, cast.ada.id, cast.id)),
    "cancel": (approved, lambda ctx, cast: sessions.cancel(ctx, cast.ada.id, cast.id)),
    "cancel late": (late, lambda ctx, cast: sessions.cancel(ctx, cast.bo.id, cast.id)),
    "accept": (proposed, lambda ctx, cast: sessions.approve(ctx, cast.bo.id, cast.id)),
    "expire": (overdue, lambda ctx, cast: booking.expire_due(ctx)),
    "settle": (over, lambda ctx, cast: attendance.settle(ctx, cast.booking.session_id)),  # type: ignore[union-attr]
}


async def in_step(ctx: Context) -> None:
    """Every booking has the money, the session and the facts of its status; nothing else has any."""
    await books_balance(ctx)
    rows = await ctx.pool.fetch(
        "SELECT b.status, b.price_tokens,"
        " coalesce((SELECT sum(CASE WHEN t.kind = 'hold' THEN t.amount ELSE -t.amount END) FROM transfers t"
        "           WHERE t.session_id = b.session_id), 0) AS held,"
        " (SELECT s.status FROM sessions s WHERE s.id = b.session_id) AS session,"
        " EXISTS (SELECT FROM facts f WHERE f.session_id = b.session_id AND f.kind = 'booking_requested') AS told"
        " FROM bookings b"
    )
    for row in rows:
        live = row["status"] in (Status.REQUESTED, Status.APPROVED)
        assert row["held"] == (row["price_tokens"] if live else 0), dict(row)
        assert (row["session"] == "scheduled") == (row["status"] == Status.APPROVED), dict(row)
        assert row["told"] == (row["status"] != Status.HOLD), dict(row)
    orphans = await ctx.pool.fetchval(
        "SELECT count(*) FROM transfers t WHERE t.session_id IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM bookings b WHERE b.session_id = t.session_id)"
    )
    assert orphans == 0


@pytest.mark.parametrize("after", [False, True], ids=["unsent", "unanswered"])
@pytest.mark.parametrize("name", SCENES)
async def test_money_and_booking_stay_in_step(
    ctx: Context, clock: SteppedClock, database_url: str, name: str, after: bool
) -> None:
    prepare, step = SCENES[name]
    start, statement, killed = clock.now(), 0, 0
    while True:
        statement += 1
        clock.set(start)
        cast = Cast(await mentor(ctx, price=10), await person(ctx, "Bo"))
        cast = await prepare(ctx, clock, cast)
        fuse = Fuse(statement, after)
        pool = await asyncpg.create_pool(
            database_url, min_size=1, max_size=1, connection_class=connections_with(fuse), init=_codecs
        )
        burning = replace(ctx, pool=pool)
        fuse.left = statement  # what the pool itself said does not count
        try:
            await step(burning, cast)
        except Killed:
            killed += 1
        except asyncpg.InterfaceError:  # the transaction's own good-bye on a connection that is gone
            killed += 1
        finally:
            pool.terminate()
        await in_step(ctx)
        if fuse.left > 0:
            break  # the step was over before the fuse had burnt
        if name != "expire":
            await _again(ctx, step, cast)
            await in_step(ctx)
        assert statement < 200
    assert killed >= 4, "a step with fewer statements than that was not played at all"


async def _codecs(conn: Plain) -> None:
    await _init(conn)


async def _again(ctx: Context, step: Step, cast: Cast) -> None:
    """Somebody tries again, as people do: it is done now, or says that it was done before."""
    try:
        await step(ctx, cast)
    except Refusal as refusal:
        assert refusal.code in ("illegal_transition", "booking_conflict", "not_your_step"), refusal.code
