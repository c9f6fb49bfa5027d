"""Messages in a person's inbox, and what is news to somebody who knows some of them; pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

WINDOW = 20  # the newest messages, which a page or a socket is shown at once
MOST_COUNTED = 100  # unread ones; beyond it a person reads "99+"
MAX_IDS = 100  # of one call
_LEADING = re.compile(r"[^.!?()]{1,30}:\s*$")


@dataclass(frozen=True, slots=True)
class Item:
    """One message. ``url`` is where it leads, as it was written."""

    id: UUID
    kind: str
    subject: str
    body: str
    url: str | None
    session_id: UUID | None
    created_at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Look:
    """One look into an inbox: the unread count (up to MOST_COUNTED) and the newest items, newest first."""

    unread: int
    items: tuple[Item, ...]

    @property
    def ids(self) -> frozenset[UUID]:
        return frozenset(item.id for item in self.items)


def since(look: Look, seen: UUID | None) -> tuple[tuple[Item, ...], bool]:
    """The items that are new to somebody whose newest is ``seen``, and whether there may be more than these.

    Those of the minute before ``seen`` are among them again: ids are made before the commit, so a message may come to
    light after a newer one. Who gets them tells repetitions by their ids.
    """
    if seen is None:
        return look.items, len(look.items) >= WINDOW
    after = max(0, seen.int - (60_000 << 80))  # the first 48 bits of a UUIDv7 are milliseconds
    fresh = tuple(item for item in look.items if item.id.int > after)
    return fresh, len(fresh) >= WINDOW


def news(known: Collection[UUID], look: Look) -> tuple[Item, ...] | None:
    """What has come since the look in which ``known`` were the newest, oldest first; None when that cannot be told
    (more came than a look shows)."""
    fresh = tuple(item for item in reversed(look.items) if item.id not in known)
    return None if known and len(fresh) >= WINDOW else fresh


def told(item: Item) -> str:
    """The text of a message beside its link: the body without the address and the word that leads to it (``Join:``)."""
    if not item.url or item.url not in item.body:
        return " ".join(item.body.split())
    before, _, after = item.body.partition(item.url)
    return " ".join(f"{_LEADING.sub('', before)} {after}".split())


def path_of(url: str | None, public_url: str) -> str | None:
    """Where a message leads, as a path of ours where it is one (also under another name of this host)."""
    if url is None:
        return None
    path = url.removeprefix(public_url)
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else url


def newest(items: Sequence[Item]) -> UUID | None:
    return items[0].id if items else None
