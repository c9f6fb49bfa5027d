"""`visavis doctor`: looks at everything Visavis stands on and says what to do about what is wrong."""

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

import aiohttp
import aiosmtplib
import asyncpg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.base.clock import SystemClock
from server.base.errors import Refusal
from server.integrations.push import subject_of
from server.migrations import pending
from server.settings import SECRET_FILE, Settings, SettingsError, SmtpSecurity, load_settings
from server.supervisor import media_host, port_fault
from server.turn import ice_servers
from server.turn.probe import probe
from server.vapid import FILE

_TIMEOUT = 5.0  # seconds per question; a service that takes longer is no use to a person waiting for a page
_ALIVE_TIMEOUT = 2.0  # /healthz does nothing but answer
_MIN_POSTGRES = 15  # the oldest release still supported by its makers when this was written has everything
_MIN_REDIS = (6, 2)  # XAUTOCLAIM
_CERTIFICATE_WARNING = timedelta(days=14)


class Level(StrEnum):
    """OK and NOTE let the doctor exit with 0; WRONG does not."""

    OK = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` is empty when there is nothing to do."""

    level: Level
    subject: str
    text: str
    remedy: str = ""

    def line(self) -> str:
        tail = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.level.value:5}  {self.subject:14} {self.text}{tail}"


async def doctor(environ: Mapping[str, str]) -> int:
    """Print the findings to stdout; 1 when something is wrong, else 0."""
    findings = await examine(environ, SystemClock().now())
    for finding in findings:
        sys.stdout.write(finding.line() + "\n")
    wrong = sum(finding.level is Level.WRONG for finding in findings)
    sys.stdout.write(f"{wrong} thing{'s' if wrong > 1 else ''} wrong.\n" if wrong else "All is well.\n")
    return 1 if wrong else 0


async def examine(environ: Mapping[str, str], now: datetime) -> list[Finding]:
    """All findings, in the order of the report. With a faulty configuration only its faults."""
    try:
        settings = load_settings(environ)
    except SettingsError as error:
        return [
            Finding(Level.WRONG, "configuration", f"{f.name}: {f.message}", "correct it and ask again")
            for f in error.faults
        ]
    ours = await _answers(settings)
    parts = await asyncio.gather(
        _database(settings.database_url, "database", migrations=True),
        _database(settings.database_replica_url, "replica", migrations=False),
        _redis(settings.redis_url),
        asyncio.to_thread(_ports, settings, ours),
        _smtp(settings),
        _turn(settings, now),
    )
    return [
        Finding(Level.OK, "configuration", f"data in {settings.data_dir}, public at {settings.public_url}"),
        *_secret_file(settings),
        *(finding for part in parts for finding in part),
        *_tls(settings, now),
        *_messages(settings),
        *_push(settings),
        *_calendars(settings),
    ]


def _secret_file(settings: Settings) -> list[Finding]:
    path = settings.data_dir / SECRET_FILE
    if path.exists() and path.stat().st_mode & 0o077:
        return [Finding(Level.WRONG, "secret key", f"{path} can be read by others", f"chmod 600 {path}")]
    return []


async def _database(url: str | None, subject: str, *, migrations: bool) -> list[Finding]:
    if url is None:
        return []
    try:
        async with asyncio.timeout(_TIMEOUT):
            conn = await asyncpg.connect(url)
            try:
                version = conn.get_server_version()
                todo = await pending(conn) if migrations else []
            finally:
                await conn.close()
    except Refusal as refusal:
        return [Finding(Level.WRONG, subject, refusal.detail)]
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [
            Finding(
                Level.WRONG,
                subject,
                f"no connection: {_words(error)}",
                f"check {'VISAVIS_DATABASE_URL' if migrations else 'VISAVIS_DATABASE_REPLICA_URL'} and the server",
            )
        ]
    name = f"PostgreSQL {version.major}.{version.minor}"
    if version.major < _MIN_POSTGRES:
        return [Finding(Level.WRONG, subject, f"{name} is too old", f"upgrade to {_MIN_POSTGRES} or newer")]
    if todo:
        return [Finding(Level.WRONG, subject, f"{name}, pending: {', '.join(todo)}", "visavis migrate")]
    return [Finding(Level.OK, subject, f"{name}{', schema up to date' if migrations else ''}")]


async def _redis(url: str) -> list[Finding]:
    try:
        async with asyncio.timeout(_TIMEOUT), Redis.from_url(url, socket_timeout=_TIMEOUT) as client:
            info = await client.info("server")
    except (OSError, RedisError, ValueError) as error:
        text = f"no connection: {_words(error)}"
        return [Finding(Level.WRONG, "redis", text, "check VISAVIS_REDIS_URL and the server")]
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < _MIN_REDIS:
        return [Finding(Level.WRONG, "redis", f"{version} is too old", "upgrade to 6.2 or newer")]
    return [Finding(Level.OK, "redis", version)]


async def _answers(settings: Settings) -> bool:
    """Whether the web process runs: then it is who holds the ports."""
    scheme = "https" if settings.tls_certificate or settings.public_url.startswith("https:") else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connector = aiohttp.TCPConnector(ssl=False)  # the certificate is for the public name
    try:
        async with (
            asyncio.timeout(_ALIVE_TIMEOUT),
            aiohttp.ClientSession(connector=connector) as client,
            client.get(
                f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}/healthz"
            ) as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _ports(settings: Settings, ours: bool) -> list[Finding]:
    findings = []
    media = media_host(settings), settings.media_port
    for subject, variable, kind, (host, port) in (
        ("web port", "VISAVIS_PORT", socket.SOCK_STREAM, (settings.host, settings.port)),
        ("media port TCP", "VISAVIS_MEDIA_PORT", socket.SOCK_STREAM, media),
        ("media port UDP", "VISAVIS_MEDIA_PORT", socket.SOCK_DGRAM, media),
    ):
        where = f"{host} port {port}"
        match port_fault(host, port, kind), ours:
            case None, _:
                findings.append(Finding(Level.OK, subject, f"{where} is free"))
            case _, True:
                findings.append(Finding(Level.OK, subject, f"{where} is in use; Visavis is running"))
            case reason, False:
                findings.append(
                    Finding(
                        Level.WRONG,
                        subject,
                        f"{where}: {reason}",
                        f"end the other program or set {variable}",
                    )
                )
    return [*findings, _announced(settings)]


def _announced(settings: Settings) -> Finding:
    """The addresses in our ICE candidates: whether browsers can use them at all."""
    subject, remedy = "media addresses", "set VISAVIS_MEDIA_ADDRESSES to what browsers reach this machine by"
    addresses = [ipaddress.ip_address(text) for text in settings.media_addresses]
    said = ", ".join(settings.media_addresses)
    here = urlsplit(settings.public_url).hostname in ("localhost", "127.0.0.1", "::1")
    if not here and all(address.is_loopback for address in addresses):
        return Finding(Level.WRONG, subject, f"{said}: nobody but this machine reaches that", remedy)
    if any(address.version == 6 for address in addresses) and not socket.has_dualstack_ipv6():
        return Finding(Level.WRONG, subject, f"{said}, but there is no IPv6 here", remedy)
    return Finding(Level.OK, subject, said)


def _tls(settings: Settings, now: datetime) -> list[Finding]:
    url = urlsplit(settings.public_url)
    if settings.tls_certificate is None or settings.tls_key is None:
        if url.scheme == "https":
            return [Finding(Level.OK, "tls", "none here: a proxy is expected to serve HTTPS")]
        if url.hostname in ("localhost", "127.0.0.1", "::1"):
            return [Finding(Level.OK, "tls", "none, and none needed on this machine alone")]
        return [
            Finding(
                Level.WRONG,
                "tls",
                f"{settings.public_url} is not HTTPS: browsers will refuse camera and microphone",
                "put an HTTPS proxy in front and set VISAVIS_PUBLIC_URL, or VISAVIS_TLS_CERT and VISAVIS_TLS_KEY",
            )
        ]
    try:
        certificate = x509.load_pem_x509_certificate(settings.tls_certificate.read_bytes())
        key = load_pem_private_key(settings.tls_key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        return [
            Finding(Level.WRONG, "tls", _words(error), "VISAVIS_TLS_CERT and VISAVIS_TLS_KEY must be PEM")
        ]
    if key.public_key() != certificate.public_key():
        text = "the key does not belong to the certificate"
        return [Finding(Level.WRONG, "tls", text, "correct VISAVIS_TLS_CERT and VISAVIS_TLS_KEY")]
    ends = certificate.not_valid_after_utc
    if ends <= now:
        return [Finding(Level.WRONG, "tls", f"the certificate ended on {ends:%Y-%m-%d}", "renew it")]
    if ends - now < _CERTIFICATE_WARNING:
        return [Finding(Level.NOTE, "tls", f"the certificate ends on {ends:%Y-%m-%d}", "renew it soon")]
    return [Finding(Level.OK, "tls", f"certificate good until {ends:%Y-%m-%d}")]


async def _smtp(settings: Settings) -> list[Finding]:
    smtp = settings.smtp
    if smtp is None:
        if settings.demo:
            return [Finding(Level.OK, "smtp", f"none: mail lands in {settings.public_url}/dev/inbox")]
        return [Finding(Level.NOTE, "smtp", "none: no mail leaves this server", "set VISAVIS_SMTP_URL")]
    client = aiosmtplib.SMTP(
        hostname=smtp.host,
        port=smtp.port,
        username=smtp.username,
        password=smtp.password,
        use_tls=smtp.security is SmtpSecurity.TLS,
        timeout=_TIMEOUT,
    )
    try:
        async with asyncio.timeout(2 * _TIMEOUT), client:
            await client.noop()
    except (OSError, aiosmtplib.SMTPException) as error:
        text = f"{smtp.host}:{smtp.port}: {_words(error)}"
        return [Finding(Level.WRONG, "smtp", text, "check VISAVIS_SMTP_URL and the mail server")]
    return [Finding(Level.OK, "smtp", f"{smtp.host}:{smtp.port} accepts us")]


def _calendars(settings: Settings) -> list[Finding]:
    """Which kinds people can connect. What a service has to know is told: it cannot be asked without a person."""
    findings = [Finding(Level.OK, "caldav calendars", "people connect them by an app password")]
    for subject, provider, client, variables in (
        ("google calendars", "google", settings.oauth.google, "VISAVIS_GOOGLE_CLIENT_*"),
        ("microsoft calendars", "microsoft", settings.oauth.microsoft, "VISAVIS_MICROSOFT_CLIENT_*"),
    ):
        if client is None:
            findings.append(Finding(Level.NOTE, subject, "nobody can connect one", f"set {variables}"))
            continue
        text = f"registered with the redirect URI {settings.public_url}/calendars/{provider}/callback?"
        if settings.public_url.startswith("https:"):
            findings.append(Finding(Level.OK, subject, text))
        else:
            remedy = "serve HTTPS: without it changes are polled for every 15 minutes"
            findings.append(Finding(Level.NOTE, subject, text, remedy))
    return findings


def _messages(settings: Settings) -> list[Finding]:
    """Slack, SMS and WhatsApp: none can be asked without sending something, so only what they lead to is told."""
    it, findings = settings.providers, []
    for subject, given, variables, without in (
        ("slack", it.slack_webhook_url, "VISAVIS_SLACK_WEBHOOK_URL", "each administrator is told by name"),
        ("sms", it.twilio, "VISAVIS_TWILIO_*", "nobody gets an SMS"),
        ("whatsapp", it.whatsapp, "VISAVIS_WHATSAPP_*", "nobody is asked by WhatsApp"),
    ):
        if given is None:
            findings.append(Finding(Level.NOTE, subject, f"none: {without}", f"set {variables}"))
            continue
        callback = {"sms": "/webhooks/twilio", "whatsapp": "/webhooks/whatsapp"}.get(subject)
        if callback is None or settings.public_url.startswith("https:"):
            reports = f", reports to {settings.public_url}{callback}" if callback else ""
            findings.append(Finding(Level.OK, subject, f"configured{reports}"))
        else:
            text = f"configured, but cannot report to {settings.public_url}{callback}"
            findings.append(
                Finding(Level.WRONG, subject, text, "providers call HTTPS only: set VISAVIS_PUBLIC_URL")
            )
    return findings


def _push(settings: Settings) -> list[Finding]:
    """The key that push services know us by. None of them can be asked without a browser that subscribed."""
    path, vapid = settings.data_dir / FILE, settings.vapid
    if vapid is None:
        remedy = "set VISAVIS_VAPID_PRIVATE_KEY"
        return [Finding(Level.NOTE, "push", "none: browsers get no push messages", remedy)]
    if settings.embedded_database and path.exists() and path.stat().st_mode & 0o077:
        return [Finding(Level.WRONG, "push", f"{path} can be read by others", f"chmod 600 {path}")]
    complaints = subject_of(settings)
    text = f"the P-256 key {vapid.public_key[:12]}..., complaints to {complaints}"
    if vapid.subject is None and complaints.endswith(".invalid"):  # RFC 8292 section 2.1: they write there
        remedy = "set VISAVIS_VAPID_SUBJECT to an address that somebody reads"
        return [Finding(Level.NOTE, "push", text, remedy)]
    return [Finding(Level.OK, "push", text)]


async def _turn(settings: Settings, now: datetime) -> list[Finding]:
    """Each URL is asked what a browser would ask it, with credentials like those that browsers get."""
    if settings.turn is None:
        text = "none: who can reach the media port neither over UDP nor over TCP cannot call"
        return [Finding(Level.NOTE, "turn", text, "set VISAVIS_TURN_URLS and VISAVIS_TURN_SECRET")]
    asked = [(url, it) for it in ice_servers(settings.turn, "doctor", now) for url in it.urls]
    answers = await asyncio.gather(*(probe(url, it, _TIMEOUT) for url, it in asked))
    findings = []
    for (url, _), fault in zip(asked, answers, strict=True):
        if fault is None:
            findings.append(Finding(Level.OK, "turn", f"{url} answers"))
            continue
        remedy = (
            "VISAVIS_TURN_SECRET must be the server's static-auth-secret, and both clocks must be right"
            if "401" in fault
            else "check VISAVIS_TURN_URLS, the server and the firewall before it"
        )
        findings.append(Finding(Level.WRONG, "turn", f"{url}: {fault}", remedy))
    return findings


def _words(error: BaseException) -> str:
    """What an exception says, its kind when it says nothing (a timeout)."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
