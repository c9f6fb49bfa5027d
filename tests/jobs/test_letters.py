"""A reaction that fails for good becomes a dead letter, which an administrator reads and sends through again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.outbox import MAX_ATTEMPTS, drain
from server.base.errors import NotFound
from server.base.letters import listed
from server.operations.actions import replay_fact
from server.people import actions as people
from tests.support.story import PASSWORD, Story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)


async def test_a_poisoned_fact_dies_alone_is_listed_and_replayed_once(story: Story) -> None:
    booking = await story.request(START)
    pool = story.ctx.pool
    await pool.execute("UPDATE users SET timezone = 'Mars/Phobos' WHERE id = $1", story.mentor.id)
    for _ in range(MAX_ATTEMPTS):
        assert await listed(story.ctx, None, 10) == []
        await drain(story.ctx)
        story.clock.step(timedelta(minutes=5))
    [letter] = await listed(story.ctx, None, 10)
    assert (letter.kind, letter.session_id) == ("booking_requested", booking.session_id)
    assert letter.data["mentor_id"] == str(story.mentor.id)
    assert list(letter.errors) == ["ask_mentor"] and "Mars/Phobos" in letter.errors["ask_mentor"]
    assert await listed(story.ctx, letter.id, 10) == []

    await pool.execute("UPDATE users SET timezone = 'UTC' WHERE id = $1", story.mentor.id)
    done = await pool.fetchval("SELECT done_at FROM fact_reactions WHERE reaction = 'take_offer'")
    admin = (await people.create_admin(story.ctx, "root@example.org", PASSWORD)).id
    await replay_fact(story.ctx, admin, letter.id)
    with pytest.raises(NotFound, match="dead_letter_not_found"):
        await replay_fact(story.ctx, admin, letter.id)
    await drain(story.ctx)
    assert await listed(story.ctx, None, 10) == []
    mails = "SELECT count(*) FROM notifications WHERE kind = 'booking_requested' AND channel = 'email'"
    assert await pool.fetchval(mails) == 1
    assert done == await pool.fetchval("SELECT done_at FROM fact_reactions WHERE reaction = 'take_offer'")
