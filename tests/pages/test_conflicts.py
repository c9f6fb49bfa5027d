"""The board of what collides and the log of merges, at a desk and on a phone; and what a mentor is told."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from playwright.async_api import expect

from server.availability import actions as availability
from server.booking import actions as booking
from server.booking.model import Booking, Status
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import Principal, Role
from server.sessions import actions as sessions
from server.sessions import rooms
from tests.pages.conftest import Site, Visit
from tests.pages.world import PASSWORD

pytestmark = pytest.mark.browser

DAY_OFF = date(2026, 4, 2)


async def agreed(site: Site, at: datetime, email: str = "") -> Booking:
    world, ctx = site.world, site.ctx
    mentee = world.mentee
    if email:
        mentee = await people.register(
            ctx, email=email, password=PASSWORD, name="Lena Fuchs", role="mentee", timezone="UTC"
        )
        await ledger.open_wallet(ctx, mentee.id)
    made = await sessions.book(
        ctx, mentee.id, mentor_id=world.mentor.id, start=at, end=at + timedelta(minutes=30)
    )
    return await sessions.approve(ctx, world.mentor.id, made.id)


@pytest.mark.parametrize("width", [1280, 360])
async def test_what_collides_is_told_and_cancelled_with_a_reason(
    site: Site, visit: Visit, width: int
) -> None:
    made = await agreed(site, datetime(2026, 4, 2, 9, 0, tzinfo=UTC))
    rules = await availability.get(site.ctx, site.world.mentor.id)
    await availability.put(site.ctx, site.world.mentor.id, replace(rules, overrides=((DAY_OFF, ()),)))
    visitor = await visit(site.world.admin.email, width=width)
    page = visitor.page
    await visitor.goto("/admin/conflicts")
    card = page.locator("[data-conflict=day_off]")
    await expect(card).to_have_count(1)
    await expect(card).to_contain_text("A day off: 2026-04-02")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await card.get_by_role("button", name="Cancel", exact=True).click()
    await card.get_by_label("Reason").fill("The mentor has the day off.")
    await card.get_by_role("button", name="Cancel and refund").click()
    await expect(page.locator("[data-conflict]")).to_have_count(0)
    admin = Principal(site.world.admin.id, Role.ADMIN)
    gone = await booking.get(site.ctx, admin, made.id)
    assert (gone.status, gone.cancelation_reason) == (Status.CANCELLED, "The mentor has the day off.")
    assert not visitor.complaints


@pytest.mark.parametrize("width", [1280, 360])
async def test_sessions_are_merged_and_taken_apart_again(site: Site, visit: Visit, width: int) -> None:
    first = await agreed(site, datetime(2026, 4, 2, 9, 0, tzinfo=UTC))
    second = await agreed(site, datetime(2026, 4, 2, 11, 0, tzinfo=UTC), "lena@demo.visavis.test")
    visitor = await visit(site.world.admin.email, width=width)
    page = visitor.page
    await visitor.goto("/admin/merges")
    await page.get_by_label("Session whose room and time remain").fill(str(first.session_id))
    await page.get_by_label("Sessions to bring there").fill(str(second.session_id))
    await page.get_by_label("Reason", exact=True).fill("Both ask the same.")
    await page.get_by_role("button", name="Merge", exact=True).click()
    merge = page.get_by_role("list", name="Merges").get_by_role("listitem").first
    await expect(merge).to_contain_text("Both ask the same.")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (await rooms.room(site.ctx, second.session_id)).id == first.session_id
    await merge.get_by_label("Reason to undo it").fill("They do not.")
    await merge.get_by_role("button", name="Undo").click()
    await expect(merge).to_contain_text("Undone")
    assert (await rooms.room(site.ctx, second.session_id)).id == second.session_id
    assert not visitor.complaints


async def test_a_mentor_who_takes_a_day_off_is_told_what_is_booked(site: Site, visit: Visit) -> None:
    made = await agreed(site, datetime(2026, 4, 2, 9, 0, tzinfo=UTC))
    visitor = await visit(site.world.mentor.email)
    page = visitor.page
    await visitor.goto("/availability")
    told = page.locator("[data-collisions]")
    await expect(told).to_be_hidden()
    await page.get_by_role("button", name="Add a date").click()
    await page.get_by_label("Date", exact=True).fill(DAY_OFF.isoformat())
    await page.get_by_role("button", name="Save availability").click()
    await expect(told.get_by_role("link")).to_have_attribute("href", f"/bookings/{made.id}")
    await visitor.goto("/availability")
    await expect(told).to_contain_text("A day off: 2026-04-02")
    assert not visitor.complaints
