"""A certificate revocation list (RFC 5280 sections 5 and 6.3): what it says of one certificate, and whether it may say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from posture.facts.parse_x509 import UNREADABLE, issuer_among, issuer_name, usable_key

# What a list says of the certificate ...
LISTED = "listed"
NOT_LISTED = "not_listed"
# ... or why it says nothing that could be believed.
MALFORMED = "malformed"
STALE = "stale"  # its nextUpdate has passed, or it has none
NOT_YET = "not_yet"
OTHER_ISSUER = "other_issuer"
NO_ISSUER = "no_issuer"
BAD_SIGNATURE = "bad_signature"
DELTA = "delta"
INDIRECT = "indirect"
OTHER_SCOPE = "other_scope"  # the list is not about certificates like this one, or not about all reasons
UNKNOWN_EXTENSION = "unknown_extension"

# Lists of public authorities have less; what is larger is not read.
MOST_BYTES = 32_000_000

_KNOWN_CRITICAL = frozenset(
    {
        x509.IssuingDistributionPoint.oid,
        x509.DeltaCRLIndicator.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.CRLNumber.oid,
    }
)


@dataclass(frozen=True, slots=True)
class ListReading:
    """``word`` is one of this module's; ``revoked_at`` (UTC) and ``reason`` (RFC 5280 section 5.3.1) of LISTED."""

    word: str
    revoked_at: datetime | None = None
    reason: str = ""


def distribution_points(leaf: x509.Certificate) -> tuple[str, ...]:
    """The http and https addresses at which a certificate's authority says that its lists are, sorted (RFC 5280 4.2.1.13).

    Points of another issuer (indirect lists) or for some reasons only are left out. Unreadable: ().
    """
    try:
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ()
    named = [name for point in points if not (point.crl_issuer or point.reasons) for name in point.full_name or ()]
    urls = {name.value for name in named if isinstance(name, x509.UniformResourceIdentifier)}
    return tuple(sorted(url for url in urls if url.lower().startswith(("http://", "https://"))))


def load(coded: bytes) -> x509.CertificateRevocationList:
    """A list in DER or PEM.

    Raises:
        ValueError: it is neither, or larger than what is read.
    """
    if len(coded) > MOST_BYTES:
        raise ValueError("larger than what is read")
    try:
        if coded.lstrip()[:5] == b"-----":
            return x509.load_pem_x509_crl(coded)
        return x509.load_der_x509_crl(coded)
    except UNREADABLE as fault:
        raise ValueError(str(fault)) from fault


def read_list(
    crl: x509.CertificateRevocationList,
    url: str,
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    at: datetime,
) -> ListReading:
    """What a list says of ``leaf`` at a time.

    Args:
        url: the distribution point that it stands for, which a partitioned list has to name; "" for any.
        others: certificates among which the issuer is.
    """
    try:
        return _judged(crl, url, leaf, others, at)
    except UNREADABLE:
        return ListReading(MALFORMED)


def _judged(
    crl: x509.CertificateRevocationList,
    url: str,
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    at: datetime,
) -> ListReading:
    if fault := _kind_fault(crl) or _issuer_fault(crl, leaf, others) or _time_fault(crl, at):
        return ListReading(fault)
    point = _point(crl)
    if point is not None and not _about(point, url, leaf):
        return ListReading(OTHER_SCOPE)
    entry = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
    if entry is not None:
        return ListReading(LISTED, entry.revocation_date_utc, _reason(entry))
    return ListReading(OTHER_SCOPE if point is not None and point.only_some_reasons else NOT_LISTED)


def _kind_fault(crl: x509.CertificateRevocationList) -> str:
    point = _point(crl)
    if point is not None and point.indirect_crl:
        return INDIRECT
    found = {extension.oid: extension.critical for extension in crl.extensions}
    if x509.DeltaCRLIndicator.oid in found:
        return DELTA
    strange = any(critical and oid not in _KNOWN_CRITICAL for oid, critical in found.items())
    return UNKNOWN_EXTENSION if strange else ""


def _point(crl: x509.CertificateRevocationList) -> x509.IssuingDistributionPoint | None:
    try:
        return crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return None


def _issuer_fault(
    crl: x509.CertificateRevocationList, leaf: x509.Certificate, others: Sequence[x509.Certificate]
) -> str:
    """RFC 5280 section 6.3.3 (f) and (g): the issuer of the certificate signs its lists, and may."""
    if crl.issuer.public_bytes() != issuer_name(leaf):
        return OTHER_ISSUER
    issuer = issuer_among(leaf, others)
    if issuer is None or not _may_sign(issuer):
        return NO_ISSUER
    try:
        weak = crl.signature_hash_algorithm is not None and crl.signature_hash_algorithm.digest_size < 32
        return BAD_SIGNATURE if weak or not crl.is_signature_valid(usable_key(issuer)) else ""
    except (UnsupportedAlgorithm, TypeError, ValueError):
        return BAD_SIGNATURE


def _may_sign(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _time_fault(crl: x509.CertificateRevocationList, at: datetime) -> str:
    if crl.last_update_utc > at:
        return NOT_YET
    return STALE if crl.next_update_utc is None or crl.next_update_utc < at else ""


def _about(point: x509.IssuingDistributionPoint, url: str, leaf: x509.Certificate) -> bool:
    """RFC 5280 section 6.3.3 (b): a list may be about one distribution point, or one kind of certificate."""
    if point.only_contains_ca_certs or point.only_contains_attribute_certs:
        return False
    if not point.full_name:
        return point.relative_name is None
    own = {url} if url else set(distribution_points(leaf))
    return bool(own & {name.value for name in point.full_name if isinstance(name, x509.UniformResourceIdentifier)})


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ""
