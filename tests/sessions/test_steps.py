"""Approve, reject, move and cancel: booking, session, money and facts stay in step."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from server.availability import actions as availability
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.errors import Conflict, Forbidden, Invalid, NotFound
from server.base.ids import new_id
from server.booking import actions as booking
from server.booking.model import Booking, Status
from server.ledger import actions as ledger
from server.ledger.model import Wallet
from server.people.model import User
from server.sessions import actions
from server.sessions.model import Outcome, SessionStatus
from tests.booking.world import ALL_WEEK, booked, books_balance, fact, fact_kinds, hour, mentor, person, who


async def pair(ctx: Context) -> tuple[User, User, Booking]:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    return ada, bo, await booked(ctx, ada.id, bo.id, hour(10), topic="Rust")


async def state(
    ctx: Context, of: Booking, reader: User
) -> tuple[Status, SessionStatus | None, datetime | None, int]:
    """The booking's status, the session's, its start, and the tokens held: everything that must agree."""
    now = await booking.get(ctx, who(reader), of.id)
    held = (await ledger.wallet(ctx, of.mentee_id)).held_tokens
    await books_balance(ctx)
    try:
        session = await actions.get(ctx, who(reader), of.session_id)
    except NotFound:
        return now.status, None, None, held
    return now.status, session.status, session.start, held


async def test_a_request_has_no_session_and_an_approval_publishes_it(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    assert await state(ctx, request, bo) == (Status.REQUESTED, None, None, 10)
    approved = await actions.approve(ctx, ada.id, request.id)
    assert (approved.status, approved.revision) == (Status.APPROVED, 1)
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(10), 10)
    session = await actions.get(ctx, who(bo), request.session_id)
    assert (session.mentor_name, session.mentee_name, session.topic) == ("Ada", "Bo", "Rust")
    assert (session.booking_id, session.end, session.outcome) == (request.id, hour(11), None)
    assert await fact_kinds(ctx, request.session_id) == [
        "booking_requested",
        "tokens_held",
        "booking_approved",
        "session_published",
    ]


async def test_an_approval_happens_once(ctx: Context) -> None:
    ada, _bo, request = await pair(ctx)
    await actions.approve(ctx, ada.id, request.id)
    with pytest.raises(Conflict) as refused:
        await actions.approve(ctx, ada.id, request.id)
    assert refused.value.code == "illegal_transition"
    assert len(await fact_kinds(ctx, request.session_id)) == 4


async def test_when_publishing_fails_nothing_was_approved(ctx: Context) -> None:
    """A trigger that refuses the session row stands for any failure between the two."""
    ada, bo, request = await pair(ctx)
    await ctx.pool.execute(
        "CREATE FUNCTION no_session() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;"
        "CREATE TRIGGER no_session BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION no_session()"
    )
    with pytest.raises(Exception, match="the disk is full"):
        await actions.approve(ctx, ada.id, request.id)
    assert await state(ctx, request, bo) == (Status.REQUESTED, None, None, 10)
    assert await fact_kinds(ctx, request.session_id) == ["booking_requested", "tokens_held"]


async def test_a_rejection_gives_the_tokens_back_and_keeps_the_reason(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    rejected = await actions.reject(ctx, ada.id, request.id, " On holiday ")
    assert (rejected.cancelation_reason, rejected.cancelled_by) == ("On holiday", ada.id)
    assert await state(ctx, request, bo) == (Status.REJECTED, None, None, 0)
    assert await ledger.wallet(ctx, bo.id) == Wallet(100, 0, 0)
    assert (await fact_kinds(ctx, request.session_id))[2:] == ["booking_rejected", "tokens_released"]
    assert (await fact(ctx, request.session_id, "tokens_released"))["amount_tokens"] == 10


@pytest.mark.parametrize("by_mentor", [True, False])
@pytest.mark.parametrize("approved", [True, False])
async def test_either_side_cancels_and_everything_goes_back(
    ctx: Context, by_mentor: bool, approved: bool
) -> None:
    ada, bo, request = await pair(ctx)
    if approved:
        await actions.approve(ctx, ada.id, request.id)
    actor = ada if by_mentor else bo
    cancelled = await actions.cancel(ctx, actor.id, request.id, "A cold")
    assert (cancelled.cancelled_by, cancelled.cancelation_reason) == (actor.id, "A cold")
    session = (SessionStatus.CANCELLED, hour(10)) if approved else (None, None)
    assert await state(ctx, request, bo) == (Status.CANCELLED, *session, 0)
    told = await fact(ctx, request.session_id, "booking_cancelled")
    assert (told["was_approved"], told["revision"]) == (approved, cancelled.revision)
    kinds = await fact_kinds(ctx, request.session_id)
    assert ("session_cancelled" in kinds) == approved
    if approved:
        published = await actions.get(ctx, who(bo), request.session_id)
        assert (published.outcome, published.settled_at) == (Outcome.CANCELLED, ctx.clock.now())
    with pytest.raises(Conflict):
        await actions.cancel(ctx, bo.id, request.id)
    assert await fact_kinds(ctx, request.session_id) == kinds
    await booked(ctx, ada.id, bo.id, hour(10))  # the time is free again


async def test_a_session_that_has_begun_is_neither_cancelled_nor_moved(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo, request = await pair(ctx)
    await actions.approve(ctx, ada.id, request.id)
    clock.set(hour(10))
    for actor in (ada, bo):
        with pytest.raises(Conflict) as refused:
            await actions.cancel(ctx, actor.id, request.id)
        assert refused.value.code == "session_begun"
        with pytest.raises(Conflict) as refused:
            await actions.reschedule(ctx, actor.id, request.id, start=hour(12), end=hour(13))
        assert refused.value.code == "session_begun"
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(10), 10)


async def test_a_request_whose_time_has_passed_cannot_be_approved(ctx: Context, clock: SteppedClock) -> None:
    ada, bo, request = await pair(ctx)
    clock.set(hour(10))
    with pytest.raises(Conflict) as refused:
        await actions.approve(ctx, ada.id, request.id)
    assert refused.value.code == "time_has_passed"
    await actions.cancel(ctx, bo.id, request.id)
    assert await ledger.wallet(ctx, bo.id) == Wallet(100, 0, 0)


async def test_a_session_moved_by_the_mentor_stays_published(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    await actions.approve(ctx, ada.id, request.id)
    moved = await actions.reschedule(ctx, ada.id, request.id, start=hour(14), end=hour(15), reason="Dentist")
    assert (moved.is_reschedule, moved.reschedule_reason, moved.revision) == (True, "Dentist", 2)
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(14), 10)
    told = await fact(ctx, request.session_id, "booking_rescheduled")
    assert (told["old_start"], told["start"]) == ("2026-03-03T10:00:00Z", "2026-03-03T14:00:00Z")
    assert (told["status"], told["was_approved"], told["moved_by"]) == ("approved", True, str(ada.id))
    assert (await fact_kinds(ctx, request.session_id))[4:] == ["booking_rescheduled", "session_moved"]
    await booked(ctx, ada.id, bo.id, hour(10))  # the old time is free


async def test_a_session_moved_by_the_mentee_waits_for_the_mentor_again(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo, request = await pair(ctx)
    await actions.approve(ctx, ada.id, request.id)
    moved = await actions.reschedule(ctx, bo.id, request.id, start=hour(14), end=hour(15))
    assert moved.status is Status.REQUESTED
    assert await state(ctx, request, bo) == (Status.REQUESTED, SessionStatus.CANCELLED, hour(10), 10)
    clock.set(hour(10))
    with pytest.raises(Conflict) as refused:  # nobody meets at the old time
        await actions.join(ctx, who(bo), request.session_id)
    assert refused.value.code == "session_cancelled"
    await actions.approve(ctx, ada.id, request.id)
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(14), 10)
    session = await actions.get(ctx, who(ada), request.session_id)
    assert (session.end, session.outcome, session.settled_at) == (hour(15), None, None)
    assert (await fact_kinds(ctx, request.session_id))[4:] == [
        "booking_rescheduled",
        "session_withdrawn",
        "booking_approved",
        "session_published",
    ]


async def test_a_withdrawn_session_can_still_be_rejected_or_cancelled(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    await actions.approve(ctx, ada.id, request.id)
    await actions.reschedule(ctx, bo.id, request.id, start=hour(14), end=hour(15))
    await actions.reject(ctx, ada.id, request.id)
    assert await state(ctx, request, bo) == (Status.REJECTED, SessionStatus.CANCELLED, hour(10), 0)


@pytest.mark.parametrize("by_mentor", [True, False])
async def test_a_request_that_is_moved_stays_a_request(ctx: Context, by_mentor: bool) -> None:
    ada, bo, request = await pair(ctx)
    actor = ada if by_mentor else bo
    moved = await actions.reschedule(ctx, actor.id, request.id, start=hour(11), end=hour(12))
    assert (moved.status, moved.start, moved.price_tokens) == (Status.REQUESTED, hour(11), 10)
    assert await state(ctx, request, bo) == (Status.REQUESTED, None, None, 10)
    assert len(await fact_kinds(ctx, request.session_id)) == 3


async def test_a_move_needs_an_open_slot_like_a_booking(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    eve = await person(ctx, "Eve")
    other = await booked(ctx, ada.id, eve.id, hour(12), topic="private")
    await actions.approve(ctx, ada.id, request.id)
    with pytest.raises(Conflict) as refused:
        await actions.reschedule(ctx, bo.id, request.id, start=hour(12), end=hour(13))
    assert [(c["id"], c["title"]) for c in refused.value.extra["conflicts"]] == [(str(other.id), "Busy")]
    with pytest.raises(Conflict) as refused:
        await actions.reschedule(ctx, ada.id, request.id, start=hour(12), end=hour(13))
    assert [c["title"] for c in refused.value.extra["conflicts"]] == ["private"]  # the mentor's own
    for start, end, code in (
        (hour(14), hour(16), "not_a_slot"),
        (hour(14), hour(13), "end_before_start"),
        (hour(-20), hour(-19), "in_the_past"),
        (hour(10), hour(11), "same_time"),
    ):
        with pytest.raises(Invalid) as invalid:
            await actions.reschedule(ctx, ada.id, request.id, start=start, end=end)
        assert [error.code for error in invalid.value.errors] == [code]
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(10), 10)


async def test_a_booking_does_not_stand_in_its_own_way(ctx: Context) -> None:
    """Neither by overlapping its new time, nor by filling its own day, nor by its buffer."""
    ada, bo, request = await pair(ctx)
    halves = replace(ALL_WEEK, slot_minutes=120, max_per_day=1, buffer_before_minutes=30)
    await availability.put(ctx, ada.id, halves)
    moved = await actions.reschedule(ctx, bo.id, request.id, start=hour(10), end=hour(12))
    assert (moved.start, moved.end) == (hour(10), hour(12))


async def test_steps_are_for_those_they_belong_to(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    eve = await person(ctx, "Eve")
    for actor, code in ((bo, "not_your_step"), (eve, "not_a_participant")):
        for step in (actions.approve, actions.reject):
            with pytest.raises(Forbidden) as refused:
                await step(ctx, actor.id, request.id)
            assert refused.value.code == code
    with pytest.raises(Forbidden):
        await actions.cancel(ctx, eve.id, request.id)
    with pytest.raises(Forbidden):
        await actions.reschedule(ctx, eve.id, request.id, start=hour(14), end=hour(15))
    with pytest.raises(NotFound):
        await actions.approve(ctx, ada.id, new_id())
    for give_up in (actions.reject, actions.cancel):
        with pytest.raises(Invalid):
            await give_up(ctx, ada.id, request.id, "x" * 501)
    assert await state(ctx, request, bo) == (Status.REQUESTED, None, None, 10)


async def test_a_settled_booking_is_final(ctx: Context, clock: SteppedClock) -> None:
    ada, _bo, request = await pair(ctx)

    async def settle(conn: Conn) -> Booking:
        return await booking.mark_held_in(conn, request.session_id, clock.now())

    with pytest.raises(Conflict):
        await in_transaction(ctx.pool, settle)
    await actions.approve(ctx, ada.id, request.id)
    clock.set(hour(11))
    assert (await in_transaction(ctx.pool, settle)).status is Status.HELD
    for step in (actions.cancel, actions.reject, actions.approve):
        with pytest.raises(Conflict) as refused:
            await step(ctx, ada.id, request.id)
        assert refused.value.code == "illegal_transition"
    with pytest.raises(Conflict):
        await in_transaction(ctx.pool, settle)


async def test_the_workers_are_woken_after_every_step(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    rung: list[int] = []
    ringing = replace(ctx, wake=lambda: rung.append(1))
    await actions.approve(ringing, ada.id, request.id)
    await actions.reschedule(ringing, ada.id, request.id, start=hour(10) + timedelta(hours=5), end=hour(16))
    await actions.cancel(ringing, bo.id, request.id)
    with pytest.raises(Conflict):
        await actions.cancel(ringing, bo.id, request.id)
    assert len(rung) == 3
