"""The board over HTTP: an ETag that holds while nothing happens, deeds with a name, and administrators only."""

from __future__ import annotations

from server.people.model import Role
from tests.web.conftest import World, world

__all__ = ["world"]


async def test_the_board_is_polled_and_steered_by_administrators(world: World) -> None:
    root = await world.person(Role.ADMIN, "Root")
    mentor = await world.person(Role.MENTOR)
    first = await root.get("/admin/jobs")
    assert first.status == 200
    jobs = {job["name"]: job for job in first.json["jobs"]}
    assert {"reminders", "payroll", "mentee_journey", "transaction_export", "partitions"} <= jobs.keys()
    assert jobs["payroll"]["standing"] == "waiting" and first.json["worker_missing"]
    etag = first.headers["ETag"]
    again = await root.get("/admin/jobs", If_None_Match=etag)
    assert (again.status, again.text, again.headers["ETag"]) == (304, "", etag)
    assert (await root.post("/admin/jobs/payroll/pause", {"reason": "audit"})).status == 204
    assert (await root.post("/admin/jobs/payroll/run")).status == 204
    changed = await root.get("/admin/jobs", If_None_Match=etag)
    payroll = next(job for job in changed.json["jobs"] if job["name"] == "payroll")
    assert (payroll["standing"], payroll["paused_by"]) == ("paused", "Root")
    assert payroll["requested_at"] is not None
    assert (await root.post("/admin/jobs/payroll/resume")).status == 204
    audit = (await root.get("/admin/job-audit?limit=2")).json
    assert [it["verb"] for it in audit["items"]] == ["resume", "run"]
    rest = (await root.get(f"/admin/job-audit?cursor={audit['next_cursor']}")).json
    assert [(it["verb"], it["reason"]) for it in rest["items"]] == [("pause", "audit")]
    assert (await root.get("/admin/jobs/payroll/runs")).json == {"items": [], "next_cursor": None}
    for method, path, code in (
        ("POST", "/admin/jobs/nonsense/run", "unknown_job"), ("GET", "/admin/jobs/nonsense/runs", "unknown_job"),
        ("POST", "/admin/dead-letters/9/discard", "dead_letter_not_found"),
        ("POST", "/admin/dead-messages/00000000-0000-0000-0000-000000000001/replay", "dead_letter_not_found"),
    ):  # fmt: skip
        body = {"reason": "x"} if path.endswith("discard") else None
        refused = await root.call(method, path, body)
        assert (refused.status, refused.json["code"]) == (404, code)
    empty = await root.post("/admin/dead-letters/1/discard", {"reason": ""})
    assert (empty.status, empty.json["errors"][0]["field"]) == (422, "reason")
    assert (await root.post("/admin/dead-letters/replay", {"what": "facts", "kind": "x"})).json == {
        "count": 0
    }
    for path in ("/admin/jobs", "/admin/jobs/payroll/runs", "/admin/job-audit", "/admin/dead-messages"):
        assert (await mentor.get(path)).status == 403
    assert (await mentor.post("/admin/jobs/payroll/pause", {})).status == 403
