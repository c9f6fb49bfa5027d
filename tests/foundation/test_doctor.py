"""The doctor finds what is wrong, names it, and says what to do; its exit code is for programs."""

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.doctor import Level, doctor, examine
from server.endpoints import Endpoints
from server.selfsigned import self_signed
from server.vapid import FILE, make_key, public_key_of
from tests.support.smtp import SmtpServer

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


async def levels(environ: dict[str, str], now: datetime = NOW) -> dict[str, Level]:
    return {finding.subject: finding.level for finding in await examine(environ, now)}


async def wrong(environ: dict[str, str], now: datetime = NOW) -> dict[str, str]:
    """Lines of what is wrong, by subject."""
    return {f.subject: f.line() for f in await examine(environ, now) if f.level is Level.WRONG}


async def test_a_healthy_installation(
    environ: dict[str, str], smtp_server: SmtpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await doctor(environ | {"VISAVIS_SMTP_URL": smtp_server.url}) == 0
    said = capsys.readouterr().out
    for subject in (
        "configuration",
        "database",
        "redis",
        "web port",
        "media port TCP",
        "media port UDP",
        "media addresses",
        "tls",
        "smtp",
    ):
        assert f"ok     {subject}" in said
    assert environ["VISAVIS_SECRET_KEY"] not in said


async def test_faults_of_the_configuration_come_first_and_alone(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await doctor(environ | {"VISAVIS_PORT": "x", "VISAVIS_TIMEZONE": "y"}) == 1
    said = capsys.readouterr().out
    assert "VISAVIS_PORT" in said
    assert "VISAVIS_TIMEZONE" in said
    assert "2 things wrong" in said


async def test_addresses_that_nobody_reaches(environ: dict[str, str]) -> None:
    public = environ | {"VISAVIS_PUBLIC_URL": "https://mentoring.example"}
    found = await wrong(public)
    assert "VISAVIS_MEDIA_ADDRESSES" in found["media addresses"]
    assert "media addresses" not in await wrong(public | {"VISAVIS_MEDIA_ADDRESSES": "203.0.113.7"})


async def test_a_database_that_was_not_migrated(environ: dict[str, str], empty_database_url: str) -> None:
    found = await wrong(environ | {"VISAVIS_DATABASE_URL": empty_database_url})
    assert set(found) == {"database"}
    assert "0001_foundation.sql" in found["database"]
    assert "visavis migrate" in found["database"]


async def test_services_that_do_not_answer(environ: dict[str, str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        where = f"127.0.0.1:{nobody.getsockname()[1]}"
        found = await wrong(
            environ
            | {
                "VISAVIS_DATABASE_URL": f"postgresql://me:hunter2@{where}/x",
                "VISAVIS_DATABASE_REPLICA_URL": f"postgresql://me:hunter2@{where}/x",
                "VISAVIS_REDIS_URL": f"redis://:hunter2@{where}/0",
                "VISAVIS_SMTP_URL": f"smtp://me:hunter2@{where}",
            }
        )
    assert set(found) == {"database", "replica", "redis", "smtp"}
    assert not any("hunter2" in line for line in found.values())


@pytest.mark.parametrize(
    ("kind", "variable", "subject"),
    [
        (socket.SOCK_STREAM, "VISAVIS_PORT", "web port"),
        (socket.SOCK_STREAM, "VISAVIS_MEDIA_PORT", "media port TCP"),
        (socket.SOCK_DGRAM, "VISAVIS_MEDIA_PORT", "media port UDP"),
    ],
)
async def test_a_port_of_somebody_else(
    environ: dict[str, str], kind: socket.SocketKind, variable: str, subject: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", int(environ[variable])))
        if kind is socket.SOCK_STREAM:
            other.listen()
        found = await wrong(environ)
    assert set(found) == {subject}
    assert variable in found[subject]


async def test_cameras_need_https(environ: dict[str, str]) -> None:
    reached = environ | {"VISAVIS_MEDIA_ADDRESSES": "203.0.113.7"}
    assert set(await wrong(reached | {"VISAVIS_PUBLIC_URL": "http://visavis.example.org"})) == {"tls"}
    assert await wrong(reached | {"VISAVIS_PUBLIC_URL": "https://visavis.example.org"}) == {}


async def test_certificates(environ: dict[str, str], tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "one", ("localhost",), NOW)
    _, other_key = self_signed(tmp_path / "two", ("localhost",), NOW)
    good = environ | {"VISAVIS_TLS_CERT": str(certificate), "VISAVIS_TLS_KEY": str(key)}
    assert (await levels(good))["tls"] is Level.OK
    assert (await levels(good, NOW + timedelta(days=390)))["tls"] is Level.NOTE
    assert "ended" in (await wrong(good, NOW + timedelta(days=398)))["tls"]
    assert "does not belong" in (await wrong(good | {"VISAVIS_TLS_KEY": str(other_key)}))["tls"]
    assert "tls" in await wrong(good | {"VISAVIS_TLS_KEY": str(certificate)})


async def test_calendars_that_can_be_connected_are_told_with_what_has_to_be_registered(
    environ: dict[str, str],
) -> None:
    assert (await levels(environ))["microsoft calendars"] is Level.NOTE
    client = {"VISAVIS_MICROSOFT_CLIENT_ID": "us", "VISAVIS_MICROSOFT_CLIENT_SECRET": "our-secret"}
    found = await examine(environ | client | {"VISAVIS_PUBLIC_URL": "https://visavis.test"}, NOW)
    [line] = [it.line() for it in found if it.subject == "microsoft calendars"]
    assert line.startswith("ok") and "https://visavis.test/calendars/microsoft/callback" in line
    assert not any("our-secret" in it.line() for it in found)


async def test_the_key_that_push_services_know_us_by(environ: dict[str, str], tmp_path: Path) -> None:
    async def push(env: dict[str, str]) -> str:
        [line] = [it.line() for it in await examine(env, NOW) if it.subject == "push" or "VAPID" in it.text]
        return line

    def given(private_key: str) -> dict[str, str]:
        return environ | {"VISAVIS_VAPID_PRIVATE_KEY": private_key}

    key = make_key()
    assert "set VISAVIS_VAPID_PRIVATE_KEY" in await push(environ)
    line = await push(given(key) | {"VISAVIS_VAPID_SUBJECT": "mailto:ops@example.org"})
    assert line.startswith("ok") and public_key_of(key)[:12] in line and "mailto:ops@example.org" in line
    assert key not in line
    assert "set VISAVIS_VAPID_SUBJECT" in await push(given(key))
    for bad in ("short", "_" * 43):  # the second is a number beyond the order of the curve
        assert (await push(given(bad))).startswith("WRONG")

    data = tmp_path / "embedded"  # as a running `visavis up` keeps it
    Endpoints(os.getpid(), environ["VISAVIS_DATABASE_URL"]).write(data)
    own = {name: it for name, it in environ.items() if name != "VISAVIS_DATABASE_URL"}
    own["VISAVIS_DATA_DIR"] = str(data)
    kept = data / FILE
    kept.write_text(key + "\n")
    kept.chmod(0o644)
    assert f"chmod 600 {kept}" in await push(own)
    kept.chmod(0o600)
    assert public_key_of(key)[:12] in await push(own)
    kept.write_text("nothing of the kind")
    assert f"P-256 private key in {kept}" in await push(own)
    kept.unlink()
    kept.mkdir()
    assert f"cannot be kept in {kept}" in await push(own)
