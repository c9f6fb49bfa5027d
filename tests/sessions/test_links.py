"""Links in mails: one person, one step, one time, and not after its time; opening one does nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.errors import Conflict, Gone, Invalid, NotFound
from server.booking import actions as booking
from server.booking.model import Booking, Status
from server.people.model import User
from server.sessions import actions as sessions
from server.sessions import links
from server.sessions.links import Action, links_for
from tests.booking.world import booked, hour, mentor, person, who


async def pair(ctx: Context) -> tuple[User, User, Booking]:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    return ada, bo, await booked(ctx, ada.id, bo.id, hour(10))


def tokens(ctx: Context, of: Booking, user: User) -> dict[str, str]:
    found = links_for(ctx.settings, of, user.id, ctx.clock.now())
    return {action: address.rsplit("/", 1)[1] for action, address in found.items()}


async def test_each_side_has_the_links_of_what_it_can_do(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    assert set(tokens(ctx, request, ada)) == {"approve", "reject"}
    assert set(tokens(ctx, request, bo)) == {"cancel", "move"}
    approved = await sessions.approve(ctx, ada.id, request.id)
    assert set(tokens(ctx, approved, ada)) == set(tokens(ctx, approved, bo)) == {"cancel", "move"}
    proposed = await sessions.reschedule(ctx, bo.id, request.id, start=hour(14), end=hour(15))
    assert set(tokens(ctx, proposed, ada)) == {"approve", "reject", "cancel", "move"}
    assert set(tokens(ctx, proposed, bo)) == {"cancel", "move"}
    kept = await booked(ctx, ada.id, bo.id, hour(20), hold=True)
    assert set(tokens(ctx, kept, bo)) == {"confirm", "cancel"}
    assert tokens(ctx, kept, ada) == {}
    over = await sessions.cancel(ctx, ada.id, request.id)
    assert tokens(ctx, over, ada) == tokens(ctx, over, bo) == {}


async def test_a_link_acts_once_and_opening_it_does_nothing(ctx: Context) -> None:
    ada, _bo, request = await pair(ctx)
    token = tokens(ctx, request, ada)["approve"]
    for _ in range(2):
        opened = await links.open_link(ctx, token)
        assert (opened.link.action, opened.used, opened.booking.status) == (
            Action.APPROVE, False, Status.REQUESTED,
        )  # fmt: skip
    assert (await links.follow(ctx, token)).status is Status.APPROVED
    with pytest.raises(Gone) as refused:
        await links.follow(ctx, token)
    assert refused.value.code == "link_used"
    assert (await links.open_link(ctx, token)).used


async def test_of_twenty_clicks_at_once_one_moves_the_session(ctx: Context) -> None:
    _ada, bo, request = await pair(ctx)
    token = tokens(ctx, request, bo)["move"]
    results = await asyncio.gather(
        *(links.follow(ctx, token, start=hour(14), end=hour(15)) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, Booking) for result in results) == 1
    assert sum(isinstance(result, Gone) for result in results) == 19


async def test_a_step_that_fails_leaves_the_link_good(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    eve = await person(ctx, "Eve")
    await booked(ctx, ada.id, eve.id, hour(14))
    token = tokens(ctx, request, bo)["move"]
    with pytest.raises(Invalid):
        await links.follow(ctx, token)
    with pytest.raises(Conflict):
        await links.follow(ctx, token, start=hour(14), end=hour(15))
    moved = await links.follow(ctx, token, start=hour(16), end=hour(17))
    assert moved.start == hour(16)


async def test_a_link_runs_out_and_is_bound_to_what_it_says(ctx: Context, clock: SteppedClock) -> None:
    ada, _bo, request = await pair(ctx)
    token = tokens(ctx, request, ada)["approve"]
    for broken in (token[:-2], token + "x", "nonsense", ""):
        with pytest.raises(NotFound):
            await links.follow(ctx, broken)
    elsewhere = replace(ctx, settings=replace(ctx.settings, secret_key="another-key-another-key-another-key"))
    with pytest.raises(NotFound):
        await links.follow(elsewhere, token)
    clock.set(hour(10))
    with pytest.raises(Gone) as refused:
        await links.follow(ctx, token)
    assert refused.value.code == "link_expired"


async def test_a_late_cancellation_by_link_keeps_the_reason(ctx: Context, clock: SteppedClock) -> None:
    _ada, bo, request = await pair(ctx)
    token = tokens(ctx, request, bo)["cancel"]
    clock.set(hour(9) + timedelta(minutes=59))
    await links.follow(ctx, token, reason="A cold")
    found = await booking.get(ctx, who(bo), request.id)
    assert (found.status, found.cancelation_reason, found.cancelled_by) == (Status.CANCELLED, "A cold", bo.id)
