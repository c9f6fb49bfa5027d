"""One's inbox by the API: pages, what was read, and nobody else's."""

from __future__ import annotations

from uuid import uuid4

from server.people.model import Role
from tests.support.inbox import put
from tests.web.conftest import World


async def test_the_newest_come_first_page_by_page(world: World) -> None:
    me = await world.person(Role.MENTEE)
    pool, now = world.ctx.pool, world.clock.now()
    link = f"{world.ctx.settings.public_url}/bookings/1"
    await put(pool, me.id, now, *(f"S{n}" for n in range(5)), url=link, body=f"At noon.\n{link}\n")
    first = (await me.get("/me/inbox?limit=3")).json
    assert [it["subject"] for it in first["items"]] == ["S4", "S3", "S2"]
    assert (first["unread"], first["items"][0]["url"], first["items"][0]["text"]) == (
        5,
        "/bookings/1",
        "At noon.",
    )
    rest = (await me.get(f"/me/inbox?limit=3&cursor={first['next_cursor']}")).json
    assert [it["subject"] for it in rest["items"]] == ["S1", "S0"] and rest["next_cursor"] is None
    assert (await me.get("/me/inbox?cursor=nonsense")).status == 422
    assert (await world.nobody.get("/me/inbox")).status == 401


async def test_marking_is_for_ones_own_and_does_no_harm_twice(world: World) -> None:
    me, other = await world.people(Role.MENTEE, 2)
    pool, now = world.ctx.pool, world.clock.now()
    mine = await put(pool, me.id, now, "A", "B", "C")
    [theirs] = await put(pool, other.id, now, "D")
    named = [str(mine[0]), str(theirs), str(uuid4())]
    assert (await me.post("/me/inbox/read", {"ids": named})).json == {"marked": 1, "unread": 2}
    assert (await me.post("/me/inbox/read", {"ids": named})).json == {"marked": 0, "unread": 2}
    assert (await other.get("/me/inbox")).json["unread"] == 1
    # What came after the one that was seen last stays unread.
    seen = {"all": True, "until": str(mine[1])}
    assert (await me.post("/me/inbox/read", seen)).json == {"marked": 1, "unread": 1}
    assert (await me.post("/me/inbox/read", {"all": True})).json == {"marked": 1, "unread": 0}
    assert [it["read"] for it in (await me.get("/me/inbox")).json["items"]] == [True] * 3


async def test_ids_or_all_and_all_faults_at_once(world: World) -> None:
    me = await world.person(Role.MENTEE)
    for body in ({}, {"all": True, "ids": [str(uuid4())]}, {"ids": [str(uuid4())], "until": str(uuid4())}):
        reply = await me.post("/me/inbox/read", body)
        assert (reply.status, reply.json["code"]) == (422, "invalid_input"), body
    reply = await me.post("/me/inbox/read", {"ids": [], "until": "x", "more": 1})
    assert {fault["field"] for fault in reply.json["errors"]} == {"ids", "until", "more"}
    assert (await me.post("/me/inbox/read", {"ids": [str(uuid4())] * 101})).status == 422
