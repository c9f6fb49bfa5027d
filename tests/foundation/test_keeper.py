"""A kept child comes back after a crash, later each time, and not after it was told to stop."""

import asyncio
import signal
import sys

from hypothesis import given
from hypothesis import strategies as st

from server.embedded.process import Child
from server.keeper import Keeper, restart_delay


@given(st.integers(1, 10_000))
def test_the_delay_grows_up_to_a_bound(crashes: int) -> None:
    assert 0.5 <= restart_delay(crashes) <= restart_delay(crashes + 1) <= 30


async def test_a_killed_child_is_started_again_and_a_stopped_one_is_not() -> None:
    spawned: asyncio.Queue[Child] = asyncio.Queue()

    def spawn() -> Child:
        argv = [sys.executable, "-c", "import signal; signal.pause()"]
        child = Child.spawn("sleeper", argv, death_signal=signal.SIGKILL)
        spawned.put_nowait(child)
        return child

    keeper = Keeper("sleeper", spawn)
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(20):
        first = await spawned.get()
        first.send(signal.SIGKILL)
        second = await spawned.get()
        assert (first.returncode, keeper.pid, keeper.exits) == (-signal.SIGKILL, second.pid, 1)
        await keeper.stop(within=5)
        await running
    assert second.returncode == -signal.SIGTERM
    assert spawned.empty()
