"""Who waits is offered what becomes free, in the order of the line, and nobody twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from jobs.outbox import drain
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.errors import Conflict, Forbidden, Invalid, NotFound
from server.booking import actions as booking
from server.booking.model import Booking, Status
from server.ledger import actions as ledger
from server.ledger.model import Wallet
from server.people.model import User
from server.sessions import actions as sessions
from server.waitlist import actions
from server.waitlist.model import OFFER_FOR, Place, WaitStatus
from tests.booking.world import ALL_WEEK, booked, books_balance, hour, mentor, person, who

ONE_A_DAY = replace(ALL_WEEK, max_per_day=1, booking_window_days=2)


async def full(ctx: Context) -> tuple[User, User, list[Booking]]:
    """A mentor whose three days within the booking window are taken, and by whom."""
    ada, eve = await mentor(ctx, rules=ONE_A_DAY), await person(ctx, "Eve")
    return ada, eve, [await booked(ctx, ada.id, eve.id, hour(at)) for at in (-10, 10, 24)]


async def wait(ctx: Context, ada: User, bo: User) -> Place:
    return await actions.join(ctx, bo.id, ada.id, hour(0), hour(30))


async def offers(ctx: Context, someone: User) -> list[tuple[Status, int]]:
    """What is kept for somebody: status and hour of the holds and bookings."""
    found = await booking.list_for(ctx, who(someone))
    return [(it.status, round((it.start - hour(0)) / timedelta(hours=1))) for it in found.items]


async def test_the_first_in_line_is_offered_what_becomes_free_and_takes_it(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, eve, taken = await full(ctx)
    bo, cy = await person(ctx, "Bo"), await person(ctx, "Cy")
    first, second = await wait(ctx, ada, bo), await wait(ctx, ada, cy)
    assert (first.ahead, second.ahead) == (0, 1)
    await sessions.cancel(ctx, eve.id, taken[1].id)
    await drain(ctx)
    await drain(ctx)
    assert await offers(ctx, bo) == [(Status.HOLD, 10)] and await offers(ctx, cy) == []
    (offered,) = await actions.of_person(ctx, bo.id)
    assert offered.status is WaitStatus.OFFERED and offered.booking_id is not None
    kept = await booking.get(ctx, who(bo), offered.booking_id)
    assert kept.expires_at == clock.now() + OFFER_FOR
    mails = await ctx.pool.fetch(
        "SELECT recipient_id FROM notifications WHERE kind = 'slot_offered' AND channel = 'email'"
    )
    assert [row["recipient_id"] for row in mails] == [bo.id]
    await sessions.confirm(ctx, bo.id, kept.id)
    await drain(ctx)
    assert await actions.of_person(ctx, bo.id) == []
    assert await ledger.wallet(ctx, bo.id) == Wallet(90, 10, 0)
    await books_balance(ctx)


@pytest.mark.parametrize("given_up", [True, False])
async def test_an_offer_not_taken_goes_to_the_next_in_line(
    ctx: Context, clock: SteppedClock, given_up: bool
) -> None:
    ada, _, taken = await full(ctx)
    bo, cy = await person(ctx, "Bo"), await person(ctx, "Cy")
    await wait(ctx, ada, bo)
    await wait(ctx, ada, cy)
    await sessions.reject(ctx, ada.id, taken[1].id)
    await drain(ctx)
    (offered,) = await actions.of_person(ctx, bo.id)
    assert offered.booking_id is not None
    if given_up:
        await sessions.cancel(ctx, bo.id, offered.booking_id)
    else:
        clock.step(OFFER_FOR)
        await booking.expire_due(ctx)
    await drain(ctx)
    assert await actions.of_person(ctx, bo.id) == []
    assert (Status.HOLD, 10) in await offers(ctx, cy)
    assert (Status.HOLD, 10) not in await offers(ctx, bo)


async def test_who_cannot_take_the_time_keeps_the_place_and_the_next_one_is_asked(ctx: Context) -> None:
    ada, _, taken = await full(ctx)
    busy, cy = await person(ctx, "Busy"), await person(ctx, "Cy")
    await booked(ctx, (await mentor(ctx, "Other")).id, busy.id, hour(10))
    await wait(ctx, ada, busy)
    await wait(ctx, ada, cy)
    await sessions.cancel(ctx, ada.id, taken[1].id)
    await drain(ctx)
    (kept,) = await actions.of_person(ctx, busy.id)
    assert kept.status is WaitStatus.WAITING
    assert await offers(ctx, cy) == [(Status.HOLD, 10)]


async def test_a_time_outside_what_somebody_waits_for_is_not_offered(ctx: Context) -> None:
    ada, eve, taken = await full(ctx)
    bo = await person(ctx, "Bo")
    await actions.join(ctx, bo.id, ada.id, hour(12), hour(30))
    await sessions.cancel(ctx, eve.id, taken[1].id)  # at 10
    await drain(ctx)
    assert await offers(ctx, bo) == []


async def test_refusals(ctx: Context) -> None:
    ada, _eve, _taken = await full(ctx)
    bo = await person(ctx, "Bo")
    free = await mentor(ctx, "Free")
    with pytest.raises(Conflict) as refused:
        await actions.join(ctx, bo.id, free.id, hour(0), hour(30))
    assert refused.value.code == "slots_open"
    await wait(ctx, ada, bo)
    with pytest.raises(Conflict) as refused:
        await wait(ctx, ada, bo)
    assert refused.value.code == "already_waiting"
    for earliest, latest, code in (
        (hour(5), hour(5), "end_before_start"),
        (hour(-48), hour(-40), "end_before_start"),
        (hour(0), hour(24 * 93), "span_too_long"),
    ):
        with pytest.raises(Invalid) as invalid:
            await actions.join(ctx, bo.id, ada.id, earliest, latest)
        assert invalid.value.errors[0].code == code
    with pytest.raises(Forbidden):
        await wait(ctx, ada, ada)
    with pytest.raises(NotFound):
        await actions.join(ctx, bo.id, bo.id, hour(0), hour(30))


async def test_leaving_the_line_is_ones_own_to_do_and_may_be_done_twice(ctx: Context) -> None:
    ada, eve, taken = await full(ctx)
    bo = await person(ctx, "Bo")
    place = await wait(ctx, ada, bo)
    with pytest.raises(NotFound):
        await actions.leave(ctx, eve.id, place.id)
    await actions.leave(ctx, bo.id, place.id)
    await actions.leave(ctx, bo.id, place.id)
    await sessions.cancel(ctx, eve.id, taken[1].id)
    await drain(ctx)
    assert await offers(ctx, bo) == []
    await actions.join(ctx, bo.id, ada.id, hour(24), hour(30))
