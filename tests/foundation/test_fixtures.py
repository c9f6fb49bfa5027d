"""The shared fixtures are what they say: fresh, real, and gone afterwards."""

from email.message import EmailMessage

import aiosmtplib
import asyncpg
import pytest
from playwright.async_api import Browser
from redis.asyncio import Redis

from server.base.db import Pool
from server.settings import Settings
from tests.support.smtp import SmtpServer


@pytest.mark.parametrize("round_", [1, 2])
async def test_every_test_gets_a_database_of_its_own(pool: Pool, round_: int) -> None:
    assert await pool.fetchval("SELECT to_regclass('trace_of_a_test')") is None
    assert await pool.fetchval("SELECT count(*) > 0 FROM schema_migrations")
    await pool.execute("CREATE TABLE trace_of_a_test ()")


async def test_the_pool_reads_jsonb_as_values(pool: Pool) -> None:
    assert await pool.fetchval("SELECT $1::jsonb", {"a": [1, None]}) == {"a": [1, None]}


async def test_redis_is_empty_and_wants_the_password(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", "behind")


async def test_settings_name_the_test_servers(settings: Settings, database_url: str) -> None:
    assert settings.database_url == database_url
    conn = await asyncpg.connect(settings.database_url)
    await conn.close()


async def test_a_mail_arrives_as_it_was_sent(smtp_server: SmtpServer) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@visavis.test", "b@visavis.test", "Grüße"
    mail.set_content("Bis Montag – um neun.")
    await aiosmtplib.send(mail, hostname=smtp_server.host, port=smtp_server.port, timeout=5)
    [received] = await smtp_server.wait_for(1)
    assert received.rcpt_tos == ("b@visavis.test",)
    assert received.message["Subject"] == "Grüße"
    assert "Montag – um neun" in received.message.get_content()


async def test_a_refused_mail_is_an_error_to_the_sender(smtp_server: SmtpServer) -> None:
    smtp_server.reply = "451 4.3.0 Try again later"
    with pytest.raises(aiosmtplib.SMTPDataError):
        await aiosmtplib.send(
            b"Subject: x\r\n\r\ny",
            sender="a@visavis.test",
            recipients=["b@visavis.test"],
            hostname=smtp_server.host,
            port=smtp_server.port,
        )
    assert (smtp_server.attempts, smtp_server.messages) == (1, [])


@pytest.mark.browser
async def test_chromium_has_a_camera_and_no_internet(chromium: Browser) -> None:
    page = await chromium.new_page()
    kinds = await page.evaluate("() => ['mediaDevices' in navigator, typeof RTCPeerConnection]")
    assert kinds[1] == "function"
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        await page.goto("http://example.org/")
