"""`visavis loadtest` and `python -m loadtest`: words in, a table or JSON out."""

import argparse
import asyncio
import json
import signal
import sys
import threading
from collections.abc import Coroutine, Sequence

from loadtest.bench import throw_away_server
from loadtest.conductor import conduct
from loadtest.options import Load, LoadError, check_url, room_counts
from loadtest.result import Outcome, table
from loadtest.sfu import command as sfu

BENCH_ROOMS = "10,30,60"


def main(argv: list[str]) -> int:
    """Run one command; 0 fine, 1 if somebody could not join or the run broke, 2 wrong usage, 130 if told to stop."""
    try:
        words = _parser().parse_args(argv)
    except SystemExit as error:  # argparse has said why
        return int(error.code or 0)
    if words.command == "sfu":
        return _sfu(words)
    try:
        load = Load(words.seconds, words.warmup, words.video_kbps, words.fps)
        counts = room_counts(words.rooms)
        base = check_url(words.url, words.i_own_this_server) if words.command == "rooms" else ""
    except LoadError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        if words.command == "rooms":
            work = conduct(base, counts, load, words.i_own_this_server, _say)
        else:
            work = _bench(counts, load)
        outcomes = asyncio.run(_until_told(work))
    except LoadError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("Stopped; the rooms are left.\n")
        return 130
    _show(outcomes, load, words.json)
    return 1 if any(it.failures or it.rooms < it.rooms_wanted for it in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="visavis loadtest", description="The capacity tool. See loadtest/README.md."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    rooms = commands.add_parser("rooms", help="rooms of two synthetic peers against a running server")
    rooms.add_argument("--url", default="http://127.0.0.1:8080", help="the server, %(default)s unless given")
    rooms.add_argument("--rooms", default="10", metavar="N[,N...]", help="how many; several are run in turn")
    rooms.add_argument(
        "--i-own-this-server", action="store_true", help="allow an address that is not this machine's own"
    )
    bench = commands.add_parser("bench", help="the same against a throw-away server started for it")
    bench.add_argument("--rooms", default=BENCH_ROOMS, metavar="N[,N...]", help="%(default)s unless given")
    for command in (rooms, bench):
        command.add_argument("--seconds", type=float, default=15.0, help="measured, for each number of rooms")
        command.add_argument("--warmup", type=float, default=3.0, help="seconds before the measured ones")
        command.add_argument("--video-kbps", type=int, default=1200, help="of each person's camera")
        command.add_argument("--fps", type=int, default=30, help="frames a second")
        command.add_argument("--json", action="store_true", help="print JSON instead of the table")
    sfu.add_arguments(
        commands.add_parser("sfu", help="the SFU alone, beside Janus VideoRoom where installed")
    )
    return top


def _sfu(words: argparse.Namespace) -> int:
    try:
        sfu.check(words)
    except LoadError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        return sfu.command(words, _say)
    except LoadError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def _until_told(work: Coroutine[None, None, list[Outcome]]) -> list[Outcome]:
    """SIGTERM ends a run as cleanly as Ctrl-C does: rooms left, the throw-away server stopped."""
    task = asyncio.current_task()
    if task is not None and threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


async def _bench(counts: Sequence[int], load: Load) -> list[Outcome]:
    _say("Starting a server of our own ...")
    async with throw_away_server() as base:
        return await conduct(base, counts, load, own_server=False, say=_say)


def _show(outcomes: Sequence[Outcome], load: Load, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"runs": [it.as_json() for it in outcomes]}, indent=2))
        return
    print(
        f"Rooms of two; each person sends Opus 50 packets/s and VP8 {load.video_kbps} kb/s at {load.fps} frames/s; "
        f"{load.seconds:g} s measured."
    )
    print(table(outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
