"""Waiting for processes that are not our children, without polling."""

import asyncio
import os
import selectors


def open_pid(pid: int) -> int:
    """A descriptor for the process (Linux): it becomes readable when the process ends. Open it while it lives."""
    return os.pidfd_open(pid)


def wait_for_end(descriptors: list[int], timeout: float) -> int:
    """Wait until every process has ended, close the descriptors; how many had not, after `timeout` seconds each."""
    left = 0
    with selectors.DefaultSelector() as selector:
        for fd in descriptors:
            selector.register(fd, selectors.EVENT_READ)
            left += not selector.select(timeout)
            selector.unregister(fd)
            os.close(fd)
    return left


async def read_until(reader: asyncio.StreamReader, text: str, timeout: float) -> str:
    """Everything the stream said up to the line that contains `text`; AssertionError with it when it ends before."""
    said = ""
    async with asyncio.timeout(timeout):
        while line := (await reader.readline()).decode():
            said += line
            if text in line:
                return said
    raise AssertionError(f"{text!r} never came; it said:\n{said}")
