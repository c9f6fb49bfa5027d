"""What the API reads and writes about calendars that people keep elsewhere."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, Text


class ConnectIn(In):
    provider: Text = Field(max_length=20, examples=["google"])


class AccountIn(In):
    url: Text = Field(
        min_length=1, max_length=1000, description="Of the CalDAV server, of a person's place on it, or of a calendar.",
        examples=["https://cloud.example.org"],
    )  # fmt: skip
    username: Text = Field(min_length=1, max_length=300)
    password: str = Field(
        min_length=1, max_length=1000, description="An app password, where the server knows such."
    )


class ChooseIn(In):
    write_to: Text = Field(max_length=2000, description="The `url` of one of the account's `calendars`.")


class ChoiceOut(Out):
    url: str
    name: str
    writable: bool


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
    calendars: list[ChoiceOut] = Field(
        description="Those of a CalDAV account, all of which are read; else none."
    )
    write_to: str | None = Field(description="The one of `calendars` that sessions are written to.")


class CalendarsOut(Out):
    items: list[CalendarOut]
    offered: list[str] = Field(description="Providers that can be connected by consent.")
    feed_url: str = Field(description="The private iCalendar feed; whoever has this address can read it.")


class FeedOut(Out):
    feed_url: str
