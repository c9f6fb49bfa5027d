"""Dead letters over HTTP: for administrators only, and nothing to be had by strange names."""

from __future__ import annotations

from server.people.model import Role
from tests.web.conftest import World, world

__all__ = ["world"]


async def test_dead_letters_are_for_administrators(world: World) -> None:
    root = await world.person(Role.ADMIN)
    mentor = await world.person(Role.MENTOR)
    empty = await root.get("/admin/dead-letters")
    assert (empty.status, empty.json) == (200, {"items": [], "next_cursor": None})
    assert (await root.get("/admin/dead-letters?cursor=x")).status == 422
    assert (await mentor.get("/admin/dead-letters")).status == 403
    assert (await mentor.post("/admin/dead-letters/1/replay", {})).status == 403
    for name in ("1", "x", "9" * 30, "-1"):
        gone = await root.post(f"/admin/dead-letters/{name}/replay")
        assert (gone.status, gone.json["code"]) == (404, "dead_letter_not_found")
