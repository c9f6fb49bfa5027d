"""Structured logs: one line per event, with the ids of the request and the session, and without secrets."""

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from server.settings import LogFormat

MASK = "***"

# Names of values that are never shown. `token` in the singular: `price_tokens` is money.
_SECRET_NAME = re.compile(
    r"(?:^|_|-)(?:password|passwd|secret|secret_key|api_key|private_key|token|authorization|cookie|csrf)$",
    re.IGNORECASE,
)
# Secrets inside text: URL credentials, bearer tokens, JWTs (RFC 7519), and secret query parameters.
_SECRET_TEXT = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@", re.IGNORECASE), rf"\1:{MASK}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), MASK),
    (
        re.compile(r"([?&](?:\w*token|\w*secret|password|code|state|key)=)[^&\s\"']+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
)
# Libraries that tell more than an operator wants to know.
_QUIET = ("aioice", "aiortc", "asyncio", "PIL", "mail.log")
_MAX_DEPTH = 4  # log values are flat; anything nested deeper is shown as is, by its own repr, masked as text


def configure(
    log_format: LogFormat, *, process: str, stream: TextIO | None = None, level: int = logging.INFO
) -> None:
    """Send structlog and the standard library's loggers to `stream` (default stderr).

    `process` ("web", "worker", "up", ...) is in every line, since they share one terminal under `visavis up`.
    Calling again replaces the former configuration.
    """
    target = stream if stream is not None else sys.stderr
    pretty = log_format is LogFormat.PRETTY or (log_format is LogFormat.AUTO and target.isatty())

    def name_process(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        name_process,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor
    if pretty:
        renderer = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
        )
    else:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, mask_secrets, renderer],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        # Only what an earlier call put there: a test runner's handlers are its own.
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a module's logger, made at import, must see this configuration
    )


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: `log = logger(__name__)`, then `log.info("event_name", key=value)`."""
    made: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return made


@contextmanager
def log_context(*, request_id: str | None = None, session_id: UUID | str | None = None) -> Iterator[None]:
    """Put these ids into every line logged in the block, also by libraries and by tasks started in it."""
    ids: dict[str, str] = {}
    if request_id is not None:
        ids["request_id"] = request_id
    if session_id is not None:
        ids["session_id"] = str(session_id)
    with structlog.contextvars.bound_contextvars(**ids):
        yield


def mask_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A processor: values with secret names, and secrets inside any text (tracebacks too), become `***`."""
    for name, value in event.items():
        event[name] = masked(name, value)
    return event


def masked(name: str, value: Any, depth: int = 0) -> Any:
    """What may be shown of a value called `name`."""
    if value is not None and _SECRET_NAME.search(name):
        return MASK
    match value:
        case str():
            return masked_text(value)
        case None | bool() | int() | float():
            return value
        case MutableMapping() if depth < _MAX_DEPTH:
            return {key: masked(str(key), item, depth + 1) for key, item in value.items()}
        case list() | tuple() if depth < _MAX_DEPTH:
            return [masked(name, item, depth + 1) for item in value]
        case _:
            return masked_text(str(value))


def masked_text(text: str) -> str:
    """The text without the secrets it is known to carry."""
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text
