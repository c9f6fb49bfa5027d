"""What the API reads and writes about calendars that people keep elsewhere."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, Text


class ConnectIn(In):
    provider: Text = Field(max_length=20, examples=["google"])


class ConsentOut(Out):
    authorize_url: str = Field(
        description="Open it in a browser that is signed in here; good for 15 minutes."
    )


class CalendarOut(Out):
    id: UUID
    provider: Literal["google", "microsoft", "caldav"]
    account: str
    status: Literal["active", "broken"] = Field(
        description="broken: the permission is gone; connect it again."
    )
    synced_at: Instant | None
    error: str | None = Field(description="Why the last look at it failed; it is tried again.")
    created_at: Instant


class CalendarsOut(Out):
    items: list[CalendarOut]
    offered: list[str] = Field(description="Providers that can be connected by consent.")
    feed_url: str = Field(description="The private iCalendar feed; whoever has this address can read it.")


class FeedOut(Out):
    feed_url: str
