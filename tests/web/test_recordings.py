"""The flight recording of a session: over the API for administrators, and on the terminal (`visavis trace --media`)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from aiohttp import ClientSession

from media import recorder
from media.timeline import render
from server.app import MEDIA
from server.base.errors import NotFound, Unavailable
from server.base.ids import new_id
from server.cli import trace
from server.embedded.postgres import free_port
from server.people.model import Role
from server.people.tokens import operator_token
from server.recording import fetch
from server.settings import Settings
from tests.media.client import OPUS_PT, Client, caller, rtp
from tests.web.conftest import NOW, World, hour, open_hours

SECRET = b"a word between two people"


async def speaking(world: World, room: UUID) -> Client:
    """Somebody whose packet has reached the media server."""
    client = caller(world.app[MEDIA], "somebody", room=str(room))
    await client.connect()
    client.send(rtp(7, OPUS_PT, 1, 960, SECRET, mid="0", level=20))
    await client.until(lambda: any(s.joined_at for s in world.app[MEDIA].presence(str(room))))
    return client


def settings_of(world: World) -> Settings:
    return replace(world.ctx.settings, host="127.0.0.1", port=urlsplit(world.base).port or 0)


async def test_administrators_get_it_and_nobody_else(world: World) -> None:
    session = new_id()
    admin, mentee = await world.person(Role.ADMIN), await world.person(Role.MENTEE)
    assert (await admin.get(f"/sessions/{session}/media")).json["code"] == "nothing_recorded"
    client = await speaking(world, session)
    assert (await mentee.get(f"/sessions/{session}/media")).status == 403
    assert (await world.nobody.get(f"/sessions/{session}/media")).status == 401
    data = await fetch(settings_of(world), session, world.ctx.clock.now())
    recording = recorder.read(data)
    assert recording.room_id == str(session) and SECRET not in data
    text = render(recording)
    assert "somebody (somebody) audio 0 (opus): 1 packets, 0 kB, 0 never came" in text
    assert "somebody (somebody) sends media" in text
    await client.close()


async def test_the_operators_token_is_short_lived_and_names_nobody(world: World) -> None:
    settings = settings_of(world)
    now = world.ctx.clock.now()
    async with ClientSession() as http:
        for token, status in (
            (operator_token(settings, now), 404),
            (operator_token(settings, now - timedelta(minutes=2)), 401),
            (operator_token(replace(settings, secret_key="x" * 40), now), 401),
        ):
            url = f"http://127.0.0.1:{settings.port}/api/v1/sessions/{new_id()}/media"
            async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
                assert response.status == status
    assert now >= NOW


async def test_without_a_recording_or_a_server_there_is_a_sentence(world: World) -> None:
    settings = settings_of(world)
    with pytest.raises(NotFound, match="has not seen this session"):
        await fetch(settings, new_id(), world.ctx.clock.now())
    with pytest.raises(Unavailable, match="No recording from the web process"):
        await fetch(replace(settings, port=free_port()), new_id(), world.ctx.clock.now())


async def test_the_command_prints_a_timeline_and_saves_the_recording(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mentor, mentee = await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    booked = await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})
    session = UUID(booked.json["session_id"])
    client = await speaking(world, session)
    saved = tmp_path / "call.vvfr"
    assert (
        await trace(settings_of(world), session, media=True, media_out=saved, now=world.ctx.clock.now()) == 0
    )
    out = capsys.readouterr().out
    assert "booked" in out and f"media of {session}" in out and "sends media" in out
    assert recorder.read(saved.read_bytes()).room_id == str(session)
    await client.close()
