"""Log lines: machine-readable, tied to request and session, and without secrets."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.base.log import configure, log_context, logger, masked_text
from server.settings import LogFormat

SESSION = UUID("0192f0c1-7c3a-7000-8000-000000000001")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    target = io.StringIO()
    yield target
    configure(LogFormat.JSON, process="test")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object(stream: io.StringIO) -> None:
    configure(LogFormat.JSON, process="web", stream=stream)
    logger("here").info("session_settled", outcome="completed", price_tokens=30)
    [line] = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "session_settled", "level": "info", "logger": "here", "process": "web",
        "outcome": "completed", "price_tokens": 30,
    }  # fmt: skip


async def test_ids_are_in_every_line_of_their_block_and_of_tasks_started_there(stream: io.StringIO) -> None:
    configure(LogFormat.JSON, process="web", stream=stream)

    async def later() -> None:
        logging.getLogger("a.library").warning("its own %s", "words")

    with log_context(request_id="r1"):
        with log_context(session_id=SESSION):
            task = asyncio.create_task(later())
            logger("x").info("inner")
        logger("x").info("outer")
    logger("x").info("outside")
    await task
    ids = {line["event"]: (line.get("request_id"), line.get("session_id")) for line in lines(stream)}
    assert ids == {
        "inner": ("r1", str(SESSION)),
        "outer": ("r1", None),
        "outside": (None, None),
        "its own words": ("r1", str(SESSION)),
    }


def test_configuring_again_replaces(stream: io.StringIO) -> None:
    configure(LogFormat.JSON, process="one", stream=stream)
    configure(LogFormat.JSON, process="two", stream=stream)
    logging.getLogger("x").info("once")
    assert [line["process"] for line in lines(stream)] == ["two"]


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.PRETTY])
def test_secrets_never_appear(stream: io.StringIO, log_format: LogFormat) -> None:
    configure(log_format, process="web", stream=stream)
    log = logger("x")
    log.info(
        "a",
        password="hunter2",
        room_token="hunter2",
        headers={"Authorization": "hunter2", "Cookie": "hunter2"},
    )
    log.info("b", url="postgresql://me:hunter2@db/x", urls=["redis://:hunter2@r:1/0"])
    log.info("c", header="Bearer hunter2.hunter2", path="/ws?room_token=hunter2&x=1")
    logging.getLogger("lib").warning("GET /join?token=%s", "hunter2", extra={"secret": "hunter2"})
    try:
        raise ConnectionError("cannot reach smtp://me:hunter2@mail")
    except ConnectionError:
        log.exception("d")
    shown = stream.getvalue()
    assert "hunter2" not in shown
    assert "ConnectionError" in shown
    assert "x=1" in shown


def test_pretty_is_for_terminals_only(stream: io.StringIO) -> None:
    configure(LogFormat.AUTO, process="web", stream=stream)
    logger("x").info("hello")
    assert lines(stream)[0]["event"] == "hello"


@given(
    st.text(alphabet=st.characters(exclude_characters="@:/ \t\r\n", categories=["L", "N", "P"]), min_size=1)
)
def test_the_password_of_any_url_is_masked(password: str) -> None:
    assert masked_text(f"at postgresql://me:{password}@db.example/x") == "at postgresql://me:***@db.example/x"
