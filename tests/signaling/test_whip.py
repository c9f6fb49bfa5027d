"""WHIP and WHEP through the whole product: another stack's client, HTTP as the RFC wants it, one truth on presence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from av import VideoFrame

from server.sessions import store as sessions
from server.settings import Settings, Turn
from tests.media.client import offer, section
from tests.signaling.conftest import Stage, until
from tests.support.foreign import Foreigner, bare, foreigner, waiting
from tests.web.conftest import Client, Reply

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
BROADCAST = offer([section("0", "audio", "sendonly"), section("1", "video", "sendonly")])
VIEW = offer([section("0", "audio", "recvonly"), section("1", "video", "recvonly")])


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    turn = Turn(("stun:stun.example.org", "turn:turn.example.org?transport=tcp"), "secret-of-the-relay", 600)
    return replace(settings, demo=True, port=0, media_port=0, turn=turn)


@dataclass(slots=True)
class Caller:
    """Speaks HTTP for one person with a room token."""

    stage: Stage
    token: str | None

    @classmethod
    async def of(cls, stage: Stage, person: Client) -> Caller:
        return cls(stage, await stage.token(person))

    async def __call__(
        self, method: str, path: str, body: str | bytes = "", type: str = SDP, **headers: str
    ) -> Reply:
        named = {"Content-Type": type} | {k.replace("_", "-"): v for k, v in headers.items()}
        if self.token is not None:
            named["Authorization"] = f"Bearer {self.token}"
        data = body.encode() if isinstance(body, str) else body
        url = path if path.startswith("http") else self.stage.world.base + path
        async with self.stage.world.http.request(method, url, data=data, headers=named) as response:
            return await Reply.of(response)

    async def whip(self, body: str = BROADCAST) -> Reply:
        return await self("POST", f"/whip/{self.stage.session_id}", body)

    async def whep(self, body: str = VIEW, query: str = "") -> Reply:
        return await self("POST", f"/whep/{self.stage.session_id}{query}", body)


@pytest.fixture
async def mentor(stage: Stage) -> Caller:
    return await Caller.of(stage, stage.mentor)


@pytest.fixture
async def mentee(stage: Stage) -> Caller:
    return await Caller.of(stage, stage.mentee)


@pytest.fixture
async def camera() -> AsyncIterator[Foreigner]:
    async with foreigner() as somebody:
        yield somebody


@pytest.fixture
async def screen() -> AsyncIterator[Foreigner]:
    async with foreigner() as somebody:
        yield somebody


async def publish(camera: Foreigner, caller: Caller, munge: Any = str) -> Reply:
    replies: list[Reply] = []

    async def post(sdp: str) -> str:
        replies.append(await caller.whip(sdp))
        assert replies[0].status == 201, replies[0].text
        return replies[0].text

    camera.send()
    await camera.negotiate(post, munge)
    return replies[0]


async def watch(screen: Foreigner, caller: Caller, query: str = "") -> Reply:
    replies: list[Reply] = []

    async def post(sdp: str) -> str:
        replies.append(await caller.whep(sdp, query))
        assert replies[0].status == 201, replies[0].text
        return replies[0].text

    screen.receive()
    await screen.negotiate(post)
    return replies[0]


async def attendance(stage: Stage, client: Client) -> dict[str, Any]:
    reply = await (await stage.world.fresh(client)).get(f"/sessions/{stage.session_id}/attendance")
    return next(item for item in reply.json["items"] if item["user_id"] == str(client.id))


# ---------------------------------------------------------------- the whole way


@pytest.mark.parametrize("munge", [bare, waiting])
async def test_what_an_encoder_publishes_a_player_decodes_and_the_person_was_there(
    stage: Stage, mentor: Caller, mentee: Caller, camera: Foreigner, screen: Foreigner, munge: Any
) -> None:
    talker, welcome = await stage.enter(stage.mentee)
    assert {p["state"] for p in welcome["participants"] if p["user_id"] != str(stage.mentee.id)} == {"away"}
    created = await publish(camera, mentor, munge)
    assert created.headers["Content-Type"].startswith(SDP)
    assert created.headers["Location"].startswith(f"/whip/{stage.session_id}/")
    assert created.headers["ETag"].startswith('"')
    links = created.headers.getall("Link")
    assert links[0] == '<stun:stun.example.org>; rel="ice-server"'
    assert links[1].startswith('<turn:turn.example.org?transport=tcp>; rel="ice-server"; username="')
    seen = await talker.wait("participant")
    assert (seen["participant"]["user_id"], seen["participant"]["state"]) == (str(stage.mentor.id), "present")
    assert seen["participant"]["audio"] and seen["participant"]["video"]

    watched = await watch(screen, mentee)
    await screen.watch()
    frame = screen.last["video"]
    assert isinstance(frame, VideoFrame) and (frame.width, frame.height) == (640, 480)

    left = await mentor("DELETE", created.headers["Location"])
    assert (left.status, left.text) == (200, "")
    gone = await talker.wait("participant")
    assert (gone["participant"]["state"], gone["participant"]["video"]) == ("away", False)
    again = await mentor("DELETE", created.headers["Location"])
    assert again.status == 200
    ended = await mentor("PATCH", created.headers["Location"], "a=ice-ufrag:abcd", FRAGMENT, If_Match="*")
    assert (ended.status, ended.json["code"]) == (404, "resource_over")
    await mentee("DELETE", watched.headers["Location"])
    await stage.signaling.hub.sink.flush(10)
    there = await attendance(stage, stage.mentor)
    assert there["media_seconds"] > 0 and len(there["intervals"]) == 1 and there["last_left_at"] is not None
    # Watching alone is not attendance.
    assert (await attendance(stage, stage.mentee))["intervals"] == []


async def test_who_publishes_without_a_socket_is_found_by_who_comes_later(
    stage: Stage, mentor: Caller, camera: Foreigner
) -> None:
    await publish(camera, mentor)
    await until(lambda: stage.signaling.counters.presence_written == 1)
    _, welcome = await stage.enter(stage.mentee)
    there = next(p for p in welcome["participants"] if p["user_id"] == str(stage.mentor.id))
    assert (there["state"], there["video"]) == ("present", True)


async def test_the_socket_and_the_encoder_of_one_person_come_and_go_by_themselves(
    stage: Stage, mentor: Caller, camera: Foreigner
) -> None:
    other, _ = await stage.enter(stage.mentee)
    own, _ = await stage.enter(stage.mentor)
    await publish(camera, mentor)
    await other.wait("participant")  # connected
    assert (await other.wait("participant"))["participant"]["state"] == "present"
    await own.send(type="leave")
    await own.until_closed()
    assert [m for m in await other.quiet() if m["type"] == "participant"] == []  # still present
    own, welcome = await stage.enter(stage.mentor)
    assert welcome["you"]["state"] == "present"
    await camera.close()
    assert (await other.wait("participant"))["participant"]["state"] == "connected"


async def test_a_new_publication_ends_the_former_one(stage: Stage, mentor: Caller, camera: Foreigner) -> None:
    first = await publish(camera, mentor)
    second = await mentor.whip()
    assert second.status == 201
    late = await mentor("PATCH", first.headers["Location"], "a=end-of-candidates", FRAGMENT, If_Match="*")
    assert (late.status, late.json["code"]) == (404, "resource_over")
    fresh = await mentor("PATCH", second.headers["Location"], "a=end-of-candidates", FRAGMENT, If_Match="*")
    assert fresh.status == 204


async def test_a_resource_ends_with_its_media(stage: Stage, mentor: Caller, camera: Foreigner) -> None:
    created = await publish(camera, mentor)
    await until(lambda: stage.signaling.counters.presence_written == 1)
    await camera.close()  # close_notify
    await until(lambda: stage.signaling.counters.presence_written == 2)
    late = await mentor("PATCH", created.headers["Location"], "a=end-of-candidates", FRAGMENT, If_Match="*")
    assert late.status == 404
    assert (await mentor("DELETE", created.headers["Location"])).status == 200


async def test_nobody_is_left_in_a_room_that_closes(stage: Stage, mentor: Caller, camera: Foreigner) -> None:
    await publish(camera, mentor)
    await until(lambda: stage.signaling.counters.presence_written == 1)
    stage.world.clock.jump_to(stage.start + timedelta(hours=1, minutes=15))
    await until(lambda: stage.signaling.counters.presence_written == 2)
    refused = await mentor.whip()
    assert (refused.status, refused.json["code"]) == (401, "room_token_expired")


async def test_a_cancelled_session_has_no_doors(stage: Stage, mentor: Caller, camera: Foreigner) -> None:
    await publish(camera, mentor)
    await until(lambda: stage.signaling.counters.presence_written == 1)
    async with stage.world.ctx.pool.acquire() as conn:
        await sessions.cancel(conn, stage.session_id, stage.world.clock.now())
    await until(lambda: stage.signaling.counters.presence_written == 2)
    for refused in (await mentor.whip(), await mentor.whep()):
        assert (refused.status, refused.json["code"]) == (409, "session_over")


async def test_a_player_may_choose_whom_it_shows(
    stage: Stage, mentor: Caller, camera: Foreigner, screen: Foreigner
) -> None:
    await publish(camera, mentor)
    await watch(screen, mentor, f"?participant={stage.mentor.id}")  # one's own picture, because asked for
    await screen.watch()
    wrong = await mentor.whep(query="?participant=4d2e9ee6-6a1c-4a6f-8ad0-0a5ce8f8e3d7")
    assert (wrong.status, wrong.json["errors"][0]["field"]) == (422, "participant")


# ---------------------------------------------------------------- HTTP


async def test_ice_is_trickled_and_restarted_under_entity_tags(stage: Stage, mentor: Caller) -> None:
    created = await mentor.whip()
    where, tag = created.headers["Location"], created.headers["ETag"]
    same = "a=ice-ufrag:abcd\r\na=ice-pwd:" + "p" * 24 + "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    trickled = await mentor(
        "PATCH", where, same + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", FRAGMENT, If_Match=tag
    )
    assert (trickled.status, trickled.text) == (204, "") and "ETag" not in trickled.headers
    without = await mentor("PATCH", where, same, FRAGMENT)
    assert (without.status, without.json["code"]) == (428, "if_match_required")
    restart = "a=ice-ufrag:efgh\r\na=ice-pwd:" + "q" * 24 + "\r\n"
    restarted = await mentor("PATCH", where, restart, FRAGMENT, If_Match="*")
    assert restarted.status == 200 and restarted.headers["Content-Type"].startswith(FRAGMENT)
    assert "a=ice-ufrag:" in restarted.text and "a=ice-pwd:" in restarted.text
    assert restarted.headers["ETag"] != tag
    late = await mentor("PATCH", where, same, FRAGMENT, If_Match=tag)
    assert (late.status, late.json["code"]) == (412, "other_ice_session")
    weak = await mentor("PATCH", where, restart, FRAGMENT, If_Match=f"W/{restarted.headers['ETag']}")
    assert weak.status == 412
    listed = await mentor("PATCH", where, restart, FRAGMENT, If_Match=f'"x", {restarted.headers["ETag"]}')
    assert listed.status == 204
    broken = await mentor("PATCH", where, "hello", FRAGMENT, If_Match="*")
    assert (broken.status, broken.json["code"]) == (422, "bad_sdp")
    wrong = await mentor("PATCH", where, same, SDP, If_Match="*")
    assert wrong.status == 415 and wrong.headers["Accept-Patch"] == FRAGMENT


async def test_refusals_are_problem_documents_with_codes(
    stage: Stage, mentor: Caller, mentee: Caller
) -> None:
    path = f"/whip/{stage.session_id}"
    nobody, liar = Caller(stage, None), Caller(stage, "made.up.token")
    created = await mentor.whip()
    where = created.headers["Location"]
    elsewhere = where.replace("/whip/", "/whep/")
    other = "/whip/4d2e9ee6-6a1c-4a6f-8ad0-0a5ce8f8e3d7"
    replies = [
        (await nobody("POST", path, BROADCAST), 401, "room_token_missing"),
        (await liar("POST", path, BROADCAST), 401, "room_token_invalid"),
        (await liar("PATCH", where, "", FRAGMENT), 401, "room_token_invalid"),
        (await nobody("DELETE", where), 401, "room_token_missing"),
        (await mentor("POST", other, BROADCAST), 403, "room_token_foreign"),
        (await mentor("POST", "/whip/x", BROADCAST), 404, "session_not_found"),
        (await mentor("DELETE", path + "/nothing"), 404, "resource_not_found"),
        (await mentor("DELETE", elsewhere), 404, "resource_not_found"),
        (await mentee("DELETE", where), 403, "not_your_resource"),
        (await mentee("PATCH", where, "", FRAGMENT), 403, "not_your_resource"),
        (await mentor("GET", path), 405, "method_not_allowed"),
        (await mentor("PUT", path, BROADCAST), 405, "method_not_allowed"),
        (await mentor("GET", where), 405, "method_not_allowed"),
        (await mentor("POST", where, BROADCAST), 405, "method_not_allowed"),
        (await mentor("POST", path, BROADCAST, "text/plain"), 415, "unsupported_media_type"),
        (await mentor("POST", path, b"x" * 70_000), 413, "body_too_large"),
        (await mentor("POST", path, b"\xff\xfe"), 422, "bad_sdp"),
        (await mentor("POST", path, ""), 422, "bad_sdp"),
        (await mentor("POST", path, VIEW), 422, "no_media"),
        (
            await mentor("POST", path, BROADCAST.replace("VP8", "HEVC").replace("VP9", "MPEG")),
            422,
            "no_common_codec",
        ),
    ]
    for reply, status, code in replies:
        assert (reply.status, reply.json["code"]) == (status, code), reply.text
        assert reply.headers["Content-Type"].startswith("application/problem+json")
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert replies[0][0].headers["WWW-Authenticate"] == "Bearer"
    assert replies[14][0].headers["Accept-Post"] == SDP
    assert (await mentor("DELETE", where)).status == 200


async def test_pages_of_other_origins_may_ask(stage: Stage) -> None:
    nobody = Caller(stage, None)
    for path in (f"/whip/{stage.session_id}", f"/whep/{stage.session_id}/anything"):
        allowed = await nobody(
            "OPTIONS", path, Origin="https://studio.example", Access_Control_Request_Method="POST",
            Access_Control_Request_Headers="authorization,content-type",
        )  # fmt: skip
        assert allowed.status == 204
        assert allowed.headers["Access-Control-Allow-Origin"] == "*"
        assert "PATCH" in allowed.headers["Access-Control-Allow-Methods"]
        assert "If-Match" in allowed.headers["Access-Control-Allow-Headers"]
        assert "Location" in allowed.headers["Access-Control-Expose-Headers"]
        assert "Link" not in allowed.headers
    assert "Access-Control-Allow-Origin" not in (await nobody("GET", "/healthz")).headers


async def test_limits(stage: Stage, mentor: Caller, mentee: Caller) -> None:
    """Five offers at once are a person's reconnects, a hundred are not; four views are enough for one."""
    statuses = [(await mentee.whep()) for _ in range(5)]
    assert [r.status for r in statuses] == [201] * 4 + [409]
    assert statuses[-1].json["code"] == "too_many_views"
    replies = [await mentor.whip() for _ in range(7)]
    assert [r.status for r in replies[:6]] == [201] * 6
    assert (replies[6].status, replies[6].json["code"]) == (429, "rate_limited")
    assert int(replies[6].headers["Retry-After"]) >= 1
    where = replies[5].headers["Location"]
    patches = [await mentor("PATCH", where, "a=end-of-candidates", FRAGMENT, If_Match="*") for _ in range(25)]
    assert patches[0].status == 204 and patches[-1].status == 429


async def test_a_server_that_stops_takes_nobody_in(stage: Stage, mentor: Caller, camera: Foreigner) -> None:
    await publish(camera, mentor)
    await until(lambda: stage.signaling.counters.presence_written == 1)
    await stage.signaling.hub.drain(5)
    await until(lambda: stage.signaling.counters.presence_written == 2)
    refused = await mentor.whip()
    assert (refused.status, refused.json["code"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "5"
