"""A real Radicale on loopback with accounts and passwords, and a person's hands on another calendar program."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from server.embedded.postgres import free_port

CONFIG = """[server]
hosts = 127.0.0.1:{port}
[auth]
type = htpasswd
htpasswd_filename = {root}/passwords
htpasswd_encryption = plain
delay = 0
[storage]
filesystem_folder = {root}/collections
[logging]
level = info
"""


@dataclass(slots=True)
class Account:
    """One person's account with one calendar, as their own calendar program sees it."""

    server: Radicale
    name: str
    password: str
    calendar: str = "personal"

    @property
    def url(self) -> str:
        return f"{self.server.base}/{self.name}/{self.calendar}/"

    def make(self, calendar: str, title: str, more: str = "") -> None:
        """A new calendar; ``more`` are other properties."""
        self._call(
            "MKCALENDAR", f"/{self.name}/{calendar}/",
            '<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>'
            f"<D:displayname>{title}</D:displayname>{more}</D:prop></D:set></C:mkcalendar>",
        )  # fmt: skip

    def put(self, uid: str, start: datetime, end: datetime, *lines: str, title: str = "Dentist") -> None:
        """The person writes an event; ``lines`` are other properties of it."""
        self.put_lines(uid, f"DTSTART:{_utc(start)}", f"DTEND:{_utc(end)}", f"SUMMARY:{title}", *lines)

    def put_lines(self, uid: str, *lines: str, overrides: str = "") -> None:
        event = "\r\n".join(
            ("BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260301T000000Z", *lines, "END:VEVENT", "")
        )
        text = (
            f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Theirs//EN\r\n{event}{overrides}END:VCALENDAR\r\n"
        )
        self._call("PUT", self._path(uid), text)

    def remove(self, uid: str) -> None:
        self._call("DELETE", self._path(uid))

    def read(self, uid: str) -> str:
        """The event's text; empty when there is none."""
        return self._call("GET", self._path(uid), missing=True)

    def touch(self, uid: str) -> None:
        """The person changes an event, e.g. one of ours."""
        changed = re.sub("SUMMARY:[^\r\n]*", "SUMMARY:Changed by hand", self.read(uid))
        self._call("PUT", self._path(uid), changed)

    def ours(self) -> list[str]:
        """The texts of our events that a person sees, whatever their order."""
        folder = self.server.root / "collections/collection-root" / self.name / self.calendar
        return [path.read_text() for path in folder.glob("visavis*.ics")]

    def forget_sync_tokens(self) -> None:
        """As after a restore. Radicale looks one up only when something has changed: a note that takes no time."""
        self.put_lines("note", "DTSTART:20260302T090000Z", "DURATION:PT1H", "TRANSP:TRANSPARENT")
        folder = self.server.root / "collections/collection-root" / self.name
        for cache in folder.rglob(".Radicale.cache/sync-token"):
            shutil.rmtree(cache)

    def change_password(self, password: str | None = None) -> None:
        self.password = password or secrets.token_hex(8)
        self.server.passwords[self.name] = self.password
        self.server.write_passwords()

    def _path(self, uid: str) -> str:
        return f"/{self.name}/{self.calendar}/{uid}.ics"

    def _call(self, method: str, path: str, body: str = "", *, missing: bool = False) -> str:
        token = base64.b64encode(f"{self.name}:{self.password}".encode()).decode()
        request = Request(self.server.base + path, body.encode() or None, method=method)
        request.add_header("Authorization", f"Basic {token}")
        request.add_header("Content-Type", "text/calendar; charset=utf-8")
        try:
            with urlopen(request, timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except HTTPError as error:
            if missing and error.code == 404:
                return ""
            raise


@dataclass(slots=True)
class Radicale:
    """The server, and who may sign in."""

    base: str
    root: Path
    passwords: dict[str, str]

    def write_passwords(self) -> None:
        text = "".join(f"{name}:{password}\n" for name, password in self.passwords.items())
        (self.root / "passwords").write_text(text)

    def account(self) -> Account:
        """A new one, with a calendar named Personal."""
        account = Account(self, f"asha{len(self.passwords)}", "")
        account.change_password()
        account.make("personal", "Personal")
        return account


@contextlib.contextmanager
def running_radicale(root: Path) -> Iterator[Radicale]:
    """As a child process that ends with the context."""
    port = free_port()
    server = Radicale(f"http://127.0.0.1:{port}", root, {})
    server.write_passwords()
    (root / "config").write_text(CONFIG.format(port=port, root=root))
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "radicale", "--config", str(root / "config")], stdout=log, stderr=log
        )
    try:
        for _ in range(300):  # 30 seconds
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, (root / "log").read_text()
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
