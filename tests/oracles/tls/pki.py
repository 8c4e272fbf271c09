"""The certificates of the lab: two hierarchies (RSA and P-256) with an intermediate each, and a leaf of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DOMAIN = "lab.gov.example"
PASSWORD = "lab"  # of the key store; the keys live as long as a test session
DAY = timedelta(days=1)
# The 1024-bit group of RFC 2409 section 6.2, as PKCS #3 has it.
DH_1024 = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and those above it up to, and without, the root."""

    certificate: x509.Certificate
    key: Any
    above: tuple[Issued, ...] = ()

    @property
    def sent(self) -> tuple[bytes, ...]:
        """The chain as a server should send it: DER, leaf first."""
        return tuple(one.certificate.public_bytes(Encoding.DER) for one in (self, *self.above))


@dataclass(frozen=True)
class Pki:
    """``roots`` is a PEM file of both roots; ``files`` are (chain, key) as PEM files by kind; ``issued`` the same as objects;
    ``above`` PEM files of the intermediates alone.

    ``pfx`` are PKCS #12 stores, ``dh_1024`` Diffie-Hellman parameters, ``staple`` a DER OCSP response for kind "staple".
    """

    roots: Path
    issued: Mapping[str, Issued]
    files: Mapping[str, tuple[Path, Path]]
    above: Mapping[str, Path]
    pfx: Mapping[str, Path]
    dh_1024: Path
    staple: Path


def make_pki(folder: Path) -> Pki:
    """Makes all of it anew and writes it to ``folder``."""
    rsa_root, rsa_middle = _hierarchy("RSA", lambda: rsa.generate_private_key(65537, 2048))
    ec_root, ec_middle = _hierarchy("P-256", lambda: ec.generate_private_key(ec.SECP256R1()))
    must_staple = x509.TLSFeature([x509.TLSFeatureType.status_request])
    issued = {
        "rsa": _leaf(rsa_middle, rsa.generate_private_key(65537, 3072)),
        "rsa2048": _leaf(rsa_middle, rsa.generate_private_key(65537, 2048)),
        "ec": _leaf(ec_middle, ec.generate_private_key(ec.SECP256R1())),
        "ec384": _leaf(ec_middle, ec.generate_private_key(ec.SECP384R1())),
        "ed25519": _leaf(rsa_middle, ed25519.Ed25519PrivateKey.generate()),
        "ed448": _leaf(rsa_middle, ed448.Ed448PrivateKey.generate()),
        "dsa": _leaf(rsa_middle, dsa.generate_private_key(2048)),
        "staple": _leaf(ec_middle, ec.generate_private_key(ec.SECP256R1()), must_staple),
    }
    roots = folder / "roots.pem"
    roots.write_bytes(b"".join(root.certificate.public_bytes(Encoding.PEM) for root in (rsa_root, ec_root)))
    parameters = folder / "dh1024.pem"
    parameters.write_text(DH_1024)
    staple = folder / "staple.der"
    staple.write_bytes(_ocsp_response(issued["staple"]))
    return Pki(
        roots=roots,
        issued=issued,
        files={kind: _pem(folder, kind, one) for kind, one in issued.items()},
        above={kind: _above(folder, kind, one) for kind, one in issued.items()},
        pfx={kind: _pfx(folder, kind, issued[kind]) for kind in ("rsa", "ec", "dsa")},
        dh_1024=parameters,
        staple=staple,
    )


def _hierarchy(name: str, make: Any) -> tuple[Issued, Issued]:
    root_key, middle_key = make(), make()
    root = Issued(_certificate(f"Lab Root {name}", root_key, None, ca=True), root_key)
    return root, Issued(_certificate(f"Lab Intermediate {name}", middle_key, root, ca=True), middle_key)


def _leaf(middle: Issued, key: Any, *extensions: x509.ExtensionType) -> Issued:
    certificate = _certificate(DOMAIN, key, middle, ca=False, extensions=extensions)
    return Issued(certificate, key, (middle,))


def _certificate(
    name: str, key: Any, by: Issued | None, *, ca: bool, extensions: tuple[x509.ExtensionType, ...] = ()
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = by.key if by else key
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + (400 if ca else 60) * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(ca=ca), critical=True)
    )
    if not ca:
        names = x509.SubjectAlternativeName([x509.DNSName(DOMAIN), x509.DNSName(f"*.{DOMAIN}")])
        builder = builder.add_extension(names, critical=False).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=ca, crl_sign=ca, key_encipherment=not ca, key_agreement=not ca,
        content_commitment=False, data_encipherment=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _ocsp_response(issued: Issued) -> bytes:
    middle = issued.above[0]
    now = datetime.now(UTC).replace(microsecond=0)
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=issued.certificate,
        issuer=middle.certificate,
        algorithm=hashes.SHA1(),  # of names, as RFC 5019 section 2.1.1 demands
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=now - DAY,
        next_update=now + 5 * DAY,
        revocation_time=None,
        revocation_reason=None,
    )
    response = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, middle.certificate).sign(
        middle.key, hashes.SHA256()
    )
    return response.public_bytes(Encoding.DER)


def _pem(folder: Path, kind: str, issued: Issued) -> tuple[Path, Path]:
    chain, key = folder / f"{kind}.chain.pem", folder / f"{kind}.key.pem"
    chain.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (issued, *issued.above)))
    key.write_bytes(issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, key


def _above(folder: Path, kind: str, issued: Issued) -> Path:
    path = folder / f"{kind}.above.pem"
    path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in issued.above))
    return path


def _pfx(folder: Path, kind: str, issued: Issued) -> Path:
    path = folder / f"{kind}.p12"
    above = [one.certificate for one in issued.above]
    secret = BestAvailableEncryption(PASSWORD.encode("ascii"))
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(kind.encode("ascii"), issued.key, issued.certificate, above, secret)
    )
    return path
