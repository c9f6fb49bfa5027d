"""One's inbox in the API's words."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from server.inbox.model import MAX_IDS, Item, path_of, told
from web.schemas.base import In, Instant, Out


class InboxMessageOut(Out):
    """``text`` is what there is to say beside the subject; ``url`` where the message leads, a path where it is ours."""

    id: UUID
    kind: str
    subject: str
    text: str
    url: str | None
    session_id: UUID | None
    created_at: Instant
    read: bool

    @classmethod
    def of(cls, item: Item, public_url: str) -> InboxMessageOut:
        return cls(
            id=item.id,
            kind=item.kind,
            subject=item.subject,
            text=told(item),
            url=path_of(item.url, public_url),
            session_id=item.session_id,
            created_at=item.created_at,
            read=item.read_at is not None,
        )


class MyInboxOut(Out):
    """``unread`` counts all of them, up to 100."""

    items: list[InboxMessageOut]
    next_cursor: str | None
    unread: int


class InboxReadIn(In):
    """Either ``ids``, or ``all``; with ``until`` all up to the one that was seen last."""

    ids: list[UUID] | None = Field(None, min_length=1, max_length=MAX_IDS)
    all: bool = False
    until: UUID | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.all == (self.ids is not None):
            raise PydanticCustomError("ids_or_all", "Send ids, or all: true.")
        if self.until is not None and not self.all:
            raise PydanticCustomError("until_without_all", "until goes with all: true.")
        return self


class InboxReadOut(Out):
    marked: int
    unread: int
