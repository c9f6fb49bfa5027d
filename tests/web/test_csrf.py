"""Logins by cookie: how the cookie is kept, rotated and forgotten, and what a forged request gets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from http.cookies import Morsel

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestServer
from yarl import URL

from server.app import running
from server.base.clock import OffsetClock
from server.people.model import Role
from server.settings import Settings
from tests.web.conftest import PASSWORD, Client, Reply, World
from web.context import STORES
from web.identity import RENEW_SECONDS

TOKEN = re.compile(r'<meta name="csrf-token" content="([^"]+)">')


@dataclass(frozen=True, slots=True)
class Browser:
    """A cookie jar and forms, without scripts."""

    http: ClientSession
    base: str

    async def get(self, path: str) -> Reply:
        async with self.http.get(self.base + path, allow_redirects=False) as response:
            return await Reply.of(response)

    async def submit(self, path: str, form: dict[str, str], **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(
            self.base + path, data=form, headers=named, allow_redirects=False
        ) as response:
            return await Reply.of(response)

    async def send(self, method: str, path: str, json: object, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, self.base + path, json=json, headers=named) as response:
            return await Reply.of(response)

    async def token(self, path: str = "/login") -> str:
        found = TOKEN.search((await self.get(path)).text)
        assert found, path
        return found[1]

    @property
    def cookie(self) -> Morsel[str] | None:
        return next(iter(self.http.cookie_jar), None)

    async def log_in(self, client: Client) -> None:
        assert client.user is not None
        form = {"email": client.user.email, "password": PASSWORD, "csrf_token": await self.token()}
        reply = await self.submit("/login", form)
        assert reply.status == 303, reply.text


@pytest.fixture
async def mentee(world: World) -> Client:
    mentee = await world.person(Role.MENTEE, tokens=100)
    await world.give_password(mentee)
    return mentee


@pytest.fixture
async def browser(world: World):  # type: ignore[no-untyped-def]
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield Browser(session, world.base)


async def test_login_rotates_the_session_and_logout_deletes_it(
    world: World, browser: Browser, mentee: Client
) -> None:
    before = await browser.token()
    anonymous = browser.cookie
    assert anonymous is not None and anonymous["httponly"] and anonymous["samesite"] == "Lax"
    assert not anonymous["secure"]  # the public URL of this test is http
    await browser.log_in(mentee)
    known = browser.cookie
    assert known is not None and known.value != anonymous.value
    after = await browser.token("/dashboard")
    assert after != before

    # The id from before the login is worth nothing.
    jar = {"Cookie": f"{anonymous.key}={anonymous.value}"}
    async with world.http.get(f"{world.base}/api/v1/me", headers=jar) as response:
        assert response.status == 401

    assert (await browser.get("/api/v1/me")).status == 200
    out = await browser.submit("/logout", {"csrf_token": after})
    assert out.status == 303
    jar = {"Cookie": f"{known.key}={known.value}"}
    async with world.http.get(f"{world.base}/api/v1/me", headers=jar) as response:
        assert response.status == 401


async def test_api_writes_by_cookie_need_the_token(browser: Browser, mentee: Client) -> None:
    await browser.log_in(mentee)
    change = {"name": "Forged"}
    refused = await browser.send("PATCH", "/api/v1/me", change)
    assert (refused.status, refused.json["code"]) == (403, "csrf_token_invalid")
    wrong = await browser.send("PATCH", "/api/v1/me", change, X_CSRF_Token="x" * 43)
    assert (wrong.status, wrong.json["code"]) == (403, "csrf_token_invalid")
    token = await browser.token("/dashboard")
    for header in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}):
        forged = await browser.send("PATCH", "/api/v1/me", change, X_CSRF_Token=token, **header)
        assert (forged.status, forged.json["code"]) == (403, "cross_site"), header
    assert (await browser.get("/api/v1/me")).json["name"] != "Forged"
    origin = {"Origin": browser.base, "Sec_Fetch_Site": "same-origin"}
    good = await browser.send("PATCH", "/api/v1/me", {"name": "Myself"}, X_CSRF_Token=token, **origin)
    assert (good.status, good.json["name"]) == (200, "Myself")


async def test_login_and_register_forms_are_protected_too(browser: Browser, mentee: Client) -> None:
    assert mentee.user is not None
    form = {"email": mentee.user.email, "password": PASSWORD}
    for path in ("/login", "/register"):
        assert (await browser.submit(path, form)).status == 403  # no session, no token
        await browser.token()
        assert (await browser.submit(path, {**form, "csrf_token": "guess"})).status == 403
    token = await browser.token()
    assert (
        await browser.submit("/login", {**form, "csrf_token": token}, Origin="https://evil.example")
    ).status == 403
    assert (await browser.submit("/login", {**form, "csrf_token": token})).status == 303


async def test_bearer_requests_need_none(mentee: Client) -> None:
    assert (await mentee.call("PATCH", "/me", {"name": "By program"})).status == 200


async def test_a_page_that_needs_a_login_leads_there_and_back(browser: Browser, mentee: Client) -> None:
    reply = await browser.get("/dashboard?tab=1")
    assert reply.status == 303
    target = URL(reply.headers["Location"])
    assert (target.path, dict(target.query)) == ("/login", {"next": "/dashboard?tab=1"})
    assert (await browser.submit("/logout", {})).status in (401, 403)


async def test_an_invented_session_id_is_not_adopted(world: World, browser: Browser) -> None:
    token = await browser.token()
    cookie = browser.cookie
    assert cookie is not None
    headers = {"Cookie": f"{cookie.key}=invented-by-an-attacker"}
    async with world.http.post(
        f"{world.base}/login", data={"csrf_token": token}, headers=headers
    ) as response:
        assert response.status == 403
    async with world.http.get(f"{world.base}/login", headers=headers) as response:
        assert response.cookies[cookie.key].value != "invented-by-an-attacker"


async def test_over_https_the_cookie_is_secure_and_bound_to_the_host(web_settings: Settings) -> None:
    settings = replace(web_settings, public_url="https://visavis.example")
    async with (
        running(settings, clock=OffsetClock()) as app,
        TestServer(app) as server,
        ClientSession() as session,
        session.get(f"http://{server.host}:{server.port}/login") as response,
    ):
        cookie = response.cookies["__Host-visavis"]
        assert cookie["secure"] and cookie["httponly"] and cookie["path"] == "/" and not cookie["domain"]
        assert "max-age" in response.headers["Strict-Transport-Security"]
        assert "wss://visavis.example" in response.headers["Content-Security-Policy"]


async def test_a_login_is_prolonged_by_visits(world: World, browser: Browser, mentee: Client) -> None:
    await browser.log_in(mentee)
    cookie = browser.cookie
    assert cookie is not None
    redis, key = world.app[STORES].redis, f"visavis_{cookie.value}"
    stored = json.loads(await redis.get(key))
    stored["created"] -= RENEW_SECONDS + 1
    await redis.set(key, json.dumps(stored), ex=60)
    assert (await browser.get("/api/v1/me")).status == 200
    assert await redis.ttl(key) > 60
    assert browser.cookie is not None and browser.cookie.value == cookie.value


async def test_passers_by_leave_nothing_in_redis(browser: Browser) -> None:
    """A session is kept for days: whoever only reads gets none."""
    for path in ("/", "/mentors", "/nowhere"):
        assert (await browser.get(path)).status in (200, 404)
        assert browser.cookie is None, path
    await browser.token()
    assert browser.cookie is not None
