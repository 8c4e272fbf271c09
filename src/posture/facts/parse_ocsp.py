"""An OCSP response as a server staples it (RFC 6960, RFC 6066 section 8): what it says of one certificate, and who says so.

The same reading serves the prober, which keeps only responses that say more than "good", and the rules, which judge those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from posture.facts.parse_x509 import (
    UNREADABLE,
    Malformed,
    certificate,
    issued,
    issuer_among,
    key_bits,
    spki,
    usable_key,
    verifies,
)

# What a response says of the certificate ...
GOOD = "good"
REVOKED = "revoked"
UNKNOWN = "unknown"
# ... or why it says nothing that could be believed.
MALFORMED = "malformed"
DECLINED = "declined"  # the responder gave an error instead (RFC 6960 section 2.3)
OTHER_CERTIFICATE = "other_certificate"
NO_ISSUER = "no_issuer"  # nobody whose signature could be checked
NOT_AUTHORISED = "not_authorised"  # signed by somebody whom the issuer did not name for it
BAD_SIGNATURE = "bad_signature"
ALGORITHM = "algorithm"

_MOST_RESPONSES = 100
_MOST_RESPONDERS = 4


@dataclass(frozen=True, slots=True)
class Staple:
    """``word`` is one of this module's. Times are UTC; ``revoked_at`` and ``reason`` (RFC 5280 section 5.3.1) of REVOKED.

    ``next_update`` is None when the responder always has something newer (RFC 6960 section 4.2.2.1).
    """

    word: str
    this_update: datetime | None = None
    next_update: datetime | None = None
    revoked_at: datetime | None = None
    reason: str = ""

    def is_current(self, at: datetime) -> bool:
        """Whether it is of this time (RFC 6960 section 3.2, items 5 and 6)."""
        begun = self.this_update is not None and self.this_update <= at
        return begun and (self.next_update is None or at <= self.next_update)


def read_staple(response: bytes, chain: Sequence[bytes], roots: Iterable[x509.Certificate] = ()) -> Staple:
    """What a response says of the first certificate of a chain (DER).

    A delegated responder has to be valid at the response's thisUpdate. Its own revocation is not looked at: authorities mark
    it as not to be checked (RFC 6960 section 4.2.2.2.1).

    Args:
        roots: more certificates among which the issuer may be, which a server need not send.
    """
    try:
        leaf = certificate(chain[0])
        read = ocsp.load_der_ocsp_response(response)
        if read.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return Staple(DECLINED)
        issuer = issuer_among(leaf, [*_others(chain), *roots])
        if issuer is None:
            return Staple(NO_ISSUER)
        single = _about(read, leaf, issuer)
        if single is None:
            return Staple(OTHER_CERTIFICATE)
        if fault := _signature_fault(read, issuer, single.this_update_utc):
            return Staple(fault)
        return _said(single)
    except (*UNREADABLE, IndexError):
        return Staple(MALFORMED)


def _others(chain: Sequence[bytes]) -> list[x509.Certificate]:
    found = []
    for der in chain[1:]:
        try:
            found.append(certificate(der))
        except Malformed:
            continue
    return found


def _about(read: ocsp.OCSPResponse, leaf: x509.Certificate, issuer: x509.Certificate) -> ocsp.OCSPSingleResponse | None:
    """The single response whose CertID is that of the certificate (RFC 6960 section 4.1.1)."""
    for count, single in enumerate(read.responses):
        if count == _MOST_RESPONSES:
            return None
        if single.serial_number == leaf.serial_number and _names(single, issuer):
            return single
    return None


def _names(single: ocsp.OCSPSingleResponse, issuer: x509.Certificate) -> bool:
    """Whether a CertID's two hashes are those of the issuer's name and key."""

    def hashed(data: bytes) -> bytes:
        digest = hashes.Hash(single.hash_algorithm)
        digest.update(data)
        return digest.finalize()

    return single.issuer_name_hash == hashed(issuer.subject.public_bytes()) and single.issuer_key_hash == hashed(
        key_bits(spki(issuer))
    )


def _signature_fault(read: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime) -> str:
    """ "" when the issuer signed the response, or somebody to whom it gave that right (RFC 6960 section 4.2.2.2)."""
    candidates = [issuer, *read.certificates[:_MOST_RESPONDERS]]
    signer = next((one for one in candidates if _is_responder(read, one)), None)
    if signer is None:
        return NO_ISSUER
    if signer.public_bytes(Encoding.DER) != issuer.public_bytes(Encoding.DER) and not _delegated(signer, issuer, at):
        return NOT_AUTHORISED
    key = usable_key(signer)
    if key is None:
        return ALGORITHM
    try:
        good = verifies(key, read.signature, read.tbs_response_bytes, read.signature_hash_algorithm)
    except UnsupportedAlgorithm:
        return ALGORITHM
    return "" if good else BAD_SIGNATURE


def _is_responder(read: ocsp.OCSPResponse, cert: x509.Certificate) -> bool:
    """By name or by the SHA-1 of its key (RFC 6960 section 4.2.2.3)."""
    if read.responder_name is not None:
        return read.responder_name.public_bytes() == cert.subject.public_bytes()
    return read.responder_key_hash == hashlib.sha1(key_bits(spki(cert)), usedforsecurity=False).digest()


def _delegated(signer: x509.Certificate, issuer: x509.Certificate, at: datetime) -> bool:
    if not signer.not_valid_before_utc <= at <= signer.not_valid_after_utc or not issued(issuer, signer):
        return False
    try:
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _said(single: ocsp.OCSPSingleResponse) -> Staple:
    times = single.this_update_utc, single.next_update_utc
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return Staple(GOOD, *times)
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        return Staple(UNKNOWN, *times)
    reason = single.revocation_reason
    return Staple(REVOKED, *times, single.revocation_time_utc, reason.value if reason else "")
