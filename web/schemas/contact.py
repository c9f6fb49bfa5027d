"""What the API reads and writes about how a person is reached."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from server.contact.choices import Needs, Overview
from server.contact.model import MAX_TRIES, Change, Choice, Line, Number
from server.contact.store import Address
from server.notifications.tongues import TONGUES
from web.schemas.base import In, Instant, Out, Text


class QuietHours(Out):
    """Wall times of the person's zone, e.g. 22:00 to 07:00: past midnight when the start is the later one."""

    start: str = Field(examples=["22:00"])
    end: str = Field(examples=["07:00"])


class LanguageOut(Out):
    code: str
    name: str


class EmailOut(Out):
    """The account's mail address."""

    address: str
    verified: bool
    verified_at: Instant | None
    pending: str | None = Field(
        description="Replaces it when its owner follows the link that was sent there."
    )

    @classmethod
    def of(cls, it: Address) -> EmailOut:
        return cls(
            address=it.email, verified=it.verified_at is not None, verified_at=it.verified_at, pending=it.pending
        )  # fmt: skip


class ChannelOut(Out):
    channel: str
    label: str
    needs: Needs
    ready: bool = Field(description="Whether what it needs is there.")
    quiet: bool = Field(description="Whether quiet hours hold for it.")


class ChoiceOut(Out):
    channel: str
    wanted: bool
    default: bool
    fixed: bool = Field(description="Cannot be switched off: it is about money, access or an agreed time.")


class KindOut(Out):
    kind: str
    title: str
    needs_verified_address: bool = Field(description="Its mail waits until the address is verified.")
    channels: list[ChoiceOut]

    @classmethod
    def of(cls, line: Line) -> KindOut:
        return cls(
            kind=line.kind.value,
            title=line.title,
            needs_verified_address=not line.before_verified,
            channels=[
                ChoiceOut(channel=it.channel, wanted=it.on, default=it.default, fixed=it.fixed) for it in line.cells
            ],
        )  # fmt: skip


class CodeOut(Out):
    """Of the code that was sent there last."""

    sent_at: Instant
    expires_at: Instant
    resend_at: Instant = Field(description="Another one can be asked for from then on.")
    tries_left: int


class DestinationOut(Out):
    """A number or device."""

    id: UUID
    channel: str
    address: str
    label: str
    verified: bool
    verified_at: Instant | None
    created_at: Instant
    code: CodeOut | None

    @classmethod
    def of(cls, it: Number) -> DestinationOut:
        code = None
        if it.code_sent_at and it.code_expires_at and it.resend_at:
            code = CodeOut(
                sent_at=it.code_sent_at,
                expires_at=it.code_expires_at,
                resend_at=it.resend_at,
                tries_left=max(0, MAX_TRIES - it.tries),
            )
        # A push address is a permission to write to the device: it is nobody's to read.
        address = it.address if it.address.startswith("+") else ""
        return cls(
            id=it.id, channel=it.channel, address=address, label=it.label, verified=it.verified_at is not None,
            verified_at=it.verified_at, created_at=it.created_at, code=code,
        )  # fmt: skip


class NotificationsOut(Out):
    """All that a person can choose about messages."""

    language: str
    languages: list[LanguageOut]
    timezone: str = Field(description="Of the quiet hours, and of all times in messages.")
    quiet_hours: QuietHours | None
    email: EmailOut
    channels: list[ChannelOut]
    kinds: list[KindOut]
    destinations: list[DestinationOut]

    @classmethod
    def of(cls, it: Overview) -> NotificationsOut:
        quiet = it.quiet
        return cls(
            language=it.language,
            languages=[LanguageOut(code=code, name=tongue.name) for code, tongue in TONGUES.items()],
            timezone=it.user.timezone,
            quiet_hours=None
            if quiet is None
            else QuietHours(start=f"{quiet.start:%H:%M}", end=f"{quiet.end:%H:%M}"),
            email=EmailOut.of(it.address),
            channels=[
                ChannelOut(channel=c.name, label=c.label, needs=c.needs, ready=c.ready, quiet=c.disturbs)
                for c in it.channels
            ],
            kinds=[KindOut.of(line) for line in it.lines],
            destinations=[DestinationOut.of(number) for number in it.numbers],
        )  # fmt: skip


class QuietIn(In):
    start: Text = Field(max_length=20, examples=["22:00"])
    end: Text = Field(max_length=20, examples=["07:00"])


class ChoiceIn(In):
    kind: Text = Field(max_length=100)
    channel: Text = Field(max_length=100)
    wanted: bool | None = Field(strict=True, description="null goes back to the default.")


class NotificationsIn(In):
    """Only what is given changes; `quiet_hours: null` ends them."""

    language: Text | None = Field(None, max_length=35)
    quiet_hours: QuietIn | None = None
    choices: list[ChoiceIn] = Field([], max_length=500)

    def change(self) -> Change:
        quiet = self.quiet_hours
        return Change(
            language=self.language,
            sets_quiet="quiet_hours" in self.model_fields_set,
            quiet=None if quiet is None else (quiet.start, quiet.end),
            choices=tuple(Choice(it.kind, it.channel, it.wanted) for it in self.choices),
        )


class DestinationIn(In):
    channel: Text = Field(max_length=100, examples=["sms"])
    address: Text = Field(max_length=100, description="E.164, spaces allowed.", examples=["+49 170 1234567"])


class CodeIn(In):
    code: Text = Field(max_length=20, examples=["042195"])


class EmailIn(In):
    email: Text = Field(max_length=320)
    password: Text = Field(max_length=1000, description="One's own: it is the owner who asks.")
