"""A DTLS client without a socket: datagrams in, datagrams out, SRTP keys at the end (RFC 5764).

It uses OpenSSL directly, so that the server's DTLS is not tested against itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from pylibsrtp import Policy, Session

from loadtest.options import LoadError


@dataclass(frozen=True, slots=True)
class _Profile:
    name: bytes
    srtp: int
    key: int
    salt: int


# In Chromium's order of preference.
_PROFILES = (
    _Profile(b"SRTP_AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
    _Profile(b"SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    _Profile(b"SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
)

MAX_DATAGRAM = 1200  # what Chromium sends at most
_RECORD = 13  # octets of a DTLS 1.2 record header (RFC 6347 section 4.1)


def _digest(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


class Certificate:
    """A self-signed P-256 certificate; one serves all peers of a generator process."""

    def __init__(self, now: datetime) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loadtest")])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=7))
            .sign(self.key, hashes.SHA256())
        )
        self.fingerprint = _digest(self.certificate)

    @classmethod
    def fresh(cls) -> "Certificate":
        """One that is valid today."""
        return cls(datetime.now(UTC))

    def context(self) -> SSL.Context:
        """An OpenSSL context that offers DTLS-SRTP; the peer is checked by fingerprint, not by chain."""
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.use_certificate(self.certificate)
        context.use_privatekey(self.key)
        context.set_tlsext_use_srtp(b":".join(profile.name for profile in _PROFILES))
        return context


def datagrams(flight: bytes) -> list[bytes]:
    """Records that OpenSSL wrote one after another, packed into datagrams of at most 1,200 octets.

    What does not begin with a DTLS 1.2 record header (the unified headers of DTLS 1.3) stays together.
    """
    packed: list[bytes] = []
    at = 0
    while at < len(flight):
        end = len(flight)
        if flight[at] < 32 and at + _RECORD <= len(flight):
            end = min(at + _RECORD + int.from_bytes(flight[at + 11 : at + 13], "big"), len(flight))
        if packed and len(packed[-1]) + end - at <= MAX_DATAGRAM:
            packed[-1] += flight[at:end]
        else:
            packed.append(flight[at:end])
        at = end
    return packed


class DtlsClient:
    """One association, in the client role. Every method returns the datagrams to send."""

    def __init__(self, context: SSL.Context, fingerprint: str) -> None:
        """`fingerprint` is the server's SHA-256 from the answer."""
        self._fingerprint = fingerprint
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_connect_state()
        self._ssl.set_ciphertext_mtu(MAX_DATAGRAM)
        self.connected = False
        self.closed = False  # the server said close_notify
        self.profile = ""  # of SRTP, once `sessions` was asked for

    def start(self) -> Sequence[bytes]:
        """The first flight."""
        return self._advance()

    def feed(self, data: bytes) -> Sequence[bytes]:
        """A datagram from the server. Raises LoadError if the handshake fails or the certificate is another's."""
        self._ssl.bio_write(data)
        if not self.connected:
            return self._advance()
        try:
            self._ssl.recv(1500)
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error:
            # Nothing to read, or a record that is not for us: DTLS drops those (RFC 6347 section 4.1.2.7).
            return self._flush()
        return self._flush()

    def timeout(self) -> float | None:
        """Seconds until the last flight must be repeated; None if nothing is outstanding."""
        return self._ssl.DTLSv1_get_timeout()

    def repeat(self) -> Sequence[bytes]:
        """The last flight again, if its time has come."""
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error as error:
            raise LoadError(f"DTLS gave up: {error}") from error
        return self._flush()

    def close(self) -> Sequence[bytes]:
        """close_notify."""
        if self.connected:
            try:
                self._ssl.shutdown()
            except SSL.Error:
                return []
        return self._flush()

    def sessions(self) -> tuple[Session, Session]:
        """(SRTP session for what we send, for what we receive); only when connected. Raises LoadError."""
        chosen = self._ssl.get_selected_srtp_profile()
        profile = next((profile for profile in _PROFILES if profile.name == chosen), None)
        if profile is None:
            raise LoadError("The DTLS handshake agreed on no SRTP profile")
        self.profile = chosen.decode()
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (profile.key + profile.salt))
        keys, salts = material[: 2 * profile.key], material[2 * profile.key :]
        ours = (
            keys[: profile.key] + salts[: profile.salt]
        )  # the client's half comes first (RFC 5764 section 4.2)
        theirs = keys[profile.key :] + salts[profile.salt :]
        return _session(profile, ours, Policy.SSRC_ANY_OUTBOUND), _session(
            profile, theirs, Policy.SSRC_ANY_INBOUND
        )

    def _advance(self) -> Sequence[bytes]:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return self._flush()
        except SSL.Error as error:
            raise LoadError(f"The DTLS handshake failed: {error}") from error
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        if certificate is None or _digest(certificate) != self._fingerprint:
            raise LoadError("The server's DTLS certificate is not the one of its answer")
        self.connected = True
        return self._flush()

    def _flush(self) -> Sequence[bytes]:
        flight = bytearray()
        while True:
            try:
                flight += self._ssl.bio_read(65536)
            except SSL.WantReadError:
                return datagrams(bytes(flight))
            except SSL.Error:
                return datagrams(bytes(flight))


def _session(profile: _Profile, key: bytes, direction: int) -> Session:
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=profile.srtp)
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return Session(policy)
