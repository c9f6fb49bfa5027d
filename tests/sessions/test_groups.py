"""Group sessions: seats that cannot be oversold, one room for all of them, and what becomes of it when one leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from server.attendance import actions as attendance
from server.availability import actions as availability
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.errors import Conflict
from server.booking import actions as booking
from server.booking.model import Booking, Terms
from server.chat import actions as chat
from server.people.model import User
from server.sessions import actions as sessions
from server.sessions import rooms
from server.sessions.model import Outcome
from tests.booking.world import ALL_WEEK, PRICE, booked, books_balance, hour, mentor, person, who


async def group(ctx: Context, size: int, capacity: int = 8) -> tuple[User, list[User], list[Booking]]:
    """A mentor who approves whatever fits, and so many mentees in one session of hers."""
    ada = await mentor(ctx, rules=replace(ALL_WEEK, capacity=capacity))
    await booking.put_terms(ctx, ada.id, Terms(instant_approval=True))
    mentees = [await person(ctx, f"Mentee{n}") for n in range(size)]
    return ada, mentees, [await booked(ctx, ada.id, it.id, hour(10)) for it in mentees]


async def test_of_fifty_for_eight_seats_eight_get_one(ctx: Context) -> None:
    ada, _, _ = await group(ctx, 0)
    mentees = [await person(ctx, f"Mentee{n}") for n in range(50)]
    results = await asyncio.gather(
        *(booked(ctx, ada.id, mentee.id, hour(10)) for mentee in mentees), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, Booking)]
    refused = [result for result in results if isinstance(result, Conflict)]
    assert (len(won), len(refused)) == (8, 42)
    assert {refusal.code for refusal in refused} == {"group_full"}
    assert sorted(it.seat for it in won) == list(range(1, 9))
    assert len({it.seat_group for it in won}) == 1
    rooms_of = await ctx.pool.fetch("SELECT coalesce(room_id, id) AS room FROM sessions")
    assert len(rooms_of) == 8
    assert len({row["room"] for row in rooms_of}) == 1
    held = await ctx.pool.fetchval("SELECT sum(balance) FROM accounts WHERE kind = 'held'")
    assert held == 8 * PRICE
    await books_balance(ctx)


async def test_the_slot_stays_open_while_there_are_seats_and_nothing_else_fits_beside_it(
    ctx: Context,
) -> None:
    rules = replace(ALL_WEEK, capacity=2, start_increment_minutes=30, buffer_after_minutes=30, max_per_day=1)
    ada, bo, cy = await mentor(ctx, rules=rules), await person(ctx, "Bo"), await person(ctx, "Cy")

    async def starts() -> list[int]:
        found = await availability.open_slots(ctx, ada.id, hour(8), hour(13))
        return [(slot.start - int(hour(0).timestamp())) // 60 for slot in found]

    first = await booked(ctx, ada.id, bo.id, hour(10))
    assert await starts() == [600]  # the day is full but for this session
    with pytest.raises(Conflict) as twice:
        await booked(ctx, ada.id, bo.id, hour(10))
    assert twice.value.code == "booking_conflict"
    with pytest.raises(Conflict) as beside:
        await booked(ctx, ada.id, cy.id, hour(10) + timedelta(minutes=30))
    assert beside.value.code == "booking_conflict"
    second = await booked(ctx, ada.id, cy.id, hour(10))
    assert (second.seat_group, second.seat) == (first.seat_group, 2)
    assert await starts() == []
    await sessions.cancel(ctx, bo.id, first.id)
    assert await starts() == [600]
    third = await booked(ctx, ada.id, (await person(ctx, "Di")).id, hour(10))
    assert (third.seat_group, third.seat) == (first.seat_group, 1)
    await books_balance(ctx)


async def test_seats_share_a_room_and_each_has_its_own_verdict(ctx: Context, clock: SteppedClock) -> None:
    ada, mentees, bookings = await group(ctx, 3)
    room_id = bookings[0].session_id
    clock.set(hour(10))
    for mentee, it in zip(mentees, bookings, strict=True):
        own, _, _ = await sessions.join(ctx, who(mentee), it.session_id)
        assert (own.id, own.room_id) == (it.session_id, room_id)
        assert (await sessions.join(ctx, who(mentee), room_id))[
            0
        ] == own  # a link to the room leads there, too
    people = (await rooms.room(ctx, bookings[2].session_id)).people
    assert [user_id for user_id, _, _ in people] == [ada.id, *(it.id for it in mentees)]
    for user in (ada, mentees[0], mentees[1]):  # the third one stays away
        await attendance.joined(ctx, room_id, user.id, f"peer-{user.id}", clock.now())
    clock.set(hour(11))
    for user in (ada, mentees[0], mentees[1]):
        await attendance.left(ctx, room_id, user.id, f"peer-{user.id}", clock.now(), "closed")
    seen = await attendance.of_session(ctx, who(mentees[1]), bookings[1].session_id)
    assert [it.present_seconds for it in seen] == [3600, 3600]
    assert [await attendance.settle(ctx, it.session_id) for it in bookings] == [
        Outcome.COMPLETED,
        Outcome.COMPLETED,
        Outcome.MENTEE_NO_SHOW,
    ]
    await books_balance(ctx)


async def test_who_leaves_a_room_leaves_it_to_the_others(ctx: Context, clock: SteppedClock) -> None:
    ada, mentees, bookings = await group(ctx, 3)
    first, second, third = (it.session_id for it in bookings)
    clock.set(hour(10) - timedelta(minutes=10))
    await chat.say(ctx, first, mentees[1].id, "a", "Is anybody here?")
    await attendance.joined(ctx, first, mentees[1].id, "peer", clock.now())
    await sessions.cancel(ctx, mentees[0].id, bookings[0].id)
    for it in (second, third):
        assert (await rooms.room(ctx, it)).id == second
    assert (await sessions.join(ctx, who(ada), first))[
        0
    ].room_id == second  # she had come by the first one's link
    assert (await sessions.get(ctx, who(mentees[0]), first)).chat_id == first
    assert [m.text for m in (await chat.recent(ctx, second)).items] == ["Is anybody here?"]
    assert (await chat.say(ctx, second, ada.id, "b", "I am.")).seq == 2
    seen = await attendance.of_session(ctx, who(ada), second)
    assert seen[1].first_joined_at == clock.now()
    with pytest.raises(Conflict) as refused:
        await sessions.join(ctx, who(mentees[0]), first)
    assert refused.value.code == "session_cancelled"


async def test_a_seat_that_moves_has_a_room_of_its_own_and_finds_the_group_at_the_other_time(
    ctx: Context,
) -> None:
    ada, mentees, bookings = await group(ctx, 2)
    later = await booked(ctx, ada.id, (await person(ctx, "Di")).id, hour(14))
    await sessions.reschedule(ctx, mentees[0].id, bookings[0].id, start=hour(14), end=hour(15))
    moved = await sessions.approve(ctx, ada.id, bookings[0].id)
    assert (moved.seat_group, moved.seat) == (later.seat_group, 2)
    assert (await rooms.room(ctx, moved.session_id)).id == later.session_id
    assert (await rooms.room(ctx, bookings[1].session_id)).id == bookings[1].session_id
    await books_balance(ctx)
