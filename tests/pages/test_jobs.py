"""The board in a browser: it follows what happens without a reload, says when it cannot, and is steered by keyboard."""

from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.async_api import expect

from jobs.periodic import JOBS
from jobs.runner import run_due
from tests.pages.conftest import Site, Visit

pytestmark = pytest.mark.browser


async def test_the_board_follows_and_is_steered_by_keyboard(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.admin.email, width=360)
    page = visitor.page
    await visitor.goto("/admin/jobs")
    payroll = page.locator("[data-job=payroll]")
    await expect(payroll).to_have_attribute("data-standing", "ok")
    await page.get_by_role("button", name="Pause: payroll").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.get_by_label("Reason").fill("The auditors are here")
    await page.keyboard.press("Enter")
    await expect(payroll).to_have_attribute("data-standing", "paused")
    await page.get_by_role("button", name="Run now: retention").click()
    await expect(page.locator("[data-job=retention]")).to_contain_text("Asked for")

    async def fail(_: object) -> int:
        raise RuntimeError("the disk is full")

    # Meanwhile a worker runs it, and it fails: seen without a reload, and whoever is on a button stays there.
    await page.get_by_role("button", name="Resume: payroll").focus()
    site.clock.step(timedelta(seconds=5))
    await run_due(site.ctx, replace(JOBS["retention"], run=fail))
    await expect(page.locator("[data-job=retention]")).to_contain_text("the disk is full", timeout=10_000)
    await expect(page.get_by_role("button", name="Resume: payroll")).to_be_focused()
    assert visitor.complaints == []

    await page.route("**/admin/jobs/live", lambda route: route.abort())
    await expect(page.locator("[data-board-stale]")).to_contain_text("stale since", timeout=10_000)
    await page.unroute("**/admin/jobs/live")
    await expect(page.locator("[data-board-stale]")).to_be_hidden(timeout=20_000)


async def test_a_dead_letter_is_read_and_discarded(site: Site, visit: Visit) -> None:
    await site.ctx.pool.execute(
        "UPDATE notifications SET status = 'dead', error = 'no such mailbox' WHERE id ="
        " (SELECT id FROM notifications WHERE kind = 'booking_cancelled' LIMIT 1)"
    )
    visitor = await visit(site.world.admin.email)
    page = visitor.page
    await visitor.goto("/admin/jobs")
    await page.get_by_role("link", name="1 booking cancelled").click()
    letter = page.locator("[data-dead=booking_cancelled]")
    await letter.get_by_text("What it holds").click()
    await expect(letter.locator("pre")).to_contain_text("To: ")
    await letter.get_by_role("button", name="Discard").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Discard").click()
    await expect(dialog).to_contain_text("Fill this in.")
    await dialog.get_by_label("Reason").fill("The account is gone")
    await dialog.get_by_role("button", name="Discard").click()
    await expect(page.get_by_text("Nothing was given up")).to_be_visible()
    await visitor.goto("/admin/jobs/audit")
    await expect(page.get_by_text("The account is gone")).to_be_visible()
    assert visitor.complaints == []
