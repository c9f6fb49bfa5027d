"""Who may into which room when, and what the token says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.errors import Conflict, Forbidden, NotFound, Unauthenticated
from server.base.ids import new_id
from server.people import tokens as people_tokens
from server.people.model import Role, User
from server.sessions import actions
from server.sessions.model import RoomPass, Session
from server.sessions.tokens import read_room_token, room_token
from tests.booking.world import booked, hour, mentor, person, who


async def published(ctx: Context, at: int = 10) -> tuple[User, User, Session]:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    booking = await booked(ctx, ada.id, bo.id, hour(at))
    await actions.approve(ctx, ada.id, booking.id)
    return ada, bo, await actions.get(ctx, who(ada), booking.session_id)


async def test_the_room_is_open_from_a_quarter_before_to_a_quarter_after(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo, session = await published(ctx)
    quarter, moment = timedelta(minutes=15), timedelta(microseconds=1)
    for instant, code in ((hour(10) - quarter - moment, "too_early"), (hour(11) + quarter, "session_over")):
        clock.set(instant)
        for user in (ada, bo):
            with pytest.raises(Conflict) as refused:
                await actions.join(ctx, who(user), session.id)
            assert refused.value.code == code
    for instant in (hour(10) - quarter, hour(11) + quarter - moment):
        clock.set(instant)
        assert (await actions.join(ctx, who(bo), session.id))[0] == session


async def test_the_token_opens_this_room_to_this_person_until_it_closes(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo, session = await published(ctx)
    clock.set(hour(10))
    _, token, expires_at = await actions.join(ctx, who(bo), session.id)
    assert expires_at == hour(11) + timedelta(minutes=15)
    last = expires_at - timedelta(seconds=1)
    assert read_room_token(ctx.settings, token, session.id, last) == RoomPass(
        session.id, bo.id, "Bo", "mentee"
    )
    _, token_of_ada, _ = await actions.join(ctx, who(ada), session.id)
    assert read_room_token(ctx.settings, token_of_ada, session.id, last).role == "mentor"
    with pytest.raises(Unauthenticated) as expired:
        read_room_token(ctx.settings, token, session.id, expires_at)
    assert expired.value.code == "room_token_expired"
    with pytest.raises(Forbidden) as foreign:
        read_room_token(ctx.settings, token, new_id(), last)
    assert foreign.value.code == "room_token_foreign"


async def test_what_is_no_room_token(ctx: Context) -> None:
    _ada, bo, session = await published(ctx)
    now = hour(10)
    token, _ = room_token(ctx.settings, session, bo, now)
    another = replace(ctx.settings, secret_key="another-secret-key-of-sufficient-length")
    for wrong in (
        "",
        "nonsense",
        token[:-2],
        people_tokens.access_token(ctx.settings, bo, now),
        room_token(another, session, bo, now)[0],
        people_tokens.sign(ctx.settings, "visavis:room", {"sub": "x", "sid": str(session.id)}, now, hour(11)),
    ):
        with pytest.raises(Unauthenticated) as refused:
            read_room_token(ctx.settings, wrong, session.id, now)
        assert refused.value.code == "room_token_invalid"
    with pytest.raises(Unauthenticated):  # and the other way round
        people_tokens.read_access_token(ctx.settings, token, now)


async def test_rooms_are_for_their_two_people(ctx: Context, clock: SteppedClock) -> None:
    _ada, bo, session = await published(ctx)
    eve, root = await person(ctx, "Eve"), await person(ctx, "Root", Role.ADMIN)
    clock.set(hour(10))
    for user in (eve, root):
        with pytest.raises(Forbidden) as refused:
            await actions.join(ctx, who(user), session.id)
        assert refused.value.code == "not_a_participant"
        with pytest.raises(Forbidden):
            room_token(ctx.settings, session, user, clock.now())
    with pytest.raises(Forbidden):
        await actions.get(ctx, who(eve), session.id)
    assert await actions.get(ctx, who(root), session.id) == session
    for look in (actions.get, actions.join):
        with pytest.raises(NotFound):
            await look(ctx, who(bo), new_id())


async def test_a_cancelled_session_has_no_room(ctx: Context, clock: SteppedClock) -> None:
    _, bo, session = await published(ctx)
    await actions.cancel(ctx, bo.id, session.booking_id)
    clock.set(hour(10))
    with pytest.raises(Conflict) as refused:
        await actions.join(ctx, who(bo), session.id)
    assert refused.value.code == "session_cancelled"


async def test_upcoming_sessions_come_in_order_until_their_rooms_close(
    ctx: Context, clock: SteppedClock
) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    bookings = {h: await booked(ctx, ada.id, bo.id, hour(h)) for h in (14, 10, 12, 16)}
    for h in (14, 10, 12):
        await actions.approve(ctx, ada.id, bookings[h].id)

    async def upcoming(user: User) -> list[int]:
        found, cursor = [], None
        while True:
            page = await actions.upcoming(ctx, user.id, cursor, 2)
            found += [session.start.hour for session in page.items]
            if (cursor := page.next_cursor) is None:
                return found

    assert await upcoming(ada) == await upcoming(bo) == [10, 12, 14]
    assert await upcoming(await person(ctx, "Eve")) == []
    clock.set(hour(11) + timedelta(minutes=14))
    assert await upcoming(bo) == [10, 12, 14]
    clock.step(timedelta(minutes=1))
    assert await upcoming(bo) == [12, 14]
    await actions.cancel(ctx, bo.id, bookings[12].id)
    assert await upcoming(bo) == [14]


@pytest.mark.parametrize(("outcome", "welcome"), [("completed", True), ("mentee_no_show", False)])
async def test_two_who_met_may_come_back_after_settlement_until_the_room_closes(
    ctx: Context, clock: SteppedClock, outcome: str, welcome: bool
) -> None:
    _ada, bo, session = await published(ctx)
    await ctx.pool.execute(
        "UPDATE sessions SET status = 'settled', outcome = $2, settled_at = $3 WHERE id = $1",
        session.id,
        outcome,
        hour(11),
    )
    clock.set(hour(11) + timedelta(minutes=5))
    if welcome:
        assert (await actions.join(ctx, who(bo), session.id))[2] == session.closes_at
    else:
        with pytest.raises(Conflict) as refused:
            await actions.join(ctx, who(bo), session.id)
        assert refused.value.code == "session_over"
