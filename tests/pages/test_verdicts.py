"""A verdict is looked at again: asked for on the session's page, decided on the administrators', and told to both."""

import pytest
from playwright.async_api import expect

from server.attendance import amending
from server.sessions.model import Outcome
from tests.pages.conftest import Site, Visit

pytestmark = pytest.mark.browser


async def test_from_the_request_to_the_changed_verdict(site: Site, visit: Visit) -> None:
    world, session = site.world, site.world.no_show.session_id
    # The verdict is ten days old; one can ask again after it was changed.
    await amending.amend(
        site.ctx, world.admin.id, session, Outcome.BOTH_ABSENT, "The mentor was elsewhere, too."
    )
    mentee = await visit(world.mentee.email, width=360)
    await mentee.goto(f"/sessions/{session}")
    await mentee.page.get_by_text("This is not right?").click()
    await mentee.page.get_by_label("What happened").fill("I was there, with a broken camera.")
    await mentee.page.get_by_role("button", name="Ask for a review").click()
    await expect(mentee.page.get_by_text("You asked for a review")).to_be_visible()

    admin = await visit(world.admin.email)
    await admin.goto("/admin/reviews")
    await admin.page.get_by_role("link", name="Look at the session").click()
    await expect(admin.page.get_by_role("heading", name="The mentee asked for a review")).to_be_visible()
    await admin.page.get_by_label("Verdict", exact=True).select_option("completed")
    await admin.page.get_by_label("Reason", exact=True).fill("The chat shows that he was there.")
    await admin.page.get_by_role("button", name="Change the verdict").click()
    await expect(admin.page.get_by_text("an administrator").first).to_be_visible()
    await mentee.goto(f"/sessions/{session}")
    await expect(mentee.page.get_by_text("An administrator looked again")).to_be_visible()
    await expect(mentee.page.locator("main")).to_contain_text("You met.")
    assert mentee.complaints == [] and admin.complaints == []
