"""Connecting a calendar in the settings, by keyboard, against a real CalDAV server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import expect

from server.calendars import actions as calendars
from server.calendars.work import work_due
from tests.pages.conftest import Site, Visit
from tests.support.radicale import Radicale

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("VISAVIS_SHOTS")  # a directory for pictures, for whoever works on the design


async def test_an_account_is_connected_and_a_calendar_chosen(
    site: Site, visit: Visit, radicale: Radicale
) -> None:
    account = radicale.account()
    account.make("work", "Work")
    visitor = await visit(site.world.mentor.email)
    page = visitor.page

    async def picture(name: str) -> None:
        for width in (360, 1280) if SHOTS else ():
            for scheme in ("light", "dark"):
                await page.set_viewport_size({"width": width, "height": 800})
                await page.emulate_media(color_scheme=scheme)
                path = Path(str(SHOTS)) / f"{name}-{width}-{scheme}.png"
                await page.locator("#calendars").screenshot(path=path)

    await visitor.goto("/settings")
    await page.get_by_text("Connect iCloud, Fastmail").focus()
    await page.keyboard.press("Enter")
    form = page.get_by_role("form", name="Connect a CalDAV calendar")
    await form.get_by_label("Server").fill(radicale.base)
    await form.get_by_label("User name").fill(account.name)
    await form.get_by_label("App password").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(form.locator("[data-error-for=password]")).to_contain_text("app password")
    await expect(form.get_by_label("App password")).to_be_focused()
    await picture("refused")
    await form.get_by_label("App password").fill(account.password)
    await page.keyboard.press("Enter")
    section = page.locator("#calendars")
    await expect(section).to_contain_text("Being read for the first time")
    await expect(section).to_contain_text(account.name)
    await section.get_by_label("Sessions are written to").select_option("Work")
    await section.get_by_role("button", name="Save where sessions").click()
    await expect(page.locator("#toasts")).to_contain_text("Sessions go there")
    await expect(section.get_by_label("Sessions are written to")).to_have_value(
        f"{radicale.base}/{account.name}/work/"
    )
    await picture("connected")
    account.change_password()
    await work_due(site.ctx)
    await visitor.goto("/settings")
    await expect(section).to_contain_text("Connect it again below, with a new app password")
    await picture("broken")
    await section.get_by_role("button", name="Disconnect").click()
    await expect(section).to_contain_text("No calendar is connected yet")
    assert await calendars.of_person(site.ctx, site.world.mentor.id) == []
    assert [it for it in visitor.complaints if "422" not in it] == []
