"""Connecting a calendar in the settings, by keyboard, against a real CalDAV server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import expect

from server.calendars import actions as calendars
from server.calendars.model import Provider
from server.calendars.work import work_due
from server.integrations.calendars.protocol import Credentials
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

    me = site.world.mentor.id
    away = await calendars.connect(site.ctx, me, Provider.MICROSOFT, "asha@outlook.test", Credentials())
    gone = await calendars.connect(site.ctx, me, Provider.GOOGLE, "asha@gmail.test", Credentials())
    await work_due(site.ctx)  # neither service is configured here: they cannot be opened
    async with site.ctx.pool.acquire() as conn:
        await conn.execute("UPDATE calendar_connections SET status = 'broken' WHERE id = $1", gone)
    await visitor.goto("/settings")
    shown = page.locator(f"#calendar-{away}")
    await expect(shown).to_contain_text("It does not answer at the moment; we keep trying.")
    await shown.get_by_text("What we were told").click()
    await expect(shown).to_contain_text("microsoft is not configured here")
    await expect(
        page.locator(f"#calendar-{gone}").get_by_role("link", name="Connect it again")
    ).to_be_visible()
    await picture("trouble")
    for identity in (away, gone):
        await calendars.disconnect(site.ctx, me, identity)
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
