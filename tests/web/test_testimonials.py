"""Testimonials over HTTP: by login and by the mail's link, in the queue, on the mentor's page and in the directory."""

from __future__ import annotations

from uuid import UUID

from server.people.model import Role
from server.testimonials import actions as testimonials
from tests.web.conftest import World, hour, open_hours, world

__all__ = ["world"]


async def test_from_a_mail_into_the_directory(world: World) -> None:
    root, mentor = await world.person(Role.ADMIN), await world.person(Role.MENTOR)
    mentee = await world.person(Role.MENTEE, name="Jonas <b>Weber</b>", tokens=100)
    await open_hours(mentor)
    booked = (await mentee.post("/bookings", {**hour(1, 10), "mentor_id": str(mentor.id)})).json
    assert (await mentor.post(f"/bookings/{booked['id']}/approve", {})).status == 200
    session = booked["session_id"]
    path = f"/sessions/{session}/testimonial"
    early = await mentee.call("PUT", path, {"stars": 5, "text": "Good."})
    assert (early.status, early.json["code"]) == (409, "session_not_completed")
    await world.ctx.pool.execute(
        "UPDATE sessions SET status = 'settled', outcome = 'completed', settled_at = $2 WHERE id = $1",
        UUID(session), world.clock.now(),
    )  # fmt: skip
    bad = await mentee.call("PUT", path, {"stars": 0, "text": " "})
    assert (bad.status, [e["field"] for e in bad.json["errors"]]) == (422, ["stars", "text"])
    assert (await mentee.get(path)).status == 404

    link = testimonials.link_for(world.ctx.settings, UUID(session), mentee.id, world.clock.now())
    by_link = "/testimonials/links/" + link.rsplit("/", 1)[1]
    words = "See <script>alert(1)</script> https://spam.example/x"
    sent = await world.nobody.call("PUT", by_link, {"stars": 4, "text": words})
    assert (sent.status, sent.json["status"], sent.json["text"]) == (200, "submitted", words)
    assert (await world.nobody.get(by_link)).json == (await mentee.get(path)).json == sent.json
    assert (await world.nobody.get("/testimonials/links/nonsense")).status == 404
    assert (await mentee.get("/admin/testimonials")).status == 403
    [waiting] = (await root.get("/admin/testimonials")).json["items"]
    card = (await world.nobody.get("/mentors")).json["items"][0]
    assert (card["rating"], card["rating_count"]) == (None, 0)

    stale = await root.post(f"/admin/testimonials/{session}/publish", {"revision": waiting["revision"] + 1})
    assert (stale.status, stale.json["code"]) == (409, "changed_meanwhile")
    done = await root.post(f"/admin/testimonials/{session}/publish", {"revision": waiting["revision"]})
    assert (done.status, done.json["status"]) == (200, "published")
    assert (await root.get("/admin/testimonials")).json["items"] == []
    assert [
        it["session_id"] for it in (await root.get("/admin/testimonials?status=decided")).json["items"]
    ] == [session]
    [said] = (await world.nobody.get(f"/mentors/{mentor.id}/testimonials")).json["items"]
    assert said == {"author": "Jonas", "month": "2026-03", "stars": 4, "text": words}
    card = (await world.nobody.get("/mentors")).json["items"][0]
    assert (card["rating"], card["rating_count"]) == (4.0, 1)
    assert (await world.nobody.get(f"/mentors/{mentor.id}")).json["rating"] == 4.0
    page = (await world.nobody.get(f"//mentors/{mentor.id}")).text
    assert "&lt;script&gt;alert(1)" in page and 'href="https://spam' not in page and "Weber" not in page
    late = await mentee.call("DELETE", path)
    assert (late.status, late.json["code"]) == (409, "already_published")
    assert (await root.post(f"/admin/testimonials/{session}/undo")).json["status"] == "submitted"
    assert (await mentee.call("DELETE", path)).json["status"] == "withdrawn"
