"""Revocation lists and OCSP responses made for tests, good ones and those that nobody should believe."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from tests.checks.tls.pki import AT, DAY, MIDDLE, Pair, issue

LIST_URL = "http://crl.gov.example/middle.crl"
RESPONDER_URL = "http://ocsp.gov.example/"


def points(*urls: str) -> x509.CRLDistributionPoints:
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None) for url in urls]
    )


def responder_at(url: str = RESPONDER_URL) -> x509.AuthorityInformationAccess:
    place = x509.UniformResourceIdentifier(url)
    return x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)])


def point(*, urls: tuple[str, ...] = (), **kind: Any) -> x509.IssuingDistributionPoint:
    """The extension that says what a list is about; ``kind`` are the constructor's arguments by their names."""
    names = [x509.UniformResourceIdentifier(url) for url in urls] or None
    given = {
        "full_name": names,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(given | kind))


def revocation_list(
    *revoked: Pair,
    by: Pair = MIDDLE,
    key: Any = None,
    start: datetime = AT - DAY,
    end: datetime = AT + DAY,
    extensions: tuple[x509.ExtensionType, ...] = (),
    reason: x509.ReasonFlags | None = x509.ReasonFlags.key_compromise,
    digest: Any = None,
) -> x509.CertificateRevocationList:
    """A list that ``by`` signs, or ``key`` in its name."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.cert.subject).last_update(start).next_update(end)
    for pair in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(pair.cert.serial_number).revocation_date(AT - 2 * DAY)
        if reason:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key or by.key, digest or hashes.SHA256())


def coded(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(Encoding.DER)


def response(
    of: Pair,
    status: str = "GOOD",
    *,
    by: Pair = MIDDLE,
    issuer: Pair = MIDDLE,
    start: datetime = AT - DAY,
    end: datetime | None = AT + DAY,
    named: bool = False,
    enclosed: tuple[Pair, ...] = (),
    digest: Any = None,
) -> bytes:
    """An OCSP response about a certificate of ``issuer``, signed by ``by``."""
    revoked = status == "REVOKED"
    builder = ocsp.OCSPResponseBuilder().add_response(
        *(of.cert, issuer.cert, hashes.SHA256(), ocsp.OCSPCertStatus[status], start, end),
        *((AT - DAY, x509.ReasonFlags.key_compromise) if revoked else (None, None)),
    )
    encoding = ocsp.OCSPResponderEncoding.NAME if named else ocsp.OCSPResponderEncoding.HASH
    builder = builder.responder_id(encoding, by.cert)
    if enclosed:
        builder = builder.certificates([pair.cert for pair in enclosed])
    return builder.sign(by.key, digest or hashes.SHA256()).public_bytes(Encoding.DER)


def responder(by: Pair = MIDDLE, *, usage: Any = ExtendedKeyUsageOID.OCSP_SIGNING, **how: Any) -> Pair:
    """A delegated responder."""
    return issue("Example Responder", by, usage=usage, **how)
