"""How one is reached, over HTTP: choices, numbers and their codes, the address, and one click in a mail program."""

from __future__ import annotations

import re
from typing import Any

from server.contact.address import verify_url
from server.notifications.model import Kind
from server.notifications.preferences import unsubscribe_url
from server.people.model import Role
from tests.web.conftest import PASSWORD, World, world

__all__ = ["world"]


def kind_of(shown: Any, kind: str) -> dict[str, Any]:
    [found] = [it for it in shown["kinds"] if it["kind"] == kind]
    return {it["channel"]: it for it in found["channels"]}


async def test_choices_and_numbers(world: World) -> None:
    me, other = await world.people(Role.MENTEE, 2)
    shown = (await me.get("/me/notifications")).json
    assert (shown["language"], shown["timezone"], shown["quiet_hours"]) == ("en", "Europe/Berlin", None)
    assert [(it["channel"], it["ready"]) for it in shown["channels"] if it["needs"] != "device"] == [
        ("email", True), ("in_app", True), ("sms", False), ("whatsapp", False),
    ]  # fmt: skip
    assert kind_of(shown, "booking_cancelled")["email"] == {
        "channel": "email", "wanted": True, "default": True, "fixed": True,
    }  # fmt: skip
    wish = {
        "language": "de",
        "quiet_hours": {"start": "22:00", "end": "07:00"},
        "choices": [{"kind": "reminder", "channel": "sms", "wanted": False}],
    }
    changed = (await me.call("PUT", "/me/notifications", wish)).json
    assert changed["quiet_hours"] == wish["quiet_hours"] and changed["language"] == "de"
    assert kind_of(changed, "reminder")["sms"]["wanted"] is False
    assert (await me.call("PUT", "/me/notifications", {"language": "en"})).json["quiet_hours"] is not None
    assert (await me.call("PUT", "/me/notifications", {"quiet_hours": None})).json["quiet_hours"] is None
    bad = {
        "language": "xx",
        "quiet_hours": {"start": "9", "end": "10:00"},
        "choices": [{"kind": "booking_cancelled", "channel": "email", "wanted": False}],
    }
    refused = await me.call("PUT", "/me/notifications", bad)
    assert (refused.status, [it["code"] for it in refused.json["errors"]]) == (
        422, ["unknown_language", "bad_time", "kind_fixed"],
    )  # fmt: skip
    assert (await world.nobody.get("/me/notifications")).status == 401

    both = await me.post("/me/destinations", {"channel": "fax", "address": "12"})
    assert [it["field"] for it in both.json["errors"]] == ["channel", "address"]
    given = {"channel": "sms", "address": "+49 170 1234567"}
    made = await me.post("/me/destinations", given, Idempotency_Key="one")
    again = await me.post("/me/destinations", given, Idempotency_Key="one")
    assert (made.status, again.status, again.json) == (201, 201, made.json)
    assert made.json["address"] == "+491701234567" and made.json["code"]["tries_left"] == 5
    soon = await me.post("/me/destinations", given)
    assert (soon.status, soon.json["code"]) == (429, "code_too_soon")
    assert 0 < int(soon.headers["Retry-After"]) <= 60
    text = await world.ctx.pool.fetchval("SELECT subject FROM notifications WHERE kind = 'verify_number'")
    code = re.findall(r"\d{6}", text)[0]
    path = f"/me/destinations/{made.json['id']}"
    slip = await me.post(f"{path}/verify", {"code": f"{(int(code) + 1) % 1_000_000:06}"})
    assert (slip.status, slip.json["errors"][0]["code"]) == (422, "wrong_code")
    assert (await other.post(f"{path}/verify", {"code": code})).status == 404
    done = await me.post(f"{path}/verify", {"code": code})
    assert (done.status, done.json["verified"], done.json["code"]) == (200, True, None)
    ready = (await me.get("/me/notifications")).json
    assert [it["channel"] for it in ready["channels"] if it["ready"]] == ["email", "in_app", "sms"]
    assert (await other.call("DELETE", path)).status == 404
    assert [(await me.call("DELETE", path)).status for _ in range(2)] == [204, 204]
    assert (await me.get("/me/notifications")).json["destinations"] == []


async def test_registering_sends_one_link_that_needs_no_login(world: World) -> None:
    given = {
        "email": "ada@example.org", "password": PASSWORD, "name": "Ada", "role": "mentee", "timezone": "UTC",
    }  # fmt: skip
    me = await world.nobody.post("/auth/register", given)
    assert me.status == 201
    bearer = f"Bearer {me.json['access_token']}"
    body = await world.ctx.pool.fetchval("SELECT body FROM notifications WHERE kind = 'welcome'")
    token = re.findall(r"/address/(\S+)", body)[0]
    assert not (await world.nobody.get("/me/notifications", Authorization=bearer)).json["email"]["verified"]
    assert "Yes, it is mine" in (await world.nobody.get(f"//address/{token}")).text
    early = await world.nobody.post("/me/email/resend", Authorization=bearer)
    assert (early.status, early.json["code"]) == (429, "link_too_soon")
    for _ in range(2):
        proved = await world.nobody.post(f"/addresses/{token}")
        assert (proved.status, proved.json) == (200, {"email": "ada@example.org", "verified": True})
    assert (await world.nobody.get("/me/notifications", Authorization=bearer)).json["email"]["verified"]
    assert "is verified" in (await world.nobody.get(f"//address/{token}")).text
    assert (await world.nobody.post("/addresses/nonsense")).status == 404


async def test_one_click_in_a_mail_program_needs_no_cookie_and_no_token(world: World) -> None:
    me = await world.person(Role.MENTEE, name="Jonas <b>Weber")
    url = unsubscribe_url(world.ctx.settings, me.id, Kind.REMINDER, world.clock.now())
    assert url is not None
    path = "/unsubscribe/" + url.rpartition("/")[2]
    page = (await world.nobody.get(f"/{path}")).text
    assert "Jonas &lt;b&gt;Weber" in page and "A session comes near" in page
    for _ in range(2):  # as RFC 8058 section 3.1 has it
        async with world.http.post(world.base + path, data={"List-Unsubscribe": "One-Click"}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")
    assert not kind_of((await me.get("/me/notifications")).json, "reminder")["email"]["wanted"]
    assert "You get no more of these mails" in (await world.nobody.get(f"/{path}")).text
    undo = {"from": "page", "undo": "1"}
    async with world.http.post(world.base + path, data=undo, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, path)
    assert kind_of((await me.get("/me/notifications")).json, "reminder")["email"]["wanted"]
    # A token of one place is good in no other, and nothing but the kind it names ends.
    alien = verify_url(world.ctx.settings, me.id, "a@b.c", world.clock.now()).rpartition("/")[2]
    async with world.http.post(f"{world.base}/unsubscribe/{alien}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "link_invalid")
