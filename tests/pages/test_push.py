"""The service worker in a real browser: what it shows, where it leads; and the switch, whatever the browser says.

A subscription of Chromium's needs Google's server, so the browser's own half of it is played; the rest is real.
"""

from dataclasses import replace

import pytest
from playwright.async_api import Page, Worker, expect

from server.settings import Settings
from server.vapid import Vapid, make_key, public_key_of
from tests.pages.conftest import Site, Visit, Visitor
from tests.support.push import Browser

pytestmark = pytest.mark.browser

# A push manager that needs no vendor: what it hands out is what a browser's would be.
PLAYED = """
const made = (key) => ({
  endpoint: 'https://push.example/1', options: {applicationServerKey: key},
  toJSON() { return {endpoint: this.endpoint, expirationTime: null, keys: KEYS}; },
  async unsubscribe() { localStorage.removeItem('played'); return true; },
});
PushManager.prototype.subscribe = async function ({applicationServerKey}) {
  localStorage.setItem('played', JSON.stringify([...applicationServerKey]));
  return made(applicationServerKey.buffer);
};
PushManager.prototype.getSubscription = async function () {
  const kept = localStorage.getItem('played');
  return kept ? made(new Uint8Array(JSON.parse(kept)).buffer) : null;
};
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a key."""
    key = make_key()
    return replace(settings, vapid=Vapid(key, public_key_of(key), None))


async def devices(site: Site) -> list[str]:
    rows = await site.ctx.pool.fetch(
        "SELECT label FROM destinations WHERE channel = 'push' AND ended_at IS NULL"
    )
    return [row["label"] for row in rows]


async def worker_of(page: Page) -> Worker:
    found = [it for it in page.context.service_workers if it.url.endswith("/sw.js")]
    return found[0] if found else await page.context.wait_for_event("serviceworker")


async def deliver(visitor: Visitor, data: str) -> None:
    """As the browser does when its vendor's server has something."""
    session = await visitor.page.context.new_cdp_session(visitor.page)
    seen: list[str] = []
    session.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: seen.extend(it["registrationId"] for it in event["registrations"]),
    )
    await session.send("ServiceWorker.enable")
    await visitor.page.wait_for_timeout(100)
    await session.send(
        "ServiceWorker.deliverPushMessage",
        {"origin": visitor.site.url, "registrationId": seen[0], "data": data},
    )


SHOWN = "async () => (await self.registration.getNotifications()).map((n) => [n.title, n.body, n.tag, n.data.url])"


async def test_a_push_message_is_shown_and_a_click_leads_where_it_points(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentee.email)
    page = visitor.page
    await page.context.grant_permissions(["notifications"], origin=site.url)
    await visitor.goto("/settings")
    await page.evaluate(
        "navigator.serviceWorker.register('/sw.js', {scope: '/'}).then(() => navigator.serviceWorker.ready)"
    )
    worker = await worker_of(page)
    target = f"{site.url}/bookings/{site.world.requested.id}"
    await deliver(visitor, f'{{"title": "Ada waits", "body": "Now.", "url": "{target}", "tag": "a"}}')
    await deliver(visitor, f'{{"title": "Ada waits", "body": "Still.", "url": "{target}", "tag": "a"}}')
    await deliver(visitor, '{"title": "Elsewhere", "url": "https://evil.example/", "tag": "b"}')
    await deliver(visitor, "not JSON")
    home = f"{site.url}/inbox"
    shown = [
        ["Ada waits", "Still.", "a", target],
        ["Elsewhere", "", "b", home],
        ["Visavis", "", "visavis", home],
    ]
    for _ in range(50):
        found = await worker.evaluate(SHOWN)
        if sorted(found) == shown:
            break
        await page.wait_for_timeout(100)
    assert sorted(found) == shown
    # Only a real click may open a window: it is noted instead.
    opened = await worker.evaluate(
        """async () => {
          const [notification] = (await self.registration.getNotifications()).filter((n) => n.tag === 'a');
          const event = new NotificationEvent('notificationclick', {notification});
          let work, url = '';
          Object.defineProperty(event, 'waitUntil', {value: (promise) => { work = promise; }});
          const note = async (where) => { url = where; };
          Object.defineProperty(self.clients, 'openWindow', {value: note, configurable: true});
          self.dispatchEvent(event);
          await work;
          return [url, (await self.registration.getNotifications()).length];
        }"""
    )
    assert opened == [target, 2]
    # The vendor has changed the subscription: the server hears of the new one without a page.
    keys = Browser.new(5).keys
    await worker.evaluate(
        """async (keys) => {
          const event = new ExtendableEvent('pushsubscriptionchange');
          let work;
          Object.defineProperty(event, 'waitUntil', {value: (promise) => { work = promise; }});
          Object.assign(event, {oldSubscription: null, newSubscription: {endpoint: 'https://push.example/2', keys}});
          self.dispatchEvent(event);
          await work;
        }""",
        keys,
    )
    assert await devices(site) == [""]
    assert visitor.complaints == []


async def test_the_switch_says_what_is_so(site: Site, visit: Visit) -> None:
    visitor = await visit(site.world.mentee.email)
    page = visitor.page
    keys = str(Browser.new(3).keys).replace("'", '"')
    await page.add_init_script(PLAYED.replace("KEYS", keys))
    await page.context.grant_permissions(["notifications"], origin=site.url)
    await visitor.goto("/settings")
    card, switch = page.locator("[data-push]"), page.get_by_role("switch", name="Notify this browser")
    await expect(card).to_have_attribute("data-state", "off")
    await switch.focus()
    await page.keyboard.press("Space")
    await expect(switch).to_have_attribute("aria-checked", "true")
    assert await devices(site) == ["Chrome on Linux"]
    await page.reload()
    await expect(switch).to_have_attribute("aria-checked", "true")
    await switch.click()
    await expect(card).to_have_attribute("data-state", "off")
    assert await devices(site) == []
    # Whoever logs out takes the browser along.
    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "true")
    await page.locator("details[data-menu] summary").click()
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_url(f"{site.url}/")
    assert await devices(site) == []
    assert visitor.complaints == []


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("Object.defineProperty(Notification, 'permission', {value: 'denied'})", "denied"),
        ("delete window.PushManager", "unsupported"),
    ],
)
async def test_a_browser_that_cannot_says_why(site: Site, visit: Visit, script: str, state: str) -> None:
    visitor = await visit(site.world.mentee.email)
    await visitor.page.add_init_script(script)
    await visitor.goto("/settings")
    await expect(visitor.page.locator("[data-push]")).to_have_attribute("data-state", state)
    await expect(visitor.page.get_by_role("switch")).to_be_disabled()
