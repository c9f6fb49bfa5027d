"""From py-spy's stacks to a flat profile."""

import sys

import pytest

from loadtest.options import LoadError
from loadtest.sfu.profile import Row, flat, sample

STACKS = """\
run (uvloop.py:5);on_readable (media/receive.py:96);_rtp (media/receive.py:176) 30
run (uvloop.py:5);on_readable (media/receive.py:99);_rtp (media/receive.py:214) 10
run (uvloop.py:5);on_readable (media/receive.py:110) 40
run (uvloop.py:5) 20

not a stack
"""


def test_lines_of_a_function_are_one_and_its_callees_are_told_apart() -> None:
    assert flat(STACKS.splitlines()) == (
        Row("_rtp (media/receive.py)", 40.0, 40.0),
        Row("on_readable (media/receive.py)", 40.0, 80.0),
        Row("run (uvloop.py)", 20.0, 100.0),
    )


def test_recursion_counts_once() -> None:
    assert flat(["f (a.py:1);f (a.py:2);f (a.py:1) 10"]) == (Row("f (a.py)", 100.0, 100.0),)


async def test_a_profiler_that_is_none_is_told() -> None:
    with pytest.raises(LoadError, match="does not run"):
        await sample("/no/such/profiler", 1, 1)
    with pytest.raises(LoadError, match="found nothing"):
        await sample(sys.executable, 1, 1)
