"""Outgoing mail: one message over real SMTP."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Final

import aiosmtplib

from server.integrations.channel import (
    Deferred,
    Dials,
    Form,
    Message,
    NotSent,
    Rate,
    Refused,
    Traits,
    Unavailable,
)
from server.settings import Settings, Smtp, SmtpSecurity

TRAITS: Final = Traits("Mail", Form.LONG, Dials.ACCOUNT, disturbs=False)
SMTP_TIMEOUT = 10.0  # seconds for each command; a provider that needs longer is treated as down
# One conversation at a time for each worker is what limits mail; this only keeps a flood from a provider's door.
RATE: Final = Rate(per_second=500, burst=1000)


def calendar_method(calendar: str) -> str:
    """The METHOD of an iCalendar text (RFC 5546), which the MIME type has to repeat (RFC 6047 section 2.4)."""
    for line in calendar.splitlines():
        if line.upper().startswith("METHOD:"):
            return line.partition(":")[2].strip().upper()
    return "PUBLISH"


def domain_of(mail_from: str) -> str:
    return parseaddr(mail_from)[1].rpartition("@")[2]


def compose(message: Message, mail_from: str) -> EmailMessage:
    """The message as RFC 5322 text with the calendar attached."""
    mime = EmailMessage()
    mime["From"] = mail_from
    mime["To"] = message.to
    mime["Subject"] = " ".join(message.subject.split())
    mime["Date"] = format_datetime(message.date)
    mime["Message-ID"] = f"<{message.id}@{domain_of(mail_from)}>"
    mime["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies, please
    if message.unsubscribe_url is not None:
        mime["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        mime["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
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

    @property
    def rate(self) -> Rate:
        return RATE

    async def send(self, message: Message) -> str:
        """The Message-ID, which stays the same for every try: SMTP has no receipt of its own."""
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
            return str(mime["Message-ID"])
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            raise _by_code(min(codes, default=550), str(error)) from error
        except aiosmtplib.SMTPAuthenticationError as error:
            raise Unavailable(f"the mail server does not know us: {error}") from error
        except aiosmtplib.SMTPNotSupported as error:
            raise Refused(str(error)) from error
        except aiosmtplib.SMTPConnectResponseError as error:
            raise Unavailable(str(error)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _by_code(error.code, str(error)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        except ValueError as error:  # an address or header that no message can carry
            raise Refused(str(error)) from error


def _by_code(code: int, text: str) -> NotSent:
    if code == 421:  # "service not available, closing transmission channel"
        return Unavailable(text)
    return Refused(text) if code >= 500 else Deferred(text)


def channel(settings: Settings) -> SmtpMailer | None:
    """SMTP where VISAVIS_SMTP_URL is set."""
    return SmtpMailer(settings.smtp, settings.mail_from) if settings.smtp is not None else None
