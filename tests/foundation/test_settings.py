"""Settings: typed, defaulted as documented, and every fault reported at once by its variable's name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.endpoints import Endpoints
from server.settings import (
    NO_DATABASE,
    LogFormat,
    Settings,
    SettingsError,
    SmtpSecurity,
    load_launch,
    load_settings,
)

OWN_SERVERS = {
    "VISAVIS_DATABASE_URL": "postgresql://someone:hunter2@db.example/visavis",
    "VISAVIS_REDIS_URL": "redis://:hunter2@redis.example:6379/0",
    "VISAVIS_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "VISAVIS_DATA_DIR": "/nonexistent/visavis",
}


def load(**variables: str) -> Settings:
    return load_settings(OWN_SERVERS | variables)


def faults(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ)
    return {fault.name: fault.message for fault in refused.value.faults}


def test_the_documented_defaults() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.media_port) == ("127.0.0.1", 8080, 8081)
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.media_addresses == ("127.0.0.1",)
    assert settings.timezone.key == "UTC"
    assert (settings.shutdown_seconds, settings.platform_fee_percent) == (10, 20)
    assert (settings.smtp, settings.demo, settings.log_format) == (None, False, LogFormat.AUTO)
    assert (settings.embedded_database, settings.embedded_redis) == (False, False)
    assert load_launch({}).data_dir == Path.cwd() / "var"


def test_all_faults_are_reported_together() -> None:
    wrong = {
        "VISAVIS_DATABASE_URL": "mysql://root:hunter2@db",
        "VISAVIS_REDIS_URL": "hunter2",
        "VISAVIS_SECRET_KEY": "short",
        "VISAVIS_PORT": "http",
        "VISAVIS_MEDIA_PORT": "65536",
        "VISAVIS_PUBLIC_URL": "visavis.example.org",
        "VISAVIS_MEDIA_ADDRESSES": "192.0.2.1, router",
        "VISAVIS_TRUSTED_PROXIES": "10.0.0.1/8",
        "VISAVIS_TURN_URLS": "turn:relay.example?transport=udp, https://relay.example",
        "VISAVIS_TURN_SECRET": "hunter2",
        "VISAVIS_TURN_TTL_SECONDS": "5",
        "VISAVIS_TIMEZONE": "Europe/Atlantis",
        "VISAVIS_SMTP_URL": "mail.example.org:25",
        "VISAVIS_MAIL_FROM": "nobody",
        "VISAVIS_LOG": "xml",
        "VISAVIS_DEMO": "perhaps",
        "VISAVIS_SHUTDOWN_SECONDS": "-1",
        "VISAVIS_PLATFORM_FEE_PERCENT": "101",
        "VISAVIS_TLS_CERT": "/nonexistent.pem",
        "VISAVIS_GOOGLE_URL": "not a url",
        "VISAVIS_MICROSOFT_TENANT": "no such/tenant",
    }
    lonely = {"VISAVIS_GOOGLE_CLIENT_ID": "ours", "VISAVIS_MICROSOFT_CLIENT_SECRET": "theirs"}
    found = faults(wrong | lonely)
    missing = {"VISAVIS_TLS_KEY", "VISAVIS_GOOGLE_CLIENT_SECRET", "VISAVIS_MICROSOFT_CLIENT_ID"}
    assert set(found) == {*wrong, *missing}
    assert not any("hunter2" in message for message in found.values())


def test_a_database_of_ones_own_needs_a_secret_key() -> None:
    environ = {name: value for name, value in OWN_SERVERS.items() if name != "VISAVIS_SECRET_KEY"}
    assert set(faults(environ)) == {"VISAVIS_SECRET_KEY"}


def test_one_port_cannot_be_both() -> None:
    assert set(faults(OWN_SERVERS | {"VISAVIS_PORT": "8081"})) == {"VISAVIS_MEDIA_PORT"}


def test_secrets_stay_out_of_the_representation() -> None:
    shown = repr(load(VISAVIS_SMTP_URL="smtps://u:hunter2@mail.example"))
    assert "hunter2" not in shown
    assert OWN_SERVERS["VISAVIS_SECRET_KEY"] not in shown


@pytest.mark.parametrize(
    ("host", "addresses", "url"),
    [
        ("192.0.2.7", ("192.0.2.7",), "http://192.0.2.7:8080"),
        ("0.0.0.0", ("127.0.0.1",), "http://127.0.0.1:8080"),
        ("::1", ("::1",), "http://[::1]:8080"),
        ("localhost", ("127.0.0.1",), "http://localhost:8080"),
    ],
)
def test_what_follows_from_the_host(host: str, addresses: tuple[str, ...], url: str) -> None:
    settings = load(VISAVIS_HOST=host)
    assert (settings.media_addresses, settings.public_url) == (addresses, url)


def test_given_addresses_and_urls_win() -> None:
    settings = load(
        VISAVIS_MEDIA_ADDRESSES="198.51.100.4, 2001:db8::4", VISAVIS_PUBLIC_URL="https://visavis.example.org/"
    )
    assert settings.media_addresses == ("198.51.100.4", "2001:db8::4")
    assert settings.public_url == "https://visavis.example.org"


@pytest.mark.parametrize(
    ("host", "addresses", "listens"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1,::1", "::"),
        ("127.0.0.1", "203.0.113.7", "0.0.0.0"),  # behind a proxy
        ("127.0.0.1", "203.0.113.7,2001:db8::7", "::"),
        ("192.168.1.5", "203.0.113.7", "192.168.1.5"),  # behind a NAT
        ("192.168.1.5", "192.168.1.5,2001:db8::7", "::"),
        ("0.0.0.0", "203.0.113.7", "0.0.0.0"),
        ("0.0.0.0", "203.0.113.7,2001:db8::7", "::"),
        ("::", "203.0.113.7", "::"),
        ("::1", "::1", "::1"),
        ("localhost", "127.0.0.1", "localhost"),
    ],
)
def test_the_media_port_listens_where_its_addresses_lead(host: str, addresses: str, listens: str) -> None:
    assert load(VISAVIS_HOST=host, VISAVIS_MEDIA_ADDRESSES=addresses).media_host == listens


def test_relays() -> None:
    assert load().turn is None
    turn = load(
        VISAVIS_TURN_URLS="stun:a.example, turn:[2001:db8::1]:3478?transport=tcp,turns:a.example:443",
        VISAVIS_TURN_SECRET="0123456789abcdef-hunter2",
    ).turn
    assert turn is not None
    assert turn.urls == ("stun:a.example", "turn:[2001:db8::1]:3478?transport=tcp", "turns:a.example:443")
    assert turn.ttl_seconds == 6 * 3600
    assert "hunter2" not in repr(turn)
    stun = load(VISAVIS_TURN_URLS="stun:a.example").turn
    assert stun is not None and stun.secret == ""


@pytest.mark.parametrize(
    ("given", "at_fault"),
    [
        ({"VISAVIS_TURN_URLS": "turn:a.example"}, {"VISAVIS_TURN_SECRET"}),
        ({"VISAVIS_TURN_SECRET": "0123456789abcdef"}, {"VISAVIS_TURN_URLS"}),
        ({"VISAVIS_TURN_URLS": "turn:a.example", "VISAVIS_TURN_SECRET": "short"}, {"VISAVIS_TURN_SECRET"}),
        ({"VISAVIS_TURN_URLS": "stun:a.example?transport=udp"}, {"VISAVIS_TURN_URLS"}),
        ({"VISAVIS_TURN_URLS": ","}, {"VISAVIS_TURN_URLS"}),
    ],
)
def test_half_a_relay_is_a_fault(given: dict[str, str], at_fault: set[str]) -> None:
    assert set(faults(OWN_SERVERS | given)) == at_fault


def test_a_mail_server() -> None:
    smtp = load(VISAVIS_SMTP_URL="smtp://me%40example.org:p%3Aw@mail.example.org").smtp
    assert smtp is not None
    assert (smtp.host, smtp.port, smtp.username, smtp.password) == (
        "mail.example.org", 587, "me@example.org", "p:w",
    )  # fmt: skip
    assert smtp.security is SmtpSecurity.OPPORTUNISTIC
    secure = load(VISAVIS_SMTP_URL="smtps://mail.example.org").smtp
    assert secure is not None
    assert (secure.port, secure.username, secure.security) == (465, None, SmtpSecurity.TLS)


def test_blank_is_unset() -> None:
    assert load(VISAVIS_PORT=" ", VISAVIS_SMTP_URL="").port == 8080


def test_without_servers_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    found = faults({"VISAVIS_DATA_DIR": str(tmp_path)})
    assert found["VISAVIS_DATABASE_URL"] == NO_DATABASE
    assert list(tmp_path.iterdir()) == []


def test_a_second_terminal_finds_the_running_servers(tmp_path: Path) -> None:
    endpoints = Endpoints(
        os.getpid(), "postgresql://a:b@127.0.0.1:1/c", "redis://:d@127.0.0.1:2/0", "http://h:3", True
    )
    endpoints.write(tmp_path)
    assert (tmp_path / "embedded.json").stat().st_mode & 0o777 == 0o600
    settings = load_settings({"VISAVIS_DATA_DIR": str(tmp_path)})
    assert (settings.database_url, settings.redis_url) == (endpoints.database_url, endpoints.redis_url)
    assert (settings.public_url, settings.demo, settings.embedded_database) == ("http://h:3", True, True)
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert load_settings({"VISAVIS_DATA_DIR": str(tmp_path)}).secret_key == settings.secret_key


def test_servers_of_a_process_that_is_gone_are_not_used(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(10)
    Endpoints(gone.pid, "postgresql://a@127.0.0.1:1/c", "redis://127.0.0.1:2/0", None, False).write(tmp_path)
    assert faults({"VISAVIS_DATA_DIR": str(tmp_path)})["VISAVIS_DATABASE_URL"] == NO_DATABASE


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"pid": "1"}), json.dumps({"pid": 1.5})])
def test_a_broken_endpoints_file_is_no_server(tmp_path: Path, text: str) -> None:
    (tmp_path / "embedded.json").write_text(text)
    assert Endpoints.read(tmp_path) is None


@given(
    st.dictionaries(
        st.sampled_from([*sorted(OWN_SERVERS), "VISAVIS_SMTP_URL", "VISAVIS_PUBLIC_URL"]), st.text()
    )
)
def test_no_text_is_more_than_a_fault(variables: dict[str, str]) -> None:
    """Whatever is in the variables, the answer is Settings or SettingsError."""
    environ = OWN_SERVERS | {k: v for k, v in variables.items() if k != "VISAVIS_DATA_DIR"}
    try:
        load_settings(environ)
    except SettingsError as error:
        assert {fault.name for fault in error.faults} <= set(environ)
