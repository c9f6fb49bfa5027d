"""The ``visavis`` command: parses words, wires a process, turns faults into exit codes (0 fine, 1 failed, 2 usage)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import uvloop

from server.base.clock import SteppedClock, SystemClock
from server.base.context import Context
from server.base.db import create_pool
from server.base.errors import Refusal
from server.settings import Settings, SettingsError, load_settings


class CommandFailed(Exception):
    """The command was understood and could not be carried out; the text is for the person at the terminal."""


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an RFC 3339 instant such as 2026-11-26T00:00:00Z"
        ) from None
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no zone: write 2026-11-26T00:00:00Z")
    return instant


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def _minutes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 480:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length in minutes (1 to 480)")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="visavis", description="Visavis, the self-hosted mentoring platform.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run everything: embedded servers, web and worker, demo data")
    up.add_argument("--host")
    up.add_argument("--port", type=_port)
    up.add_argument("--media-port", type=_port)
    up.add_argument("--data-dir", type=Path)
    up.add_argument("--no-demo", action="store_true", help="no demo data, no development inbox")
    up.add_argument(
        "--tls", choices=["self-signed"], help="serve HTTPS with a certificate made in the data directory"
    )

    commands.add_parser("serve", help="run the web process")
    commands.add_parser("worker", help="run the worker process")

    migrate = commands.add_parser("migrate", help="apply pending migrations")
    migrate.add_argument("--check", action="store_true", help="only report them; exit 1 when there are any")

    jobs = commands.add_parser("jobs", help="list or run periodic jobs").add_subparsers(
        dest="verb", required=True
    )
    jobs.add_parser("list", help="the jobs and their schedules")
    run = jobs.add_parser("run", help="run one job once; running it twice changes nothing more")
    run.add_argument("name")
    run.add_argument("--at", type=_instant, help="as if the clock stood there (RFC 3339)")

    demo = commands.add_parser("demo", help="demo mode only").add_subparsers(dest="verb", required=True)
    session = demo.add_parser(
        "session", help="an approved session between the demo mentor and mentee; prints its id"
    )
    session.add_argument("--starts-in", type=int, default=0, metavar="SECONDS")
    session.add_argument("--minutes", type=_minutes, default=30)

    trace = commands.add_parser("trace", help="print the whole story of a session, in order")
    trace.add_argument("session_id", type=UUID)
    trace.add_argument(
        "--media", action="store_true", help="and what the running media server has recorded of it"
    )
    trace.add_argument(
        "--media-out", type=Path, metavar="FILE", help="save that recording (headers only, no payload)"
    )

    admin = commands.add_parser("admin", help="administrators").add_subparsers(dest="verb", required=True)
    create = admin.add_parser(
        "create", help="make an administrator; asks for a password, or reads it from a pipe"
    )
    create.add_argument("email")

    commands.add_parser(
        "doctor", help="check configuration, database, Redis, ports, TLS and outside services"
    )

    loadtest = commands.add_parser("loadtest", help="the capacity tool", add_help=False)
    loadtest.add_argument("words", nargs=argparse.REMAINDER)
    return top


@contextlib.asynccontextmanager
async def _context(settings: Settings, at: datetime | None = None) -> AsyncIterator[Context]:
    try:
        pool = await create_pool(settings.database_url)
    except (OSError, asyncpg.PostgresError) as error:
        raise CommandFailed(f"No answer from the database: {error}. `visavis doctor` tells more.") from error
    try:
        yield Context(pool, SteppedClock(at) if at else SystemClock(), settings)
    finally:
        await pool.close()


async def _migrate(settings: Settings, check: bool) -> int:
    from server.migrations.runner import migrate, pending

    async with _context(settings) as ctx, ctx.pool.acquire() as conn:
        names = await (pending(conn) if check else migrate(conn))
    for name in names:
        print(("pending  " if check else "applied  ") + name)
    if not names:
        print("The schema is up to date.")
    return 1 if check and names else 0


async def _list_jobs(settings: Settings) -> int:
    from jobs.board import overview, table

    async with _context(settings) as ctx:
        for line in table(await overview(ctx)):
            print(line)
    return 0


async def _run_job(settings: Settings, name: str, at: datetime | None) -> int:
    from jobs.periodic import JOBS, run_job
    from server.integrations.channels import make_channels

    if name not in JOBS:
        raise CommandFailed(f"No job is called {name!r}. There are: {', '.join(JOBS)}.")
    async with _context(settings, at) as ctx:
        report = await run_job(ctx, make_channels(settings), name, ctx.clock.now())
    print(report.text)
    return 0 if report.ok else 1


async def _demo_session(settings: Settings, starts_in: int, minutes: int) -> int:
    from server.demo import demo_session

    async with _context(settings) as ctx:
        print(await demo_session(ctx, starts_in=starts_in, minutes=minutes))
    return 0


async def trace(
    settings: Settings, session_id: UUID, *, media: bool, media_out: Path | None, now: datetime
) -> int:
    """`visavis trace`: the story of a session, and what the media server has recorded of it."""
    from server.trace.actions import story
    from server.trace.model import render

    async with _context(settings) as ctx:
        print(render(await story(ctx, session_id)))
    if media or media_out is not None:
        from media import recorder, timeline
        from server.recording import fetch

        data = await fetch(settings, session_id, now)
        if media_out is not None:
            try:
                await asyncio.to_thread(media_out.write_bytes, data)
            except OSError as error:
                raise CommandFailed(f"{media_out}: {error.strerror}.") from error
            print(f"{len(data)} bytes in {media_out}")
        if media:
            print()
            print(timeline.render(recorder.read(data)), end="")
    return 0


async def _create_admin(settings: Settings, email: str, password: str) -> int:
    from server.people.actions import create_admin

    async with _context(settings) as ctx:
        user = await create_admin(ctx, email, password)
    print(f"{user.email} is an administrator.")
    return 0


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    import getpass

    first = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != first:
        raise CommandFailed("The two passwords differ; nothing was changed.")
    return first


def _carry_out(words: argparse.Namespace) -> int:
    if words.command == "loadtest":
        from loadtest.__main__ import main as loadtest

        return loadtest(words.words)
    if words.command == "up":
        from server.supervisor import up

        return up(
            host=words.host,
            port=words.port,
            media_port=words.media_port,
            data_dir=words.data_dir,
            demo=not words.no_demo,
            tls=words.tls,
        )
    if words.command == "doctor":
        from server.doctor import doctor

        return uvloop.run(doctor(os.environ))

    settings = load_settings(os.environ)
    if words.command == "serve":
        from server.app import serve

        return serve(settings)
    if words.command == "worker":
        from jobs.worker import work

        return work(settings)

    async def command() -> int:
        match words.command, getattr(words, "verb", None):
            case "migrate", _:
                return await _migrate(settings, words.check)
            case "jobs", "list":
                return await _list_jobs(settings)
            case "jobs", "run":
                return await _run_job(settings, words.name, words.at)
            case "demo", "session":
                return await _demo_session(settings, words.starts_in, words.minutes)
            case "trace", _:
                return await trace(
                    settings, words.session_id,
                    media=words.media, media_out=words.media_out, now=SystemClock().now(),
                )  # fmt: skip
            case "admin", "create":
                return await _create_admin(settings, words.email, _ask_password())
        raise AssertionError(words.command)

    return asyncio.run(command())


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; wrong usage exits with 2 (argparse), a refusal prints its sentence and gives 1."""
    words = parser().parse_args(argv)
    try:
        return _carry_out(words)
    except SettingsError as error:
        print("Visavis cannot start with these settings:", file=sys.stderr)
        for fault in error.faults:
            print(f"  {fault.name}: {fault.message}", file=sys.stderr)
        return 1
    except Refusal as refusal:
        print(f"{refusal.detail} ({refusal.code})", file=sys.stderr)
        return 1
    except CommandFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1


if __name__ == "__main__":
    sys.exit(main())
