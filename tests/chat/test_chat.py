"""Chat is ordered without gaps, stored once however often it is sent, and refuses what cannot be kept."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import Invalid, NotFound
from server.base.ids import new_id
from server.chat import actions as chat
from server.chat.model import faults
from server.settings import Settings
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


async def test_many_at_once_are_numbered_without_gaps(story: Story) -> None:
    session = (await story.session(START)).session_id
    said = await asyncio.gather(
        *(
            chat.say(story.ctx, session, who.id, f"{who.role}-{n}", f"line {n}")
            for n in range(20)
            for who in (story.mentor, story.mentee)
        )
    )
    assert sorted(m.seq for m in said) == list(range(1, 41))
    history = await chat.recent(story.ctx, session)
    assert [m.seq for m in history.items] == list(range(1, 41))
    assert not history.more
    assert {m.name for m in history.items} == {"Asha Rao", "Jonas Weber"}


async def test_a_message_sent_again_is_the_same_message(story: Story) -> None:
    session = (await story.session(START)).session_id
    first, *again = await asyncio.gather(
        *(chat.say(story.ctx, session, story.mentor.id, "m1", "hello") for _ in range(5))
    )
    assert all(m == first for m in again)
    assert await chat.say(story.ctx, session, story.mentor.id, "m1", "something else") == first
    assert (await chat.say(story.ctx, session, story.mentee.id, "m1", "hi")).seq == 2


async def test_history_goes_back_page_by_page(story: Story) -> None:
    session = (await story.session(START)).session_id
    for n in range(1, 8):
        await chat.say(story.ctx, session, story.mentee.id, str(n), f"line {n}")
    page = await chat.recent(story.ctx, session, limit=3)
    assert ([m.text for m in page.items], page.more) == (["line 5", "line 6", "line 7"], True)
    page = await chat.recent(story.ctx, session, before=5, limit=3)
    assert ([m.seq for m in page.items], page.more) == ([2, 3, 4], True)
    page = await chat.recent(story.ctx, session, before=2, limit=3)
    assert ([m.seq for m in page.items], page.more) == ([1], False)


async def test_refusals(story: Story) -> None:
    session = (await story.session(START)).session_id
    with pytest.raises(Invalid) as refused:
        await chat.say(story.ctx, session, story.mentor.id, "", "  ")
    assert {e.field for e in refused.value.errors} == {"client_id", "text"}
    with pytest.raises(NotFound):
        await chat.say(story.ctx, new_id(), story.mentor.id, "m", "hello")
    assert (await chat.recent(story.ctx, session)).items == ()


async def test_everything_without_a_fault_can_be_stored(story: Story) -> None:
    session = (await story.session(START)).session_id
    for n, text in enumerate(["😀 naïve ﷽", "a\u202eb", "\r\n\t x", "x" * 4000, "\ufffe\x01y"]):
        assert faults(str(n), text) == []
        assert (await chat.say(story.ctx, session, story.mentor.id, str(n), text)).text == text


@given(st.text(st.characters(), max_size=50))
def test_what_passes_is_utf8_without_nul(text: str) -> None:
    if not faults("id", text):
        assert b"\x00" not in text.encode()


@pytest.mark.parametrize("text", ["\ud83d", "a\x00b", "", "\n", "x" * 4001])
def test_what_cannot_be_stored_is_refused(text: str) -> None:
    assert [f.field for f in faults("id", text)] == ["text"]
