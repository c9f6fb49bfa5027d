"""Restrictions over HTTP: the refusal says until when and how to appeal, and administrators answer."""

from __future__ import annotations

from datetime import timedelta

from server.base.ids import new_id
from server.conduct import actions as conduct
from server.people.model import Role
from tests.web.conftest import Client, World, hour, open_hours, world

__all__ = ["world"]


async def missed(world: World, mentor: Client, mentee: Client, outcome: str, times: int) -> None:
    """So many settled sessions that one of them did not come to, straight in the store."""
    pool, now = world.ctx.pool, world.clock.now()
    for number in range(times):
        booking, session, start = new_id(), new_id(), now - timedelta(days=number + 1)
        await pool.execute(
            "INSERT INTO bookings (id, session_id, mentor_id, mentee_id, during, status, price_tokens, created_at,"
            " updated_at, seat_group) VALUES ($1, $2, $3, $4, tstzrange($5, $6), 'held', 0, $5, $5, $1)",
            booking, session, mentor.id, mentee.id, start, start + timedelta(hours=1),
        )  # fmt: skip
        await pool.execute(
            "INSERT INTO sessions (id, mentor_id, mentee_id, starts_at, ends_at, status, outcome, settled_at,"
            " created_at) VALUES ($1, $2, $3, $4, $5, 'settled', $6, $5, $4)",
            session, mentor.id, mentee.id, start, start + timedelta(hours=1), outcome,
        )  # fmt: skip
    async with pool.acquire() as conn, conn.transaction():
        for person in (mentor, mentee):
            await conduct.review_in(conn, person.id, now)


async def test_who_is_restricted_is_told_and_heard(world: World) -> None:
    root, mentor = await world.person(Role.ADMIN), await world.person(Role.MENTOR)
    mentee = await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    free = (await mentee.get("/me/standing")).json
    assert (free["restricted_until"], free["can_appeal"], [r["number"] for r in free["rules"]]) == (
        None, False, [2, 3],
    )  # fmt: skip
    early = await mentee.post("/me/standing/appeal", {"text": "Why not?"})
    assert (early.status, early.json["code"]) == (409, "not_restricted")
    await missed(world, mentor, mentee, "mentee_no_show", 3)
    wish = {**hour(1, 10), "mentor_id": str(mentor.id)}
    refused = await mentee.post("/bookings", wish)
    assert (refused.status, refused.json["code"], refused.json["appeal"]) == (
        403, "booking_restricted", "/standing",
    )  # fmt: skip
    standing = (await mentee.get("/me/standing")).json
    assert standing["restricted_until"] == refused.json["until"] and len(standing["misses"]) == 3
    series = await mentee.post("/bookings/series", {**wish, "weeks": 2})
    assert (series.status, series.json["code"]) == (403, "booking_restricted")
    assert (await mentee.post("/me/standing/appeal", {"text": ""})).status == 422
    asked = await mentee.post("/me/standing/appeal", {"text": "<b>Power cut</b>"})
    assert (asked.status, asked.json["appeal"], asked.json["can_appeal"]) == (200, "open", False)

    assert (await mentee.get("/admin/conduct")).status == 403
    [case] = (await root.get("/admin/conduct")).json["items"]
    assert (case["appeal"], case["role"], case["person"]["id"]) == (
        "<b>Power cut</b>",
        "mentee",
        str(mentee.id),
    )
    assert [it["id"] for it in (await root.get("/admin/conduct?show=restricted")).json["items"]] == [
        case["id"]
    ]
    blank = await root.post(f"/admin/conduct/{case['id']}/reject", {"reason": " "})
    assert (blank.status, blank.json["errors"][0]["field"]) == (422, "reason")
    rejected = await root.post(f"/admin/conduct/{case['id']}/reject", {"reason": "No."})
    assert (rejected.status, rejected.json["appeal"]) == (200, "rejected")
    assert (await root.post(f"/admin/conduct/{case['id']}/accept", {"reason": "Yes."})).status == 409
    lifted = await root.post(f"/admin/conduct/{case['id']}/lift", {"reason": "Long enough."})
    assert (lifted.status, lifted.json["restricted_until"]) == (200, None)
    assert (await mentee.post("/bookings", wish)).status == 201
    assert (await root.post(f"/admin/conduct/{new_id()}/lift", {"reason": "x"})).status == 404


async def test_a_restricted_mentor_has_no_times(world: World) -> None:
    mentor, mentee = await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    booked = (await mentee.post("/bookings", {**hour(1, 10), "mentor_id": str(mentor.id)})).json
    assert (await world.nobody.get(f"/mentors/{mentor.id}/slots")).json["slots"]
    await missed(world, mentor, mentee, "mentor_no_show", 3)
    assert (await world.nobody.get(f"/mentors/{mentor.id}/slots")).json["slots"] == []
    accepted = await mentor.post(f"/bookings/{booked['id']}/approve")
    assert (accepted.status, accepted.json["code"]) == (403, "booking_restricted")
    assert (await mentee.get(f"/bookings/{booked['id']}")).json["status"] == "requested"
