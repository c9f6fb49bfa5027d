"""The self-signed certificate: right names, private key kept private, kept while it is good."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from server.selfsigned import self_signed

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_it_names_host_and_addresses_and_openssl_takes_it(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "tls", ("visavis.lan", "192.0.2.7"), NOW)
    assert key.stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["visavis.lan", "192.0.2.7"]
    assert len(certificate.read_bytes()) < 1500


def test_it_is_kept_until_it_nears_its_end_or_lacks_a_name(tmp_path: Path) -> None:
    def serial(names: tuple[str, ...], now: datetime) -> int:
        certificate, _ = self_signed(tmp_path, names, now)
        return x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number

    first = serial(("localhost",), NOW)
    assert serial(("localhost",), NOW + timedelta(days=300)) == first
    wider = serial(("localhost", "192.0.2.7"), NOW)
    assert wider != first
    assert serial(("localhost",), NOW) == wider
    assert serial(("localhost",), NOW + timedelta(days=380)) != wider
