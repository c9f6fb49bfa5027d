"""Booking with a choice of lengths, zones and weeks, waiting for a time, and the list and calendar of bookings."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from playwright.async_api import expect

from server.availability import actions as availability
from server.booking import actions as booking
from server.booking.model import Status
from server.people.model import Principal, Role
from server.waitlist import actions as waitlist
from tests.pages.conftest import Site, Visit

pytestmark = pytest.mark.browser


async def test_another_length_in_another_zone_costs_what_it_says(site: Site, visit: Visit) -> None:
    world = site.world
    rules = await availability.get(site.ctx, world.mentor.id)
    await availability.put(site.ctx, world.mentor.id, replace(rules, lengths_minutes=(60,)))
    visitor = await visit(world.mentee.email)
    page = visitor.page
    page.set_default_timeout(25_000)
    await visitor.goto(f"/mentors/{world.mentor.id}?tz=Asia/Tokyo&from=2026-03-30")
    await page.get_by_role("link", name="60 minutes 24 tokens").click()
    slot = page.locator("button.slot[data-start='2026-03-30T07:00:00Z']")
    await expect(slot).to_contain_text("16:00")  # in Tokyo, and there:
    await expect(slot).to_contain_text("09:00")
    await slot.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("button.slot[data-start='2026-03-31T07:00:00Z']")).to_be_focused()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("24 tokens")
    await expect(dialog).to_contain_text("Cancelling is free")
    await dialog.get_by_role("button", name="Request this time").click()
    await page.wait_for_url("**/bookings/*")
    found = await booking.list_for(site.ctx, Principal(world.mentee.id, Role.MENTEE), status="requested")
    made = next(it for it in found.items if it.id != world.requested.id)
    assert (made.start, made.end) == (
        datetime(2026, 3, 31, 7, tzinfo=UTC),
        datetime(2026, 3, 31, 8, tzinfo=UTC),
    )
    assert made.price_tokens == 24
    assert not visitor.complaints


async def test_a_series_tells_its_collisions_and_is_answered_as_one(site: Site, visit: Visit) -> None:
    world = site.world
    rules = await availability.get(site.ctx, world.mentor.id)
    await availability.put(site.ctx, world.mentor.id, replace(rules, overrides=((date(2026, 4, 6), ()),)))
    visitor = await visit(world.mentee.email)
    page = visitor.page
    page.set_default_timeout(25_000)
    await visitor.goto(f"/mentors/{world.mentor.id}")
    dialog = page.locator("#book")
    await page.locator("button.slot[data-start='2026-03-30T09:00:00Z']").click()
    await dialog.get_by_label("How often").select_option("2")
    await expect(dialog).to_contain_text("24 tokens")
    await dialog.get_by_role("button", name="Request this time").click()
    await expect(dialog.locator(".collisions li")).to_have_count(1)
    await expect(dialog.locator(".collisions")).to_contain_text("6 April")
    await dialog.get_by_role("button", name="Not now").click()
    await page.locator("button.slot[data-start='2026-04-02T07:00:00Z']").click()
    await dialog.get_by_role("button", name="Request this time").click()
    await page.wait_for_url("**/bookings?show=requested")
    await expect(page.locator(".series-head")).to_contain_text("Every week with Amara Okafor")

    mentor = await visit(world.mentor.email, width=360)
    mentor.page.set_default_timeout(25_000)
    await mentor.goto("/bookings?show=requested")
    await mentor.page.get_by_role("button", name="Approve all").click()
    await expect(mentor.page.locator("#toasts")).to_contain_text("Confirmed.")
    found = await booking.list_for(site.ctx, Principal(world.mentor.id, Role.MENTOR), status="approved")
    assert {it.start for it in found.items if it.series_id} == {
        datetime(2026, 4, 2, 7, tzinfo=UTC),
        datetime(2026, 4, 9, 7, tzinfo=UTC),
    }
    assert not mentor.complaints


async def test_waiting_for_a_time_and_leaving_the_line(site: Site, visit: Visit) -> None:
    world = site.world
    rules = await availability.get(site.ctx, world.mentor.id)
    await availability.put(site.ctx, world.mentor.id, replace(rules, overrides=((date(2026, 4, 6), ()),)))
    visitor = await visit(world.mentee.email)
    page = visitor.page
    page.set_default_timeout(25_000)
    await visitor.goto(f"/mentors/{world.mentor.id}")
    await page.get_by_role("button", name="Wait for one").click()
    dialog = page.locator("#wait")
    await dialog.get_by_role("button", name="Wait for a time").click()
    await expect(dialog.locator(".form-error")).to_contain_text("has time then")
    await dialog.get_by_label("From").fill("2026-04-06")
    await dialog.get_by_label("Until, that day included").fill("2026-04-06")
    await dialog.get_by_role("button", name="Wait for a time").click()
    await page.wait_for_url("**/bookings")
    place = (await waitlist.of_person(site.ctx, world.mentee.id))[0]
    # A day in New York, where the reader lives.
    assert (place.earliest, place.latest) == (
        datetime(2026, 4, 6, 4, tzinfo=UTC),
        datetime(2026, 4, 7, 4, tzinfo=UTC),
    )
    await expect(page.get_by_role("region", name="You wait for a time")).to_contain_text("the first in line")
    await page.get_by_role("button", name="Stop waiting for Amara Okafor").click()
    await expect(page.get_by_text("You wait for a time")).to_have_count(0)
    assert await waitlist.of_person(site.ctx, world.mentee.id) == []


async def test_a_request_is_approved_from_the_filtered_list_and_stands_in_the_calendar(
    site: Site, visit: Visit
) -> None:
    world = site.world
    visitor = await visit(world.mentor.email)
    page = visitor.page
    page.set_default_timeout(25_000)
    await visitor.goto("/bookings?show=requested")
    await page.get_by_label("With").fill("nobody")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("main")).to_contain_text("Nothing like this")
    await page.get_by_label("With").fill("weber")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#toasts")).to_contain_text("Confirmed.")
    found = await booking.get(site.ctx, Principal(world.mentor.id, Role.MENTOR), world.requested.id)
    assert found.status is Status.APPROVED
    await page.get_by_role("link", name="Upcoming").click()
    await page.get_by_role("link", name="Month").click()
    day = page.get_by_role("region", name="Tuesday 31 March 2026")
    await day.get_by_role("link", name="Jonas Weber").click()
    await page.wait_for_url(f"**/bookings/{world.requested.id}")
    assert not visitor.complaints
