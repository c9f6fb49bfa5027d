"""Testimonials: one per attended session, by its mentee, read before they are shown, and out of reach once they are."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.outbox import drain
from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from server.people import actions as people
from server.settings import Settings
from server.testimonials import actions as testimonials
from server.testimonials.model import (
    ASKED_FOR,
    LONGEST,
    TRANSITIONS,
    Status,
    Step,
    next_status,
    rating_of,
)
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


async def held(story: Story, start: datetime = START, *, mentee_comes: bool = True) -> UUID:
    """A settled session; the clock then stands 20 minutes after it."""
    session = (await story.session(start)).session_id
    end = start + timedelta(hours=1)
    await story.present(session, story.mentor, start, end)
    if mentee_comes:
        await story.present(session, story.mentee, start, end)
    story.clock.set(end + timedelta(minutes=20))
    await attendance.settle(story.ctx, session)
    return session


async def letters(story: Story, kind: str) -> list[tuple[str, str]]:
    await drain(story.ctx)
    rows = await story.ctx.pool.fetch(
        "SELECT role, body FROM notifications WHERE channel = 'email' AND kind = $1 ORDER BY created_at, role",
        kind,
    )
    return [(row["role"], row["body"]) for row in rows]


@given(st.lists(st.sampled_from(list(Step)), max_size=12))
@hypothesis_settings(max_examples=60)
def test_what_is_published_stays_until_an_administrator_takes_it_back(steps: list[Step]) -> None:
    status: Status | None = None
    for step in steps:
        before = status
        try:
            after = next_status(status, step)
        except Conflict:
            assert status is None or (status, step) not in TRANSITIONS
            continue
        status = after or status
        if before is Status.PUBLISHED and status is not Status.PUBLISHED:
            assert step is Step.UNDO
        if status is Status.PUBLISHED and before is not Status.PUBLISHED:
            assert (before, step) == (Status.SUBMITTED, Step.PUBLISH)
        if status is not None:
            assert next_status(status, Step.UNDO if status is Status.SUBMITTED else step) in (None, status)


@given(st.lists(st.integers(1, 5), max_size=20))
def test_a_rating_lies_between_its_stars(stars: list[int]) -> None:
    rating = rating_of(sum(stars), len(stars))
    assert (rating.average is None) == (not stars) and rating.count == len(stars)
    assert rating.average is None or min(stars) <= rating.average <= max(stars)


async def test_from_the_mail_to_the_mentors_page_and_back(story: Story) -> None:
    ctx, session = story.ctx, await held(story)
    admin = await people.create_admin(ctx, "root@example.org", "correct horse battery")
    (mentee, asked), (mentor, _) = await letters(story, "follow_up")
    assert (mentee, mentor) == ("mentee", "mentor")
    token = re.findall(r"/testimonials/(\S+)", asked)[0]
    opened = await testimonials.open_link(ctx, token)
    assert (opened.session.id, opened.written) == (session, None)

    for _ in range(2):  # a form sent twice
        said = await testimonials.write(ctx, story.mentee.id, session, 4, " Clear\r\nadvice. ")
        assert (said.status, said.revision, said.text) == (Status.SUBMITTED, 1, "Clear\nadvice.")
    assert (await testimonials.published(ctx, story.mentor.id)).items == ()
    changed = await testimonials.write(ctx, story.mentee.id, said.session_id, 5, "Clear advice.")
    with pytest.raises(Conflict) as stale:
        await testimonials.publish(ctx, admin.id, said.session_id, said.revision)
    assert stale.value.code == "changed_meanwhile"
    for _ in range(2):
        await testimonials.publish(ctx, admin.id, said.session_id, changed.revision)
    assert [role for role, _ in await letters(story, "testimonial_published")] == ["mentee", "mentor"]
    [shown] = (await testimonials.published(ctx, story.mentor.id)).items
    assert (shown.author, shown.stars, shown.text) == ("Jonas", 5, "Clear advice.")
    [rating] = (await testimonials.ratings(ctx, [story.mentor.id])).values()
    assert (rating.average, rating.count) == (5.0, 1)
    for late in (
        testimonials.write(ctx, story.mentee.id, said.session_id, 1, "No."),
        testimonials.withdraw(ctx, story.mentee.id, said.session_id),
    ):
        with pytest.raises(Conflict) as refused:
            await late
        assert refused.value.code == "already_published"

    for _ in range(2):
        await testimonials.undo(ctx, admin.id, said.session_id)
    assert [it.session_id for it in (await testimonials.queue(ctx)).items] == [session]
    with pytest.raises(Invalid):
        await testimonials.reject(ctx, admin.id, said.session_id, " ")
    await testimonials.reject(ctx, admin.id, said.session_id, "It names others.")
    [(role, told)] = await letters(story, "testimonial_rejected")
    assert role == "mentee" and "It names others." in told and "/testimonials/" in told
    assert (await testimonials.ratings(ctx, [story.mentor.id]))[story.mentor.id].count == 0
    again = await testimonials.write(ctx, story.mentee.id, said.session_id, 5, "Clear.")
    assert (again.status, again.reason) == (Status.SUBMITTED, "")
    for _ in range(2):
        assert (await testimonials.withdraw(ctx, story.mentee.id, said.session_id)).status is Status.WITHDRAWN
    assert (await testimonials.queue(ctx)).items == () == (await testimonials.decided(ctx)).items


async def test_only_the_mentee_of_a_session_that_took_place(story: Story, pool: Pool) -> None:
    ctx = story.ctx
    missed = await held(story, mentee_comes=False)
    with pytest.raises(Conflict) as refused:
        await testimonials.write(ctx, story.mentee.id, missed, 5, "Good.")
    assert refused.value.code == "session_not_completed"
    met = await held(story, START + timedelta(days=1))
    with pytest.raises(Forbidden):
        await testimonials.write(ctx, story.mentor.id, met, 5, "I was good.")
    with pytest.raises(Invalid) as faults:
        await testimonials.write(ctx, story.mentee.id, met, 6, "x" * (LONGEST + 1))
    assert {fault.field for fault in faults.value.errors} == {"stars", "text"}
    with pytest.raises(NotFound):
        await testimonials.withdraw(ctx, story.mentee.id, met)
    results = await asyncio.gather(
        *(testimonials.write(ctx, story.mentee.id, met, n, f"Version {n}") for n in range(1, 6))
    )
    assert sorted(it.revision for it in results) == [1, 2, 3, 4, 5]
    assert await pool.fetchval("SELECT count(*) FROM testimonials") == 1
    # Without its session's outcome it is not shown, and it comes back with it.
    admin = await people.create_admin(ctx, "root@example.org", "correct horse battery")
    await testimonials.publish(ctx, admin.id, met)
    for outcome, shown in (("mentor_no_show", 0), ("completed", 1)):
        await pool.execute("UPDATE sessions SET outcome = $2 WHERE id = $1", met, outcome)
        assert len((await testimonials.published(ctx, story.mentor.id)).items) == shown


async def test_a_link_runs_out_and_is_bound_to_its_session_and_person(story: Story) -> None:
    ctx, session = story.ctx, await held(story)
    link = testimonials.link_for(ctx.settings, session, story.mentee.id, ctx.clock.now())
    token = link.rsplit("/", 1)[1]
    for broken in (token[:-2], token + "x", "nonsense", ""):
        with pytest.raises(NotFound):
            await testimonials.open_link(ctx, broken)
    other = testimonials.link_for(ctx.settings, session, story.mentor.id, ctx.clock.now())
    with pytest.raises(Forbidden):
        await testimonials.open_link(ctx, other.rsplit("/", 1)[1])
    story.clock.step(ASKED_FOR)
    with pytest.raises(Gone):
        await testimonials.open_link(ctx, token)
