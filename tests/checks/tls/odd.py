"""Certificates that no library makes: a part of a good one is exchanged in its DER, and the whole is signed again."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.checks.tls.pki import MIDDLE, Pair, issue

NAME = "www.gov.example"
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_RSA = bytes.fromhex("300d06092a864886f70d0101010500")
_EC_KEY = bytes.fromhex("06072a8648ce3d0201")
PLAIN = issue(NAME, MIDDLE, names=(NAME,))


def value(tag: int, *content: bytes) -> bytes:
    """One value of DER."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + body


def sequence(*content: bytes) -> bytes:
    return value(0x30, *content)


def integer(number: int) -> bytes:
    return value(2, number.to_bytes(number.bit_length() // 8 + 1))


def bits(content: bytes) -> bytes:
    return value(3, b"\0", content)


def rsa_key(modulus: int, exponent: int = 65_537) -> bytes:
    """A SubjectPublicKeyInfo with any numbers in it."""
    return sequence(_RSA, bits(sequence(integer(modulus), integer(exponent))))


def ec_key(curve: bytes, point: bytes = b"\4" + bytes(64)) -> bytes:
    """A SubjectPublicKeyInfo over a curve: an object identifier, or parameters, in DER."""
    return sequence(sequence(_EC_KEY, curve), bits(point))


def with_part(old: bytes, new: bytes, of: Pair = PLAIN, by: Pair = MIDDLE) -> bytes:
    """DER of a certificate in which one part is another, signed again so that it verifies."""
    tbs = of.cert.tbs_certificate_bytes
    begin = 2 + (tbs[1] & 0x7F if tbs[1] & 0x80 else 0)
    body = tbs[begin:]
    assert body.count(old) == 1
    return signed(sequence(body.replace(old, new)), by)


def signed(tbs: bytes, by: Pair = MIDDLE) -> bytes:
    return sequence(tbs, _ECDSA_SHA256, bits(by.key.sign(tbs, ec.ECDSA(hashes.SHA256()))))


def with_key(spki: bytes, of: Pair = PLAIN) -> bytes:
    """The certificate of another public key."""
    old = of.cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return with_part(old, spki, of)
