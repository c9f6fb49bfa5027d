"""Exports and reports over HTTP: files with a checksum, lists, and for administrators only."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from server.exports import actions as exports
from server.journey import actions as journey
from server.people.model import Role
from tests.web.conftest import World, world

__all__ = ["world"]


async def test_exports_and_reports_are_files_for_administrators(world: World) -> None:
    root = await world.person(Role.ADMIN)
    mentee = await world.person(Role.MENTEE, tokens=40)
    for path in ("/admin/exports", "/admin/journeys"):
        assert (await root.get(path)).json == {"items": [], "next_cursor": None}
    world.clock.jump_to(world.clock.now() + timedelta(days=40))
    root, mentee = await world.fresh(root), await world.fresh(mentee)
    await exports.export_due(world.ctx)
    await journey.report_due(world.ctx)
    listed = (await root.get("/admin/exports?limit=3")).json
    assert [it["day"] for it in listed["items"]] == ["2026-04-10", "2026-04-09", "2026-04-08"]
    rest = (await root.get(f"/admin/exports?limit=100&cursor={listed['next_cursor']}")).json
    first = rest["items"][-1]
    assert (first["day"], first["transfers"], first["tokens"]) == ("2026-03-02", 1, 40)
    file = await root.call("GET", "/" + first["href"])
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert hashlib.sha256(file.text.encode()).hexdigest() == first["sha256"]
    again = await root.call("GET", "/" + first["href"], If_None_Match=file.headers["ETag"])
    assert (again.status, again.text) == (304, "")
    [month] = (await root.get("/admin/journeys")).json["items"]
    [line] = (await root.get(f"/admin/journeys/{month['month']}")).json["items"]
    assert (month["month"], line["mentee_id"], line["booked"]) == ("2026-03", str(mentee.id), 0)
    assert (await root.call("GET", "/" + month["href"])).text.count("\r\n") == 2
    for path in ("exports/2026-03-01", "exports/x", "journeys/2026-01", "journeys/x/csv"):
        assert (await root.get(f"/admin/{path}")).status == 404
    assert (await root.get("/admin/exports?cursor=x")).json["errors"][0]["field"] == "cursor"
    session = "00000000-0000-0000-0000-000000000001"
    assert (await root.get(f"/admin/sessions/{session}/events")).json["items"] == []
    for path in (
        "exports",
        "exports/2026-03-02",
        "journeys",
        "journeys/2026-03/csv",
        f"sessions/{session}/events",
    ):
        assert (await mentee.get(f"/admin/{path}")).status == 403
