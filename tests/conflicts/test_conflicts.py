"""What is booked and collides with what came later: listed with its why, resolved, or let be."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest

from jobs.reactions import tell_asked
from server.availability import actions as availability
from server.availability import store as calendars
from server.availability.model import Absence, HolidayCalendar, Window
from server.availability.store import Appointment
from server.base.context import Context
from server.base.errors import Invalid
from server.base.store import of_session
from server.booking.model import Booking, Status, Terms
from server.booking.store import put_terms
from server.conflicts import actions as conflicts
from server.people.model import Role, User
from server.sessions import actions as sessions
from tests.booking.world import ALL_WEEK, PRICE, booked, books_balance, hour, mentor, person


async def agreed(ctx: Context, *hours: int) -> tuple[User, User, list[Booking]]:
    """An administrator, a mentor, and an agreed time at each of these hours."""
    root, ada = await person(ctx, "Root", Role.ADMIN), await mentor(ctx)
    made = []
    for number, at in enumerate(hours):
        mentee = await person(ctx, f"Mentee{number}")
        asked = await booked(ctx, ada.id, mentee.id, hour(at))
        made.append(await sessions.approve(ctx, ada.id, asked.id))
    return root, ada, made


async def kinds(ctx: Context) -> list[tuple[str, str]]:
    return [(it.booking.mentee_name, it.kind) for it in (await conflicts.board(ctx)).items]


async def test_vacations_delete_nothing_and_list_what_collides(ctx: Context) -> None:
    _, ada, (first, second, third) = await agreed(ctx, 10, 34, 80)
    assert await kinds(ctx) == []
    rules = replace(
        ALL_WEEK,
        absences=(Absence(datetime(2026, 3, 3, 10, 30), datetime(2026, 3, 3, 12), "Dentist"),),
        overrides=((date(2026, 3, 4), ()),),
    )
    await availability.put(ctx, ada.id, rules)
    found = await conflicts.of_mentor(ctx, ada.id)
    assert [(it.booking.id, it.kind, it.why) for it in found] == [
        (first.id, "absence", "Away: Dentist"),
        (second.id, "day_off", "A day off: 2026-03-04"),
    ]
    statuses = await ctx.pool.fetch("SELECT DISTINCT status FROM bookings")
    assert [row["status"] for row in statuses] == ["approved"]
    assert third.id not in {it.booking.id for it in found}


async def test_holidays_and_other_hours(ctx: Context) -> None:
    _, ada, _ = await agreed(ctx, 10, 34)
    rules = replace(ALL_WEEK, overrides=((date(2026, 3, 4), (Window(0, 60),)),))
    await availability.put(ctx, ada.id, rules)
    assert await kinds(ctx) == [("Mentee1", "other_hours")]
    later = await booked(ctx, ada.id, (await person(ctx, "Bo")).id, hour(24 * 31 + 10))  # Good Friday
    await availability.put(ctx, ada.id, replace(ALL_WEEK, holidays=HolidayCalendar("DE", None)))
    assert [it.booking.id for it in await conflicts.of_mentor(ctx, ada.id)] == [later.id]


async def test_calendars_of_both_and_proposals_that_came_too_late(ctx: Context) -> None:
    _, ada, (first, second) = await agreed(ctx, 10, 14)
    await sessions.reschedule(ctx, first.mentee_id, first.id, start=hour(18), end=hour(19))
    async with ctx.pool.acquire() as conn:
        dinner = Appointment(second.mentee_id, "x", hour(14), hour(15), "Secret dinner")
        await calendars.replace_appointments(conn, "google", second.mentee_id, [dinner])
    assert await kinds(ctx) == [("Mentee1", "calendar")]
    (found,) = (await conflicts.board(ctx)).items
    assert "Secret" not in found.why
    await booked(ctx, ada.id, (await person(ctx, "Eve")).id, hour(18))
    assert await kinds(ctx) == [("Mentee0", "proposal"), ("Mentee1", "calendar")]


async def test_what_is_dismissed_stays_so_until_another_cause_comes(ctx: Context) -> None:
    root, ada, _ = await agreed(ctx, 10)
    await availability.put(ctx, ada.id, replace(ALL_WEEK, overrides=((date(2026, 3, 3), ()),)))
    (found,) = (await conflicts.board(ctx)).items
    with pytest.raises(Invalid):
        await conflicts.dismiss(ctx, root.id, *found.key, "")
    for _ in range(2):
        await conflicts.dismiss(ctx, root.id, *found.key, "She will come.")
    assert await kinds(ctx) == []
    away = (Absence(datetime(2026, 3, 3, 0), datetime(2026, 3, 4, 0), ""),)
    await availability.put(ctx, ada.id, replace(ALL_WEEK, absences=away))
    assert await kinds(ctx) == [("Mentee0", "absence")]


async def test_cancelled_by_an_administrator_everything_goes_back(ctx: Context) -> None:
    root, ada, _ = await agreed(ctx)
    async with ctx.pool.acquire() as conn:
        await put_terms(conn, ada.id, Terms(free_until_hours=720, late_fee_percent=100), ctx.clock.now())
    bo = await person(ctx, "Bo", tokens=PRICE)
    made = await sessions.approve(ctx, ada.id, (await booked(ctx, ada.id, bo.id, hour(10))).id)
    gone = await sessions.cancel_for_both(ctx, root.id, made.id, "The mentor is ill.")
    assert (gone.status, gone.cancelled_by) == (Status.CANCELLED, root.id)
    wallet = await ctx.pool.fetchval(
        "SELECT balance FROM accounts WHERE kind = 'wallet' AND owner_id = $1", bo.id
    )
    assert wallet == PRICE
    await books_balance(ctx)


async def test_both_are_asked_to_agree_on_another_time(ctx: Context) -> None:
    root, _, (made,) = await agreed(ctx, 10)
    asked = await sessions.ask_to_move(ctx, root.id, made.id, "A public holiday.")
    assert (asked.status, asked.start) == (made.status, made.start)
    async with ctx.pool.acquire() as conn:
        (fact,) = [f for f in await of_session(conn, made.session_id) if f.kind == "move_asked"]
        await tell_asked(conn, ctx, fact)
    told = await ctx.pool.fetch(
        "SELECT role, body FROM notifications WHERE kind = 'move_asked' AND channel = 'email' ORDER BY role"
    )
    assert [row["role"] for row in told] == ["mentee", "mentor"]
    assert all("A public holiday." in row["body"] for row in told)


async def test_the_board_is_paged_by_bookings(ctx: Context) -> None:
    _, ada, made = await agreed(ctx, 10, 12, 14)
    await availability.put(ctx, ada.id, replace(ALL_WEEK, overrides=((date(2026, 3, 3), ()),)))
    seen, cursor = [], None
    for _ in made:
        page = await conflicts.board(ctx, cursor, 1)
        seen += [it.booking.id for it in page.items]
        cursor = page.next_cursor
    assert seen == [it.id for it in made]
    assert cursor is None
