"""The one place that reads the environment: typed, once, and every fault at once."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.endpoints import Endpoints
from server.oauth import OAuthClients, read_clients
from server.private import kept_secret
from server.providers import Providers, read_providers
from server.proxies import Network, networks
from server.vapid import Vapid, read_vapid

T = TypeVar("T")

SECRET_FILE = "secret.key"  # noqa: S105  the name of a file
# 16 characters from a random source are about 100 bits; a shorter key is a password somebody thought up.
MIN_SECRET_LENGTH = 16
TURN_TTL = 6 * 3600  # seconds: longer than any session, so that no call outlives its relay
# RFC 7064 section 3.1 and RFC 7065 section 3.1; only TURN knows a transport.
_TURN_URL = re.compile(
    r"(?:stuns?:{0}|turns?:{0}(?:\?transport=(?:udp|tcp))?)".format(
        r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
    ),
    re.ASCII,
)
REMINDERS = (timedelta(hours=4), timedelta(minutes=30), timedelta(minutes=5))
NO_DATABASE = "No database: set VISAVIS_DATABASE_URL or start `visavis up`"
NO_REDIS = "No Redis: set VISAVIS_REDIS_URL or start `visavis up`"


@dataclass(frozen=True, slots=True)
class SettingFault:
    """One thing wrong with one variable."""

    name: str
    message: str


class SettingsError(Exception):
    """Everything that is wrong with the configuration, one line per variable."""

    def __init__(self, faults: tuple[SettingFault, ...]) -> None:
        super().__init__("\n".join(f"{fault.name}: {fault.message}" for fault in faults))
        self.faults = faults


class LogFormat(StrEnum):
    """How log lines look: for people, for programs, or pretty exactly when stderr is a terminal."""

    PRETTY = "pretty"
    JSON = "json"
    AUTO = "auto"


class SmtpSecurity(StrEnum):
    """`smtps://` speaks TLS at once; `smtp://` upgrades with STARTTLS where the server offers it."""

    TLS = "tls"
    OPPORTUNISTIC = "opportunistic"


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server (RFC 6409 submission)."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    security: SmtpSecurity


@dataclass(frozen=True, slots=True)
class Turn:
    """STUN and TURN servers for the clients (RFC 7064, RFC 7065); `secret` is what coturn calls static-auth-secret.

    A secret is there whenever one of the URLs is `turn:` or `turns:`.
    """

    urls: tuple[str, ...]
    secret: str = field(repr=False)
    ttl_seconds: int  # of the credentials handed out


@dataclass(frozen=True, slots=True)
class Settings:
    """All configuration. Secrets are kept out of `repr`."""

    data_dir: Path
    host: str
    port: int
    media_port: int  # UDP and TCP
    media_addresses: tuple[str, ...]  # announced in ICE candidates
    turn: Turn | None  # None: clients reach the media port themselves
    public_url: str  # without a slash at the end
    trusted_proxies: tuple[Network, ...]  # whose X-Forwarded-For is believed
    database_url: str = field(repr=False)
    database_replica_url: str | None = field(repr=False)
    redis_url: str = field(repr=False)
    embedded_database: bool
    embedded_redis: bool
    secret_key: str = field(repr=False)
    timezone: ZoneInfo  # of payroll and exports
    reminders: tuple[timedelta, ...]  # how long before a session, longest first
    smtp: Smtp | None  # None: no mail leaves; in demo mode it lands in the development inbox
    mail_from: str
    providers: Providers  # of other messages than mails
    log_format: LogFormat
    demo: bool
    shutdown_seconds: float
    platform_fee_percent: int
    tls_certificate: Path | None
    tls_key: Path | None
    oauth: OAuthClients  # of the services that hold calendars
    vapid: Vapid | None  # the key that push services know us by

    @property
    def media_host(self) -> str:
        """Where the media port listens: VISAVIS_HOST, or everywhere ("::" where an IPv6 address is announced) when
        not all announced addresses can be reached by it. So a proxy in front needs only VISAVIS_HOST=127.0.0.1."""
        host = _address(self.host)
        announced = [a for text in self.media_addresses if (a := _address(text)) is not None]
        alike = all(
            host is None or (a.version == host.version and a.is_loopback >= host.is_loopback)
            for a in announced
        )
        if alike or (host is not None and host.is_unspecified and host.version == 6):
            return self.host
        return "::" if any(a.version == 6 for a in announced) else "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Launch:
    """What `visavis up` knows before its servers run."""

    data_dir: Path
    embed_database: bool
    embed_redis: bool
    demo: bool
    public_url: str
    host: str
    port: int
    log_format: LogFormat
    shutdown_seconds: float


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of a process that needs the servers.

    URLs that are not given come from `embedded.json` of a running `visavis up` in the data directory.
    Raises SettingsError with all faults.
    """
    reader = _Reader(environ)
    settings = _read(reader, need_servers=True)
    if reader.faults:
        raise SettingsError(tuple(reader.faults))
    return settings


def load_launch(environ: Mapping[str, str]) -> Launch:
    """The settings of `visavis up`: the same faults, except that servers need not run yet.

    Raises SettingsError with all faults.
    """
    reader = _Reader(environ)
    settings = _read(reader, need_servers=False)
    if reader.faults:
        raise SettingsError(tuple(reader.faults))
    return Launch(
        data_dir=settings.data_dir,
        embed_database=settings.embedded_database,
        embed_redis=settings.embedded_redis,
        # Demo data go only into a database of our own, unless somebody says otherwise.
        demo=reader.flag("VISAVIS_DEMO", settings.embedded_database),
        public_url=settings.public_url,
        host=settings.host,
        port=settings.port,
        log_format=settings.log_format,
        shutdown_seconds=settings.shutdown_seconds,
    )


class _Reader:
    """Reads variables and collects faults instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[SettingFault] = []

    def text(self, name: str) -> str | None:
        """The variable, None when unset or blank."""
        return self._environ.get(name, "").strip() or None

    def fault(self, name: str, message: str) -> None:
        self.faults.append(SettingFault(name, message))

    def parsed(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed variable; the default when unset or, with a fault noted, `parse` raises ValueError."""
        if (text := self.text(name)) is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.fault(name, str(error))
            return default

    def flag(self, name: str, default: bool) -> bool:
        return self.parsed(name, default, _flag)


@dataclass(frozen=True, slots=True)
class _Between:
    """Parses a number and checks its range, ends included."""

    low: float
    high: float
    what: str

    def whole(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        return int(self._checked(number))

    def real(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
        return self._checked(number)

    def _checked(self, number: float) -> float:
        if not self.low <= number <= self.high:
            raise ValueError(f"{number:g} is not {self.what} ({self.low:g} to {self.high:g})")
        return number


_PORT = _Between(1, 65535, "a port")


def _read(reader: _Reader, *, need_servers: bool) -> Settings:
    data_dir = Path(reader.text("VISAVIS_DATA_DIR") or "var").absolute()
    running = Endpoints.read(data_dir)
    host = reader.text("VISAVIS_HOST") or "127.0.0.1"
    port = reader.parsed("VISAVIS_PORT", 8080, _PORT.whole)
    media_port = reader.parsed("VISAVIS_MEDIA_PORT", 8081, _PORT.whole)
    if port == media_port:
        # The media port listens on TCP as well (ICE-TCP behind firewalls that drop UDP).
        reader.fault("VISAVIS_MEDIA_PORT", f"{media_port} is already VISAVIS_PORT; they cannot be the same")
    certificate, key = _tls(reader)
    own_database_url = reader.parsed("VISAVIS_DATABASE_URL", None, _postgres_url)
    own_redis_url = reader.parsed("VISAVIS_REDIS_URL", None, _redis_url)
    embedded_database = reader.text("VISAVIS_DATABASE_URL") is None
    embedded_redis = reader.text("VISAVIS_REDIS_URL") is None
    database_url = own_database_url or (running.database_url if running and embedded_database else None)
    redis_url = own_redis_url or (running.redis_url if running and embedded_redis else None)
    if need_servers:
        if embedded_database and database_url is None:
            reader.fault("VISAVIS_DATABASE_URL", NO_DATABASE)
        if embedded_redis and redis_url is None:
            reader.fault("VISAVIS_REDIS_URL", NO_REDIS)
    replica_url = reader.parsed("VISAVIS_DATABASE_REPLICA_URL", None, _postgres_url)
    if replica_url is not None and embedded_database:
        reader.fault(
            "VISAVIS_DATABASE_REPLICA_URL", "an embedded database has no replica; set VISAVIS_DATABASE_URL"
        )
    default_url = (running.public_url if running and embedded_database else None) or _url_of(
        host, port, tls=certificate is not None
    )
    return Settings(
        data_dir=data_dir,
        host=host,
        port=port,
        media_port=media_port,
        media_addresses=reader.parsed("VISAVIS_MEDIA_ADDRESSES", _default_addresses(host), _addresses),
        turn=_turn(reader),
        public_url=reader.parsed("VISAVIS_PUBLIC_URL", default_url, _public_url),
        trusted_proxies=reader.parsed("VISAVIS_TRUSTED_PROXIES", (), networks),
        database_url=database_url or "",
        database_replica_url=replica_url,
        redis_url=redis_url or "",
        embedded_database=embedded_database,
        embedded_redis=embedded_redis,
        secret_key=_secret_key(reader, data_dir, embedded=embedded_database, make=running is not None),
        timezone=reader.parsed("VISAVIS_TIMEZONE", ZoneInfo("UTC"), _zone),
        reminders=reader.parsed("VISAVIS_REMINDERS", REMINDERS, _leads),
        smtp=reader.parsed("VISAVIS_SMTP_URL", None, _smtp),
        mail_from=reader.parsed("VISAVIS_MAIL_FROM", "Visavis <noreply@visavis.invalid>", _mail_from),
        providers=read_providers(reader),
        log_format=reader.parsed("VISAVIS_LOG", LogFormat.AUTO, _log_format),
        demo=reader.flag("VISAVIS_DEMO", running.demo if running and embedded_database else False),
        shutdown_seconds=reader.parsed("VISAVIS_SHUTDOWN_SECONDS", 10.0, _Between(0, 600, "a bound").real),
        platform_fee_percent=reader.parsed(
            "VISAVIS_PLATFORM_FEE_PERCENT", 20, _Between(0, 100, "a percentage").whole
        ),
        tls_certificate=certificate,
        tls_key=key,
        oauth=read_clients(reader),
        vapid=read_vapid(reader, data_dir, embedded=embedded_database, make=running is not None),
    )


def _secret_key(reader: _Reader, data_dir: Path, *, embedded: bool, make: bool) -> str:
    """The given key, or the one kept in the data directory, made there only while its `visavis up` runs."""
    if (given := reader.text("VISAVIS_SECRET_KEY")) is not None:
        if len(given) < MIN_SECRET_LENGTH:
            reader.fault(
                "VISAVIS_SECRET_KEY",
                f"is shorter than {MIN_SECRET_LENGTH} characters: make one with `openssl rand -hex 32`",
            )
        return given
    if not embedded:
        reader.fault(
            "VISAVIS_SECRET_KEY",
            "is required with a database of your own: make one with `openssl rand -hex 32` and keep it",
        )
        return ""
    return kept_secret(data_dir / SECRET_FILE) if make else ""


def _turn(reader: _Reader) -> Turn | None:
    """URLs and secret go together; `stun:` alone needs no secret."""
    none: tuple[str, ...] = ()
    urls = reader.parsed("VISAVIS_TURN_URLS", none, _turn_urls)
    secret = reader.text("VISAVIS_TURN_SECRET") or ""
    ttl = reader.parsed(
        "VISAVIS_TURN_TTL_SECONDS", TURN_TTL, _Between(60, 7 * 86400, "between a minute and a week").whole
    )
    given = reader.text("VISAVIS_TURN_URLS") is not None
    if any(url.startswith("turn") for url in urls) and not secret:
        reader.fault("VISAVIS_TURN_SECRET", "is required with turn: URLs: coturn's static-auth-secret")
    elif secret and not given:
        reader.fault("VISAVIS_TURN_URLS", "is missing: VISAVIS_TURN_SECRET is of no use without it")
    elif secret and len(secret) < MIN_SECRET_LENGTH:
        reader.fault(
            "VISAVIS_TURN_SECRET",
            f"is shorter than {MIN_SECRET_LENGTH} characters: make one with `openssl rand -hex 32`",
        )
    return Turn(urls, secret, ttl) if urls else None


def _tls(reader: _Reader) -> tuple[Path | None, Path | None]:
    """Certificate and key: both or neither, and both readable."""
    names = ("VISAVIS_TLS_CERT", "VISAVIS_TLS_KEY")
    paths = [Path(text) if (text := reader.text(name)) else None for name in names]
    for name, path, other in zip(names, paths, reversed(paths), strict=True):
        if path is None and other is not None:
            reader.fault(name, f"is missing: {names[0]} and {names[1]} go together")
        elif path is not None:
            try:
                path.open("rb").close()
            except OSError as error:
                reader.fault(name, f"cannot be read: {error.strerror} ({path})")
    return paths[0], paths[1]


def _flag(text: str) -> bool:
    match text.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
        case _:
            raise ValueError(f"{text!r} is neither 0 nor 1")


def _log_format(text: str) -> LogFormat:
    try:
        return LogFormat(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of {', '.join(LogFormat)}") from None


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, OSError):
        raise ValueError(f"{text!r} is not an IANA time zone such as Europe/Berlin") from None


def _leads(text: str) -> tuple[timedelta, ...]:
    """``4h,30m,5m``: longest first, each once; ``none`` for no reminders."""
    if text == "none":
        return ()
    found = [re.fullmatch(r"([1-9]\d{0,2})([hm])", part.strip(), re.ASCII) for part in text.split(",")]
    leads = {timedelta(hours=int(m[1])) if m[2] == "h" else timedelta(minutes=int(m[1])) for m in found if m}
    if None in found or max(leads) > timedelta(hours=168):
        raise ValueError("is not a list of hours and minutes up to a week, such as 4h,30m,5m, or none")
    return tuple(sorted(leads, reverse=True))


def _server_url(text: str, schemes: tuple[str, ...], example: str) -> str:
    if _split(text, example).scheme not in schemes:
        raise ValueError(f"does not look like {example}")
    return text


def _split(text: str, example: str) -> SplitResult:
    """The parts of a URL. A fault never quotes the value: it may hold a password."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises when it is not a port
    except ValueError:
        raise ValueError(f"does not look like {example}") from None
    return parts


def _postgres_url(text: str) -> str:
    return _server_url(text, ("postgresql", "postgres"), "postgresql://user:password@host:5432/database")


def _redis_url(text: str) -> str:
    return _server_url(text, ("redis", "rediss", "unix"), "redis://:password@host:6379/0")


def _public_url(text: str) -> str:
    example = "https://visavis.example.org"
    parts = _split(text, example)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text!r} does not look like {example}")
    if parts.path.strip("/"):
        raise ValueError("has a path; Visavis needs a host name (or port) of its own")
    return f"{parts.scheme}://{parts.netloc}"


def _url_of(host: str, port: int, *, tls: bool) -> str:
    """A URL under which a browser on this machine finds us."""
    name = _default_addresses(host)[0] if _address(host) else host
    scheme, standard = ("https", 443) if tls else ("http", 80)
    shown = f"[{name}]" if ":" in name else name
    return f"{scheme}://{shown}" if port == standard else f"{scheme}://{shown}:{port}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _default_addresses(host: str) -> tuple[str, ...]:
    """The host when it is one address, else loopback (0.0.0.0 and names say nothing a browser could dial)."""
    address = _address(host)
    return ("127.0.0.1",) if address is None or address.is_unspecified else (str(address),)


def _addresses(text: str) -> tuple[str, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [part for part in parts if (address := _address(part)) is None or address.is_unspecified]
    if wrong or not parts:
        raise ValueError(f"needs IP addresses that browsers can reach, not {', '.join(wrong) or 'nothing'}")
    return tuple(parts)


def _turn_urls(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    wrong = [part for part in parts if not _TURN_URL.fullmatch(part)]
    if wrong or not parts:
        raise ValueError(
            f"{', '.join(wrong) or 'nothing'} does not look like turn:turn.example.org:3478?transport=udp"
        )
    return parts


def _smtp(text: str) -> Smtp:
    example = "smtp://user:password@host:587 or smtps://host"
    parts = _split(text, example)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError(f"does not look like {example}")
    security = SmtpSecurity.TLS if parts.scheme == "smtps" else SmtpSecurity.OPPORTUNISTIC
    return Smtp(
        host=parts.hostname,
        port=parts.port or (465 if security is SmtpSecurity.TLS else 587),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        security=security,
    )


def _mail_from(text: str) -> str:
    _, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    if not local or not domain or "\n" in text or "\r" in text:
        raise ValueError(f"{text!r} is not an address such as Visavis <noreply@example.org>")
    return text
