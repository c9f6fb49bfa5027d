"""Choosing what one is told, proving numbers and addresses, in the browser; and the same forms without its scripts."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from server.contact import choices
from server.contact.address import verify_url
from server.notifications.model import Kind
from server.notifications.preferences import unsubscribe_url
from tests.pages.conftest import Site, Visit, Visitor
from tests.pages.world import PASSWORD
from tests.support.browsers import close

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("VISAVIS_SHOTS")  # a directory for pictures, for whoever works on the design


async def picture(page: Page, name: str, selector: str | None = None) -> None:
    for width in (360, 1280) if SHOTS else ():
        for scheme in ("light", "dark"):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.emulate_media(color_scheme=scheme)
            path = Path(str(SHOTS)) / f"{name}-{width}-{scheme}.png"
            if selector:
                await page.locator(selector).screenshot(path=path)
            else:
                await page.screenshot(path=path, full_page=True)


async def code_of(site: Site) -> str:
    subject = await site.ctx.pool.fetchval(
        "SELECT subject FROM notifications WHERE kind = 'verify_number' ORDER BY id DESC LIMIT 1"
    )
    return str(re.findall(r"\d{6}", subject)[0])


async def test_choices_and_a_number_without_leaving_the_page(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentee.email)
    page = visitor.page
    await visitor.goto("/settings")
    await page.evaluate("window.here = true")
    messages = page.locator("#messages")
    await expect(messages.get_by_label("Mail: A session is cancelled")).to_be_disabled()
    await messages.get_by_label("Mail: After a session").uncheck()
    await messages.get_by_label("From").fill("22:00")
    await messages.get_by_label("Language of messages").select_option("Deutsch")
    await page.get_by_role("button", name="Save messages").click()
    await expect(messages.locator("[data-error-for=quiet_end]")).to_contain_text("22:00")
    await messages.get_by_label("To", exact=True).fill("07:00")
    await picture(page, "messages", "#messages")
    await page.get_by_role("button", name="Save messages").click()
    await expect(page.locator("#toasts")).to_contain_text("Saved.")
    seen = await choices.overview(site.ctx, site.world.mentee.id)
    off = {
        (line.kind, cell.channel) for line in seen.lines for cell in line.cells if cell.on is not cell.default
    }
    assert (seen.language, off) == ("de", {(Kind.FOLLOW_UP, "email")})

    sms = page.get_by_role("form", name="Number for SMS")
    await sms.get_by_label("Number").fill("0170 1234567")
    await page.keyboard.press("Enter")
    await expect(sms.locator("[data-error-for=address]")).to_contain_text("with its country")
    await picture(page, "number-refused", "#numbers")
    await sms.get_by_label("Number").fill("+49 170 1234567")
    await page.keyboard.press("Enter")
    code = page.get_by_role("textbox", name="Code")
    await expect(code).to_be_focused()
    await picture(page, "number-waiting", "#numbers")
    await code.fill(f"{(int(await code_of(site)) + 1) % 1_000_000:06}")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-error-for=code]")).to_contain_text("4 more tries")
    await code.fill(await code_of(site))
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-number=sms]")).to_contain_text("Verified")
    await picture(page, "number-verified", "#numbers")
    await page.get_by_role("button", name="Remove SMS").click()
    await expect(page.get_by_role("form", name="Number for SMS")).to_be_visible()
    assert await page.evaluate("window.here === true")
    assert [it for it in visitor.complaints if "422" not in it] == []


async def test_an_address_is_changed_by_its_link_and_mails_end_by_theirs(site: Site, visit: Visit) -> None:
    me = site.world.mentee
    await site.ctx.pool.execute("UPDATE users SET email_verified_at = NULL WHERE id = $1", me.id)
    visitor = await visit(me.email)
    page = visitor.page
    await visitor.goto("/settings")
    section = page.locator("#address")
    await expect(section).to_contain_text("Not verified yet")
    await section.get_by_text("Change the address").click()
    await section.get_by_label("New address").fill("jonas@new.example")
    await section.get_by_label("Your password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(section).to_contain_text("replaces it as soon as")
    await picture(page, "address", "#address")
    await section.get_by_role("button", name="Send the link again").click()
    await expect(section).to_contain_text("A link is on its way")
    link = verify_url(site.ctx.settings, me.id, "jonas@new.example", site.clock.now())
    stranger = await visit(None)
    await stranger.goto("/address/" + link.rpartition("/")[2])
    await picture(stranger.page, "address-link")
    await stranger.page.get_by_role("button", name="Yes, it is mine").click()
    await expect(stranger.page.get_by_role("heading")).to_have_text("Your address is verified")
    await picture(stranger.page, "address-done")

    url = unsubscribe_url(site.ctx.settings, me.id, Kind.REMINDER, site.clock.now())
    assert url is not None
    for who in (stranger, visitor):  # logged in or not
        await who.goto("/unsubscribe/" + url.rpartition("/")[2])
        await picture(who.page, "unsubscribe")
        await who.page.get_by_role("button", name="No more of these").click()
        await expect(who.page.get_by_role("status").first).to_contain_text("Other mails come as before")
        await picture(who.page, "unsubscribed")
        await who.page.get_by_role("button", name="Undo").click()
        await expect(who.page.get_by_role("button", name="No more of these")).to_be_visible()
    assert [it for it in visitor.complaints if "429" not in it] == stranger.complaints == []


async def test_without_scripts_the_forms_do_the_same(site: Site, chromium: Browser) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await Visitor(page, site).log_in(site.world.mentee.email)
    await page.goto(f"{site.url}/settings")
    await page.get_by_label("Mail: After a session").uncheck()
    await page.get_by_label("Visavis: A session comes near").uncheck()
    await page.get_by_role("button", name="Save messages").click()
    await expect(page.get_by_label("Mail: After a session")).not_to_be_checked()
    number = page.get_by_role("form", name="Number for SMS")
    await number.get_by_label("Number").fill("12")
    await number.get_by_role("button").click()
    await expect(page.locator("#numbers")).to_contain_text("with its country")
    await number.get_by_label("Number").fill("+491701234567")
    await number.get_by_role("button").click()
    await page.get_by_role("textbox", name="Code").fill(await code_of(site))
    await page.get_by_role("button", name="Verify").click()
    await expect(page.locator("[data-number=sms]")).to_contain_text("Verified")
    await close(context)


async def test_an_administrator_reads_a_text_and_sends_it_to_herself(site: Site, visit: Visit) -> None:
    visitor = await visit("admin@demo.visavis.test")
    page = visitor.page
    await visitor.goto("/admin/templates?language=de")
    await picture(page, "templates")
    await page.get_by_role("link", name="reminder_4_hours for mentor by sms").click()
    await expect(page.get_by_role("article", name="Preview")).to_contain_text("segment")
    await page.get_by_label("Reader’s time zone").select_option("Asia/Kolkata")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("article", name="Preview")).to_contain_text("Asia/Kolkata, UTC+05:30")
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.get_by_role("alert")).to_contain_text("Add a number")
    await picture(page, "template-sms")
    await page.get_by_role("navigation", name="Channel").get_by_role("link", name="email").click()
    await expect(page.get_by_role("article", name="Preview")).to_contain_text("Wählen Sie, was Sie erfahren")
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.locator("#toasts")).to_contain_text("A test is on its way")
    await picture(page, "template-mail")
    sent = await site.ctx.pool.fetchrow("SELECT address, subject FROM notifications WHERE kind = 'test'")
    assert sent is not None and sent["address"] == "admin@demo.visavis.test"
    assert sent["subject"].startswith("[Test] Nachher")
    assert [it for it in visitor.complaints if "409" not in it] == []
