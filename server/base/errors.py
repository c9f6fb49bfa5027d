"""Every way of saying no: a stable code for programs, a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one input field, as RFC 9457's ``errors`` extension carries it."""

    field: str
    code: str
    message: str


class Refusal(Exception):
    """A request that was understood and refused.

    ``code`` is stable and meant for programs, ``detail`` is a sentence for people, ``extra`` is merged into
    the problem document (RFC 9457). ``http_status`` is the only word of HTTP the domain knows.
    """

    http_status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"

    def __init__(self, code: str, detail: str, **extra: Any) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.extra: Mapping[str, Any] = extra


class Unauthenticated(Refusal):
    http_status = 401
    title = "Sign in first"


class InsufficientFunds(Refusal):
    http_status = 402
    title = "Not enough tokens"


class Forbidden(Refusal):
    http_status = 403
    title = "Not allowed"


class NotFound(Refusal):
    http_status = 404
    title = "Not found"


class Conflict(Refusal):
    http_status = 409
    title = "Conflict"


class Gone(Refusal):
    http_status = 410
    title = "Gone"


class Invalid(Refusal):
    """Bad input: all faults at once."""

    http_status = 422
    title = "Invalid input"

    def __init__(self, errors: Sequence[FieldError], detail: str = "Some fields are not right.") -> None:
        super().__init__("invalid_input", detail)
        self.errors: tuple[FieldError, ...] = tuple(errors)


class TooMany(Refusal):
    """A limit was reached; ``retry_after`` is in seconds."""

    http_status = 429
    title = "Too many requests"

    def __init__(self, code: str, detail: str, retry_after: int) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after


class Unavailable(Refusal):
    http_status = 503
    title = "Unavailable"
