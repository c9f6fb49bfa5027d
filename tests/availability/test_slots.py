"""Open slots out of the cache: never older than the last change, and never needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from server.availability import actions, store
from server.availability.model import Availability, Window
from server.availability.store import Appointment
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.errors import Conflict, Invalid
from server.booking import actions as booking
from server.integrations.cache import RedisCache
from server.sessions import actions as sessions
from tests.booking.world import ALL_WEEK, booked, hour, mentor, person, who

NINE_TO_NOON = Availability("UTC", weekly=tuple((day, Window(540, 720)) for day in range(7)))


@pytest.fixture
async def cached(ctx: Context, redis_url: str) -> Context:
    return replace(ctx, cache=RedisCache(Redis.from_url(redis_url)))


async def test_what_is_kept_is_given_again_until_anything_changes(cached: Context, redis_url: str) -> None:
    """Each change is seen by the very next question, and the first answer leaves something to be found."""
    ada, bo = await mentor(cached, rules=NINE_TO_NOON), await person(cached, "Bo")

    async def offered() -> list[int]:
        found = await actions.open_slots(cached, ada.id, hour(0), hour(24))
        again = await actions.open_slots(cached, ada.id, hour(0), hour(24))
        anew = await actions.open_slots(replace(cached, cache=Nothing()), ada.id, hour(0), hour(24))
        assert found == again == anew
        return [(slot.start - int(hour(0).timestamp())) // 3600 for slot in found]

    assert await offered() == [9, 10, 11]
    async with Redis.from_url(redis_url) as redis:
        assert await redis.dbsize() >= 1
    made = await booked(cached, ada.id, bo.id, hour(10))
    assert await offered() == [9, 11]
    await sessions.cancel(cached, bo.id, made.id)
    assert await offered() == [9, 10, 11]
    await actions.put(cached, ada.id, replace(NINE_TO_NOON, min_notice_minutes=25 * 60))
    assert await offered() == [10, 11]
    await actions.put(cached, ada.id, NINE_TO_NOON)
    async with cached.pool.acquire() as conn, conn.transaction():
        dentist = Appointment(ada.id, "1", hour(9), hour(10) + timedelta(minutes=1), "Dentist")
        await store.replace_appointments(conn, "test", ada.id, [dentist])
    assert await offered() == [11]


class Nothing:
    async def get(self, keys: object) -> list[bytes | None]:
        return [None] * len(keys)  # type: ignore[arg-type]

    async def put(self, values: object, seconds: int) -> None:
        return None


async def test_time_passes_over_what_is_kept(cached: Context, clock: SteppedClock) -> None:
    ada = await mentor(cached, rules=replace(NINE_TO_NOON, min_notice_minutes=60))
    early = await actions.open_slots(cached, ada.id, hour(0), hour(24))
    assert len(early) == 3
    clock.set(hour(9) + timedelta(minutes=30))
    assert await actions.open_slots(cached, ada.id, hour(0), hour(24)) == early[2:]


async def test_a_span_over_many_weeks_is_the_same_from_the_cache(cached: Context, ctx: Context) -> None:
    ada, bo = await mentor(cached, rules=NINE_TO_NOON), await person(cached, "Bo")
    for day in (0, 6, 13, 40):
        await booked(cached, ada.id, bo.id, hour(24 * day + 10))
    plain = await actions.open_slots(ctx, ada.id, hour(5), hour(24 * 80))
    first = await actions.open_slots(cached, ada.id, hour(5), hour(24 * 80))
    assert plain == first == await actions.open_slots(cached, ada.id, hour(5), hour(24 * 80))
    assert len(plain) == 59 * 3 + 1 - 4  # 59 days to the edge of the booking window, and its first hour


async def test_rubbish_in_the_cache_and_no_redis_at_all_change_no_answer(
    cached: Context, ctx: Context, redis_url: str
) -> None:
    ada = await mentor(cached, rules=NINE_TO_NOON)
    right = await actions.open_slots(cached, ada.id, hour(0), hour(48))
    async with Redis.from_url(redis_url) as redis:
        for key in await redis.keys():
            await redis.set(key, b'["nonsense"]')
    assert await actions.open_slots(cached, ada.id, hour(0), hour(48)) == right
    gone = replace(ctx, cache=RedisCache(Redis.from_url("redis://127.0.0.1:1/0")))
    assert await actions.open_slots(gone, ada.id, hour(0), hour(48)) == right


async def test_the_directory_shows_the_next_slot_with_and_without_the_cache(
    cached: Context, ctx: Context
) -> None:
    ada, bo = await mentor(cached, rules=NINE_TO_NOON), await person(cached, "Bo")
    far = await mentor(
        cached, "Far", rules=Availability("UTC", overrides=((hour(24 * 45).date(), (Window(60, 120),)),))
    )
    never = await mentor(cached, "Never", rules=Availability("UTC"))
    await booked(cached, ada.id, bo.id, hour(9))
    for _ in range(2):
        for each in (cached, ctx):
            page = await actions.directory(each)
            assert {card.id: card.next_slot and card.next_slot.start for card in page.items} == {
                ada.id: int(hour(-15).timestamp()),
                far.id: int(hour(24 * 45 + 1).timestamp()),
                never.id: None,
            }
            soon = await actions.directory(each, available_within=7 * 86_400)
            assert [card.id for card in soon.items] == [ada.id]


async def test_other_lengths_are_offered_and_booked_and_unknown_ones_named(ctx: Context) -> None:
    rules = replace(NINE_TO_NOON, lengths_minutes=(30,), start_increment_minutes=30)
    ada, bo = await mentor(ctx, rules=rules), await person(ctx, "Bo")
    assert len(await actions.open_slots(ctx, ada.id, hour(0), hour(24))) == 5
    assert len(await actions.open_slots(ctx, ada.id, hour(0), hour(24), 30)) == 6
    with pytest.raises(Invalid) as refused:
        await actions.open_slots(ctx, ada.id, hour(0), hour(24), 45)
    assert refused.value.errors[0].code == "not_offered"
    start = hour(9) + timedelta(minutes=30)
    made = await sessions.book(ctx, bo.id, mentor_id=ada.id, start=start, end=start + timedelta(minutes=30))
    assert (await booking.get(ctx, who(bo), made.id)).end == hour(10)


async def test_an_appointment_of_either_person_is_in_the_way(ctx: Context) -> None:
    ada, bo = await mentor(ctx), await person(ctx, "Bo")
    async with ctx.pool.acquire() as conn, conn.transaction():
        await store.replace_appointments(
            conn, "caldav", ada.id, [Appointment(ada.id, "a", hour(9), hour(10), "Secret")]
        )
        await store.replace_appointments(
            conn, "caldav", bo.id, [Appointment(bo.id, "b", hour(11), hour(12), "Football")]
        )
    for start, title, identity in ((9, "Busy", "caldav:a"), (11, "Football", "caldav:b")):
        with pytest.raises(Conflict) as refused:
            await booked(ctx, ada.id, bo.id, hour(start))
        assert refused.value.code == "booking_conflict"
        (clash,) = refused.value.extra["conflicts"]
        assert (clash["kind"], clash["id"], clash["title"]) == ("calendar", identity, title)
    await booked(ctx, ada.id, bo.id, hour(10))  # back to back is fine


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"max_per_day": 1}, "day_full"),
        ({"max_minutes_per_day": 90}, "day_full"),
        ({"max_per_week": 1}, "week_full"),
        ({"max_minutes_per_week": 100}, "week_full"),
        ({"max_per_month": 1}, "month_full"),
        ({"max_minutes_per_month": 100}, "month_full"),
    ],
)
async def test_a_limit_that_is_reached_is_named(ctx: Context, limit: dict[str, int], code: str) -> None:
    ada, bo = await mentor(ctx, rules=replace(ALL_WEEK, **limit)), await person(ctx, "Bo")  # type: ignore[arg-type]
    await booked(ctx, ada.id, bo.id, hour(9))
    with pytest.raises(Conflict) as refused:
        await booked(ctx, ada.id, bo.id, hour(12))
    assert refused.value.code == code
