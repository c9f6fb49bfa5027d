"""Who gets in, who does not, and what they are told: tokens, strikes, limits, foreign pages."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from aiohttp import WSServerHandshakeError

from server.people.model import Role
from server.sessions import store
from signaling import endpoint
from signaling.messages import MAX_FRAME
from tests.signaling.conftest import Stage, until


async def test_a_welcome_tells_who_and_what_the_room_is(stage: Stage) -> None:
    _, welcome = await stage.enter(stage.mentee)
    assert welcome["you"]["user_id"] == str(stage.mentee.id)
    assert welcome["session"]["id"] == str(stage.session_id)
    assert welcome["session"]["title"] == "My first talk"
    states = {p["name"]: p["state"] for p in welcome["participants"]}
    assert states == {"Ada Lovelace": "away", "Ben Okri": "connected"}
    assert welcome["chat"] == [] and welcome["resumed"] is False


@pytest.mark.parametrize(
    ("make", "code", "close"),
    [
        ("garbage", "room_token_invalid", 4401),
        ("access", "room_token_invalid", 4401),
        ("expired", "room_token_expired", 4401),
        ("foreign", "room_token_foreign", 4403),
    ],
)
async def test_bad_tokens_are_refused_before_any_media_is_made(
    stage: Stage, make: str, code: str, close: int
) -> None:
    session_id: object = stage.session_id
    match make:
        case "garbage":
            token = "not.a.token"
        case "access":
            token = stage.mentee.token or ""
        case "foreign":
            token, session_id = await stage.token(stage.mentee), uuid4()
        case _:
            token = await stage.token(stage.mentee)
            stage.world.clock.jump_to(stage.start + timedelta(hours=3))
    talker = await stage.open(session_id)
    await talker.send(type="hello", room_token=token)
    closed, said = await talker.until_closed()
    assert closed == close
    assert [m["code"] for m in said] == [code]
    assert stage.signaling.counters.refusals[code] == 1
    metrics = await stage.world.nobody.get("//metrics")
    assert "visavis_media_peers 0.0" in metrics.text


async def test_a_cancelled_session_has_no_room(stage: Stage) -> None:
    token = await stage.token(stage.mentee)
    async with stage.world.ctx.pool.acquire() as conn:
        await store.cancel(conn, stage.session_id, stage.world.clock.now())
    talker = await stage.open()
    await talker.send(type="hello", room_token=token)
    closed, said = await talker.until_closed()
    assert closed == 4410
    assert said[0]["code"] == "session_over" and said[-1] == {"type": "goodbye", "reason": "ended"}


async def test_a_room_address_that_is_none(stage: Stage) -> None:
    talker = await stage.open("not-a-uuid")
    closed, said = await talker.until_closed()
    assert (closed, said[0]["code"]) == (4404, "no_such_session")


async def test_hello_comes_first_and_only_once(stage: Stage) -> None:
    talker = await stage.open()
    await talker.send(type="ping", t=1)
    assert (await talker.wait("error"))["code"] == "unexpected_message"
    await talker.send(type="hello", room_token=await stage.token(stage.mentee))
    await talker.wait("welcome")
    await talker.send(type="hello", room_token="again")
    assert (await talker.wait("error"))["code"] == "unexpected_message"
    await talker.send(type="ping", t=2)
    assert (await talker.wait("pong"))["t"] == 2


async def test_three_strikes(stage: Stage) -> None:
    talker, _ = await stage.enter(stage.mentee)
    await talker.socket.send_str("{")
    await talker.send(type="dance")
    await talker.socket.send_bytes(b"\x00")
    closed, said = await talker.until_closed()
    assert closed == 4400
    assert [m["code"] for m in said] == ["bad_json", "unknown_type", "bad_json"]


async def test_silence_at_the_door(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "HELLO_SECONDS", 0.2)
    talker = await stage.open()
    closed, said = await talker.until_closed()
    assert (closed, said[0]["code"]) == (4408, "no_hello")


async def test_a_frame_too_large_closes(stage: Stage) -> None:
    talker, _ = await stage.enter(stage.mentee)
    await talker.socket.send_str("x" * (MAX_FRAME + 1))
    closed, _ = await talker.until_closed()
    assert closed == 1009
    # The neighbourhood is not impressed.
    await stage.enter(stage.mentee)


async def test_a_page_of_another_site_does_not_get_a_socket(stage: Stage) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await stage.open(Origin="https://evil.example")
    assert refused.value.status == 403
    at_home = await stage.open(Origin=stage.world.base)
    await at_home.send(type="hello", room_token=await stage.token(stage.mentee))
    await at_home.wait("welcome")


async def test_an_administrator_has_no_seat(stage: Stage) -> None:
    admin = await stage.world.person(Role.ADMIN)
    reply = await admin.post(f"/sessions/{stage.session_id}/join", {})
    assert reply.status == 403


async def test_sockets_are_counted(stage: Stage) -> None:
    talker, _ = await stage.enter(stage.mentee)
    assert "visavis_ws_connections 1.0" in (await stage.world.nobody.get("//metrics")).text
    await talker.socket.close()
    await until(lambda: stage.signaling.counters.connections == 0)
