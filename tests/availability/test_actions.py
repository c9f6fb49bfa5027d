"""Rules, slots and the directory through the actions, on a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from server.availability import actions
from server.availability.model import Availability, MentorCard, Window
from server.base.context import Context
from server.base.errors import Forbidden, Invalid, NotFound
from server.base.ids import new_id
from server.people import actions as people
from server.sessions import actions as sessions
from tests.booking.world import ALL_WEEK, booked, hour, mentor, person

MORNINGS = Availability(
    "Asia/Kolkata",
    weekly=((1, Window(540, 720)), (2, Window(540, 720))),
    overrides=((date(2026, 3, 4), (Window(600, 660),)), (date(2026, 3, 11), ())),
    slot_minutes=60,
    booking_window_days=14,
)


async def test_rules_come_back_as_they_were_put_and_a_second_put_replaces_them(ctx: Context) -> None:
    ada = await mentor(ctx, rules=MORNINGS)
    assert await actions.get(ctx, ada.id) == MORNINGS
    fewer = replace(MORNINGS, weekly=((4, Window(0, 60)),), overrides=(), max_per_day=3)
    await actions.put(ctx, ada.id, fewer)
    assert await actions.get(ctx, ada.id) == fewer


async def test_a_new_mentor_has_no_hours_in_her_own_zone(ctx: Context) -> None:
    user = await people.register(
        ctx,
        email="ada@example.com",
        password="correct horse",
        name="Ada",
        role="mentor",
        timezone="Asia/Tokyo",
    )
    assert await actions.get(ctx, user.id) == Availability("Asia/Tokyo")
    assert await actions.open_slots(ctx, user.id, hour(0), hour(48)) == []


async def test_a_preview_is_what_the_slots_become_when_the_rules_are_saved(ctx: Context) -> None:
    ada, bo = await mentor(ctx, rules=MORNINGS), await person(ctx, "Bo")
    await booked(ctx, ada.id, bo.id, hour(0) + timedelta(seconds=16_200))
    before = await actions.open_slots(ctx, ada.id, hour(0), hour(24 * 8))
    other = replace(MORNINGS, lengths_minutes=(30,), buffer_after_minutes=30)
    seen = await actions.preview(ctx, ada.id, other, hour(0), hour(24 * 8), 30)
    assert await actions.open_slots(ctx, ada.id, hour(0), hour(24 * 8)) == before
    await actions.put(ctx, ada.id, other)
    assert seen == await actions.open_slots(ctx, ada.id, hour(0), hour(24 * 8), 30) != []
    with pytest.raises(Invalid):
        await actions.preview(ctx, ada.id, replace(other, slot_minutes=1), hour(0), hour(24 * 93))
    with pytest.raises(Invalid):
        await actions.preview(ctx, ada.id, other, hour(0), hour(1), 45)


async def test_slots_are_open_until_booked_and_open_again_when_cancelled(ctx: Context) -> None:
    ada, bo = await mentor(ctx, rules=MORNINGS), await person(ctx, "Bo")
    slots = await actions.open_slots(ctx, ada.id, hour(0), hour(24 * 8))
    # Tuesday the 3rd 09:00 in Kolkata is 03:30 UTC; Wednesday the 4th has one slot only, by the override.
    assert [slot.start - int(hour(0).timestamp()) for slot in slots] == [
        12_600, 16_200, 19_800, 102_600, 617_400, 621_000, 624_600
    ]  # fmt: skip
    booking = await booked(ctx, ada.id, bo.id, hour(0) + timedelta(seconds=16_200))
    assert await actions.open_slots(ctx, ada.id, hour(0), hour(24 * 8)) == [slots[0], *slots[2:]]
    await sessions.cancel(ctx, bo.id, booking.id)
    assert await actions.open_slots(ctx, ada.id, hour(0), hour(24 * 8)) == slots


async def test_a_span_is_checked(ctx: Context) -> None:
    ada = await mentor(ctx)
    assert await actions.open_slots(ctx, ada.id, hour(0), hour(0) + timedelta(days=92))
    for to, code in (
        (hour(0), "end_before_start"),
        (hour(0) + timedelta(days=92, seconds=1), "span_too_long"),
    ):
        with pytest.raises(Invalid) as refused:
            await actions.open_slots(ctx, ada.id, hour(0), to)
        assert [(error.field, error.code) for error in refused.value.errors] == [("to", code)]


async def test_only_mentors_have_hours(ctx: Context) -> None:
    bo = await person(ctx, "Bo")
    with pytest.raises(Forbidden) as refused:
        await actions.put(ctx, bo.id, MORNINGS)
    assert refused.value.code == "mentors_only"
    for nobody in (bo.id, new_id()):
        with pytest.raises(NotFound):
            await actions.get(ctx, nobody)
        with pytest.raises(NotFound):
            await actions.open_slots(ctx, nobody, hour(0), hour(1))
    with pytest.raises(Invalid):
        await actions.put(ctx, bo.id, replace(MORNINGS, timezone="Nowhere"))


async def directory_of(ctx: Context) -> dict[str, MentorCard]:
    return {card.name: card for card in (await actions.directory(ctx)).items}


async def test_the_directory_finds_mentors_by_what_they_say(ctx: Context) -> None:
    ada, eve = await mentor(ctx, "Ada"), await mentor(ctx, "Eve", rules=MORNINGS, price=30)
    await person(ctx, "Bo")
    await people.update_me(
        ctx, ada.id, headline="100% Python_", topics=["Compilers", " compilers "], languages=["en", "DE"]
    )
    await people.update_me(ctx, eve.id, headline="Gardens", bio="I grow pythons", languages=["en"])

    async def names(**search: object) -> list[str]:
        page = await actions.directory(ctx, **search)  # type: ignore[arg-type]
        return [card.name for card in page.items]

    assert await names() == ["Ada", "Eve"]
    assert await names(q="python") == ["Ada", "Eve"]
    assert await names(q="PYTHON_") == ["Ada"]
    assert await names(q="0% p") == ["Ada"]
    assert await names(q="%") == ["Ada"]
    assert await names(q="compil") == ["Ada"]
    assert await names(topic="COMPILERS") == ["Ada"]
    assert await names(topic="compil") == []
    assert await names(language="de") == ["Ada"]
    assert await names(max_price=29) == ["Ada"]
    cards = await directory_of(ctx)
    assert cards["Ada"].topics == ("Compilers",)
    assert cards["Eve"].price_tokens == 30


async def test_the_directory_shows_the_next_slot_and_filters_by_it(ctx: Context) -> None:
    """The clock stands at Monday the 2nd, 09:00 UTC."""
    ada, eve = await mentor(ctx, "Ada"), await mentor(ctx, "Eve", rules=MORNINGS)
    await mentor(ctx, "Idle", rules=Availability("UTC"))
    cards = await directory_of(ctx)
    assert {name: card.next_slot and card.next_slot.start for name, card in cards.items()} == {
        "Ada": int(hour(-15).timestamp()),
        "Eve": int(hour(0).timestamp()) + 12_600,
        "Idle": None,
    }
    soon = await actions.directory(ctx, available_within=3600)
    assert [card.id for card in soon.items] == [ada.id]
    today = await actions.directory(ctx, available_within=86_400, limit=1)
    assert [card.id for card in today.items] == [ada.id]
    rest = await actions.directory(ctx, available_within=86_400, limit=1, cursor=today.next_cursor)
    assert [card.id for card in rest.items] == [eve.id]
    assert rest.next_cursor is None


async def test_the_directory_is_paged_without_gaps_or_repeats(ctx: Context) -> None:
    wanted = [(await mentor(ctx, name, rules=ALL_WEEK)).id for name in ("Ann", "Ann", "Åsa", "Bea", "Zoë")]
    seen, cursor = [], None
    while True:
        page = await actions.directory(ctx, cursor=cursor, limit=2)
        seen += [card.id for card in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert sorted(seen) == sorted(wanted)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("search", "field"),
    [
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "WyJhIl0"}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"q": "x" * 101}, "q"),
        ({"q": "\x00"}, "q"),
        ({"max_price": -1}, "max_price"),
        ({"available_within": 0}, "available_within"),
    ],
)
async def test_bad_searches_are_named(ctx: Context, search: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await actions.directory(ctx, **search)  # type: ignore[arg-type]
    assert [error.field for error in refused.value.errors] == [field]
