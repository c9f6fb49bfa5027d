"""The slot manager: hours drawn, dragged and typed, single days in the month, and what mentees in another zone see."""

from datetime import date, datetime

import pytest
from playwright.async_api import Page, expect

from server.availability import actions as availability
from server.availability.model import Absence, HolidayCalendar, Travel, Window
from server.booking import actions as booking
from tests.pages.conftest import Site, Visit

pytestmark = pytest.mark.browser


async def _save(page: Page) -> None:
    await page.get_by_role("button", name="Save availability").click()
    await expect(page.locator("#toasts")).to_contain_text("Saved.", timeout=20_000)


async def test_windows_are_drawn_moved_and_stretched_with_the_pointer(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentor.email)
    page = visitor.page
    page.set_default_timeout(25_000)
    await visitor.goto("/availability")
    # The picture shows 08:00 to 18:00; an hour is 44 px high.
    saturday = await page.locator("[data-column='5']").bounding_box()
    sunday = await page.locator("[data-column='6']").bounding_box()
    assert saturday and sunday
    x, top = saturday["x"] + saturday["width"] / 2, saturday["y"]
    await page.mouse.move(x, top + 44 * 2 + 3)
    await page.mouse.down()
    await page.mouse.move(x, top + 44 * 4, steps=4)
    await page.mouse.up()
    group = page.get_by_role("group", name="Saturday")
    await expect(group.get_by_label("From")).to_have_value("10:00")
    await expect(group.get_by_label("Until")).to_have_value("12:00")
    await page.mouse.move(x, top + 44 * 3)  # by its middle, to Sunday, an hour later
    await page.mouse.down()
    await page.mouse.move(sunday["x"] + sunday["width"] / 2, top + 44 * 4, steps=4)
    await page.mouse.up()
    await expect(group).to_contain_text("Not available")
    block = page.get_by_role("button", name="Sunday, 11:00–13:00")
    box = await block.bounding_box()
    assert box
    await page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 4)  # by its lower edge
    await page.mouse.down()
    await page.mouse.move(box["x"] + 20, box["y"] + box["height"] + 44 - 4, steps=4)
    await page.mouse.up()
    await _save(page)
    rules = await availability.get(site.ctx, site.world.mentor.id)
    assert [it for it in rules.weekly if it[0] > 4] == [(6, Window(660, 840))]
    assert not visitor.complaints


async def test_hours_are_edited_with_the_keyboard_only_and_steps_are_undone(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentor.email, width=360)
    page = visitor.page
    page.set_default_timeout(25_000)
    await visitor.goto("/availability")
    await page.get_by_role("button", name="Monday, 09:00–17:00").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Shift+ArrowDown")
    await expect(page.get_by_role("button", name="Monday, 09:15–17:30")).to_be_focused()
    await page.keyboard.press("Delete")
    await expect(page.get_by_role("group", name="Monday")).to_contain_text("Not available")
    await page.get_by_role("button", name="Undo").focus()
    await page.keyboard.press("Enter")
    tuesday = page.get_by_role("button", name="Tuesday, 09:00–17:00")
    await tuesday.focus()
    await page.keyboard.press("Enter")
    first = page.get_by_role("group", name="Tuesday").get_by_label("From")
    await expect(first).to_be_focused()
    # A night: typed, and said to be one.
    await first.fill("22:00")
    await page.get_by_role("group", name="Tuesday").get_by_label("Until").fill("02:00")
    await page.get_by_role("button", name="Save availability").click()
    await expect(page.locator("[data-window-error]:not(:empty)")).to_have_text("The end is before the start.")
    await page.get_by_label("ends on the next day").locator("visible=true").press("Space")
    await expect(page.get_by_role("button", name="Tuesday, 22:00–02:00 the next day")).to_be_visible()
    await _save(page)
    rules = await availability.get(site.ctx, site.world.mentor.id)
    assert rules.weekly[:2] == ((0, Window(555, 1050)), (1, Window(1320, 1560)))
    assert not visitor.complaints


async def test_single_days_absences_journeys_and_holidays_show_in_the_month(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentor.email)
    page = visitor.page
    page.set_default_timeout(25_000)
    await visitor.goto("/availability")
    await page.get_by_label("Country", exact=True).select_option("DE")
    await page.get_by_label("Part of the country").select_option("BY")
    await page.get_by_role("button", name="Later month").click()
    month = page.get_by_role("group", name="Month")
    await expect(month.get_by_role("button", name="Friday 3 April 2026")).to_have_accessible_name(
        "Friday 3 April 2026: Good Friday"
    )
    await month.get_by_role("button", name="Tuesday 7 April 2026").click()
    await page.get_by_role("button", name="Day off").click()
    await expect(month.get_by_role("button", name="Tuesday 7 April 2026")).to_have_accessible_name(
        "Tuesday 7 April 2026: day off"
    )
    await month.get_by_role("button", name="Tuesday 7 April 2026").focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Other hours").click()
    await page.locator("[data-override][data-at='1']").get_by_label("Until").fill("12:00")
    await page.get_by_role("button", name="Add a span").click()
    await page.get_by_label("From", exact=True).locator("visible=true").last.fill("2026-04-13T12:00")
    await page.locator("[data-field=end]").fill("2026-04-12T00:00")
    await page.get_by_label("Reason").fill("Skiing")
    await page.get_by_role("button", name="Add a journey").click()
    await page.get_by_label("First day").fill("2026-04-20")
    await page.get_by_label("Last day").fill("2026-04-21")
    await page.get_by_label("Zone there").select_option("Asia/Tokyo")
    await page.get_by_role("button", name="Save availability").click()
    await expect(page.locator("[data-error-for='absences.0.end']")).to_have_text(
        "The end must lie after the start."
    )
    await page.locator("[data-field=end]").fill("2026-04-15T00:00")
    await expect(month.get_by_role("button", name="Tuesday 14 April 2026")).to_have_accessible_name(
        "Tuesday 14 April 2026: away, Skiing"
    )
    await _save(page)
    rules = await availability.get(site.ctx, site.world.mentor.id)
    assert rules.overrides == ((date(2026, 4, 7), ()), (date(2026, 4, 8), (Window(540, 720),)))
    assert rules.holidays == HolidayCalendar("DE", "BY")
    assert rules.travel == (Travel(date(2026, 4, 20), date(2026, 4, 21), "Asia/Tokyo"),)
    assert rules.absences == (Absence(datetime(2026, 4, 13, 12), datetime(2026, 4, 15), "Skiing"),)


async def test_the_preview_shows_unsaved_rules_in_another_zone(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentor.email)
    page = visitor.page
    page.set_default_timeout(25_000)
    await visitor.goto("/availability")
    seen = page.locator("[data-preview]")
    await expect(seen).to_contain_text("open times")
    await page.get_by_label("In the zone").select_option("Asia/Kolkata")
    # 09:00 in Berlin, on summer time from that Sunday on, is 12:30 in Kolkata.
    await expect(seen.locator(".preview-day").filter(has_text="Mon 30 Mar")).to_contain_text("12:30")
    await page.get_by_label("Other lengths").fill("90")
    await page.get_by_role("group", name="Monday").get_by_label("From").fill("08:00")
    await page.get_by_label("Length", exact=True).select_option("90")
    await expect(seen.locator(".preview-day").filter(has_text="Mon 30 Mar")).to_contain_text("11:30")
    await expect(page.locator("[data-preview-note]")).to_contain_text("not saved")
    assert (await availability.get(site.ctx, site.world.mentor.id)).lengths == (30,)
    await page.get_by_label("Fee for cancelling later").fill("150")
    await page.get_by_role("button", name="Save terms").click()
    await expect(page.locator("#e-late_fee_percent")).not_to_be_empty()
    await page.get_by_label("Fee for cancelling later").fill("50")
    await page.get_by_label("Approve every booking that fits at once").check()
    await page.get_by_role("button", name="Save terms").click()
    await expect(page.locator("#toasts")).to_contain_text("keep their terms")
    terms = await booking.terms(site.ctx, site.world.mentor.id)
    assert (terms.instant_approval, terms.late_fee_percent) == (True, 50)
