"""Certificates as bytes: reading one, and which of several issued another. Pure; what cannot be read is Malformed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

# What reading a certificate of anybody's may end with, as tested byte by byte.
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,  # a kind of string that does not exist
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
# An RSA key beyond these is no authority's; checking with it costs more than a scanner should pay (tested by counts).
MOST_RSA_BITS = 16_384
_MOST_EXPONENT_BITS = 64
_CERTIFICATES_KEPT = 512  # read; servers of one ministry send the same issuers, and a history the same leaf all year


class Malformed(ValueError):
    """The bytes are not a certificate, or a part of it cannot be read."""


@lru_cache(maxsize=_CERTIFICATES_KEPT)
def certificate(der: bytes) -> x509.Certificate:
    """Raises Malformed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of foreign certificates are findings, not warnings
            read = x509.load_der_x509_certificate(der)
            # Names and dates are read late; a certificate whose own cannot be read is of no use to anybody.
            _ = read.subject, read.issuer, read.not_valid_before_utc, read.not_valid_after_utc
            _no_doubles(read)
            return read
    except UNREADABLE as fault:
        raise Malformed(str(fault)) from fault


def _no_doubles(cert: x509.Certificate) -> None:
    """Raises x509.DuplicateExtension: RFC 5280 section 4.2 forbids it, and OpenSSL then finds no issuer."""
    try:
        _ = cert.extensions
    except x509.DuplicateExtension:
        raise
    except UNREADABLE:
        return  # an odd extension is the business of whoever needs it


def issuer_name(cert: x509.Certificate) -> bytes:
    """The issuer's name as it stands in a certificate, in DER. Raises Malformed."""
    return _field(cert, 3)


def subject_name(cert: x509.Certificate) -> bytes:
    """The subject's name as it stands in a certificate, in DER. Raises Malformed."""
    return _field(cert, 5)


def issued(issuer: x509.Certificate, cert: x509.Certificate) -> bool:
    """Whether ``issuer``'s name and key fit ``cert``."""
    if subject_name(issuer) != issuer_name(cert) or usable_key(issuer) is None:
        return False
    try:
        cert.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def issuer_among(cert: x509.Certificate, others: Iterable[x509.Certificate], most: int = 8) -> x509.Certificate | None:
    """The first of the ``most`` candidates of the right name whose key fits."""
    name = issuer_name(cert)
    named = [other for other in others if subject_name(other) == name]
    return next((other for other in named[:most] if issued(other, cert)), None)


def spki(cert: x509.Certificate) -> bytes:
    """The SubjectPublicKeyInfo as it stands in a certificate, also of a key that no library reads (RFC 5280 section 4.1).

    Raises:
        Malformed: it is not where it should be.
    """
    return _field(cert, 6)


def _field(cert: x509.Certificate, number: int) -> bytes:
    """A sequence of the TBSCertificate: 3 the issuer, 5 the subject, 6 the key; the version, which may be left out, is 0."""
    der = cert.tbs_certificate_bytes
    try:
        at, _ = header(der, 0)
        for _ in range(number if der[at] == 0xA0 else number - 1):
            begin, length = header(der, at)
            at = begin + length
        begin, length = header(der, at)
    except IndexError as fault:
        raise Malformed("a part is not where it should be") from fault
    if der[at] != 0x30 or begin + length > len(der):
        raise Malformed("a part is not where it should be")
    return der[at : begin + length]


def key_parameters(cert: x509.Certificate) -> bytes:
    """What stands behind the algorithm of a public key in DER, such as the name of a curve; b"" for nothing.

    Raises:
        Malformed: as :func:`spki`.
    """
    info = spki(cert)
    try:
        outer, _ = header(info, 0)
        algorithm, length = header(info, outer)
        begin, name = header(info, algorithm)
    except IndexError as fault:
        raise Malformed("a public key without an algorithm") from fault
    return info[begin + name : algorithm + length]


def key_bits(info: bytes) -> bytes:
    """The content of a SubjectPublicKeyInfo's BIT STRING, which RFC 6960 section 4.1.1 hashes. Raises IndexError."""
    outer, _ = header(info, 0)
    algorithm, length = header(info, outer)
    begin, bits = header(info, algorithm + length)
    return info[begin + 1 : begin + bits]


def header(der: bytes, at: int) -> tuple[int, int]:
    """(where the content of a value begins, its length). Raises IndexError: the bytes end first."""
    length = der[at + 1]
    if length < 0x80:
        return at + 2, length
    count = length & 0x7F
    return at + 2 + count, int.from_bytes(der[at + 2 : at + 2 + count])


def usable_key(cert: x509.Certificate) -> Any:
    """A certificate's public key, None when it cannot be read or when checking a signature with it would cost too much."""
    try:
        key = cert.public_key()
    except UNREADABLE:
        return None
    if isinstance(key, rsa.RSAPublicKey):
        heavy = key.key_size > MOST_RSA_BITS or key.public_numbers().e.bit_length() > _MOST_EXPONENT_BITS
        return None if heavy else key
    return key


def verifies(key: Any, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm | None) -> bool:
    """Whether a key made a signature; of RSA the padding of PKCS #1 v1.5, the only one in use here.

    Raises:
        UnsupportedAlgorithm: a kind of key or a hash that is not believed (RFC 9155 section 3).
    """
    try:
        if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
            key.verify(signature, data)
            return True
        if algorithm is None or algorithm.digest_size < hashes.SHA256.digest_size:
            raise UnsupportedAlgorithm("a hash that is not believed")
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        else:
            raise UnsupportedAlgorithm("a kind of key that signs nothing here")
    except InvalidSignature:
        return False
    return True
