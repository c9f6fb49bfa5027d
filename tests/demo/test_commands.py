"""The commands around demo data, as a person types them."""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

from jobs.periodic import JOBS
from server.base.clock import SystemClock
from server.base.db import Pool
from server.demo import load_demo
from server.settings import load_settings

CODE = "import sys; from server.cli import main; sys.exit(main())"


async def visavis(environ: dict[str, str], *words: str) -> tuple[int | None, str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CODE, *words,
        env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await child.communicate()
    return child.returncode, out.decode() or err.decode()


async def test_a_session_its_jobs_and_its_story(pool: Pool, environ: dict[str, str]) -> None:
    environ = environ | {"VISAVIS_DEMO": "1"}
    await load_demo(pool, SystemClock(), load_settings(environ))
    code, said = await visavis(environ, "demo", "session", "--starts-in", "60", "--minutes", "20")
    assert code == 0, said
    session_id = UUID(said.strip())
    code, said = await visavis(environ, "jobs", "run", "reminders")
    assert code == 0, said
    code, said = await visavis(environ, "trace", str(session_id))
    assert code == 0, said
    told = [line.split()[1] for line in said.splitlines()]
    assert told[:3] == ["booked", "held", "approved"]
    assert told.count("reminded") == 2 and told.count("mailed") == 2
    code, said = await visavis(environ, "jobs", "list")
    heading, *jobs = said.splitlines()
    assert heading.split() == ["job", "schedule", "zone", "missed", "last", "run", "next", "run", "does"]
    assert "Z ok" in jobs[0] and jobs[0].split()[3:5] == ["UTC", "latest"]
    assert [line.split()[0] for line in jobs] == list(JOBS)
    code, said = await visavis(environ | {"VISAVIS_DEMO": "0"}, "demo", "session")
    assert code == 1 and "demo_only" in said
    code, said = await visavis(environ, "jobs", "run", "nonsense")
    assert code == 1 and "reminders" in said
