"""Approve, reject, move and cancel: booking, session, money and facts stay in step."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from server.availability import actions as availability
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.errors import Conflict, Forbidden, InsufficientFunds, Invalid, NotFound
from server.base.ids import new_id
from server.booking import actions as booking
from server.booking.model import Booking, Proposal, Status, Terms
from server.ledger import actions as ledger
from server.ledger.model import Wallet
from server.people.model import User
from server.sessions import actions
from server.sessions.model import Outcome, SessionStatus
from tests.booking.world import ALL_WEEK, booked, books_balance, fact, fact_kinds, hour, mentor, person, who
from tests.support.poison import cure, poison


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


@pytest.mark.parametrize("by_mentor", [True, False])
async def test_a_proposed_move_leaves_the_old_time_until_the_other_side_accepts(
    ctx: Context, by_mentor: bool
) -> None:
    ada, bo, request = await pair(ctx)
    await actions.approve(ctx, ada.id, request.id)
    asker, asked = (ada, bo) if by_mentor else (bo, ada)
    proposed = await actions.reschedule(
        ctx, asker.id, request.id, start=hour(14), end=hour(15), reason="Dentist"
    )
    assert (proposed.start, proposed.status, proposed.is_reschedule) == (hour(10), Status.APPROVED, False)
    expires_at = hour(10)  # before 48 hours are over, the old time comes
    assert proposed.proposal == Proposal(hour(14), hour(15), asker.id, "Dentist", expires_at)
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(10), 10)
    with pytest.raises(Conflict) as refused:  # nobody agrees with himself
        await actions.approve(ctx, asker.id, request.id)
    assert refused.value.code == "illegal_transition"
    moved = await actions.approve(ctx, asked.id, request.id)
    assert (moved.is_reschedule, moved.reschedule_reason, moved.proposal) == (True, "Dentist", None)
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(14), 10)
    told = await fact(ctx, request.session_id, "booking_rescheduled")
    assert (told["old_start"], told["start"]) == ("2026-03-03T10:00:00Z", "2026-03-03T14:00:00Z")
    assert (told["status"], told["was_approved"], told["moved_by"]) == ("approved", True, str(asker.id))
    assert (await fact_kinds(ctx, request.session_id))[4:] == [
        "move_proposed",
        "booking_rescheduled",
        "session_moved",
    ]
    await booked(ctx, ada.id, bo.id, hour(10))  # the old time is free


@pytest.mark.parametrize("taken_back", [True, False])
@pytest.mark.parametrize("by_mentor", [True, False])
async def test_a_declined_or_withdrawn_proposal_leaves_everything_as_it_was(
    ctx: Context, by_mentor: bool, taken_back: bool
) -> None:
    ada, bo, request = await pair(ctx)
    await actions.approve(ctx, ada.id, request.id)
    asker, asked = (ada, bo) if by_mentor else (bo, ada)
    await actions.reschedule(ctx, asker.id, request.id, start=hour(14), end=hour(15))
    actor = asker if taken_back else asked
    same = await actions.reject(ctx, actor.id, request.id, "No time")
    assert (same.status, same.start, same.proposal) == (Status.APPROVED, hour(10), None)
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(10), 10)
    declined = await fact(ctx, request.session_id, "move_declined")
    assert (declined["declined_by"], declined["proposed_by"]) == (str(actor.id), str(asker.id))
    with pytest.raises(Conflict) as refused:
        await actions.reject(ctx, asked.id, request.id)
    assert refused.value.code == "illegal_transition"


async def test_a_proposed_time_that_somebody_took_cannot_be_accepted_any_more(ctx: Context) -> None:
    ada, bo, request = await pair(ctx)
    await actions.approve(ctx, ada.id, request.id)
    await actions.reschedule(ctx, ada.id, request.id, start=hour(14), end=hour(15))
    eve = await person(ctx, "Eve")
    other = await booked(ctx, ada.id, eve.id, hour(14))
    with pytest.raises(Conflict) as refused:
        await actions.approve(ctx, bo.id, request.id)
    assert refused.value.code == "booking_conflict"
    assert [each["id"] for each in refused.value.extra["conflicts"]] == [str(other.id)]
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(10), 10)


async def test_the_mentor_answers_a_request_with_another_time_and_the_mentee_accepts(
    ctx: Context, clock: SteppedClock
) -> None:
    """Her answer keeps the request alive for as long as the proposal waits."""
    ada, bo, request = await pair(ctx)
    proposed = await actions.reschedule(ctx, ada.id, request.id, start=hour(34), end=hour(35))
    assert (proposed.status, proposed.start, proposed.expires_at) == (Status.REQUESTED, hour(10), hour(10))
    approved = await actions.approve(ctx, bo.id, request.id)
    assert (approved.status, approved.start, approved.expires_at) == (Status.APPROVED, hour(34), None)
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(34), 10)
    assert (await fact_kinds(ctx, request.session_id))[2:] == [
        "move_proposed",
        "booking_rescheduled",
        "booking_approved",
        "session_published",
    ]


async def test_the_mentee_moves_a_request_at_once(ctx: Context) -> None:
    _ada, bo, request = await pair(ctx)
    moved = await actions.reschedule(ctx, bo.id, request.id, start=hour(11), end=hour(12))
    assert (moved.status, moved.start, moved.price_tokens) == (Status.REQUESTED, hour(11), 10)
    assert await state(ctx, request, bo) == (Status.REQUESTED, None, None, 10)
    assert len(await fact_kinds(ctx, request.session_id)) == 3


async def test_whoever_answers_too_late_changes_nothing_and_the_expired_is_put_away_once(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    request = await booked(ctx, ada.id, bo.id, hour(24 * 10))
    assert request.expires_at == clock.now() + timedelta(hours=48)
    clock.step(timedelta(hours=48))
    with pytest.raises(Conflict) as refused:
        await actions.approve(ctx, ada.id, request.id)
    assert refused.value.code == "request_expired"
    assert await booking.expire_due(ctx) == 1
    assert await booking.expire_due(ctx) == 0
    assert await state(ctx, request, bo) == (Status.EXPIRED, None, None, 0)
    assert (await fact_kinds(ctx, request.session_id))[2:] == ["booking_expired", "tokens_released"]
    await booked(ctx, ada.id, bo.id, hour(24 * 10))


async def test_one_request_that_cannot_be_put_away_does_not_keep_the_others_from_it(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    ill, sound = [await booked(ctx, ada.id, bo.id, hour(24 * day)) for day in (10, 11)]
    await poison(ctx.pool, "bookings", "id", ill.id)
    clock.step(timedelta(hours=48))
    with pytest.raises(ExceptionGroup, match="1 of 2 bookings to put away failed"):
        await booking.expire_due(ctx)
    assert await state(ctx, sound, bo) == (Status.EXPIRED, None, None, 10)
    await cure(ctx.pool, "bookings")
    assert await booking.expire_due(ctx) == 1
    assert await state(ctx, ill, bo) == (Status.EXPIRED, None, None, 0)


async def test_a_proposal_runs_out_alone_when_there_was_an_agreement(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    request = await booked(ctx, ada.id, bo.id, hour(24 * 10))
    await actions.approve(ctx, ada.id, request.id)
    await actions.reschedule(ctx, bo.id, request.id, start=hour(24 * 11), end=hour(24 * 11 + 1))
    clock.step(timedelta(hours=48))
    with pytest.raises(Conflict) as refused:
        await actions.approve(ctx, ada.id, request.id)
    assert refused.value.code == "proposal_expired"
    assert await booking.expire_due(ctx) == 1
    assert await state(ctx, request, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(240), 10)
    assert (await fact(ctx, request.session_id, "move_declined"))["declined_by"] is None


async def test_a_hold_keeps_the_time_for_five_minutes_and_costs_nothing_until_it_is_confirmed(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo, eve = await mentor(ctx), await person(ctx, "Bo"), await person(ctx, "Eve")
    kept = await booked(ctx, ada.id, bo.id, hour(10), hold=True)
    assert (kept.status, kept.expires_at) == (Status.HOLD, clock.now() + timedelta(minutes=5))
    assert await ledger.wallet(ctx, bo.id) == Wallet(100, 0, 0)
    with pytest.raises(Conflict) as refused:
        await booked(ctx, ada.id, eve.id, hour(10))
    assert refused.value.code == "booking_conflict"
    confirmed = await actions.confirm(ctx, bo.id, kept.id)
    assert (confirmed.status, confirmed.expires_at) == (Status.REQUESTED, hour(10))
    assert await ledger.wallet(ctx, bo.id) == Wallet(90, 10, 0)
    assert await fact_kinds(ctx, kept.session_id) == ["booking_requested", "tokens_held"]
    with pytest.raises(Conflict):
        await actions.confirm(ctx, bo.id, kept.id)


async def test_a_hold_that_ran_out_is_in_nobodys_way_even_before_it_is_put_away(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo, eve = await mentor(ctx), await person(ctx, "Bo"), await person(ctx, "Eve")
    kept = await booked(ctx, ada.id, bo.id, hour(10), hold=True)
    clock.step(timedelta(minutes=5))
    with pytest.raises(Conflict) as refused:
        await actions.confirm(ctx, bo.id, kept.id)
    assert refused.value.code == "hold_expired"
    await booked(ctx, ada.id, eve.id, hour(10))
    assert (await booking.get(ctx, who(bo), kept.id)).status is Status.EXPIRED
    assert await fact_kinds(ctx, kept.session_id) == ["hold_lapsed"]


async def test_a_hold_that_cannot_be_paid_stays_a_hold(ctx: Context) -> None:
    ada, poor = await mentor(ctx), await person(ctx, "Poor", tokens=9)
    kept = await booked(ctx, ada.id, poor.id, hour(10), hold=True)
    with pytest.raises(InsufficientFunds):
        await actions.confirm(ctx, poor.id, kept.id)
    assert (await booking.get(ctx, who(poor), kept.id)).status is Status.HOLD
    assert await ledger.wallet(ctx, poor.id) == Wallet(9, 0, 0)
    cancelled = await actions.cancel(ctx, poor.id, kept.id)
    assert cancelled.status is Status.CANCELLED
    assert await fact_kinds(ctx, kept.session_id) == ["hold_lapsed"]


async def test_who_approves_whatever_fits_has_a_session_at_once(ctx: Context) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    await booking.put_terms(ctx, ada.id, Terms(instant_approval=True))
    made = await booked(ctx, ada.id, bo.id, hour(10))
    assert await state(ctx, made, bo) == (Status.APPROVED, SessionStatus.SCHEDULED, hour(10), 10)
    kept = await booked(ctx, ada.id, bo.id, hour(12), hold=True)
    assert kept.status is Status.HOLD
    assert (await actions.confirm(ctx, bo.id, kept.id)).status is Status.APPROVED


@pytest.mark.parametrize(
    ("hours_before", "by_mentor", "approved", "fee"),
    [
        (24, False, True, 0),  # to the second
        (23, False, True, 5),
        (23, True, True, 0),
        (23, False, False, 0),
    ],
)
async def test_a_late_cancellation_costs_what_was_agreed_when_it_was_booked(
    ctx: Context, clock: SteppedClock, hours_before: int, by_mentor: bool, approved: bool, fee: int
) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    await booking.put_terms(ctx, ada.id, Terms(free_until_hours=24, late_fee_percent=50))
    made = await booked(ctx, ada.id, bo.id, hour(33))
    await booking.put_terms(ctx, ada.id, Terms(free_until_hours=500, late_fee_percent=100))
    if approved:
        await actions.approve(ctx, ada.id, made.id)
    clock.set(hour(33 - hours_before))
    await actions.cancel(ctx, (ada if by_mentor else bo).id, made.id)
    assert await ledger.wallet(ctx, bo.id) == Wallet(100 - fee, 0, 0)
    platform = fee * ctx.settings.platform_fee_percent // 100
    assert (await ledger.wallet(ctx, ada.id)).earnings_tokens == fee - platform
    assert (await fact(ctx, made.session_id, "booking_cancelled"))["fee_tokens"] == fee
    await books_balance(ctx)


async def test_terms_have_bounds_and_are_for_mentors(ctx: Context) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    assert await booking.terms(ctx, ada.id) == Terms()
    with pytest.raises(Invalid) as invalid:
        await booking.put_terms(ctx, ada.id, Terms(False, -1, 101, 100))
    assert {fault.field for fault in invalid.value.errors} == {"free_until_hours", "late_fee_percent"}
    with pytest.raises(Forbidden):
        await booking.put_terms(ctx, bo.id, Terms())


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
        (hour(14), hour(16), "another_length"),
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
    halves = replace(ALL_WEEK, start_increment_minutes=30, max_per_day=1, buffer_before_minutes=30)
    await availability.put(ctx, ada.id, halves)
    half_past = hour(10) + timedelta(minutes=30)
    moved = await actions.reschedule(
        ctx, bo.id, request.id, start=half_past, end=half_past + timedelta(hours=1)
    )
    assert moved.start == half_past


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
