"""Calendars over HTTP: consent and back, pushes, the private feed, and a session as a file."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from aiohttp import ClientSession, CookieJar
from icalendar import Calendar
from yarl import URL

from jobs.outbox import drain
from server.calendars.work import work_due
from server.oauth import OAuthClient, OAuthClients
from server.people.model import Role
from server.settings import Settings
from tests.support import fake_graph
from tests.support.fake_google import ACCOUNT, CLIENT_ID, CLIENT_SECRET, FakeGoogle, running_google
from tests.support.fake_graph import FakeGraph, running_graph
from tests.support.radicale import Radicale
from tests.web.conftest import Client, World, hour, open_hours
from tests.web.test_csrf import Browser
from web.limits import Limit
from web.pages import calendars as calendar_pages

PUBLIC = "https://visavis.test"


@pytest.fixture
async def google() -> AsyncIterator[FakeGoogle]:
    async with running_google() as google:
        yield google


@pytest.fixture
async def graph() -> AsyncIterator[FakeGraph]:
    async with running_graph() as graph:
        yield graph


@pytest.fixture
def web_settings(settings: Settings, google: FakeGoogle, graph: FakeGraph) -> Settings:
    known = OAuthClients(
        google=OAuthClient(CLIENT_ID, CLIENT_SECRET, google.base),
        microsoft=OAuthClient(fake_graph.CLIENT_ID, fake_graph.CLIENT_SECRET, graph.base),
    )
    return replace(settings, demo=True, port=0, media_port=0, oauth=known, public_url=PUBLIC)


@pytest.fixture
async def mentor(world: World) -> Client:
    mentor = await world.person(Role.MENTOR, "Asha Rao")
    await open_hours(mentor)
    await world.give_password(mentor)
    return mentor


async def back(world: World, who: Client, url: str, provider: str = "google") -> tuple[int, str]:
    """Follow the way back from the consent page: our status, and where it leads or what it says."""
    assert url.startswith(f"{PUBLIC}/calendars/{provider}/callback?")
    reply = await who.get("/" + url.removeprefix(PUBLIC))
    return reply.status, reply.headers.get("Location") or reply.text


async def test_a_calendar_is_connected_by_consent_and_read(
    world: World, google: FakeGoogle, mentor: Client
) -> None:
    began = await mentor.post("/me/calendars", {"provider": "google"})
    assert began.status == 200, began.text
    query = parse_qs(urlsplit(began.json["authorize_url"]).query)
    assert query["access_type"] == ["offline"] and query["include_granted_scopes"] == ["true"]
    way_back = await google.consent(began.json["authorize_url"])
    assert await back(world, mentor, way_back) == (303, "/settings#calendars")
    listed = (await mentor.get("/me/calendars")).json
    [calendar] = listed["items"]
    assert (calendar["provider"], calendar["account"], calendar["status"]) == ("google", ACCOUNT, "active")
    assert calendar["synced_at"] is None and listed["offered"] == ["google", "microsoft"]

    slot = hour(1, 10)
    mentee = await world.person(Role.MENTEE, tokens=100)
    google.put("dentist", world.clock.now(), world.clock.now() + timedelta(days=2))
    assert await work_due(world.ctx) == 1
    refused = await mentee.post("/bookings", {"mentor_id": str(mentor.id), **slot})
    assert (refused.status, refused.json["conflicts"][0]["kind"]) == (409, "calendar")

    google.cancel("dentist")
    for token, status in (("forged", 404), (None, 204)):
        assert await google.push(world.base, token=token) == [status]
    assert await work_due(world.ctx) == 1
    assert (await mentee.post("/bookings", {"mentor_id": str(mentor.id), **slot})).status == 201

    assert (await mentee.call("DELETE", f"/me/calendars/{calendar['id']}")).json[
        "code"
    ] == "calendar_not_found"
    assert (await mentor.call("DELETE", f"/me/calendars/{calendar['id']}")).status == 204
    assert (await mentor.call("DELETE", f"/me/calendars/{calendar['id']}")).status == 404
    assert (await mentor.get("/me/calendars")).json["items"] == []


async def test_the_way_back_is_good_once_and_for_one_person(
    world: World, google: FakeGoogle, mentor: Client
) -> None:
    url = (await mentor.post("/me/calendars", {"provider": "google"})).json["authorize_url"]
    way_back = await google.consent(url)
    stranger = await world.person(Role.MENTEE)
    status, text = await back(world, stranger, way_back)
    assert status == 409 and "began elsewhere" in text
    forged = re.sub("state=[^&]+", "state=forged", way_back)
    assert (await back(world, mentor, forged))[0] == 409
    assert (await back(world, mentor, way_back))[0] == 303
    assert (await back(world, mentor, way_back))[0] == 409
    assert (await stranger.get("/me/calendars")).json["items"] == []

    late = await google.consent(
        (await mentor.post("/me/calendars", {"provider": "google"})).json["authorize_url"]
    )
    world.clock.offset += timedelta(minutes=15)
    mentor = await world.fresh(mentor)
    assert (await back(world, mentor, late))[0] == 409


async def test_a_consent_that_is_refused_or_leaves_out_the_calendar_connects_nothing(
    world: World, google: FakeGoogle, mentor: Client
) -> None:
    google.refuse_scope = True
    url = (await mentor.post("/me/calendars", {"provider": "google"})).json["authorize_url"]
    status, text = await back(world, mentor, await google.consent(url))
    assert status == 409 and "calendar events" in text
    url = (await mentor.post("/me/calendars", {"provider": "google"})).json["authorize_url"]
    state = parse_qs(urlsplit(url).query)["state"][0]
    status, text = await back(
        world, mentor, f"{PUBLIC}/calendars/google/callback?state={state}&error=access_denied"
    )
    assert status == 409 and "did not give the permission" in text
    # A code that was made for another verifier: PKCE.
    url = (await mentor.post("/me/calendars", {"provider": "google"})).json["authorize_url"]
    way_back = await google.consent(re.sub("code_challenge=[^&]+", "code_challenge=" + "A" * 43, url))
    status, text = await back(world, mentor, way_back)
    assert status == 409 and "no longer accepts" in text
    assert (await mentor.get("/me/calendars")).json["items"] == []
    unknown = await mentor.post("/me/calendars", {"provider": "yahoo"})
    assert (unknown.status, unknown.json["code"]) == (404, "calendar_not_offered")


async def test_the_settings_page_shows_calendars_and_leads_to_the_consent(
    world: World, google: FakeGoogle, mentor: Client
) -> None:
    async with ClientSession(
        cookie_jar=CookieJar(unsafe=True, treat_as_secure_origin=URL(world.base))
    ) as session:
        browser = Browser(session, world.base)
        await browser.log_in(mentor)
        page = await browser.get("/settings")
        assert "Connect Google" in page.text and f"{PUBLIC}/calendar/" in page.text
        sent = await browser.get("/calendars/google/connect")
        assert sent.status == 303 and sent.headers["Location"].startswith(google.base)
        way_back = await google.consent(sent.headers["Location"])
        assert (await browser.get(way_back.removeprefix(PUBLIC))).status == 303
        assert ACCOUNT in (await browser.get("/settings")).text
        await work_due(world.ctx)
        google.revoke_all()
        world.clock.offset += timedelta(hours=2)
        await work_due(world.ctx)
        assert "Connect it again" in (await browser.get("/settings")).text


async def test_the_feed_follows_the_bookings_and_its_address_can_be_revoked(
    world: World, mentor: Client
) -> None:
    mentee = await world.person(Role.MENTEE, "Jonas Weber", tokens=100)
    path = (await mentor.get("/me/calendars")).json["feed_url"].removeprefix(PUBLIC)
    empty = await world.nobody.get("/" + path)
    assert empty.status == 200 and empty.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert Calendar.from_ical(empty.text).walk("VEVENT") == []
    unchanged = await world.nobody.get("/" + path, If_None_Match=f'"x", W/{empty.headers["ETag"]}')
    assert (unchanged.status, unchanged.text) == (304, "")

    booking = (
        await mentee.post("/bookings", {"mentor_id": str(mentor.id), "topic": "Careers", **hour(1, 10)})
    ).json
    asked = await world.nobody.get("/" + path, If_None_Match=empty.headers["ETag"])
    [event] = Calendar.from_ical(asked.text).walk("VEVENT")
    assert (asked.status, event["STATUS"], event["SUMMARY"]) == (200, "TENTATIVE", "Careers: Jonas Weber")
    await mentor.post(f"/bookings/{booking['id']}/approve")
    agreed = await world.nobody.get("/" + path)
    [event] = Calendar.from_ical(agreed.text).walk("VEVENT")
    assert event["STATUS"] == "CONFIRMED" and event["UID"] == f"session-{booking['session_id']}@visavis"
    assert event["URL"] == f"{PUBLIC}/sessions/{booking['session_id']}"
    assert event["DTSTART"].to_ical() == b"20260303T100000Z"
    again = await world.nobody.get("/" + path)
    assert (again.text, again.headers["ETag"]) == (agreed.text, agreed.headers["ETag"])

    # The mentee's own feed names the mentor, and nobody else's sessions are in it.
    theirs = (await mentee.get("/me/calendars")).json["feed_url"].removeprefix(PUBLIC)
    [event] = Calendar.from_ical((await world.nobody.get("/" + theirs)).text).walk("VEVENT")
    assert event["SUMMARY"] == "Careers: Asha Rao"

    renewed = (await mentor.post("/me/calendar-feed")).json["feed_url"].removeprefix(PUBLIC)
    assert renewed != path
    assert (await world.nobody.get("/" + path)).status == 404
    assert (await world.nobody.get("/" + renewed)).status == 200
    for wrong in ("x", "A" * 48, renewed.removeprefix("/calendar/")[:-8], "%ff", "é" * 24):
        assert (await world.nobody.get(f"//calendar/{wrong}.ics")).status == 404, wrong
    await mentor.post(f"/bookings/{booking['id']}/cancel", {"reason": "ill"})
    assert Calendar.from_ical((await world.nobody.get("/" + renewed)).text).walk("VEVENT") == []


async def test_a_session_goes_into_a_calendar_by_hand(world: World, mentor: Client) -> None:
    mentee = await world.person(Role.MENTEE, "Jonas Weber", tokens=100)
    booking = (await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})).json
    await mentor.post(f"/bookings/{booking['id']}/approve")
    page = (await mentee.get(f"//bookings/{booking['id']}")).text
    for part in ("calendar.google.com/calendar/render?", "dates=20260303T100000Z%2F20260303T110000Z",
                 "outlook.live.com/calendar/", f"/bookings/{booking['id']}/session.ics"):  # fmt: skip
        assert part in page, part
    file = await mentee.get(f"//bookings/{booking['id']}/session.ics")
    [event] = Calendar.from_ical(file.text).walk("VEVENT")
    assert event["UID"] == f"session-{booking['session_id']}@visavis"
    stranger = await world.person(Role.MENTEE)
    assert (await stranger.get(f"//bookings/{booking['id']}/session.ics")).status == 403
    await mentee.post(f"/bookings/{booking['id']}/cancel", {"reason": "ill"})
    assert (await mentee.get(f"//bookings/{booking['id']}/session.ics")).status == 404
    await drain(world.ctx)


async def test_an_account_is_connected_by_its_password_and_a_calendar_chosen(
    mentor: Client, world: World, radicale: Radicale
) -> None:
    account = radicale.account()
    account.make("work", "Work")
    given = {"url": radicale.base, "username": account.name, "password": account.password}
    refused = await mentor.post("/me/calendars/caldav", {**given, "password": "wrong"})
    assert refused.status == 422
    assert [(it["field"], it["code"]) for it in refused.json["errors"]] == [("password", "wrong_password")]
    empty = await mentor.post("/me/calendars/caldav", {})
    assert sorted(it["field"] for it in empty.json["errors"]) == ["password", "url", "username"]
    made = await mentor.post("/me/calendars/caldav", given)
    assert (made.status, made.json["provider"], made.json["status"]) == (201, "caldav", "active"), made.text
    assert account.password not in made.text
    names = {it["name"]: it["url"] for it in made.json["calendars"]}
    assert names.keys() == {"Personal", "Work"} and made.json["write_to"] == names["Personal"]
    path = f"/me/calendars/{made.json['id']}"
    changed = await mentor.call("PATCH", path, {"write_to": names["Work"]})
    assert (changed.status, changed.json["write_to"]) == (200, names["Work"])
    # The same account once more is the same calendar, and what was chosen stays chosen.
    again = await mentor.post("/me/calendars/caldav", given)
    assert (again.json["id"], again.json["write_to"]) == (made.json["id"], names["Work"])
    stranger = await world.person(Role.MENTEE)
    assert (await stranger.call("PATCH", path, {"write_to": names["Work"]})).status == 404
    assert (await mentor.call("PATCH", path, {"write_to": "https://elsewhere.test/"})).status == 422
    assert (await mentor.call("DELETE", path)).status == 204


async def test_a_microsoft_calendar_is_connected_by_consent_and_tells_of_changes(
    world: World, graph: FakeGraph, mentor: Client
) -> None:
    began = await mentor.post("/me/calendars", {"provider": "microsoft"})
    query = parse_qs(urlsplit(began.json["authorize_url"]).query)
    assert "offline_access" in query["scope"][0].split() and query["code_challenge_method"] == ["S256"]
    way_back = await graph.consent(began.json["authorize_url"])
    assert await back(world, mentor, way_back, "microsoft") == (303, "/settings#calendars")
    [calendar] = (await mentor.get("/me/calendars")).json["items"]
    assert (calendar["provider"], calendar["account"]) == ("microsoft", fake_graph.ACCOUNT)
    assert "Microsoft 365" in (await mentor.get("//settings")).text

    graph.validate_at = world.base  # the handshake: our own process says the token back
    assert await work_due(world.ctx) == 1
    assert len(graph.subscriptions) == 1
    mentee = await world.person(Role.MENTEE, tokens=100)
    graph.put("dentist", world.clock.now(), world.clock.now() + timedelta(days=2))
    assert await graph.notify(world.base, state="forged:forged") == [404]
    assert await work_due(world.ctx) == 0
    for _ in range(2):
        assert await graph.notify(world.base) == [202]
    assert await work_due(world.ctx) == 1
    refused = await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})
    assert (refused.status, refused.json["conflicts"][0]["kind"]) == (409, "calendar")


async def test_a_consent_without_the_calendar_connects_nothing_of_microsofts(
    world: World, graph: FakeGraph, mentor: Client
) -> None:
    graph.refuse_scope = True
    url = (await mentor.post("/me/calendars", {"provider": "microsoft"})).json["authorize_url"]
    status, text = await back(world, mentor, await graph.consent(url), "microsoft")
    assert status == 409 and "Microsoft 365 did not let us" in text
    assert (await mentor.get("/me/calendars")).json["items"] == []


async def test_pushes_are_plain_bounded_and_limited(
    world: World, google: FakeGoogle, mentor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "//integrations/microsoft/push"
    said = await world.nobody.call(
        "POST", path + "?validationToken=" + quote("<script>x</script>" + "y" * 4000)
    )
    assert (said.status, said.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert len(said.text) == 2000 and said.headers["X-Content-Type-Options"] == "nosniff"
    bodies: tuple[object, ...] = ({}, [], {"value": 1}, {"value": [1, {"clientState": None}]}, {"value": []})
    for body in bodies:
        assert (await world.nobody.call("POST", path, body)).status == 404, body

    # One channel may tell so often, and a forged one takes nothing away from it.
    monkeypatch.setattr(calendar_pages, "CALENDAR_PUSHES", Limit("calendar-pushes", tries=2, seconds=60))
    url = (await mentor.post("/me/calendars", {"provider": "google"})).json["authorize_url"]
    await back(world, mentor, await google.consent(url))
    await work_due(world.ctx)
    forged = [await google.push(world.base, token="forged") for _ in range(3)]
    assert forged == [[404]] * 3
    assert [await google.push(world.base) for _ in range(3)] == [[204], [204], [429]]
    by_address = Limit("calendar-pushes-address", tries=1, seconds=60)
    monkeypatch.setattr(calendar_pages, "CALENDAR_PUSHES_BY_ADDRESS", replace(by_address, name="tight"))
    both = [(await world.nobody.call("POST", p)).status for p in (path, "//integrations/google/push")]
    assert both == [404, 429]
