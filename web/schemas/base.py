"""The words all API models share: instants, texts, pages, and the problem document."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T")


# The zone is optional here so that its absence gets a message of its own.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?")
# The plus sign of an offset that somebody forgot to percent-encode in a query.
_LOST_PLUS = re.compile(r"(?<=\d) (?=\d\d:\d\d$)")


def _text_instant(value: Any) -> Any:
    """Unlike pydantic's own reading, numbers (Unix seconds? milliseconds?) are refused, in quotes or not."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        text = _LOST_PLUS.sub("+", value) if "T" in value else value
        if _RFC3339.fullmatch(text):
            return text
    raise PydanticCustomError("rfc3339_required", "Write an instant like 2026-11-22T04:00:00Z.")


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("instant_out_of_range", "This instant is out of range.") from None


def _storable(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError("control_character", "A text cannot hold a NUL character.")
    return value


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_text_instant),
    AfterValidator(_to_utc),
    Field(examples=["2026-11-22T04:00:00Z"]),
]
Text = Annotated[str, AfterValidator(_storable)]
Line = Annotated[Text, Field(max_length=200)]
Reason = Annotated[Text, Field(max_length=500)]


class In(BaseModel):
    """A request body: an unknown field is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Query(BaseModel):
    """Query parameters: unknown ones are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class Nothing(In):
    """No body, or an empty object."""


class NoQuery(Query):
    """No parameters."""


class PageQuery(Query):
    """Where a list continues: ``cursor`` is the previous answer's ``next_cursor``, opaque."""

    limit: int = Field(20, ge=1, le=100)
    cursor: Text | None = Field(None, max_length=500)


class Page(Out, Generic[T]):
    items: list[T]
    next_cursor: str | None


class Person(Out):
    """Somebody, as the other side of a session sees them."""

    id: UUID
    name: str


class Span(Out):
    start: Instant
    end: Instant


class FieldProblem(Out):
    field: str
    code: str
    message: str


class ProblemDocument(BaseModel):
    """A refusal (RFC 9457, application/problem+json)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] | None = None
