"""Through a real coturn: calls that are relayed over UDP and TCP, refused credentials, and what the doctor says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.async_api import Browser

from server.doctor import Level, examine
from server.settings import Turn
from server.turn import ice_servers
from server.turn.probe import probe
from tests.media.conftest import World, make_world, world
from tests.media.test_browser import join, open_page, site, until
from tests.support.coturn import SECRET, Coturn, needs_coturn, running_coturn

__all__ = ["make_world", "world"]

pytestmark = needs_coturn
BOTH_WAYS = (
    "Object.values(r.inbound).some(i => i.kind === 'video' && i.framesDecoded > 15)"
    " && Object.values(r.inbound).some(i => i.kind === 'audio' && i.totalAudioEnergy > 0)"
)


@pytest.fixture
async def coturn() -> AsyncIterator[Coturn]:
    async with running_coturn() as server:
        yield server


def configuration(turn: Turn, now: datetime) -> dict[str, object]:
    """For RTCPeerConnection: nothing but the relay."""
    return {
        "iceServers": [server.as_json() for server in ice_servers(turn, "somebody", now)],
        "iceTransportPolicy": "relay",
    }


@pytest.mark.browser
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_through_the_relay(
    world: World,
    chromium: Browser,
    coturn: Coturn,
    transport: str,
) -> None:
    """ann reaches the SFU only by way of coturn, kim directly; both see and hear each other."""
    async with site(world) as address:
        ann, kim = await open_page(chromium, address), await open_page(chromium, address)
        config = configuration(coturn.turn(transport), datetime.now(UTC))
        await join(ann, "ann", options={"config": config})
        await join(kim, "kim")
        relayed = await until(ann, BOTH_WAYS)
        await until(kim, BOTH_WAYS)
        assert relayed["local"]["candidateType"] == "relay"
        assert relayed["local"]["relayProtocol"] == transport


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_relay_believes_only_what_the_secret_made_and_only_for_a_time(
    coturn: Coturn, transport: str
) -> None:
    now = datetime.now(UTC)

    async def ask(turn: Turn, at: datetime) -> str | None:
        (server,) = ice_servers(turn, "somebody", at)
        return await probe(turn.urls[0], server, 5)

    assert await ask(coturn.turn(transport), now) is None
    wrong = await ask(coturn.turn(transport, secret="a-secret-that-somebody-made-up"), now)
    assert wrong is not None and "401" in wrong
    expired = await ask(coturn.turn(transport, ttl=600), now - timedelta(seconds=700))
    assert expired is not None and "401" in expired


@pytest.mark.browser
async def test_a_browser_with_a_wrong_credential_gets_no_relay(
    world: World,
    chromium: Browser,
    coturn: Coturn,
) -> None:
    async with site(world) as address:
        page = await open_page(chromium, address)
        for turn, at in (
            (coturn.turn(secret="a-secret-that-somebody-made-up"), datetime.now(UTC)),
            (coturn.turn(ttl=60), datetime.now(UTC) - timedelta(seconds=120)),
        ):
            found = await page.evaluate(
                """async config => {
                  const pc = new RTCPeerConnection(config);
                  const seen = {candidates: [], errors: []};
                  pc.onicecandidate = e => e.candidate?.candidate && seen.candidates.push(e.candidate.candidate);
                  pc.onicecandidateerror = e => seen.errors.push(e.errorCode);
                  const done = new Promise(resolve => pc.onicegatheringstatechange =
                    () => pc.iceGatheringState === 'complete' && resolve());
                  pc.addTransceiver('audio');
                  await pc.setLocalDescription();
                  await done;
                  pc.close();
                  return seen;
                }""",
                configuration(turn, at),
            )
            assert found["candidates"] == []
            assert 401 in found["errors"]


def certificate_for(name: str, directory: Path) -> tuple[Path, Path]:
    """One that a strict client believes, if it is told to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        True, False, False, False, False, True, True, False, False
    )  # signs messages and certificates
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return paths


async def test_a_relay_over_tls_must_be_who_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = certificate_for("localhost", tmp_path)
    async with running_coturn(paths) as coturn:
        (server,) = ice_servers(coturn.turn(), "somebody", datetime.now(UTC))
        url = f"turns:localhost:{coturn.tls_port}"
        distrusted = await probe(url, server, 5)
        assert distrusted is not None and "certificate" in distrusted
        monkeypatch.setenv("SSL_CERT_FILE", str(paths[0]))
        assert await probe(url, server, 5) is None
        misnamed = await probe(url.replace("localhost", "127.0.0.1"), server, 5)
        assert misnamed is not None and "certificate" in misnamed


async def test_the_doctor_asks_the_relay(environ: dict[str, str], coturn: Coturn) -> None:
    given = environ | {
        "VISAVIS_TURN_URLS": f"stun:127.0.0.1:{coturn.port},{','.join(coturn.urls('udp') + coturn.urls('tcp'))}",
        "VISAVIS_TURN_SECRET": SECRET,
    }

    async def report(**changes: str) -> list[tuple[Level, str]]:
        found = await examine(given | changes, datetime.now(UTC))
        return [(f.level, f.line()) for f in found if f.subject == "turn"]

    assert [level for level, _ in await report()] == [Level.OK] * 3
    wrong = await report(VISAVIS_TURN_SECRET="a-secret-that-somebody-made-up")
    assert [level for level, _ in wrong] == [Level.OK, Level.WRONG, Level.WRONG]
    assert all("static-auth-secret" in line and "made-up" not in line for _, line in wrong[1:])
    (nobody,) = await report(VISAVIS_TURN_URLS="turn:127.0.0.1:9")
    assert nobody[0] is Level.WRONG and "VISAVIS_TURN_URLS" in nobody[1]
