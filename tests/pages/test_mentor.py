"""What a mentor does through the pages: sets hours, answers requests, edits the profile."""

from datetime import date

import pytest
from playwright.async_api import expect

from server.availability import actions as availability
from server.availability.model import Window
from server.booking import actions as booking
from server.booking.model import Status
from server.people import actions as people
from server.people.model import Principal, Role
from tests.pages.conftest import Site, Visit

pytestmark = pytest.mark.browser


async def test_hours_are_added_copied_removed_and_saved(site: Site, visit: Visit) -> None:
    world = site.world
    visitor = await visit(world.mentor.email)
    page = visitor.page
    await visitor.goto("/availability")
    monday = page.get_by_role("group", name="Monday")
    # By keyboard: add a second window behind the first and fill it in.
    await monday.get_by_role("button", name="Add hours on Monday").focus()
    await page.keyboard.press("Enter")
    await expect(monday.get_by_label("From").nth(1)).to_be_focused()
    await monday.get_by_label("From").nth(1).fill("18:00")
    await monday.get_by_label("Until").nth(1).fill("17:30")
    await page.get_by_role("button", name="Save availability").click()
    await expect(monday.locator("[data-window-error]").nth(1)).to_have_text("The end is before the start.")
    await monday.get_by_label("Until").nth(1).fill("00:00")  # midnight at the end of the day
    await monday.get_by_role("button", name="Copy Monday to the other weekdays").click()
    friday = page.get_by_role("group", name="Friday")
    await expect(friday.locator("[data-window]")).to_have_count(2)
    await friday.get_by_role("button", name="Remove these hours").first.click()
    await friday.get_by_role("button", name="Remove these hours").first.click()
    await expect(friday).to_contain_text("Not available")
    await page.locator("#toasts").get_by_role("button", name="Undo").last.click()
    await expect(friday.locator("[data-window]")).to_have_count(1)
    await page.get_by_role("button", name="Add a date").click()
    await page.get_by_label("Date", exact=True).fill("2026-04-06")
    await page.get_by_label("Length of a session").fill("45")
    await page.get_by_role("button", name="Save availability").click()
    await expect(page.locator("#toasts")).to_contain_text("Saved.")
    rules = await availability.get(site.ctx, world.mentor.id)
    both = (Window(540, 1020), Window(1080, 1440))
    assert rules.weekly == (*((day, hours) for day in range(4) for hours in both), (4, both[1]))
    assert rules.overrides == ((date(2026, 4, 6), ()),)
    assert rules.slot_minutes == 45
    await expect(page.locator("[data-preview]")).to_contain_text("open times")
    await visitor.goto("/availability")
    await expect(page.get_by_role("group", name="Monday").get_by_label("Until").nth(1)).to_have_value("00:00")
    assert not visitor.complaints


async def test_a_fault_of_the_rules_appears_beside_its_field(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentor.email)
    await visitor.goto("/availability")
    await visitor.page.get_by_label("Length of a session").fill("3")
    await visitor.page.get_by_role("button", name="Save availability").click()
    await expect(visitor.page.locator("#e-slot_minutes")).not_to_be_empty()
    assert (await availability.get(site.ctx, site.world.mentor.id)).slot_minutes == 30


async def test_a_request_is_approved_with_a_click(site: Site, visit: Visit) -> None:
    world = site.world
    visitor = await visit(world.mentor.email)
    await visitor.goto("/dashboard")
    await visitor.page.get_by_role("button", name="Approve").click()
    await expect(visitor.page.locator("#toasts")).to_contain_text("Confirmed.")
    await expect(visitor.page.get_by_role("region", name="Coming up")).to_contain_text(
        "How to ask for a promotion"
    )
    found = await booking.get(site.ctx, Principal(world.mentor.id, Role.MENTOR), world.requested.id)
    assert found.status is Status.APPROVED
    assert not visitor.complaints


async def test_a_request_is_declined_with_a_reason(site: Site, visit: Visit) -> None:
    world = site.world
    visitor = await visit(world.mentor.email, width=360)
    await visitor.goto("/dashboard")
    await visitor.page.get_by_role("button", name="Decline").click()
    dialog = visitor.page.get_by_role("dialog")
    await dialog.get_by_label("Reason").fill("I am on holiday that week")
    await dialog.get_by_role("button", name="Decline").click()
    await expect(visitor.page.get_by_text("No open requests.")).to_be_visible()
    found = await booking.get(site.ctx, Principal(world.mentor.id, Role.MENTOR), world.requested.id)
    assert (found.status, found.cancelation_reason) == (Status.REJECTED, "I am on holiday that week")


async def test_she_proposes_one_of_her_open_times(site: Site, visit: Visit) -> None:
    world = site.world
    visitor = await visit(world.mentor.email)
    await visitor.goto("/dashboard")
    await visitor.page.get_by_role("button", name="Propose another time").click()
    dialog = visitor.page.get_by_role("dialog")
    await dialog.get_by_label("New time").select_option("2026-04-02T07:00:00Z/2026-04-02T07:30:00Z")
    await dialog.get_by_label("Reason").fill("Meetings")
    await dialog.get_by_role("button", name="Propose it").click()
    await expect(visitor.page.locator("#toasts")).to_contain_text("the old time stands")
    await visitor.goto(f"/bookings/{world.requested.id}")
    await expect(visitor.page.get_by_role("complementary")).to_contain_text("Thu 2 Apr, 09:00–09:30 CEST")
    found = await booking.get(site.ctx, Principal(world.mentor.id, Role.MENTOR), world.requested.id)
    assert found.start == world.requested.start


async def test_the_profile_is_edited_and_its_faults_are_shown(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentor.email)
    page = visitor.page
    await visitor.goto("/settings")
    await page.get_by_label("Name", exact=True).fill("")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#e-name")).to_have_text("Fill this in.")
    await page.get_by_label("Topics").fill("career,  rust , career")
    await page.get_by_label("Languages").fill("en, !!")
    await page.get_by_role("button", name="Save profile").click()
    await expect(page.locator("#e-languages")).not_to_be_empty()
    await page.get_by_label("Languages").fill("en, de")
    await page.get_by_role("button", name="Save profile").click()
    await expect(page.locator("#toasts")).to_contain_text("Your profile is saved.")
    profile = await people.profile(site.ctx, site.world.mentor.id)
    assert profile.topics == ("career", "rust")
    assert profile.languages == ("en", "de")
