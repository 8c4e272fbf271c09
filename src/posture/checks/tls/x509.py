"""Certificates as rules read them: parsing with cryptography, path building with OpenSSL's X509StoreContext. Pure.

Costs are bounded whatever a server sends: chains are capped when recorded, signature checks are capped here, and
``cryptography.x509.verification`` is not used (its cost explodes on same-name issuers before release 49).
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from posture.facts.parse_x509 import UNREADABLE, Malformed, certificate, issued, issuer_name, subject_name

_MAX_SIGNATURE_CHECKS = 64
_PATHS_KEPT = 1024
_NAMES_KEPT = 512
_SECOND = timedelta(seconds=1)
_LATEST = datetime.max.replace(microsecond=0, tzinfo=UTC)  # no second after it
# X509_V_ERR_*: a certificate is not yet, or no longer, valid.
_DATES = frozenset({9, 10})
_SELF_SIGNED = frozenset({18, 19})


def readable(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """The leaf and every other certificate that can be read.

    Raises:
        Malformed: the leaf cannot.
    """
    found = [certificate(chain[0])]
    for der in chain[1:]:
        try:
            found.append(certificate(der))
        except Malformed:
            continue
    return found


def self_issued(cert: x509.Certificate) -> bool:
    """Whether issuer and subject are the same name, as in a root."""
    return issuer_name(cert) == subject_name(cert)


def path(chain: Sequence[x509.Certificate]) -> tuple[int, ...]:
    """Indexes of the leaf, its issuer, that one's issuer, ... as far as the chain as sent goes."""
    return _path(tuple(chain))


@lru_cache(maxsize=64)  # several rules walk the same chain
def _path(chain: tuple[x509.Certificate, ...]) -> tuple[int, ...]:
    walked = [0]
    checks = 0
    while not self_issued(chain[walked[-1]]):
        last = chain[walked[-1]]
        for index, candidate in enumerate(chain):
            same_name = subject_name(candidate) == issuer_name(last)
            if index in walked or not same_name or checks == _MAX_SIGNATURE_CHECKS:
                continue
            checks += 1
            if issued(candidate, last):
                walked.append(index)
                break
        else:
            break
    return tuple(walked)


@dataclass(frozen=True, slots=True)
class Trust:
    """``fault``: "" (trusted), "self_signed", "private_root", "unknown_issuer", "expired_issuer", "purpose" or "other".

    ``subject`` names the certificate at fault; ``ends`` is when the first issuer of a trusted path expires.
    """

    fault: str
    subject: str = ""
    ends: datetime | None = None


def trust(chain: Sequence[bytes], roots: bytes, at: datetime) -> Trust:
    """Whether a path from the leaf to one of ``roots`` (PEM) exists at a time.

    The leaf's own dates are another control's matter: the time is moved into its validity. Between two dates of the
    issuers the answer is the same, so that it is worked out once for the time between.

    Raises:
        Malformed: the leaf cannot be read.
    """
    sent = tuple(chain)
    leaf = certificate(sent[0])
    moment = max(min(at, leaf.not_valid_after_utc - timedelta(seconds=1)), leaf.not_valid_before_utc)
    turns = edges(sent, roots)
    place = bisect_right(turns, moment)
    return _trust(sent, roots, max(turns[place - 1], leaf.not_valid_before_utc) if place else leaf.not_valid_before_utc)


def trust_until(chain: Sequence[bytes], roots: bytes, at: datetime) -> datetime | None:
    """The first time after ``at`` when :func:`trust` finds otherwise, because an issuer's validity begins or ends.

    Raises:
        Malformed: the leaf cannot be read.
    """
    now = trust(chain, roots, at)
    return next((edge for edge in edges(tuple(chain), roots) if edge > at and trust(chain, roots, edge) != now), None)


@lru_cache(maxsize=_PATHS_KEPT)
def edges(chain: tuple[bytes, ...], roots: bytes) -> tuple[datetime, ...]:
    """When the answer about a path may turn: the ends of its possible issuers' validity, and a second after each."""
    certs = readable(chain)
    dated = [(cert.not_valid_before_utc, cert.not_valid_after_utc) for cert in certs[1:]]
    wanted = {_issuer_hash(_openssl(cert)) for cert in certs}
    by_subject, seen = _roots_by_subject(roots), set[int]()
    while wanted:  # an issuer may itself have one in the store
        seen |= wanted
        found = [root for subject in wanted for root in by_subject.get(subject, ())]
        dated += [(root.begins, root.ends) for root in found]
        wanted = {root.issuer for root in found} - seen
    moments = {moment for both in dated for moment in both}
    return tuple(sorted(moments | {moment + _SECOND for moment in moments if moment < _LATEST}))


@lru_cache(maxsize=_PATHS_KEPT)
def _trust(chain: tuple[bytes, ...], roots: bytes, moment: datetime) -> Trust:
    readable_chain = readable(chain)
    leaf = readable_chain[0]
    # OpenSSL takes the first issuer of the right name and never turns back, so those whose signatures fit go first.
    walked = path(readable_chain)
    others = [
        readable_chain[index] for index in (*walked, *set(range(len(readable_chain))).difference(walked)) if index
    ]
    store = crypto.X509Store()
    for root in _roots(roots):
        store.add_cert(root)
    store.set_time(moment.astimezone(UTC).replace(tzinfo=None))
    context = crypto.X509StoreContext(store, _openssl(leaf), [_openssl(other) for other in others])
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError as fault:
        number, depth, _ = fault.errors
        subject = name_of(certificate(crypto.dump_certificate(crypto.FILETYPE_ASN1, fault.certificate)))
        return Trust(_fault(number, depth, leaf), subject)
    if not _for_servers(leaf):
        return Trust("purpose", name_of(leaf))
    issuers = (context.get_verified_chain() or [])[1:]
    return Trust("", ends=min((cert.to_cryptography().not_valid_after_utc for cert in issuers), default=None))


def _fault(number: int, depth: int, leaf: x509.Certificate) -> str:
    if number in _DATES and depth:
        return "expired_issuer"
    if number in _SELF_SIGNED:
        return "self_signed" if self_issued(leaf) else "private_root"
    return "unknown_issuer" if number in (2, 20, 21) else "other"


@lru_cache(maxsize=4)
def _roots(pem: bytes) -> tuple[crypto.X509, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(_openssl(root) for root in x509.load_pem_x509_certificates(pem)) if pem.strip() else ()


@dataclass(frozen=True, slots=True)
class _Root:
    """One certificate of a trust store; ``issuer``: OpenSSL's hash of the name, which does not mind how it is written."""

    issuer: int
    begins: datetime
    ends: datetime


@lru_cache(maxsize=4)
def _roots_by_subject(pem: bytes) -> Mapping[int, Sequence[_Root]]:
    found: dict[int, list[_Root]] = defaultdict(list)
    for root in _roots(pem):
        dated = root.to_cryptography()
        one = _Root(_issuer_hash(root), dated.not_valid_before_utc, dated.not_valid_after_utc)
        found[root.subject_name_hash()].append(one)
    return found


@lru_cache(maxsize=4)
def root_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The roots of a store in PEM."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old root's serial number
        return tuple(root.to_cryptography() for root in _roots(pem))


@lru_cache(maxsize=4)
def root_prints(pem: bytes) -> frozenset[bytes]:
    """The roots' DER, to recognise one that a server sends."""
    return frozenset(crypto.dump_certificate(crypto.FILETYPE_ASN1, root) for root in _roots(pem))


def _issuer_hash(cert: crypto.X509) -> int:
    with warnings.catch_warnings():  # there is another way to the hash of the subject's name, and none to this one's
        warnings.simplefilter("ignore", DeprecationWarning)
        return cert.get_issuer().hash()


def _openssl(cert: x509.Certificate) -> crypto.X509:
    try:
        return crypto.X509.from_cryptography(cert)
    except crypto.Error as fault:  # OpenSSL reads more strictly than whoever read it first
        raise Malformed("OpenSSL cannot read the certificate") from fault


def _for_servers(leaf: x509.Certificate) -> bool:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except UNREADABLE:
        return False
    return ExtendedKeyUsageOID.SERVER_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


@dataclass(frozen=True, slots=True)
class Names:
    """subjectAltName: DNS names (ASCII, lower case) and addresses. The common name does not count (RFC 9525 section 2)."""

    dns: tuple[str, ...]
    addresses: tuple[str, ...]


@lru_cache(maxsize=_NAMES_KEPT)
def names(cert: x509.Certificate) -> Names:
    """Raises Malformed."""
    try:
        value = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Names((), ())
    except UNREADABLE as fault:
        raise Malformed(str(fault)) from fault
    return Names(
        # What is not ASCII is no name of the DNS, and must not become one by lower case (RFC 9525 section 7.2).
        tuple(name.lower() for name in value.get_values_for_type(x509.DNSName) if name.isascii()),
        tuple(str(address) for address in value.get_values_for_type(x509.IPAddress)),
    )


def matches(found: Names, name: str) -> bool:
    """RFC 9525 section 6: whole labels, a wildcard stands for one whole left-most label; addresses only as addresses.

    Args:
        name: an A-label name, with or without the dot of the root, or an address. A wildcard right below a top-level
            domain stands for nothing, as browsers have it.
    """
    if address := _address(name):
        return address in found.addresses
    wanted = name.lower().removesuffix(".")
    if not wanted or "*" in wanted or not name.isascii():
        return False
    label, _, parent = wanted.partition(".")
    return wanted in found.dns or bool(label and "." in parent and f"*.{parent}" in found.dns)


@lru_cache(maxsize=4096)
def _address(name: str) -> str:
    """In the form that certificates are read in; "" when the name is no address."""
    try:
        return str(ip_address(name))
    except ValueError:
        return ""


def timestamp_logs(cert: x509.Certificate, handshake: bytes) -> frozenset[bytes]:
    """Identities of the logs that signed a timestamp: embedded in a certificate, or in the list of a handshake.

    Raises:
        Malformed: the extension cannot be read. A list of the handshake that cannot be read holds none.
    """
    try:
        embedded = cert.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        found = {one.log_id for one in embedded}
    except x509.ExtensionNotFound:
        found = set()
    except UNREADABLE as fault:
        raise Malformed(str(fault)) from fault
    return frozenset(found | _listed_logs(handshake))


def _listed_logs(coded: bytes) -> set[bytes]:
    """A SignedCertificateTimestampList (RFC 6962 section 3.3): lengths of two octets; a version octet before each log's id."""
    found: set[bytes] = set()
    at = 2
    while at + 2 <= len(coded):
        length = int.from_bytes(coded[at : at + 2])
        one = coded[at + 2 : at + 2 + length]
        if len(one) == length and length >= 33 and one[0] == 0:
            found.add(one[1:33])
        at += 2 + length
    return found


def name_of(cert: x509.Certificate) -> str:
    """A short name of the subject to show: common name, else organisation, else the whole; at most 80 characters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name of an odd length is shown all the same
        return _short(cert.subject)


def issuer_of(cert: x509.Certificate) -> str:
    """A short name of the issuer to show."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _short(cert.issuer)


def _short(name: x509.Name) -> str:
    for oid in (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(oid):
            return _printable(str(attribute.value))
    return _printable(name.rfc4514_string()) or "(no name)"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:80])
