"""A certificate authority for the range: root, intermediate and leaves with fresh keys (RFC 5280)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

LIFETIME = timedelta(days=90)
AGE = timedelta(days=20)  # how long ago an ordinary leaf was issued
LAPSED = timedelta(days=10)  # how long ago the forgotten one ended


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a server presents: PEM of its chain (leaf first, never the root) and of its private key."""

    chain: bytes
    key: bytes


class Authority:
    """A root and an intermediate, both good for years around ``now``."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        root_key, self._key = _ec_key(), _ec_key()
        root_name = _name("Example Islands Practice Range", "Practice Range Root")
        span = (now - timedelta(days=400), now + timedelta(days=3650))
        self.root = _certificate(root_name, root_name, root_key, root_key, span, path_length=1)
        intermediate_name = _name("Example Islands Practice Range", "Practice Range Issuing CA 1")
        self._intermediate = _certificate(intermediate_name, root_name, self._key, root_key, span, path_length=0)

    @property
    def root_pem(self) -> bytes:
        return _pem(self.root)

    def issue(
        self, name: str, *, lapsed: bool = False, with_intermediate: bool = True, rsa: bool = False
    ) -> Credentials:
        """A leaf for one DNS name; ``lapsed``: it ended ten days ago; ``rsa``: a 2048-bit RSA key instead of P-256."""
        start = self._now - LAPSED - LIFETIME if lapsed else self._now - AGE
        key = _rsa_key() if rsa else _ec_key()
        span = (start, start + LIFETIME)
        leaf = _certificate(_name("", name), self._intermediate.subject, key, self._key, span, names=(name,))
        chain = (leaf, self._intermediate) if with_intermediate else (leaf,)
        return Credentials(b"".join(map(_pem, chain)), _key_pem(key))


def self_signed(name: str, now: datetime) -> Credentials:
    """A leaf for one DNS name that vouches for itself."""
    key = _ec_key()
    subject = _name("Clinic IT", name)
    span = (now - AGE, now + timedelta(days=3650))
    return Credentials(_pem(_certificate(subject, subject, key, key, span, names=(name,))), _key_pem(key))


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    issuer_key: Key,
    span: tuple[datetime, datetime],
    *,
    names: tuple[str, ...] = (),
    path_length: int | None = None,
) -> x509.Certificate:
    """A certificate with the extensions that RFC 5280 section 4.2 asks of its kind: a CA, or a server with ``names``."""
    authority = path_length is not None
    public = key.public_key()
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
        .add_extension(_key_usage(authority=authority, rsa_key=isinstance(key, rsa.RSAPrivateKey)), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(identifier, critical=False)
    )
    if names:
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(server, critical=False).add_extension(alternatives, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(*, authority: bool, rsa_key: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=rsa_key and not authority,  # static RSA key exchange
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _name(organisation: str, common: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def _ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
