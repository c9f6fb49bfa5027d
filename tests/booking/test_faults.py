"""A process that dies at any moment of a booking's life leaves money and booking in step.

Every statement of a step, BEGIN and COMMIT among them, is once the last one that is sent (the reply never comes) and
once the first one that is not: the connection breaks as it does when a process is killed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest

from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import in_transaction
from server.base.errors import Invalid, Refusal
from server.booking import actions as booking
from server.booking.model import Booking, Status, Terms
from server.merging import actions as merging
from server.people.model import Role, User
from server.sessions import actions as sessions
from server.sessions import series
from server.waitlist import actions as waitlist
from tests.booking.audit import audit
from tests.booking.world import booked, books_balance, hour, mentor, person
from tests.support.fuses import Doomed, Killed, doomed_pool


@dataclass(frozen=True)
class Cast:
    """Who plays, and the booking it is about (None before there is one)."""

    ada: User
    bo: User
    booking: Booking | None = None
    more: Any = None  # a merge, a place in the line

    @property
    def id(self) -> Any:
        assert self.booking is not None
        return self.booking.id

    @property
    def series_id(self) -> Any:
        assert self.booking is not None
        return self.booking.series_id


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


async def instant(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    await booking.put_terms(ctx, cast.ada.id, Terms(instant_approval=True))
    return cast


async def every_week(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    made = await _series(ctx, cast)
    return replace(cast, booking=made[0])


def _series(ctx: Context, cast: Cast) -> Awaitable[list[Booking]]:
    return series.book(ctx, cast.bo.id, mentor_id=cast.ada.id, start=hour(10), end=hour(11), weeks=2)


async def two(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    """A second session of the mentor's, and an administrator who could merge it into the first."""
    made = await approved(ctx, clock, cast)
    other = await booked(ctx, cast.ada.id, (await person(ctx, "Cy")).id, hour(12))
    await sessions.approve(ctx, cast.ada.id, other.id)
    return replace(made, more=(await person(ctx, "Root", Role.ADMIN), other.session_id))


def _merge(ctx: Context, cast: Cast) -> Awaitable[Any]:
    root, other = cast.more
    assert cast.booking is not None
    return merging.merge(ctx, root.id, [other], cast.booking.session_id, "Same.")


async def merged(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    made = await two(ctx, clock, cast)
    return replace(made, more=(made.more[0], (await _merge(ctx, made)).id))


async def waiting(ctx: Context, clock: SteppedClock, cast: Cast) -> Cast:
    """Somebody waits for an hour that is taken, and becomes free."""
    await booking.put_terms(ctx, cast.ada.id, Terms())
    made = await requested(ctx, clock, cast)
    cy = await person(ctx, "Cy")
    place = await waitlist.join(ctx, cy.id, cast.ada.id, hour(10), hour(11))
    await sessions.reject(ctx, cast.ada.id, made.id)
    return replace(made, more=place)


def _offer(ctx: Context, cast: Cast) -> Awaitable[Any]:
    return in_transaction(
        ctx.pool,
        lambda conn: waitlist.offer_in(conn, cast.ada.id, hour(10), hour(11), ctx.clock.now()),
    )


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
    "propose": (approved, lambda ctx, cast: _to_two(ctx, cast.bo, cast)),
    "move a request": (requested, lambda ctx, cast: _to_two(ctx, cast.bo, cast)),
    "decline": (proposed, lambda ctx, cast: sessions.reject(ctx, cast.bo.id, cast.id)),
    "book at once": (instant, lambda ctx, cast: booked(ctx, cast.ada.id, cast.bo.id, hour(10))),
    "series": (nothing, _series),
    "approve a series": (every_week, lambda ctx, cast: series.approve(ctx, cast.ada.id, cast.series_id)),
    "cancel a series": (every_week, lambda ctx, cast: series.cancel(ctx, cast.bo.id, cast.series_id)),
    "merge": (two, _merge),
    "undo a merge": (merged, lambda ctx, cast: merging.undo(ctx, cast.more[0].id, cast.more[1], "Back.")),
    "offer to who waits": (waiting, _offer),
    "settle": (over, lambda ctx, cast: attendance.settle(ctx, cast.booking.session_id)),  # type: ignore[union-attr]
}


async def in_step(ctx: Context) -> None:
    """Every booking has the money, the session and the facts of its status; nothing else has any."""
    await books_balance(ctx)
    async with ctx.pool.acquire() as conn:
        assert await audit(conn, ctx.clock.now()) == []
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


# What is killed both before a statement and after it, with connections that break; of the others a kill after one and
# before the next are the same.
BOTH = ("book", "cancel late")
CASES = [(name, True) for name in SCENES] + [(name, False) for name in BOTH]


@pytest.mark.parametrize(
    ("name", "after"), CASES, ids=[f"{name}-{'unanswered' if after else 'unsent'}" for name, after in CASES]
)
async def test_money_and_booking_stay_in_step(
    ctx: Context, clock: SteppedClock, database_url: str, name: str, after: bool
) -> None:
    """Each kill has people of its own, so one look at the end sees what all of them left."""
    prepare, step = SCENES[name]
    start, killed = clock.now(), 0
    casts: list[Cast] = []
    async with doomed_pool(database_url, severs=name in BOTH) as doomed:
        while not doomed.disarm():  # a fuse that is left has outlived the step
            clock.set(start)
            cast = Cast(await mentor(ctx, price=10), await person(ctx, "Bo"))
            casts.append(await prepare(ctx, clock, cast))
            await doomed.arm(len(casts), after=after)
            killed += await _dies(step, ctx, casts[-1], doomed)
            if name == "expire":  # whoever comes next puts away what this one has left
                await in_step(ctx)
            assert len(casts) < 200
    assert killed >= 4, "a step with fewer statements than that was not played at all"
    await in_step(ctx)
    if name != "expire":
        for cast in casts:
            await _again(ctx, step, cast)
        await in_step(ctx)


async def _dies(step: Step, ctx: Context, cast: Cast, doomed: Doomed) -> bool:
    died = False
    try:
        await step(replace(ctx, pool=doomed.pool), cast)
    # The second: the transaction's own good-bye on a connection that is gone. A sweep tells of several at once.
    except* (Killed, asyncpg.InterfaceError):
        died = True
    return died


def _to_two(ctx: Context, actor: User, cast: Cast) -> Awaitable[Any]:
    return sessions.reschedule(ctx, actor.id, cast.id, start=hour(14), end=hour(15))


DONE_BEFORE = ("illegal_transition", "booking_conflict", "not_your_step", "series_conflict", "same_time")


async def _again(ctx: Context, step: Step, cast: Cast) -> None:
    """Somebody tries again, as people do: it is done now, or says that it was done before."""
    try:
        await step(ctx, cast)
    except Refusal as refusal:
        codes = [it.code for it in refusal.errors] if isinstance(refusal, Invalid) else [refusal.code]
        assert set(codes) <= set(DONE_BEFORE), codes
