"""A process that dies at any statement of a job, a reaction or a webhook, again and again, leaves what it would have
left alive.

A scene is played twice: once unharmed, and once by processes that die. The first dies at its first statement, the next
one at its second, and so on; whenever one of them got something committed, the next dies at its first statement again.
So each statement is once the last that the database hears, of the work and of every recovery, until one gets through.
Then all tables must have gained the same as when nobody died.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from jobs.periodic import JOBS
from jobs.reminders import remind
from jobs.runner import run_due
from server.base.context import Context
from server.exports.model import checksum
from server.integrations.channels import Channels
from server.integrations.provider import Provider
from server.notifications.delivery import deliver_due
from tests.jobs.scenes import HOUR, SCENES, Step, Taker, World, journey, settle, world
from tests.support.census import census, change
from tests.support.fuses import doomed_pool

__all__ = ["world"]

MOST_DEATHS = 400


@pytest.mark.parametrize("name", SCENES)
async def test_who_dies_again_and_again_does_everything_once(
    world: World, database_url: str, name: str
) -> None:
    await (await SCENES[name](world))(world.ctx)  # what only the first one does, such as opening accounts
    before = await census(world.ctx.pool)
    step = await SCENES[name](world)
    await step(world.ctx)
    middle = await census(world.ctx.pool)
    step = await SCENES[name](world)
    deaths = await dies_until_done(world, database_url, step)
    assert change(middle, await census(world.ctx.pool)) == change(before, middle)
    await step(world.ctx)  # and once more, for nothing
    assert change(middle, await census(world.ctx.pool)) == change(before, middle)
    assert deaths >= 3, "fewer statements than that do nothing"
    await nothing_is_half(world)


async def test_a_tick_is_run_once_wherever_its_runner_dies(world: World, database_url: str) -> None:
    """With its note in job_runs: a month's report each time, whose runner dies a statement later each time."""
    deaths = 0
    async with doomed_pool(database_url, size=2, severs=False) as doomed:
        ctx = replace(world.ctx, pool=doomed.pool)

        async def tick(ctx: Context) -> None:
            await run_due(ctx, JOBS["mentee_journey"])
            await settle(ctx)

        while True:
            await journey(world)
            await doomed.arm(deaths + 1, after=True)
            died = await doomed.dies_in(tick(ctx), world.ctx.pool)
            for _ in range(2):
                await tick(world.ctx)
            if not died:
                break
            deaths += 1
    months = deaths + 1
    assert deaths >= 30
    counted = await census(world.ctx.pool)
    once = (
        "journey_reports", "journey_lines", "facts journey_reported t 0", "fact_reactions tell_journey",
        "notifications journey email admin sent 1",
    )  # fmt: skip
    assert {what: counted[what] for what in once} == dict.fromkeys(once, months)
    runs = await world.ctx.pool.fetch("SELECT result, attempts, missed_ticks FROM job_runs")
    assert len(runs) == months and {(run["result"], run["missed_ticks"]) for run in runs} == {("ok", 0)}
    assert {run["attempts"] for run in runs} == {1, 2}
    await nothing_is_half(world)


async def test_a_message_leaves_twice_only_through_the_documented_window(
    world: World, database_url: str
) -> None:
    """The provider has said yes, and the sender dies before that is committed: a second copy under the same id. Through
    no other statement."""
    booking = await world.session()
    world.clock.set(booking.start - 4 * HOUR)
    await remind(world.ctx)
    taker = Taker()
    doubts: list[UUID] = []
    statement, taken = 1, 0
    async with doomed_pool(database_url, severs=False) as doomed:
        ctx = replace(world.ctx, pool=doomed.pool)
        while True:
            channels = Channels({name: Provider(taker) for name in ("email", "whatsapp")})
            await doomed.arm(statement, after=True)
            if not await doomed.dies_in(deliver_due(ctx, channels), world.ctx.pool):
                break
            new = taker.taken[taken:]
            unknown = "SELECT id FROM notifications WHERE id = ANY ($1) AND status <> 'sent'"
            doubts += [row["id"] for row in await world.ctx.pool.fetch(unknown, new)]
            statement, taken = statement + 1, len(taker.taken)
    wanted = await world.ctx.pool.fetch(
        "SELECT id, status FROM notifications WHERE kind = 'reminder' AND channel IN ('email', 'whatsapp')"
    )
    assert {row["status"] for row in wanted} == {"sent"} and len(wanted) == 4
    assert doubts, "the window was not hit at all"
    assert sorted(taker.taken) == sorted([row["id"] for row in wanted] + doubts)


async def dies_until_done(world: World, database_url: str, step: Step) -> int:
    """How many processes died before one got through."""
    deaths, statement = 0, 1
    async with doomed_pool(database_url, severs=False) as doomed:
        ctx = replace(world.ctx, pool=doomed.pool)
        known = await census(world.ctx.pool)
        while True:
            await doomed.arm(statement, after=True)
            if not await doomed.dies_in(step(ctx), world.ctx.pool):
                return deaths
            deaths += 1
            assert deaths < MOST_DEATHS, "they get nowhere"
            seen = await census(world.ctx.pool)
            statement = statement + 1 if seen == known else 1
            known = seen


async def nothing_is_half(world: World) -> None:
    """What must hold at the end of every scene."""
    pool = world.ctx.pool
    assert await pool.fetchval("SELECT sum(balance) FROM accounts") == 0
    assert not await pool.fetch("SELECT kind FROM facts WHERE handled_at IS NULL")
    assert not await pool.fetch("SELECT FROM fact_reactions WHERE error IS NOT NULL")
    assert not await pool.fetch(
        "SELECT FROM notifications WHERE status IN ('pending', 'sending', 'retrying')"
    )
    for day, body, digest, transfers in await pool.fetch(
        "SELECT day, body, sha256, transfers FROM transaction_exports"
    ):
        lines = await pool.fetchval("SELECT count(*) FROM exported_transfers WHERE day = $1", day)
        assert checksum(body) == digest and body.count("\n") == transfers + 1 == lines + 1
