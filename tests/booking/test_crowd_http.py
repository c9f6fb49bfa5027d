"""The small form of `make bench`'s thousand: a crowd over HTTP at a server process, and the tables looked at."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from server.base.db import Pool
from server.settings import Settings
from tests.booking.audit import audit
from tests.booking.crowd import crowd, serving

OPERATIONS = 120
OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND state <> 'idle' AND backend_type = 'client backend'"
)
# Every way of saying no that such a crowd may hear; anything else is news.
REFUSALS = {
    "booking_conflict", "group_full", "illegal_transition", "session_begun", "hold_expired", "proposal_expired",
    "session_not_scheduled", "session_not_found", "same_mentee", "same_room", "changed_meanwhile", "merge_overtaken",
    "invalid_input", "not_your_step",
}  # fmt: skip


async def test_a_crowd_over_http_leaves_no_overlap_no_lost_hold_and_no_5xx(
    pool: Pool, settings: Settings, environ: dict[str, str], tmp_path: Path
) -> None:
    async with (
        serving(environ, tmp_path / "log") as (base, _),
        crowd(pool, settings, base, mentors=6, mentees=40, seed=4) as people,
    ):
        tally = await people.storm(OPERATIONS)
    async with pool.acquire() as conn:
        assert await audit(conn, datetime.now(UTC)) == []
    assert tally.broken == []
    assert {said for _, said in tally.said} - {"done"} <= REFUSALS
    done = {verb for verb, said in tally.said if said == "done"}
    assert {"book", "hold", "confirm", "approve", "propose", "accept", "cancel", "merge", "unmerge"} <= done
    assert tally.committed >= OPERATIONS // 10 and tally.steps > tally.committed


async def test_a_server_killed_in_the_middle_of_the_crowd_leaves_nothing_half_done(
    pool: Pool, settings: Settings, environ: dict[str, str], tmp_path: Path
) -> None:
    """SIGKILL while transactions are open: whatever was not answered is done or not done, and nothing between."""
    async with (
        serving(environ, tmp_path / "log") as (base, process),
        crowd(pool, settings, base, mentors=4, mentees=24, seed=5) as people,
    ):
        storm = asyncio.create_task(people.storm(80))
        while people.tally.steps < 20:  # noqa: ASYNC110 - a poll of ours, for the length of a few requests
            await asyncio.sleep(0.005)
        process.kill()
        tally = await storm
    assert tally.broken, "nobody was waiting any more when it died"
    async with pool.acquire() as conn:
        # The killed server's sessions are rolled back when PostgreSQL notices that nobody is there.
        async with asyncio.timeout(20):
            while await conn.fetchval(OTHERS):  # noqa: ASYNC110 - PostgreSQL has no event for that
                await asyncio.sleep(0.02)
        assert await audit(conn, datetime.now(UTC)) == []
        bookings = await conn.fetchval("SELECT count(*) FROM bookings")
    assert bookings >= tally.committed  # what was answered is there; what was not may be


async def test_the_auditor_sees_what_is_wrong(pool: Pool, settings: Settings) -> None:
    """An auditor that finds nothing may be blind: each kind of damage is done once, and named."""
    async with crowd(pool, settings, "http://127.0.0.1:1", mentors=2, mentees=6, seed=1) as people:
        assert len(people.known) >= 4
    now = datetime.now(UTC)
    damage = {
        "at once": "UPDATE bookings SET during = (SELECT during FROM bookings WHERE id = $2) WHERE id = $1",
        "holds": "UPDATE bookings SET price_tokens = price_tokens + 1 WHERE id = $1 AND $2::uuid IS NOT NULL",
        "its session": "UPDATE bookings SET status = 'cancelled' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "transfers": "UPDATE accounts SET balance = balance + 1 WHERE kind = 'held' AND $1 <> $2::uuid",
        "not as it was booked": "UPDATE sessions SET ends_at = ends_at + interval '1 hour'"
        " WHERE id = (SELECT session_id FROM bookings WHERE id = $1) AND $2::uuid IS NOT NULL",
        "is of 2 groups": "UPDATE sessions SET room_id = (SELECT session_id FROM bookings WHERE id = $2)"
        " WHERE id = (SELECT session_id FROM bookings WHERE id = $1)",
    }
    one = people.known[0]
    other = next(it for it in people.known if it.mentor == one.mentor and it.id != one.id)
    async with pool.acquire() as conn:
        assert await audit(conn, now) == []
        await conn.execute("ALTER TABLE bookings DROP CONSTRAINT bookings_mentor_no_overlap")
        await conn.execute("ALTER TABLE bookings DROP CONSTRAINT bookings_mentee_no_overlap")
        for words, statement in damage.items():
            transaction = conn.transaction()
            await transaction.start()
            await conn.execute(statement, one.id, other.id)
            found = await audit(conn, now)
            assert any(words in it for it in found), (words, found)
            await transaction.rollback()
        assert await audit(conn, now) == []
