"""What the API reads and writes about message texts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.contact.trial import Trial
from server.notifications.preview import Entry, Preview
from server.notifications.reach import LANGUAGE
from web.schemas.base import In, Out, Query, Text


class TextFileOut(Out):
    channel: str
    language: str
    file: str = Field(description="The file that serves it.")
    own: bool = Field(description="Of this language, and made for the length of this channel.")


class TextOut(Out):
    template: str
    kind: str
    title: str
    role: str
    files: list[TextFileOut]

    @classmethod
    def of(cls, it: Entry) -> TextOut:
        return cls(
            template=it.template,
            kind=it.kind.value,
            title=it.title,
            role=it.role,
            files=[
                TextFileOut(channel=channel, language=language, file=file, own=it.own(channel, language))
                for (channel, language), file in it.files.items()
            ],
        )


class TextsOut(Out):
    items: list[TextOut]


class PreviewQuery(Query):
    language: Text = Field(LANGUAGE, max_length=35)
    timezone: Text = Field("UTC", max_length=100, description="An IANA zone.")


class SegmentsOut(Out):
    encoding: Literal["GSM-7", "UCS-2"]
    units: int = Field(description="Septets, or 16-bit units.")
    count: int


class PreviewOut(Out):
    """A text filled with sample values."""

    template: str
    role: str
    channel: str
    language: str
    timezone: str
    file: str
    form: Literal["long", "short"]
    subject: str
    text: str
    characters: int
    segments: SegmentsOut | None = Field(description="Of an SMS.")

    @classmethod
    def of(cls, it: Preview) -> PreviewOut:
        counted = it.segments
        return cls(
            template=it.entry.template, role=it.entry.role, channel=it.channel, language=it.language,
            timezone=it.zone.key, file=it.file, form=it.form.value, subject=it.text.subject, text=it.text.body,
            characters=it.characters,
            segments=None if counted is None else SegmentsOut(
                encoding="GSM-7" if counted.encoding == "GSM-7" else "UCS-2", units=counted.units, count=counted.count
            ),
        )  # fmt: skip


class TestIn(In):
    language: Text = Field(LANGUAGE, max_length=35)
    timezone: Text = Field("UTC", max_length=100)


class TestOut(Out):
    """What was written; it leaves as any other message does."""

    channel: str
    address: str = Field(description="One's own; empty where it is read here, or has several devices.")
    subject: str
    copies: int

    @classmethod
    def of(cls, it: Trial) -> TestOut:
        return cls(channel=it.channel, address=it.address, subject=it.subject, copies=it.copies)
