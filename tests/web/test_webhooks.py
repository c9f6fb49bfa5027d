"""Receipts and replies of providers: signed or nothing, once each, in any order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web as http
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import Counter
from redis.asyncio import Redis
from yarl import URL

from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.base.ids import new_id
from server.integrations.channels import make_channels
from server.integrations.sms import signature_of
from server.integrations.whatsapp import signed
from server.notifications.actions import post_in
from server.notifications.delivery import deliver_due
from server.notifications.model import Draft
from server.providers import Providers, Twilio, WhatsApp
from server.settings import Settings
from tests.support.providers import (
    ACCESS,
    APP_SECRET,
    PHONE_ID,
    SID,
    TOKEN,
    VERIFY,
    FakeProviders,
    running_providers,
)
from tests.support.story import Story, make_story
from web import mount
from web.api import webhooks
from web.context import CONTEXT, STORES, Stores
from web.limits import WEBHOOKS, count
from web.problems import middleware as problems
from web.routing import install


@dataclass(frozen=True, slots=True)
class Scene:
    """The webhooks' routes on an application of their own, and a message on each channel that has been sent."""

    story: Story
    fakes: FakeProviders
    client: TestClient[http.Request, http.Application]
    server: TestServer

    @property
    def redis(self) -> Redis:
        return self.server.app[STORES].redis

    @property
    def rejected(self) -> dict[str, float]:
        [metric] = self.server.app[webhooks.REJECTED].collect()
        return {it.labels["channel"]: it.value for it in metric.samples if it.name.endswith("_total")}

    async def send(self, channel: str) -> UUID:
        async with self.story.ctx.pool.acquire() as conn:
            draft = Draft(
                str(new_id()),
                None,
                "reminder",
                channel,
                self.story.mentee.id,
                "mentee",
                "+15550123456",
                "S",
                "B",
            )
            await post_in(conn, self.story.ctx, [draft])
            newest: UUID = await conn.fetchval("SELECT id FROM notifications ORDER BY id DESC LIMIT 1")
        await deliver_due(self.story.ctx, make_channels(self.story.ctx.settings))
        return newest

    async def row(self, notification_id: UUID) -> Any:
        return await self.story.ctx.pool.fetchrow(
            "SELECT * FROM notifications WHERE id = $1", notification_id
        )

    async def events(self) -> int:
        count: int = await self.story.ctx.pool.fetchval("SELECT count(*) FROM provider_events")
        return count

    async def whatsapp(self, value: Any, *, secret: str = APP_SECRET, raw: bytes | None = None) -> int:
        entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
        body = raw or json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        headers = {"X-Hub-Signature-256": signed(secret, body), "Content-Type": "application/json"}
        async with self.client.post("/webhooks/whatsapp", data=body, headers=headers) as reply:
            return reply.status

    async def twilio(self, form: dict[str, str], token: str = TOKEN, *, query: str | None = None) -> int:
        """At the address that we gave with the last SMS, unless said otherwise."""
        asked = [body["StatusCallback"] for body in self.fakes.taken if "StatusCallback" in body]
        url = self.story.ctx.settings.public_url + "/webhooks/twilio"
        if query is not None:
            url += f"?{query}"
        elif asked:
            url = asked[-1]
        headers = {"X-Twilio-Signature": signature_of(token, url, form)}
        path = url.removeprefix(self.story.ctx.settings.public_url)
        async with self.client.post(URL(path, encoded=True), data=form, headers=headers) as reply:
            return reply.status


@pytest.fixture
async def scene(pool: Pool, clock: SteppedClock, settings: Settings, redis_url: str) -> AsyncIterator[Scene]:
    async with running_providers() as fakes, Redis.from_url(redis_url) as redis:
        providers = Providers(
            f"{fakes.base}/services/T0/B0/secret",
            Twilio(fakes.base, SID, TOKEN, "+15550100"),
            WhatsApp(f"{fakes.base}/v23.0", PHONE_ID, ACCESS, APP_SECRET, VERIFY, "visavis_notice", "en"),
        )
        story = await make_story(pool, clock, replace(settings, providers=providers))
        app = mount.application()
        app[CONTEXT] = Context(pool, clock, story.ctx.settings)
        app[STORES] = Stores(redis, Counter("visavis_rate_limit_uncounted", "-", registry=None))
        app[webhooks.REJECTED] = Counter("visavis_webhook_rejected", "-", ("channel",), registry=None)
        app.middlewares.append(problems())
        install(app, webhooks.ROUTES)
        server = TestServer(app)
        async with TestClient(server) as client:
            yield Scene(story, fakes, client, server)


async def test_the_handshake_is_for_who_knows_the_token(scene: Scene) -> None:
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY}
    async with scene.client.get("/webhooks/whatsapp", params=asked) as reply:
        assert (reply.status, await reply.text()) == (200, "1158201444")
    async with scene.client.get("/webhooks/whatsapp", params=asked | {"hub.verify_token": "no"}) as reply:
        assert reply.status == 403


async def test_a_receipt_counts_once_and_in_any_order(scene: Scene) -> None:
    message = await scene.send("whatsapp")
    wamid = (await scene.row(message))["provider_message_id"]
    for status in ("delivered", "sent", "delivered", "read"):
        assert await scene.whatsapp({"statuses": [{"id": wamid, "status": status}]}) == 200
    assert (await scene.row(message))["status"] == "delivered"
    assert await scene.events() == 2


async def test_a_receipt_may_be_faster_than_our_own_note(scene: Scene) -> None:
    assert await scene.whatsapp({"statuses": [{"id": "wamid.1", "status": "delivered"}]}) == 200
    row = await scene.row(await scene.send("whatsapp"))
    assert (row["provider_message_id"], row["status"]) == ("wamid.1", "delivered")


@pytest.mark.parametrize(("code", "status"), [(131026, "failed"), (131049, "retrying")])
async def test_a_failure_is_final_or_tried_again(scene: Scene, code: int, status: str) -> None:
    message = await scene.send("whatsapp")
    wamid = (await scene.row(message))["provider_message_id"]
    failed = {"id": wamid, "status": "failed", "errors": [{"code": code, "title": "No"}]}
    await scene.whatsapp({"statuses": [failed]})
    row = await scene.row(message)
    assert (row["status"], row["error"]) == (status, f"{code}: No")
    assert row["failed_at"] is not None


async def test_a_pressed_button_is_kept_once_with_what_it_answers(scene: Scene) -> None:
    pressed = {
        "from": "15550123456", "id": "wamid.reply", "type": "button",
        "button": {"payload": "yes:1", "text": "Yes"}, "context": {"from": PHONE_ID, "id": "wamid.1"},
    }  # fmt: skip
    for _ in range(3):
        assert await scene.whatsapp({"messages": [pressed]}) == 200
    rows = await scene.story.ctx.pool.fetch("SELECT kind, context_id, sender, body FROM provider_events")
    assert [tuple(row) for row in rows] == [("reply", "wamid.1", "+15550123456", "yes:1")]


async def test_a_forged_post_leaves_no_trace(scene: Scene) -> None:
    status = {"statuses": [{"id": "wamid.1", "status": "delivered"}]}
    assert await scene.whatsapp(status, secret="guess") == 401
    assert await scene.twilio({"MessageSid": "SM1", "MessageStatus": "delivered"}, token="guess") == 401
    async with scene.client.post("/webhooks/whatsapp", data=b"{}") as reply:
        assert reply.status == 401
    assert await scene.events() == 0
    assert scene.rejected == {"whatsapp": 2, "sms": 1}


async def test_a_post_that_somebody_has_kept_leaves_no_trace_either(scene: Scene) -> None:
    """Its events are forgotten after a hundred days: then they would count again."""
    now = int(scene.story.clock.now().timestamp())
    delivered = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    for age, statuses in ((timedelta(days=9), (401, 401)), (timedelta(days=7, hours=23), (200, 204))):
        at = now - int(age.total_seconds())
        old = {"id": "wamid.1", "status": "delivered", "timestamp": str(at)}
        assert await scene.whatsapp({"statuses": [old]}) == statuses[0]
        assert await scene.twilio(delivered, query=f"at={at}") == statuses[1]
        assert await scene.events() == (0 if age.days > 8 else 2)
    for query in ("", "at=", "at=soon", "at=%00", "at=99999999999999", "&".join(["x=1"] * 50)):
        assert await scene.twilio(delivered, query=query) == 401
    assert scene.rejected == {"whatsapp": 1, "sms": 7}
    # One that is fresh carries the others of its post.
    fresh = {"id": "wamid.2", "status": "delivered", "timestamp": str(now)}
    assert await scene.whatsapp({"statuses": [old, fresh]}) == 200


async def test_the_limit_is_generous_and_says_when_to_come_back(scene: Scene) -> None:
    wait = await count(scene.redis, replace(WEBHOOKS, tries=0), "whatsapp", "127.0.0.1")
    assert (
        wait is not None and WEBHOOKS.tries / WEBHOOKS.seconds >= 80
    )  # what a number may send, each with a receipt
    key = [name async for name in scene.redis.scan_iter("limit:webhooks:*")]
    await scene.redis.set(key[0], WEBHOOKS.tries - 1, keepttl=True)
    delivered = {"statuses": [{"id": "wamid.1", "status": "delivered"}]}
    assert await scene.whatsapp(delivered) == 200
    body = b"{}"
    async with scene.client.post("/webhooks/whatsapp", data=body) as reply:
        assert reply.status == 429 and 0 < int(reply.headers["Retry-After"]) <= WEBHOOKS.seconds
    await scene.send("sms")
    assert await scene.twilio({"MessageSid": "SM1", "MessageStatus": "delivered"}) == 204  # a limit for each


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"object": "page"}', b"\xff\0", b"[" * 100_000])
async def test_what_cannot_be_read_is_kept_and_not_asked_for_again(scene: Scene, raw: bytes) -> None:
    assert await scene.whatsapp(None, raw=raw) == 200
    assert await scene.whatsapp(None, raw=raw) == 200
    assert await scene.story.ctx.pool.fetchval("SELECT array_agg(kind) FROM provider_events") == ["malformed"]


async def test_twilios_callbacks(scene: Scene) -> None:
    sent, lost = await scene.send("sms"), await scene.send("sms")
    sids = [(await scene.row(message))["provider_message_id"] for message in (sent, lost)]
    assert await scene.twilio({"MessageSid": sids[0], "MessageStatus": "delivered"}) == 204
    form = {"MessageSid": sids[1], "MessageStatus": "undelivered", "ErrorCode": "30005"}
    assert await scene.twilio(form) == 204
    assert (await scene.row(sent))["status"] == "delivered"
    assert (await scene.row(lost))["status"] == "failed"
