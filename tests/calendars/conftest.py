"""A fake Google, a story whose installation knows it, and a connected calendar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from jobs.outbox import drain
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.calendars import actions as calendars
from server.calendars.model import Connection, Provider
from server.calendars.work import work_due
from server.integrations.calendars.protocol import Credentials
from server.oauth import OAuthClient, OAuthClients
from server.people.model import User
from server.settings import Settings
from tests.support.fake_google import ACCOUNT, CLIENT_ID, CLIENT_SECRET, FakeGoogle, running_google
from tests.support.fake_graph import FakeGraph, running_graph
from tests.support.story import Story, make_story


@pytest.fixture
async def google() -> AsyncIterator[FakeGoogle]:
    async with running_google() as google:
        yield google


@pytest.fixture
async def graph() -> AsyncIterator[FakeGraph]:
    async with running_graph() as graph:
        yield graph


@dataclass(frozen=True, slots=True)
class Desk:
    """A story, and a Google in which the mentor keeps her calendar."""

    story: Story
    google: FakeGoogle

    @property
    def ctx(self) -> Context:
        return self.story.ctx

    async def connect(self, user: User | None = None) -> Connection:
        """Connected, not looked at yet."""
        access, refresh = self.google.grant()
        owner = user or self.story.mentor
        await calendars.connect(
            self.ctx,
            owner.id,
            Provider.GOOGLE,
            ACCOUNT,
            Credentials(access_token=access, refresh_token=refresh),
        )
        return await self.connection(owner)

    async def connection(self, user: User | None = None) -> Connection:
        [connection] = await calendars.of_person(self.ctx, (user or self.story.mentor).id)
        return connection

    async def work(self) -> int:
        """What the worker does when it wakes: facts first, then calendars."""
        await drain(self.ctx)
        done = await work_due(self.ctx)
        await drain(self.ctx)
        return done


@pytest.fixture
async def desk(pool: Pool, clock: SteppedClock, settings: Settings, google: FakeGoogle) -> Desk:
    story = await make_story(pool, clock, settings)
    known = OAuthClients(google=OAuthClient(CLIENT_ID, CLIENT_SECRET, google.base))
    ours = replace(story.ctx.settings, oauth=known, public_url="https://visavis.test")
    return Desk(replace(story, ctx=replace(story.ctx, settings=ours)), google)
