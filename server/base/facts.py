"""Facts: what happened, as frozen values written to the outbox in the same transaction that made them true."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from pydantic import TypeAdapter


class Fact(Protocol):
    """A frozen dataclass: a class-level ``KIND`` (snake_case, past tense), its session, and its instant."""

    KIND: ClassVar[str]

    @property
    def session_id(self) -> UUID | None: ...

    @property
    def at(self) -> datetime: ...


F = TypeVar("F")


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}  # building one costs about a millisecond


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    adapter = _ADAPTERS.get(cls)
    if adapter is None:
        adapter = _ADAPTERS[cls] = TypeAdapter(cls)
    return adapter


def encode(fact: Fact) -> dict[str, Any]:
    """The fact's fields as JSON-ready values (RFC 3339 instants, UUIDs as text)."""
    data = _adapter(type(fact)).dump_python(fact, mode="json")
    assert isinstance(data, dict)  # noqa: S101 - facts are dataclasses
    return data


def decode(cls: type[F], data: dict[str, Any]) -> F:
    """The inverse of `encode`. Raises ``pydantic.ValidationError`` when the row does not fit the type."""
    value: F = _adapter(cls).validate_python(data)
    return value
