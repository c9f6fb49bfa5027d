"""A browser switches its push messages on and off, and is told what cannot wait, by the real delivery."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from server.integrations.channels import make_channels
from server.notifications.actions import notify_in
from server.notifications.delivery import deliver_due
from server.notifications.model import Delivery, Kind
from server.people.model import Role
from server.settings import Settings
from server.vapid import Vapid, make_key, public_key_of
from tests.support.push import PushService, running_push
from tests.web.conftest import Client, World

PATH = "/me/push-subscriptions"


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    """With a key."""
    key = make_key()
    vapid = Vapid(key, public_key_of(key), None)
    return replace(settings, demo=True, port=0, media_port=0, vapid=vapid)


@pytest.fixture
async def service(world: World) -> AsyncIterator[PushService]:
    async with running_push() as running:
        assert world.ctx.settings.vapid is not None
        running.key = world.ctx.settings.vapid.public_key
        yield running


def given(service: PushService, name: str = "1", **more: Any) -> dict[str, Any]:
    """What ``PushSubscription.toJSON()`` gives."""
    return {**json.loads(service.subscribe(name)), "expirationTime": None, **more}


async def listed(client: Client) -> list[str]:
    return [it["label"] for it in (await client.get(PATH)).json["items"]]


async def test_a_browser_is_told_until_it_is_gone(world: World, service: PushService) -> None:
    me = await world.person(Role.MENTEE, "Ben Okri")
    assert me.user is not None
    for _ in range(2):  # twice is once
        reply = await me.post(PATH, given(service, label="Firefox  on Linux"))
        assert (reply.status, reply.json["label"]) == (200, "Firefox on Linux")
    assert await listed(me) == ["Firefox on Linux"]
    assert (await me.get(PATH)).json["public_key"] == service.key
    channels = make_channels(world.ctx.settings)

    async def notify(key: str) -> Delivery:
        async with world.ctx.pool.acquire() as conn, conn.transaction():
            assert me.user is not None
            values = {"name": "Ben", "service": "Google", "account": "a@b.c", "url": "u"}
            await conn.execute(
                "INSERT INTO notification_preferences VALUES ($1, 'calendar_broken', 'push', true, $2)"
                " ON CONFLICT DO NOTHING", me.id, world.clock.now(),
            )  # fmt: skip
            assert await notify_in(
                conn, world.ctx, kind=Kind.CALENDAR_BROKEN, recipient=me.user, role="mentee", dedup_key=key,
                values=values, link=f"{world.ctx.settings.public_url}/settings",
            )  # fmt: skip
        return await deliver_due(world.ctx, replace(channels, inbox=False))

    assert (await notify("one")).sent == 1
    [shown] = service.taken
    assert shown["url"].endswith("/settings") and "a@b.c" in shown["title"]
    service.say = 410, {}
    assert (await notify("two")).dead == 1
    assert await listed(me) == []
    assert (await notify("three")) == Delivery()


async def test_a_browser_belongs_to_who_switched_it_on_last(world: World, service: PushService) -> None:
    first, second = await world.people(Role.MENTEE, 2)
    assert (await first.post(PATH, given(service, label="A"))).status == 200
    assert (await second.post(PATH, given(service, label="B"))).status == 200
    assert (await listed(first), await listed(second)) == ([], ["B"])
    endpoint = {"endpoint": given(service)["endpoint"]}
    assert (await first.call("DELETE", PATH, endpoint)).status == 204  # not theirs: nothing changes
    assert await listed(second) == ["B"]
    for _ in range(2):
        assert (await second.call("DELETE", PATH, endpoint)).status == 204
    assert await listed(second) == []


async def test_however_many_tabs_ask_at_once_it_is_one_browser(world: World, service: PushService) -> None:
    people = await world.people(Role.MENTEE, 3)
    replies = await asyncio.gather(*(me.post(PATH, given(service)) for me in people for _ in range(3)))
    assert {reply.status for reply in replies} == {200}
    assert sorted([len(await listed(me)) for me in people]) == [0, 0, 1]


async def test_the_oldest_of_too_many_browsers_goes(world: World, service: PushService) -> None:
    me = await world.person(Role.MENTEE)
    for n in range(11):
        await me.post(PATH, given(service, str(n), label=f"B{n}"))
    assert await listed(me) == [f"B{n}" for n in range(10, 0, -1)]


async def test_what_is_no_subscription_is_refused_with_all_faults(world: World) -> None:
    me = await world.person(Role.MENTEE)
    bad = {"endpoint": "https://10.0.0.1/x", "keys": {"p256dh": "x", "auth": "y"}, "label": "z" * 101}
    reply = await me.post(PATH, bad)
    assert reply.status == 422
    faults = {fault["field"]: fault["code"] for fault in reply.json["errors"]}
    assert faults == {
        "endpoint": "address_refused", "keys.p256dh": "bad_key", "keys.auth": "bad_key", "label": "too_long"
    }  # fmt: skip
    assert (await world.nobody.post(PATH, bad)).status == 401


async def test_the_worker_lies_where_it_sees_every_page(world: World) -> None:
    reply = await world.nobody.get("//sw.js")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert reply.headers["Cache-Control"] == "no-cache"
