"""Message texts over HTTP: the list, a preview, and a test that goes to oneself only, once."""

from __future__ import annotations

from server.integrations.channels import Channels
from server.notifications.delivery import deliver_due
from server.people.model import Role
from tests.support.reach import give_number
from tests.web.conftest import World, world

__all__ = ["world"]
PATH = "/admin/templates/reminder_4_hours/mentor"


async def test_texts_are_listed_previewed_and_sent_to_oneself(world: World) -> None:
    root, mentee = await world.person(Role.ADMIN), await world.person(Role.MENTEE)
    assert root.user is not None
    assert [(await mentee.get(path)).status for path in ("/admin/templates", f"{PATH}/sms")] == [403, 403]
    assert (await mentee.post(f"{PATH}/sms/test", {})).status == 403
    items = (await root.get("/admin/templates")).json["items"]
    [one] = [it for it in items if (it["template"], it["role"]) == ("reminder_4_hours", "mentor")]
    assert {
        "channel": "sms",
        "language": "de",
        "file": "de/reminder_4_hours.mentor.short.txt",
        "own": True,
    } in one["files"]
    shown = (await root.get(f"{PATH}/sms?language=de&timezone=Asia/Kolkata")).json
    assert "Asia/Kolkata" in shown["text"] and shown["segments"]["count"] >= 1
    bad = await root.get(f"{PATH}/sms?timezone=Mars/Olympus")
    assert (bad.status, bad.json["errors"][0]["code"]) == (422, "unknown_timezone")
    assert (await root.get("/admin/templates/nothing/mentor/sms")).json["code"] == "template_not_found"

    none = await root.post(f"{PATH}/sms/test", {})
    assert (none.status, none.json["code"]) == (409, "no_destination")
    async with world.ctx.pool.acquire() as conn:
        await give_number(conn, root.id, "sms", "+491701234567", world.clock.now())
    sent = [await root.post(f"{PATH}/sms/test", {"language": "de"}, Idempotency_Key="t") for _ in range(2)]
    assert [it.status for it in sent] == [201, 201] and sent[0].json == sent[1].json
    assert sent[0].json["address"] == "+491701234567" and sent[0].json["subject"].startswith("[Test] ")
    assert (await root.post(f"{PATH}/email/test", {})).json["address"] == root.user.email
    assert (await root.post(f"{PATH}/in_app/test", {})).status == 201
    assert (await root.post("/admin/templates/test/ops/slack/test", {})).json["address"] == "ops"
    rows = await world.ctx.pool.fetch(
        "SELECT channel, address, recipient_id, kind FROM notifications ORDER BY channel"
    )
    assert [(it["channel"], it["address"], it["recipient_id"]) for it in rows] == [
        ("email", root.user.email, root.id), ("in_app", "", root.id), ("slack", "ops", None),
        ("sms", "+491701234567", root.id),
    ]  # fmt: skip
    assert {it["kind"] for it in rows} == {"test"}
    assert (await deliver_due(world.ctx, Channels(inbox=True))).sent == 3
    await world.ctx.pool.execute("UPDATE users SET email_verified_at = NULL WHERE id = $1", root.id)
    assert (await root.post(f"{PATH}/email/test", {})).json["code"] == "address_unverified"
