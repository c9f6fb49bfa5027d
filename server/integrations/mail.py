"""Outgoing mail: one message over real SMTP, and the three ways in which it can fail to leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Protocol
from uuid import UUID

import aiosmtplib

from server.base.context import Context
from server.settings import Smtp, SmtpSecurity

SMTP_TIMEOUT = 10.0  # seconds for each command; a provider that needs longer is treated as down


class MailError(Exception):
    """The message has not left."""


class MailRefused(MailError):
    """The server will never take this message (5xx): do not try again."""


class MailDeferred(MailError):
    """The server wants this message later (4xx): other messages may pass."""


class MailUnavailable(MailError):
    """No conversation with the server was possible: no message will pass for now."""


@dataclass(frozen=True, slots=True)
class MailMessage:
    """``id`` makes the Message-ID, the same for every try, so that a receiver can tell a repetition."""

    id: UUID
    to: str
    subject: str
    text: str
    calendar: str | None
    date: datetime


class Mailer(Protocol):
    """Hands a message over. Returning means that the server has taken responsibility (RFC 5321 section 6.1)."""

    async def send(self, message: MailMessage) -> None:
        """Raises `MailRefused`, `MailDeferred` or `MailUnavailable`."""


@dataclass(frozen=True, slots=True)
class DevInbox:
    """No provider is configured: what would have left stays in the database, written with the message's state."""


def calendar_method(calendar: str) -> str:
    """The METHOD of an iCalendar text (RFC 5546), which the MIME type has to repeat (RFC 6047 section 2.4)."""
    for line in calendar.splitlines():
        if line.upper().startswith("METHOD:"):
            return line.partition(":")[2].strip().upper()
    return "PUBLISH"


def domain_of(mail_from: str) -> str:
    return parseaddr(mail_from)[1].rpartition("@")[2]


def compose(message: MailMessage, mail_from: str) -> EmailMessage:
    """The message as RFC 5322 text with the calendar attached."""
    mime = EmailMessage()
    mime["From"] = mail_from
    mime["To"] = message.to
    mime["Subject"] = " ".join(message.subject.split())
    mime["Date"] = format_datetime(message.date)
    mime["Message-ID"] = f"<{message.id}@{domain_of(mail_from)}>"
    mime["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies, please
    mime.set_content(message.text)
    if message.calendar is not None:
        mime.add_attachment(
            message.calendar,
            subtype="calendar",
            filename="session.ics",
            params={"method": calendar_method(message.calendar)},
        )
    return mime


class SmtpMailer:
    """One SMTP conversation per message: no connection to keep alive, none to find half dead."""

    def __init__(self, smtp: Smtp, mail_from: str) -> None:
        self._smtp = smtp
        self._mail_from = mail_from
        self._domain = domain_of(mail_from)

    async def send(self, message: MailMessage) -> None:
        smtp = self._smtp
        tls = smtp.security is SmtpSecurity.TLS
        try:
            mime = compose(message, self._mail_from)
            await aiosmtplib.send(
                mime,
                hostname=smtp.host,
                port=smtp.port,
                username=smtp.username,
                password=smtp.password,
                use_tls=tls,
                start_tls=False if tls else None,
                timeout=SMTP_TIMEOUT,
                local_hostname=self._domain,  # else a DNS question, asked while the loop waits
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            raise _by_code(min(codes, default=550), str(error)) from error
        except aiosmtplib.SMTPAuthenticationError as error:
            raise MailUnavailable(f"the mail server does not know us: {error}") from error
        except aiosmtplib.SMTPNotSupported as error:
            raise MailRefused(str(error)) from error
        except aiosmtplib.SMTPConnectResponseError as error:
            raise MailUnavailable(str(error)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _by_code(error.code, str(error)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnavailable(f"{type(error).__name__}: {error}") from error
        except ValueError as error:  # an address or header that no message can carry
            raise MailRefused(str(error)) from error


def _by_code(code: int, text: str) -> MailError:
    if code == 421:  # "service not available, closing transmission channel"
        return MailUnavailable(text)
    return MailRefused(text) if code >= 500 else MailDeferred(text)


def make_mailer(ctx: Context) -> Mailer | DevInbox | None:
    """SMTP where it is configured, else the development inbox in demo mode, else None: messages wait for a server."""
    settings = ctx.settings
    if settings.smtp is not None:
        return SmtpMailer(settings.smtp, settings.mail_from)
    return DevInbox() if settings.demo else None
