"""Real certificates for tests, made with cryptography (and with the openssl command where the library refuses)."""

from __future__ import annotations

import ipaddress
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    cert: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.cert.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.cert.public_bytes(Encoding.PEM)

    def write(self, folder: Path, *above: Pair) -> tuple[Path, Path]:
        """Chain and key as PEM files."""
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_bytes(b"".join(pair.pem for pair in (self, *above)))
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return chain, key


def issue(
    name: str,
    by: Pair | None = None,
    *,
    ca: bool = False,
    names: tuple[str, ...] = (),
    start: datetime = AT - 60 * DAY,
    end: datetime = AT + 300 * DAY,
    key: Any = None,
    algorithm: Any = None,
    usage: Any = None,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> Pair:
    """A certificate for ``name``; self-signed without ``by``. ``names`` are its subjectAltNames, ``extensions`` more."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer = by.key if by else key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.cert.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), critical=False)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    plain = isinstance(signer, ed25519.Ed25519PrivateKey)
    return Pair(builder.sign(signer, None if plain else algorithm or hashes.SHA256()), key)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


CLIENT_ONLY = ExtendedKeyUsageOID.CLIENT_AUTH
ROOT = issue("Example Root", ca=True, start=AT - 3000 * DAY, end=AT + 3000 * DAY)
OTHER_ROOT = issue("Ministry Root", ca=True, start=AT - 3000 * DAY, end=AT + 3000 * DAY)
MIDDLE = issue("Example Issuing CA", ROOT, ca=True, start=AT - 1000 * DAY, end=AT + 1000 * DAY)
UPPER = issue("Example Upper CA", ROOT, ca=True, start=AT - 1000 * DAY, end=AT + 1000 * DAY)
LOWER = issue("Example Lower CA", UPPER, ca=True, start=AT - 1000 * DAY, end=AT + 1000 * DAY)
OLD_MIDDLE = issue("Example Old CA", ROOT, ca=True, start=AT - 1000 * DAY, end=AT - 1 * DAY)
ENDING_MIDDLE = issue("Example Ending CA", ROOT, ca=True, start=AT - 1000 * DAY, end=AT + 10 * DAY)


def weakly_signed(folder: Path, openssl: str, digest: str, by: Pair) -> bytes:
    """DER of a certificate signed with an old digest, which only the openssl command will still make."""
    chain, key = by.write(folder)
    request = folder / "leaf.csr"
    subject: tuple[str | Path, ...] = ("-subj", "/CN=www.gov.example", f"-{digest}")
    new_key: tuple[str | Path, ...] = ("-newkey", "rsa:2048", "-nodes", "-keyout", folder / "leaf.key")
    subprocess.run([openssl, "req", "-new", *new_key, *subject, "-out", request], check=True, capture_output=True)
    signer: tuple[str | Path, ...] = ("-CA", chain, "-CAkey", key, "-set_serial", "7", "-days", "300", f"-{digest}")
    signing: list[str | Path] = [openssl, "x509", "-req", "-in", request, *signer, "-outform", "DER"]
    return subprocess.run(signing, check=True, capture_output=True).stdout
