"""The live socket: who may open it, what it tells, and what it does when it cannot keep up."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession, CookieJar, WSServerHandshakeError
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from server.app import running
from server.base.db import create_pool
from server.base.talk import Talk
from server.people.model import Role
from tests.conftest import Servers
from tests.signaling.conftest import Talker, until
from tests.support.inbox import put
from tests.web.conftest import PASSWORD, Client, World
from web.live import LIVE, drain, endpoint, hub
from web.live.messages import INBOUND, HangUp, Perform, Refuse, receive, serialise

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        1,
        1.5,
        "",
        "x",
        "\x00",
        [],
        {},
        [None],
        ["x"],
        [str(uuid4())],
        [str(uuid4())] * 101,
        str(uuid4()),
    ]
)
TYPES = st.sampled_from([kind.TYPE for kind in INBOUND] + ["dance", None])
FRAMES = st.fixed_dictionaries(
    {"type": TYPES},
    optional=dict.fromkeys(("seen", "ids", "until", "t", "access_token"), VALUES),
)


async def open_socket(world: World, client: Client | None = None, **headers: str) -> Talker:
    """A socket that has said hello as ``client``; none for nobody. The process listens by then: otherwise everybody
    is told to look again in between."""
    await until(world.app[LIVE].listener.connected.is_set)
    talker = Talker(await world.http.ws_connect(f"{world.base}/ws", headers=headers))
    if client is not None:
        await talker.send(type="hello", access_token=client.token)
    return talker


async def tell(world: World, client: Client, *subjects: str) -> list[str]:
    ids = await put(world.ctx.pool, client.id, world.clock.now(), *subjects)
    return [str(it) for it in ids]


@settings(max_examples=60)
@given(FRAMES)
def test_every_frame_has_a_verdict(frame: dict[str, Any]) -> None:
    _, verdict = receive(Talk(greeted=True), json.dumps(frame), 0.0)
    match verdict:
        case Refuse(error) | HangUp(error, _):
            serialise(error, "").encode()
        case Perform(message):
            assert type(message) in INBOUND


async def test_what_comes_is_told_to_every_tab_and_what_is_read_too(world: World) -> None:
    me, other = await world.people(Role.MENTEE, 2)
    [old] = await tell(world, me, "Before")
    one, two = await open_socket(world, me), await open_socket(world, me)
    for tab in (one, two):
        inbox = await tab.wait("inbox")
        assert (inbox["unread"], [it["subject"] for it in inbox["items"]]) == (1, ["Before"])
    await tell(world, other, "Not yours")
    [new] = await tell(world, me, "Now")
    for tab in (one, two):
        told = await tab.wait("notification")
        assert (told["item"]["id"], told["item"]["subject"], told["unread"]) == (new, "Now", 2)
    await one.send(type="read", ids=[new])
    assert [(await tab.wait("unread"))["unread"] for tab in (one, two)] == [1, 1]
    await two.send(type="read_all", until=new)
    assert [(await tab.wait("unread"))["unread"] for tab in (one, two)] == [0, 0]
    await one.send(type="look", seen=new)
    assert {it["id"] for it in (await one.wait("inbox"))["items"]} <= {old, new}
    assert one.skipped == two.skipped == []
    assert "visavis_ws_connections 2.0" in (await world.nobody.get("//metrics")).text


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins are looked at again ten times a second."""
    monkeypatch.setattr(hub, "CHECK_SECONDS", 0.1)


async def test_a_login_is_enough_until_it_ends(often: None, world: World) -> None:
    me = await world.person(Role.MENTEE)
    await world.give_password(me)
    assert me.user is not None
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        origin = {"Origin": world.base}

        async def form(path: str, page: str, **fields: str) -> None:
            text = await (await browser.get(world.base + page)).text()
            token = text.partition('name="csrf_token" value="')[2].partition('"')[0]
            reply = await browser.post(
                world.base + path, data={"csrf_token": token, **fields}, headers=origin, allow_redirects=False
            )
            assert reply.status == 303

        await form("/login", "/login", email=me.user.email, password=PASSWORD)
        tab = Talker(await browser.ws_connect(f"{world.base}/ws", headers=origin))
        await tab.send(type="hello")
        assert (await tab.wait("inbox"))["unread"] == 0
        with pytest.raises(WSServerHandshakeError) as refused:
            await browser.ws_connect(f"{world.base}/ws", headers={"Origin": "https://evil.example"})
        assert refused.value.status == 403
        await form("/logout", "/dashboard")
        assert await tab.until_closed() == (4401, [{"type": "goodbye", "reason": "signed_out"}])


async def test_a_token_is_good_until_it_runs_out(often: None, world: World) -> None:
    me = await world.person(Role.MENTEE)
    by_hello, by_header = (
        await open_socket(world, me),
        await open_socket(world, Authorization=f"Bearer {me.token}"),
    )
    await by_header.send(type="hello")
    for talker in (by_hello, by_header):
        await talker.wait("inbox")
    world.clock.jump_to(world.clock.now() + timedelta(minutes=16))
    for talker in (by_hello, by_header):
        assert (await talker.until_closed())[0] == 4401
    late = await open_socket(world, me)
    closed, said = await late.until_closed()
    assert (closed, said[0]["code"]) == (4401, "token_expired")


async def test_nobody_in_particular_is_told_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = await open_socket(world)
    await stranger.send(type="hello")
    closed, said = await stranger.until_closed()
    assert (closed, said[0]["code"]) == (4401, "sign_in_required")
    monkeypatch.setattr(endpoint, "HELLO_SECONDS", 0.1)
    closed, said = await (await open_socket(world)).until_closed()
    assert (closed, said[0]["code"]) == (4408, "no_hello")


async def test_three_strikes(world: World) -> None:
    talker = await open_socket(world, await world.person(Role.MENTEE))
    await talker.wait("inbox")
    await talker.socket.send_str("{")
    await talker.send(type="dance")
    await talker.send(type="read", ids=["x"])
    closed, said = await talker.until_closed()
    assert (closed, [it["code"] for it in said]) == (4400, ["bad_json", "unknown_type", "bad_field"])


async def test_a_person_has_so_many_sockets_and_the_oldest_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MAX_PER_PERSON", 2)
    me = await world.person(Role.MENTEE)
    oldest, older = await open_socket(world, me), await open_socket(world, me)
    for talker in (oldest, older):
        await talker.wait("inbox")
    goes = asyncio.create_task(oldest.until_closed())  # it answers the close at once, as browsers do
    await (await open_socket(world, me)).wait("inbox")
    assert await goes == (4409, [{"type": "goodbye", "reason": "replaced"}])
    await older.quiet()


async def test_who_does_not_keep_up_is_told_to_look_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = await world.person(Role.MENTEE)
    talker = await open_socket(world, me)
    await talker.wait("inbox")
    monkeypatch.setattr(hub, "MAX_QUEUED", 0)  # as if nothing could be sent any more
    await tell(world, me, "A")
    assert await talker.next() == {"type": "look_again"}
    monkeypatch.undo()
    await talker.send(type="look")
    assert [it["subject"] for it in (await talker.wait("inbox"))["items"]] == ["A"]


async def test_after_a_lost_connection_everybody_looks_again(world: World, database_url: str) -> None:
    """Whatever was told while nobody listened is found by looking."""
    me = await world.person(Role.MENTEE)
    talker = await open_socket(world, me)
    await talker.wait("inbox")
    conn = await asyncpg.connect(database_url)
    killed = await conn.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'visavis listening'"
        " AND datname = current_database()"
    )
    await conn.close()
    assert len(killed) == 1
    await talker.wait("look_again")
    await tell(world, me, "After")
    assert (await talker.wait("notification"))["item"]["subject"] == "After"


async def test_after_a_restart_of_the_database_it_listens_and_counts_again(
    world: World, servers: Servers, database_url: str
) -> None:
    """Who asks while PostgreSQL is away is told to come back; who only listens keeps the socket."""
    me = await world.person(Role.MENTEE)
    await tell(world, me, "Before")
    talker, curious = await open_socket(world, me), await open_socket(world, me)
    for tab in (talker, curious):
        assert (await tab.wait("inbox"))["unread"] == 1
    await servers.postgres.stop()
    try:
        asked = asyncio.create_task(curious.until_closed())
        await curious.send(type="look")
        closed, said = await asked
        assert (closed, [it["code"] for it in said]) == (1013, ["unavailable"])
        await talker.send(type="read_all")
        assert (await talker.wait("error"))["code"] == "unavailable"
    finally:
        await servers.start_postgres_again()
    # Written by somebody else, perhaps before we listen again: then nobody tells us of it but our own look.
    async with await create_pool(database_url) as another:
        await put(another, me.id, world.clock.now(), "Meanwhile")
    await talker.wait("look_again")
    await talker.send(type="look")
    inbox = await talker.wait("inbox")
    assert (inbox["unread"], [it["subject"] for it in inbox["items"]]) == (2, ["Meanwhile", "Before"])
    [new] = await tell(world, me, "After")
    told = await talker.wait("notification")
    while told["item"]["subject"] == "Meanwhile":  # heard as well as looked at
        told = await talker.wait("notification")
    assert (told["item"]["id"], told["unread"]) == (new, 3)
    await talker.send(type="read", ids=[new])
    assert (await talker.wait("unread"))["unread"] == 2


async def test_two_web_processes_hear_the_same(world: World) -> None:
    """What one of them is told to mark as read, the other's tabs learn: the database carries it, and no Redis."""
    nowhere = replace(world.ctx.settings, redis_url="redis://127.0.0.1:1/0")
    async with running(nowhere, clock=world.clock) as app, TestServer(app) as server:
        second = replace(world, app=app, base=f"http://{server.host}:{server.port}")
        me = await world.person(Role.MENTEE)
        here, there = await open_socket(world, me), await open_socket(second, me)
        for talker in (here, there):
            await talker.wait("inbox")
        [new] = await tell(world, me, "A")
        for talker in (here, there):
            await talker.wait("notification")
        await there.send(type="read", ids=[new, str(uuid4())])
        for talker in (here, there):
            assert (await talker.wait("unread"))["unread"] == 0
        closing = asyncio.create_task(drain(app))
        assert await there.until_closed() == (1001, [{"type": "goodbye", "reason": "draining"}])
        await closing


async def test_a_login_that_cannot_be_looked_at_is_no_reason_to_go_for_good(world: World) -> None:
    """Without Redis nobody is known by a cookie: the page is asked to come back, and is not called a stranger."""
    nowhere = replace(world.ctx.settings, redis_url="redis://127.0.0.1:1/0")
    async with running(nowhere, clock=world.clock) as app, TestServer(app) as server:
        second = replace(world, app=app, base=f"http://{server.host}:{server.port}")
        talker = await open_socket(second, Cookie="visavis=somebody")
        await talker.send(type="hello")
        closed, said = await talker.until_closed()
        assert (closed, len(said)) == (1013, 1) and said[0]["code"] != "sign_in_required"
