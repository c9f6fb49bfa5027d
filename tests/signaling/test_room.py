"""People in a room: one seat each, chat in order, presence as the SFU sees it, and every way of parting."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, ClassVar

import pytest

import signaling
from server.app import MEDIA
from server.chat import actions as chat
from server.sessions import store as sessions_store
from signaling import connection as outgoing
from signaling import hub
from tests.media.client import OPUS_PT, caller, rtp
from tests.media.client import Client as MediaClient
from tests.signaling.conftest import PATIENCE, Stage, Talker, until


async def test_each_sees_the_other_come_change_and_go(stage: Stage) -> None:
    ada, _ = await stage.enter(stage.mentor)
    ben, welcome = await stage.enter(stage.mentee)
    assert {p["name"]: p["state"] for p in welcome["participants"]} == {
        "Ada Lovelace": "connected",
        "Ben Okri": "connected",
    }
    assert (await ada.wait("participant"))["participant"]["name"] == "Ben Okri"
    await ben.send(type="media_state", audio=True, video=False)
    changed = (await ada.wait("participant"))["participant"]
    assert (changed["audio"], changed["video"], changed["state"]) == (True, False, "connected")
    await ben.send(type="leave")
    closed, said = await ben.until_closed()
    assert (closed, said[-1]) == (1000, {"type": "goodbye", "reason": "left"})
    assert (await ada.wait("participant"))["participant"]["state"] == "away"


async def test_a_newer_connection_takes_the_seat(stage: Stage) -> None:
    first, _ = await stage.enter(stage.mentee)
    second, welcome = await stage.enter(stage.mentee)
    closed, said = await first.until_closed()
    assert (closed, said[-1]) == (4409, {"type": "goodbye", "reason": "replaced"})
    assert [p["state"] for p in welcome["participants"]] == ["away", "connected"]
    # The older tab's late end must not empty the seat.
    await second.send(type="chat", client_id="a", text="still here")
    assert (await second.wait("chat"))["text"] == "still here"
    assert stage.signaling.counters.takeovers == 1


async def test_chat_is_stored_once_and_everybody_hears_the_same_order(stage: Stage) -> None:
    ada, _ = await stage.enter(stage.mentor)
    ben, _ = await stage.enter(stage.mentee)

    async def talk(talker: Talker, name: str) -> None:
        for n in range(15):
            await talker.send(type="chat", client_id=f"{name}{n}", text=f"{name} {n}")

    await asyncio.gather(talk(ada, "ada"), talk(ben, "ben"))
    heard = [[await talker.wait("chat") for _ in range(30)] for talker in (ada, ben)]
    assert heard[0] == heard[1]
    assert [m["seq"] for m in heard[0]] == list(range(1, 31))
    for name in ("ada", "ben"):
        own = [m["client_id"] for m in heard[0] if m["client_id"].startswith(name)]
        assert own == [f"{name}{n}" for n in range(15)]
    # A resend, as after a lost socket: only the sender hears of it again.
    await ben.send(type="chat", client_id="ben3", text="ben 3")
    again = await ben.wait("chat")
    assert again in heard[0]
    assert await ada.quiet() == []
    # A newcomer, or a reload, has it all.
    _, welcome = await stage.enter(stage.mentee)
    assert [{"type": "chat", **line} for line in welcome["chat"]] == heard[0]


async def test_older_chat_comes_in_pages(stage: Stage) -> None:
    for n in range(60):
        await chat.say(stage.world.ctx, stage.session_id, stage.mentor.id, f"c{n}", f"line {n}")
    ben, welcome = await stage.enter(stage.mentee)
    assert [m["seq"] for m in welcome["chat"]] == list(range(11, 61)) and welcome["more"] is True
    await ben.send(type="chat_history", before=11)
    page = await ben.wait("chat_history")
    assert [m["seq"] for m in page["items"]] == list(range(1, 11)) and page["more"] is False


async def test_too_fast_is_refused_and_far_too_fast_ends(stage: Stage) -> None:
    ben, _ = await stage.enter(stage.mentee)
    for n in range(40):
        await ben.send(type="chat", client_id=f"c{n}", text="x")
    error = await ben.wait("error")
    # A slow machine lets some more flow in meanwhile; the exact rule is test_receive's.
    assert error["code"] == "too_many" and int(error["id"].removeprefix("c")) >= 20
    for _ in range(300):
        await ben.send(type="ping", t=1)
    closed, said = await ben.until_closed()
    assert closed == 4429 and said[-1]["code"] == "too_many"
    await stage.enter(stage.mentee)


async def test_a_slow_reader_goes_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "MAX_QUEUED", 0)  # as if nothing could be sent any more
    ada = await stage.open()
    await ada.send(type="hello", room_token=await stage.token(stage.mentor))
    closed, _ = await ada.until_closed()
    assert closed == 1013
    monkeypatch.undo()
    assert stage.signaling.counters.refusals["slow_consumer"] == 1
    _, welcome = await stage.enter(stage.mentee)
    assert {p["name"]: p["state"] for p in welcome["participants"]}["Ada Lovelace"] == "away"


async def test_the_room_closes_after_the_session(stage: Stage) -> None:
    ben, _ = await stage.enter(stage.mentee)
    stage.world.clock.jump_to(stage.start + timedelta(hours=1, minutes=14, seconds=58))
    closed, said = await ben.until_closed()
    assert closed == 4410
    assert [m["type"] for m in said] == ["session", "goodbye"]
    assert stage.world.clock.now() >= stage.start + timedelta(hours=1, minutes=15)


async def test_cancelling_ends_the_room(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "LOOK_AGAIN", 0.1)
    ben, _ = await stage.enter(stage.mentee)
    async with stage.world.ctx.pool.acquire() as conn:
        await sessions_store.cancel(conn, stage.session_id, stage.world.clock.now())
    closed, said = await ben.until_closed()
    assert (closed, said[0]) == (4410, {"type": "session", "status": "cancelled", "outcome": "cancelled"})


async def test_draining_says_so(stage: Stage) -> None:
    ben, _ = await stage.enter(stage.mentee)
    await signaling.drain(stage.world.app, 3)
    assert await ben.until_closed() == (1001, [{"type": "goodbye", "reason": "draining"}])
    late = await stage.open()
    await late.send(type="hello", room_token="whatever")
    assert (await late.until_closed())[0] == 1001


# ---------------------------------------------------------------- media


class Voice(MediaClient):
    """A person's media: offers on the room socket, then really does ICE, DTLS and SRTP with the SFU.

    ``sources`` is what its offers say of its m-lines.
    """

    talker: Talker

    sources: ClassVar[dict[str, str]] = {}

    async def join(self) -> str:
        await self.talker.send(type="offer", id="o", sdp=self.offer(), sources=self.sources)
        self.answer = (await self.talker.wait("answer", id="o"))["sdp"]
        return self.answer

    async def speak(self, packets: int = 5) -> None:
        for n in range(packets):
            self.sent = getattr(self, "sent", 0) + 1
            self.send(rtp(77, OPUS_PT, self.sent, self.sent * 960, b"opus", mid="0", level=20))
            await asyncio.sleep(0.02 if n else 0)


class Presenter(Voice):
    """Shows a screen where others show their face."""

    sources: ClassVar[dict[str, str]] = {"0": "microphone", "1": "screen"}


async def voice(stage: Stage, talker: Talker, kind: type[Voice] = Voice) -> Voice:
    media = stage.world.app[MEDIA]
    plain = caller(media, "unused")
    client = kind(media, plain.room, plain.participant, plain.peer, plain.sections)
    client.talker = talker
    await client.connect()
    await client.speak()
    return client


async def test_present_is_what_the_sfu_sees(stage: Stage) -> None:
    ada, _ = await stage.enter(stage.mentor)
    ben, _ = await stage.enter(stage.mentee)
    before = stage.world.clock.now()
    bens = await voice(stage, ben)
    while (person := (await ada.wait("participant"))["participant"])["state"] != "present":
        assert person["name"] == "Ben Okri"
    adas = await voice(stage, ada)
    shown: dict[str, str | None] = {}
    while shown.get("2") != str(stage.mentee.id):
        shown = {slot["mid"]: slot["user_id"] for slot in (await ada.wait("slots"))["slots"]}
    assert str(stage.mentor.id) not in shown.values()
    await ben.send(type="leave")
    await ben.until_closed()
    while (await ada.wait("participant"))["participant"]["state"] != "away":
        pass
    assert await stage.signaling.hub.sink.flush(PATIENCE)
    [ben_was, ada_is] = await stage.presences()
    assert ben_was["user_id"] == stage.mentee.id and ben_was["left_reason"] == "left"
    assert before <= ben_was["joined_at"] <= ben_was["left_at"] <= stage.world.clock.now()
    assert ada_is["left_at"] is None
    for client in (adas, bens):
        await client.close()


async def test_slots_say_what_they_show_and_lines_are_judged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "JUDGE_EVERY", 0.1)
    ada, _ = await stage.enter(stage.mentor)
    ben, _ = await stage.enter(stage.mentee)
    clients = [await voice(stage, ben, Presenter), await voice(stage, ada)]
    shown: dict[str, Any] = {}
    while shown.get("3") != (str(stage.mentee.id), "screen"):
        shown = {s["mid"]: (s["user_id"], s["source"]) for s in (await ada.wait("slots"))["slots"]}
    assert shown["2"] == (str(stage.mentee.id), "microphone")
    judged = await ada.wait("quality")
    assert judged["score"] in range(1, 6) and judged["cause"] in (None, "uplink", "downlink", "server")
    for client in clients:
        await client.close()


async def test_a_slot_that_is_not_shown_gets_nothing(stage: Stage) -> None:
    """Wanted 0 lines: nobody needs the sender's picture, and the sender hears so; wanted again, it is on at once."""
    ada, _ = await stage.enter(stage.mentor)
    ben, _ = await stage.enter(stage.mentee)
    bens, adas = await voice(stage, ben), await voice(stage, ada)
    await ada.wait("slots")
    await ada.send(type="want", slots=[{"mid": "3", "height": 0}, {"mid": "no-such-slot", "height": 90}])
    told = asyncio.create_task(ben.wait("layers"))
    while not told.done():  # who falls silent is no longer in the room
        await bens.speak()
        await adas.speak()
    assert (await told) == {"type": "layers", "mid": "1", "rids": []}
    await ada.send(type="want", slots=[{"mid": "3", "height": None}])
    assert (await ben.wait("layers"))["rids"] == [""]
    for client in (bens, adas):
        await client.close()


async def test_garbage_for_an_offer_is_refused_in_words(stage: Stage) -> None:
    ben, _ = await stage.enter(stage.mentee)
    await ben.send(type="offer", id="o9", sdp="v=0\r\nm=nonsense")
    error = await ben.wait("error")
    assert error["id"] == "o9" and error["code"]
    assert await ben.quiet() == []


async def test_a_lost_socket_resumes_its_media(stage: Stage) -> None:
    """The network takes the socket; media flow on; the same page comes back: one stay, no new offer."""
    ben, welcome = await stage.enter(stage.mentee)
    client = await voice(stage, ben)
    await ben.wait("participant")
    ben.socket._response.connection.transport.abort()  # type: ignore[union-attr]
    await until(lambda: stage.signaling.counters.connections == 0)
    await client.speak()
    back, again = await stage.enter(stage.mentee, resume=welcome["peer_id"])
    assert again["resumed"] is True and again["peer_id"] == welcome["peer_id"]
    assert again["you"]["state"] == "present"
    await client.speak()
    await back.send(type="leave")
    await back.until_closed()
    assert await stage.signaling.hub.sink.flush(PATIENCE)
    assert len(await stage.presences()) == 1
    await client.close()


async def test_a_reload_is_one_person(stage: Stage) -> None:
    """A new page knows nothing of the old one: it takes the seat, and the old media end before the new ones begin."""
    ben, _ = await stage.enter(stage.mentee)
    old = await voice(stage, ben)
    await ben.wait("participant")
    again, welcome = await stage.enter(stage.mentee)
    assert (await ben.until_closed())[0] == 4409
    assert welcome["resumed"] is False
    new = await voice(stage, again)
    while (await again.wait("participant"))["participant"]["state"] != "present":
        pass
    assert len(stage.world.app[MEDIA].presence(str(stage.session_id))) == 1
    await again.send(type="leave")
    await again.until_closed()
    assert await stage.signaling.hub.sink.flush(PATIENCE)
    first, second = await stage.presences()
    assert first["left_reason"] == "replaced" and first["left_at"] <= second["joined_at"]
    for client in (old, new):
        await client.close()


async def test_a_new_offer_on_the_same_socket_replaces_the_media(stage: Stage) -> None:
    ben, _ = await stage.enter(stage.mentee)
    old = await voice(stage, ben)
    new = await voice(stage, ben)
    await new.speak()
    assert len(stage.world.app[MEDIA].presence(str(stage.session_id))) == 1
    await ben.send(type="leave")
    await ben.until_closed()
    await until(lambda: not stage.world.app[MEDIA].presence(str(stage.session_id)))
    for client in (old, new):
        await client.close()


async def test_silent_media_without_a_socket_are_let_go(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HOLD_MEDIA", 0.2)
    ben, _ = await stage.enter(stage.mentee)
    client = await voice(stage, ben)
    await ben.socket.close()
    # Packets flow: the SFU's word counts, and nobody leaves.
    for _ in range(30):
        await client.speak()
    assert stage.world.app[MEDIA].presence(str(stage.session_id))[0].joined_at is not None
    # They stop: after the SFU's five seconds of silence the hold is over.
    await until(lambda: not stage.world.app[MEDIA].presence(str(stage.session_id)), 15)
    assert await stage.signaling.hub.sink.flush(PATIENCE)
    [was] = await stage.presences()
    assert was["left_reason"] == "media_silence"
    await client.close()
