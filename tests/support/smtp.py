"""A recording SMTP server on loopback (RFC 5321), real down to the socket."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One accepted mail: the envelope and the parsed message; ``taken_at`` monotonic, in seconds."""

    mail_from: str
    rcpt_tos: tuple[str, ...]
    message: EmailMessage
    taken_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class SmtpServer:
    """Where it listens and what it got. Set `reply` ("451 4.3.0 Try again later") to refuse; None accepts."""

    host: str = "127.0.0.1"
    port: int = 0
    messages: list[ReceivedMail] = field(default_factory=list)
    reply: str | None = None
    attempts: int = 0
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """For VISAVIS_SMTP_URL."""
        return f"smtp://{self.host}:{self.port}"

    async def wait_for(self, count: int, timeout: float = 10.0) -> list[ReceivedMail]:
        """All messages, once there are at least `count`; TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: len(self.messages) >= count)
        return list(self.messages)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        async with self._arrived:
            self.attempts += 1
            self._arrived.notify_all()
            if self.reply is not None:
                return self.reply
            message = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            self.messages.append(ReceivedMail(envelope.mail_from, tuple(envelope.rcpt_tos), message))
            return "250 OK"


@contextlib.asynccontextmanager
async def running_smtp() -> AsyncIterator[SmtpServer]:
    """An SmtpServer on a free port for the length of a block."""
    recorder = SmtpServer()
    listener = await asyncio.get_running_loop().create_server(
        lambda: SMTP(recorder, hostname="localhost", enable_SMTPUTF8=True), recorder.host, 0
    )
    recorder.port = listener.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        listener.close()
        await listener.wait_closed()
