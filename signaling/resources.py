"""WHIP and WHEP sessions as HTTP resources: whose they are, their entity tags, and which of them are over."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

REMEMBERED = 4096  # resources that are over and still known, so that deleting one twice is no error


def make_tag() -> str:
    """A strong entity tag (RFC 9110 section 8.8.3) for one ICE session."""
    return f'"{secrets.token_urlsafe(9)}"'


@dataclass(slots=True)
class Resource:
    """One client at the SFU, where it is ``id``."""

    id: str
    kind: str  # whip or whep
    session_id: UUID
    user_id: UUID
    tag: str = field(default_factory=make_tag)
    over: bool = False


class Resources:
    """Bounded: the live ones by the SFU's own limits, of those that are over the oldest are forgotten."""

    def __init__(self) -> None:
        self._live: dict[str, Resource] = {}
        self._over: OrderedDict[str, Resource] = OrderedDict()

    def add(self, resource: Resource) -> None:
        self._live[resource.id] = resource

    def find(self, id: str) -> Resource | None:
        return self._live.get(id) or self._over.get(id)

    def end(self, id: str) -> None:
        """The SFU has let the client go; nothing happens if it was none of these."""
        resource = self._live.pop(id, None)
        if resource is not None:
            resource.over = True
            self._over[id] = resource
            if len(self._over) > REMEMBERED:
                self._over.popitem(last=False)


def matches(condition: str, tag: str) -> bool:
    """Whether an If-Match list names the tag, by the strong comparison (RFC 9110 section 13.1.1)."""
    return tag in (item.strip() for item in condition.split(","))
