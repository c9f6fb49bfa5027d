"""The booking page of a mentor whose sessions have several seats."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from server.availability import actions as availability
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import User
from server.sessions import actions as sessions
from tests.pages.conftest import Site, Visit
from tests.pages.world import PASSWORD

pytestmark = pytest.mark.browser
START = datetime(2026, 3, 30, 9, tzinfo=UTC)


async def rival(site: Site, name: str) -> User:
    user = await people.register(
        site.ctx, email=f"{name}@demo.visavis.test", password=PASSWORD, name=name.title(), role="mentee",
        timezone="UTC",
    )  # fmt: skip
    await ledger.open_wallet(site.ctx, user.id)
    return user


async def test_seats_go_down_to_sold_out_and_the_last_one_lost_is_said(site: Site, visit: Visit) -> None:
    world = site.world
    rules = await availability.get(site.ctx, world.mentor.id)
    await availability.put(site.ctx, world.mentor.id, replace(rules, capacity=3))
    visitor = await visit(world.mentee.email)
    page = visitor.page
    await visitor.goto(f"/mentors/{world.mentor.id}")
    slot = page.locator("button.slot[data-start='2026-03-30T09:00:00Z']")
    await expect(slot).to_contain_text("3 seats left")
    for number, left in ((1, "2 seats left"), (2, "1 seat left")):
        someone = await rival(site, f"rival{number}")
        await sessions.book(
            site.ctx, someone.id, mentor_id=world.mentor.id, start=START, end=START + timedelta(minutes=30)
        )
        await page.reload()
        await expect(slot).to_contain_text(left)
    await slot.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("1 of 3 seats left")
    await sessions.book(
        site.ctx, (await rival(site, "late")).id, mentor_id=world.mentor.id, start=START,
        end=START + timedelta(minutes=30),
    )  # fmt: skip
    await dialog.get_by_role("button", name="Request this time").click()
    await expect(page.locator(".toast-bad")).to_contain_text("All 3 seats of this session are taken.")
    await expect(slot).to_have_count(0)
    await expect(page.locator(".slot-full")).to_contain_text("Sold out")
    # The arrow keys pass over what is sold out.
    day = page.get_by_role("region", name="Monday 30 March 2026")
    await day.locator("button.slot").first.focus()
    await page.keyboard.press("ArrowUp")
    assert await page.evaluate("document.activeElement.matches('button.slot')")
