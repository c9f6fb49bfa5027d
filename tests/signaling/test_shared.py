"""One room for several sessions: who comes later is seen, and who gives up a seat leaves the room to the others."""

from __future__ import annotations

import pytest

from server.people.model import Role
from signaling import hub
from tests.signaling.conftest import Stage, Talker
from tests.web.conftest import Client, hour, open_hours


async def seat(stage: Stage, mentee: Client) -> str:
    """Another seat of the stage's session: its id."""
    booked = await mentee.post("/bookings", {**hour(1, 10), "mentor_id": str(stage.mentor.id)})
    assert booked.status == 201, booked.text
    mentor = await stage.world.fresh(stage.mentor)
    approved = await mentor.post(f"/bookings/{booked.json['id']}/approve", {})
    assert approved.status == 200, approved.text
    return str(booked.json["session_id"])


async def join(stage: Stage, client: Client, session_id: str) -> tuple[Talker, str]:
    """By a session of one's own into whichever room it leads: the socket, not yet greeted, and the token."""
    reply = await client.post(f"/sessions/{session_id}/join", {})
    assert reply.status == 200, reply.text
    assert reply.json["ws_url"].endswith(f"/ws/sessions/{reply.json['room_id']}")
    return await stage.open(reply.json["room_id"]), reply.json["room_token"]


async def test_seats_meet_in_one_room_and_follow_when_it_goes_to_the_next(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "LOOK_AGAIN", 0.0)
    await open_hours(await stage.world.fresh(stage.mentor), capacity=2)
    ada, _ = await stage.enter(stage.mentor)
    cy = await stage.world.person(Role.MENTEE, "Cy Twombly", tokens=100)
    own = await seat(stage, cy)
    talker, token = await join(stage, cy, own)
    await talker.send(type="hello", room_token=token)
    welcome = await talker.wait("welcome")
    assert [p["name"] for p in welcome["participants"]] == ["Ada Lovelace", "Ben Okri", "Cy Twombly"]
    while (await ada.wait("participant"))["participant"]["name"] != "Cy Twombly":
        pass
    await talker.send(type="chat", client_id="a", text="Hello, group")
    assert (await ada.wait("chat"))["text"] == "Hello, group"

    booking = (await (await stage.world.fresh(stage.mentee)).get(f"/sessions/{stage.session_id}")).json
    ben = await stage.world.fresh(stage.mentee)
    assert (await ben.post(f"/bookings/{booking['booking_id']}/cancel", {"reason": "Ill."})).status == 200
    for each in (ada, talker):
        closed, said = await each.until_closed()
        assert (closed, said[-1]) == (1001, {"type": "goodbye", "reason": "draining"})
    again, token = await join(stage, await stage.world.fresh(stage.mentor), str(stage.session_id))
    await again.send(type="hello", room_token=token)
    welcome = await again.wait("welcome")
    assert welcome["session"]["id"] == own
    assert [p["name"] for p in welcome["participants"]] == ["Ada Lovelace", "Cy Twombly"]
    assert [line["text"] for line in welcome["chat"]] == ["Hello, group"]
    refused = await ben.post(f"/sessions/{stage.session_id}/join", {})
    assert (refused.status, refused.json["code"]) == (409, "session_cancelled")
