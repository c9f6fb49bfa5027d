"""The administrators' routes as programs see them, and what a mentor's PUT answers."""

from __future__ import annotations

from server.people.model import Role
from tests.web.conftest import WORKDAYS, World, hour, open_hours, world

__all__ = ["world"]


async def test_a_mentor_is_told_and_an_administrator_merges(world: World) -> None:
    root = await world.person(Role.ADMIN)
    mentor = await world.person(Role.MENTOR)
    await open_hours(mentor)
    sessions = []
    for at in (10, 12):
        mentee = await world.person(Role.MENTEE, tokens=100)
        booked = await mentee.post("/bookings", {**hour(1, at), "mentor_id": str(mentor.id)})
        assert (await mentor.post(f"/bookings/{booked.json['id']}/approve", {})).status == 200
        sessions.append((mentee, booked.json))
    (_, first), (mentee, second) = sessions

    day_off = {**WORKDAYS, "overrides": [{"date": first["start"][:10], "windows": []}]}
    saved = await mentor.call("PUT", "/me/availability", day_off)
    assert [(it["booking_id"], it["start"]) for it in saved.json["collisions"]] == [
        (it["id"], it["start"]) for it in (first, second)
    ]
    board = await root.get("/admin/conflicts")
    assert [it["kind"] for it in board.json["items"]] == ["day_off", "day_off"]
    assert (await mentor.get("/admin/conflicts")).status == 403

    wish = {
        "session_ids": [second["session_id"]],
        "into": first["session_id"],
        "reason": "The same question.",
    }
    merged = await root.post("/admin/merges", wish)
    assert merged.status == 201, merged.text
    assert (await root.get(f"/admin/merges/{merged.json['id']}")).json == merged.json
    seen = (await mentee.get(f"/sessions/{second['session_id']}")).json
    assert (seen["room_id"], seen["start"]) == (first["session_id"], first["start"])
    undone = await root.post(f"/admin/merges/{merged.json['id']}/undo", {"reason": "No."})
    assert (undone.status, undone.json["undone_at"] is not None) == (200, True)
    refused = await root.post(f"/admin/bookings/{first['id']}/cancel", {"reason": ""})
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "reason")
    gone = await root.post(f"/admin/bookings/{first['id']}/cancel", {"reason": "Ill."})
    assert (gone.status, gone.json["status"]) == (200, "cancelled")
