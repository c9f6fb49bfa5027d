"""A self-signed certificate for trying Visavis from another device: browsers give cameras to HTTPS only."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.private import write_private

# Apple's systems refuse server certificates that are valid for more than 825 days.
_VALID = dt.timedelta(days=397)
_RENEW_BEFORE = dt.timedelta(days=30)


def self_signed(directory: Path, names: tuple[str, ...], now: dt.datetime) -> tuple[Path, Path]:
    """Paths of certificate and key (P-256, PEM; the key 0600) for these host names and addresses.

    What lies there is kept while it covers the names and lasts another month, so that an exception made in a
    browser stays good.
    """
    certificate_path, key_path = directory / "certificate.pem", directory / "key.pem"
    if certificate_path.exists() and key_path.exists() and _serves(certificate_path, names, now):
        return certificate_path, key_path
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Visavis (self-signed)")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))  # for devices whose clock is a little behind
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key_path, pem.decode())
    write_private(certificate_path, certificate.public_bytes(serialization.Encoding.PEM).decode())
    certificate_path.chmod(0o644)
    return certificate_path, key_path


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _serves(path: Path, names: tuple[str, ...], now: dt.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return certificate.not_valid_after_utc - now > _RENEW_BEFORE and set(covered) >= {
        _general_name(name) for name in names
    }
