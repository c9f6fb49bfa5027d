"""Merging: one room for what were several, all of it or nothing, once, and back again while nothing has begun."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.errors import Conflict, Invalid
from server.booking.model import Booking
from server.chat import actions as chat
from server.merging import actions as merging
from server.people.model import Principal, Role, User
from server.sessions import actions as sessions
from server.sessions import rooms
from server.trace import actions as trace
from server.trace.model import render
from tests.booking.audit import audit
from tests.booking.world import booked, books_balance, fact_kinds, hour, mentor, person, who


async def three(ctx: Context, *hours: int) -> tuple[User, User, list[Booking]]:
    """An administrator, a mentor, and an approved booking at each of these hours, of a mentee each."""
    root, ada = await person(ctx, "Root", Role.ADMIN), await mentor(ctx)
    bookings = []
    for number, at in enumerate(hours or (10, 12, 14)):
        mentee = await person(ctx, f"Mentee{number}")
        made = await booked(ctx, ada.id, mentee.id, hour(at))
        bookings.append(await sessions.approve(ctx, ada.id, made.id))
    return root, ada, bookings


async def everything(ctx: Context) -> list[list[asyncpg.Record]]:
    """All that a merge could touch."""
    tables = ("sessions", "bookings", "chat_messages", "session_merge_log", "facts", "transfers")
    return [await ctx.pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


async def test_merged_sessions_meet_in_one_room_at_one_time(ctx: Context, clock: SteppedClock) -> None:
    root, _, (a, b, c) = await three(ctx)
    done = await merging.merge(
        ctx, root.id, [a.session_id, b.session_id, c.session_id], a.session_id, "Same."
    )
    assert done.room_id == a.session_id
    assert {line.session_id for line in done.sessions} == {b.session_id, c.session_id}
    meeting = await rooms.room(ctx, c.session_id)
    assert [s.id for s in meeting.sessions] == [a.session_id, b.session_id, c.session_id]
    assert {(s.start, s.end) for s in meeting.sessions} == {(hour(10), hour(11))}
    clock.set(hour(10))
    for it in (a, b, c):
        own, _, _ = await sessions.join(ctx, Principal(it.mentee_id, Role.MENTEE), it.session_id)
        assert (own.id, own.room_id) == (it.session_id, a.session_id)
        assert "sessions_merged" in await fact_kinds(ctx, it.session_id)
    told = render(await trace.story(ctx, b.session_id))
    assert f"into the room of {a.session_id}" in told
    await books_balance(ctx)


async def test_again_changes_nothing_more(ctx: Context) -> None:
    root, _, (a, b, _) = await three(ctx)
    first = await merging.merge(ctx, root.id, [b.session_id], a.session_id, "Same.")
    before = await everything(ctx)
    assert await merging.merge(ctx, root.id, [b.session_id], a.session_id, "Same.") == first
    assert await everything(ctx) == before


async def test_a_failure_in_the_middle_leaves_nothing_changed(ctx: Context, clock: SteppedClock) -> None:
    root, ada, (a, b, c) = await three(ctx)
    clock.set(hour(10) - timedelta(minutes=5))
    await chat.say(ctx, a.session_id, ada.id, "x", "Hello")
    before = await everything(ctx)
    await ctx.pool.execute(
        "CREATE FUNCTION burn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.session_id = '{c.session_id}' THEN RAISE EXCEPTION 'power cut'; END IF; RETURN NEW; END $$"
    )
    await ctx.pool.execute(
        "CREATE TRIGGER burn BEFORE INSERT ON session_merge_log FOR EACH ROW EXECUTE FUNCTION burn()"
    )
    with pytest.raises(asyncpg.RaiseError):
        await merging.merge(ctx, root.id, [b.session_id, c.session_id], a.session_id, "Same.")
    assert await everything(ctx) == before
    await ctx.pool.execute("DROP TRIGGER burn ON session_merge_log")
    await merging.merge(ctx, root.id, [b.session_id, c.session_id], a.session_id, "Same.")


async def test_what_was_said_is_one_conversation_in_order_and_comes_apart_again(
    ctx: Context, clock: SteppedClock
) -> None:
    root, ada, (a, b, _) = await three(ctx)
    clock.set(hour(9) + timedelta(minutes=50))
    for number, it in enumerate((a, b, a, b)):
        await chat.say(ctx, it.session_id, ada.id, f"id-{number // 2}", f"line {number}")
        clock.step(timedelta(seconds=1))
    done = await merging.merge(ctx, root.id, [b.session_id], a.session_id, "Same.")
    said = (await chat.recent(ctx, a.session_id)).items
    assert [(m.seq, m.text) for m in said] == [(n + 1, f"line {n}") for n in range(4)]
    late = await chat.say(ctx, b.session_id, ada.id, "late", "by the old link")
    assert (late.session_id, late.seq) == (a.session_id, 5)
    await merging.undo(ctx, root.id, done.id, "Not the same.")
    for it, lines in ((a, ["line 0", "line 2", "by the old link"]), (b, ["line 1", "line 3"])):
        said = (await chat.recent(ctx, it.session_id)).items
        assert [(m.seq, m.text) for m in said] == list(enumerate(lines, 1))


async def test_undone_everybody_is_back_and_again_changes_nothing(ctx: Context) -> None:
    root, ada, (a, b, c) = await three(ctx)
    done = await merging.merge(ctx, root.id, [b.session_id, c.session_id], a.session_id, "Same.")
    undone = await merging.undo(ctx, root.id, done.id, "Not the same.")
    assert undone.undone_at is not None
    for it in (a, b, c):
        session = await sessions.get(ctx, who(ada), it.session_id)
        assert (session.start, session.room_id) == (it.start, it.session_id)
    groups = await ctx.pool.fetch("SELECT DISTINCT seat_group FROM bookings")
    assert len(groups) == 3
    before = await everything(ctx)
    assert await merging.undo(ctx, root.id, done.id, "Not the same.") == undone
    assert await everything(ctx) == before
    with pytest.raises(asyncpg.RestrictViolationError):
        await ctx.pool.execute("UPDATE session_merge_log SET reason = 'another'")
    await merging.merge(ctx, root.id, [b.session_id], a.session_id, "After all.")


async def test_what_cannot_be_merged(ctx: Context, clock: SteppedClock) -> None:
    root, ada, (a, b, c) = await three(ctx)
    _, _, (elsewhere,) = await three(ctx, 10)
    busy = await mentor(ctx, "Bea")
    theirs = await booked(ctx, busy.id, b.mentee_id, hour(10))
    again = await sessions.approve(ctx, ada.id, (await booked(ctx, ada.id, a.mentee_id, hour(16))).id)
    before = await everything(ctx)

    async def code(*named: Booking, reason: str = "Same.") -> str:
        with pytest.raises(Conflict) as refused:
            await merging.merge(ctx, root.id, [it.session_id for it in named], a.session_id, reason)
        return refused.value.code

    assert await code(elsewhere) == "other_mentor"
    assert await code(b) == "booking_conflict"
    assert await code(again) == "booking_conflict"  # he cannot be there twice
    with pytest.raises(Invalid):
        await merging.merge(ctx, root.id, [c.session_id], a.session_id, " ")
    with pytest.raises(Invalid):
        await merging.merge(ctx, root.id, [a.session_id], a.session_id, "Alone.")
    assert await everything(ctx) == before
    await sessions.cancel(ctx, theirs.mentee_id, theirs.id)
    await sessions.cancel(ctx, c.mentee_id, c.id)
    assert await code(c) == "session_not_scheduled"
    clock.set(hour(10))
    assert await code(b) == "session_begun"


async def test_an_old_time_that_was_taken_meanwhile_is_not_taken_back(ctx: Context) -> None:
    root, ada, (a, b, _) = await three(ctx)
    done = await merging.merge(ctx, root.id, [b.session_id], a.session_id, "Same.")
    await booked(ctx, ada.id, (await person(ctx, "Eve")).id, b.start)
    before = await everything(ctx)
    with pytest.raises(Conflict) as refused:
        await merging.undo(ctx, root.id, done.id, "Back.")
    assert refused.value.code == "booking_conflict"
    assert await everything(ctx) == before


async def test_the_first_cancelled_leaves_the_room_to_the_merged(ctx: Context) -> None:
    root, _, (a, b, c) = await three(ctx)
    await merging.merge(ctx, root.id, [b.session_id, c.session_id], a.session_id, "Same.")
    await sessions.cancel(ctx, a.mentee_id, a.id)
    assert (await rooms.room(ctx, c.session_id)).id == b.session_id
    await books_balance(ctx)


async def test_undone_without_the_one_whose_room_it_was_the_others_still_meet_in_one(ctx: Context) -> None:
    """Found by the crowd: A and B were merged into C, all three into D, C was cancelled, and the last merge undone."""
    root, _, (a, b, c, d) = await three(ctx, 10, 12, 14, 16)
    await merging.merge(ctx, root.id, [a.session_id, b.session_id], c.session_id, "Same.")
    done = await merging.merge(ctx, root.id, [c.session_id], d.session_id, "Same.")
    await sessions.cancel(ctx, c.mentee_id, c.id)
    await merging.undo(ctx, root.id, done.id, "Back.")
    meeting = await rooms.room(ctx, a.session_id)
    assert {it.id for it in meeting.sessions} == {a.session_id, b.session_id}
    assert {it.start for it in meeting.sessions} == {c.start}
    async with ctx.pool.acquire() as conn:
        assert await audit(conn, ctx.clock.now()) == []
