"""Verdicts over HTTP: who may read, ask and amend, and what a refusal says."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.attendance import actions as attendance
from server.people.model import Role
from tests.web.conftest import Client, World, hour, open_hours


async def settled(world: World) -> tuple[str, Client, Client]:
    """A session nobody came to, with its verdict; its mentor and mentee."""
    mentor, mentee = await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    wish = {**hour(1, 10), "mentor_id": str(mentor.id)}
    booked = await mentee.post("/bookings", wish)
    assert (await mentor.post(f"/bookings/{booked.json['id']}/approve", {})).status == 200
    world.clock.jump_to(datetime.fromisoformat(wish["end"]) + timedelta(minutes=20))
    assert await attendance.settle_due(world.ctx) == 1
    return booked.json["session_id"], await world.fresh(mentor), await world.fresh(mentee)


async def test_a_review_is_asked_for_and_answered_by_an_amendment(world: World) -> None:
    session, mentor, mentee = await settled(world)
    admin, stranger = await world.person(Role.ADMIN), await world.person(Role.MENTEE)
    empty = await mentee.post(f"/sessions/{session}/review", {"reason": " "})
    assert (empty.status, empty.json["errors"][0]["field"]) == (422, "reason")
    assert (await stranger.post(f"/sessions/{session}/review", {"reason": "I too"})).status == 403
    asked = await mentee.post(f"/sessions/{session}/review", {"reason": "We met on the telephone."})
    assert (asked.status, asked.json["answer"], asked.json["session_id"]) == (201, None, session)
    again = await mentee.post(f"/sessions/{session}/review", {"reason": "Really!"})
    assert (again.status, again.json["code"]) == (409, "review_asked")
    queue = (await admin.get("/admin/reviews")).json["items"]
    assert [r["id"] for r in queue] == [asked.json["id"]]

    faults = await admin.post(f"/admin/sessions/{session}/verdict", {"outcome": "nonsense"})
    assert faults.status == 422 and {e["field"] for e in faults.json["errors"]} == {"outcome", "reason"}
    wish = {"outcome": "completed", "reason": "The mentor confirms it."}
    assert (await mentor.post(f"/admin/sessions/{session}/verdict", wish)).status == 403
    amended = await admin.post(f"/admin/sessions/{session}/verdict", wish)
    assert (amended.status, [v["outcome"] for v in amended.json["items"]]) == (
        200,
        ["both_absent", "completed"],
    )
    assert (await admin.post(f"/admin/sessions/{session}/verdict", wish)).json == amended.json
    assert (await mentee.get(f"/sessions/{session}")).json["outcome"] == "completed"
    steps = (await mentor.get(f"/sessions/{session}/verdicts")).json["items"]
    assert [(v["seq"], v["decided_by"]) for v in steps] == [(1, "system"), (2, "admin")]
    assert steps[0]["inputs"]["mentor"]["finding"] == "absent"
    assert (await admin.get("/admin/reviews")).json["items"] == []
    late = await admin.post(f"/admin/reviews/{asked.json['id']}/uphold", {"note": "No"})
    assert (late.status, late.json["code"]) == (409, "review_answered")


async def test_an_outage_is_noted_and_listed(world: World) -> None:
    admin = await world.person(Role.ADMIN)
    bad = await admin.post(
        "/admin/outages", {"from": "2026-03-02T10:00:00Z", "to": "2026-03-02T09:00:00Z", "note": "x"}
    )
    assert (bad.status, bad.json["errors"][0]["field"]) == (422, "to")
    span = {"from": "2026-03-02T08:00:00Z", "to": "2026-03-02T08:30:00Z", "note": "The provider's line"}
    made = await admin.post("/admin/outages", span)
    assert (made.status, made.json["cause"], made.json["from"]) == (201, "declared", span["from"])
    assert made.json["id"] in [o["id"] for o in (await admin.get("/admin/outages")).json["items"]]
