"""A crowd before a real server: everybody books, moves, answers, calls off and merges at the same moment, over HTTP.

The people are made straight in the database (a password costs the server 50 ms); everything they do is the API's. What
became of it is for `tests.booking.audit` to say, which reads the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from server.availability.model import Availability, Window
from server.base.clock import SystemClock
from server.base.context import Context
from server.base.db import Pool
from server.base.errors import Refusal
from server.people.model import Role, User
from server.people.tokens import access_token
from server.sessions import actions as sessions
from server.settings import Settings
from tests.booking.world import mentor, person

START_SECONDS = 60.0
STOP_SECONDS = 40.0
PATIENCE = 120.0  # seconds that one request may take: it is counted, not given up
HOURS = 48  # of each mentor that the crowd is after: few enough to collide, enough to go on
SEATS = 3  # of every fifth mentor's hours
# What somebody of the crowd comes for, and how often: most want an hour, the rest change what there is.
VERBS: Mapping[str, int] = {"book": 42, "hold": 6, "move": 22, "cancel": 12, "merge": 14, "answer": 4}


@dataclass(frozen=True)
class Known:
    """A booking as somebody has heard of it; by now it may be anything."""

    id: str
    session_id: str
    mentor: UUID
    mentee: UUID
    start: datetime


@dataclass
class Tally:
    """What came back: seconds of each request, how often each (verb, answer), and how many bookings were committed."""

    seconds: list[float] = field(default_factory=list)
    said: Counter[tuple[str, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)  # 5xx and lost connections, in words
    committed: int = 0
    steps: int = 0  # committed changes of any kind
    lasted: float = 0.0

    def quantile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Crowd:
    """The people, what they know of each other's bookings, and the dice they throw."""

    base: str
    http: aiohttp.ClientSession
    tokens: Mapping[UUID, str]
    mentors: Sequence[User]
    mentees: Sequence[User]
    admins: Sequence[User]
    first_hour: datetime
    chance: random.Random
    tally: Tally = field(default_factory=Tally)
    known: list[Known] = field(default_factory=list)

    async def storm(self, operations: int) -> Tally:
        """So many at the same moment, each with an errand of one to three requests."""
        verbs = self.chance.choices(list(VERBS), weights=list(VERBS.values()), k=operations)
        began = time.perf_counter()
        await asyncio.gather(*(self._errand(verb) for verb in verbs))
        self.tally.lasted = time.perf_counter() - began
        return self.tally

    async def _errand(self, verb: str) -> None:
        known = self.chance.choice(self.known)
        match verb:
            case "book" | "hold":
                await self._book(hold=verb == "hold")
            case "move":
                await self._move(known)
            case "cancel":
                actor = self.chance.choice((known.mentor, known.mentee))
                await self._post(verb, actor, f"/bookings/{known.id}/cancel", {"reason": "Something came up"})
            case "answer":
                await self._post(verb, known.mentor, f"/bookings/{known.id}/approve", {})
            case "merge":
                await self._merge(known)

    async def _book(self, hold: bool) -> None:
        mentor, mentee = self.chance.choice(self.mentors), self.chance.choice(self.mentees)
        start = self._hour()
        wanted = {"mentor_id": str(mentor.id), **_span(start), "topic": "Crowd", "hold": hold}
        made = await self._post("hold" if hold else "book", mentee.id, "/bookings", wanted)
        if made is None:
            return
        self.tally.committed += 1
        known = Known(made["id"], made["session_id"], mentor.id, mentee.id, start)
        self.known.append(known)
        if hold:
            await self._post("confirm", mentee.id, f"/bookings/{known.id}/confirm", {})
        elif self.chance.random() < 0.6:
            await self._post("approve", mentor.id, f"/bookings/{known.id}/approve", {})

    async def _move(self, known: Known) -> None:
        """One side proposes another hour, and the other one accepts it, or does not."""
        asks, answers = self.chance.sample((known.mentor, known.mentee), 2)
        wanted = {**_span(self._hour()), "reason": "Another hour suits better"}
        if await self._post("propose", asks, f"/bookings/{known.id}/reschedule", wanted) is None:
            return
        yes = self.chance.random() < 0.8
        await self._post(
            "accept" if yes else "decline",
            answers,
            f"/bookings/{known.id}/{'approve' if yes else 'reject'}",
            {},
        )

    async def _merge(self, into: Known) -> None:
        others = [it for it in self.known if it.mentor == into.mentor and it.id != into.id]
        if not others:
            return
        some = self.chance.sample(others, min(len(others), self.chance.choice((1, 1, 2))))
        wanted = {
            "session_ids": [it.session_id for it in some],
            "into": into.session_id,
            "reason": "One topic",
        }
        made = await self._post("merge", self.chance.choice(self.admins).id, "/admin/merges", wanted)
        if made is not None and self.chance.random() < 0.4:
            undo = f"/admin/merges/{made['id']}/undo"
            await self._post(
                "unmerge", self.chance.choice(self.admins).id, undo, {"reason": "Not one after all"}
            )

    def _hour(self) -> datetime:
        return self.first_hour + timedelta(hours=self.chance.randrange(HOURS))

    async def _post(
        self, verb: str, actor: UUID, path: str, body: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """The answer of a request that was done; None when it was refused (by name) or broke."""
        began = time.perf_counter()
        try:
            async with self.http.post(
                f"{self.base}/api/v1{path}",
                json=body,
                headers={"Authorization": f"Bearer {self.tokens[actor]}"},
            ) as reply:
                text = await reply.text()
                document = await reply.json(content_type=None) if text else {}
        except (aiohttp.ClientError, TimeoutError) as error:
            self.tally.broken.append(f"{verb}: {error!r}")
            return None
        self.tally.seconds.append(time.perf_counter() - began)
        if reply.status >= 500:
            self.tally.broken.append(f"{verb}: {reply.status} {text[:200]}")
        done = reply.status < 300
        self.tally.said[verb, "done" if done else str(document.get("code"))] += 1
        self.tally.steps += done
        return dict(document) if done else None


def _span(start: datetime) -> dict[str, str]:
    return {
        "start": start.isoformat().replace("+00:00", "Z"),
        "end": (start + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
    }


@contextlib.asynccontextmanager
async def crowd(
    pool: Pool, settings: Settings, base: str, *, mentors: int, mentees: int, seed: int
) -> AsyncIterator[Crowd]:
    """People before the server at ``base``, whose database ``pool`` is; each mentor has a few agreed sessions."""
    ctx = Context(pool, SystemClock(), settings)
    chance = random.Random(seed)
    rules = Availability("UTC", weekly=tuple((day, Window(0, 1440)) for day in range(7)))
    hosts = [
        await mentor(ctx, f"Mentor{n}", rules=rules if n % 5 else replace(rules, capacity=SEATS))
        for n in range(mentors)
    ]
    guests = [await person(ctx, f"Mentee{n}", tokens=2000) for n in range(mentees)]
    admins = [await person(ctx, f"Admin{n}", Role.ADMIN) for n in range(max(1, mentors // 2))]
    now = ctx.clock.now()
    tokens = {it.id: access_token(settings, it, now) for it in (*hosts, *guests, *admins)}
    first_hour = now.replace(minute=0, second=0, microsecond=0, tzinfo=UTC) + timedelta(days=2)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as http:
        made = Crowd(base, http, tokens, hosts, guests, admins, first_hour, chance)
        await asyncio.gather(*(_agreed(ctx, made, host, chance) for host in hosts))
        yield made


async def _agreed(ctx: Context, crowd: Crowd, host: User, chance: random.Random) -> None:
    """A few sessions that there are before the crowd comes."""
    for hour in chance.sample(range(HOURS), 8):
        start, guest = crowd.first_hour + timedelta(hours=hour), chance.choice(crowd.mentees)
        try:
            made = await sessions.book(
                ctx, guest.id, mentor_id=host.id, start=start, end=start + timedelta(hours=1)
            )
            await sessions.approve(ctx, host.id, made.id)
        except Refusal:  # the guest has another session then
            continue
        crowd.known.append(Known(str(made.id), str(made.session_id), host.id, guest.id, start))


@contextlib.asynccontextmanager
async def serving(
    environ: Mapping[str, str], log: Path
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A web process of the product's own (`visavis serve`) in that environment: its base URL, and it."""
    base = f"http://127.0.0.1:{environ['VISAVIS_PORT']}"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "server.cli", "serve", env=dict(environ), stdout=sink, stderr=sink
        )
    try:
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as http:
            while not await _ready(http, base):
                assert process.returncode is None, log.read_text(errors="replace")[-2000:]
                await asyncio.sleep(0.1)
        yield base, process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()


async def _ready(http: aiohttp.ClientSession, base: str) -> bool:
    try:
        async with http.get(f"{base}/readyz") as reply:
            return reply.status == 200
    except aiohttp.ClientError:
        return False
