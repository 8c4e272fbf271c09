"""Certificates and chains to choke on: what a TLS server may show, well signed and malformed (RFC 5280).

SHOWN are presented by OpenSSL in a whole handshake, at which the server then speaks a little HTTP. BY_HAND no TLS library
would present: they come in a TLS 1.2 flight in clear (RFC 5246 section 7.4.2), after which the server falls silent.
Everything is valid for *.hostile.gov.example and, where the fault lies elsewhere, issued by :func:`authority`.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from OpenSSL import crypto

Pair = tuple[bytes, ec.EllipticCurvePrivateKey]  # DER and its key

ZONE = "hostile.gov.example"
NAMES = (f"*.{ZONE}",)
_NOW = datetime.now(UTC).replace(microsecond=0)
_YEAR = timedelta(days=300)
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_INJECTING_NAME = "<script>alert(1)</script>\x1b]0;owned\x07=cmd|'/C calc'!A0; DROP TABLE findings; --"


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _issue(
    subject: str = "leaf",
    *,
    by: Pair | None = None,
    key: Any = None,
    names: Sequence[str] = NAMES,
    ca: bool = False,
    start: datetime = _NOW - timedelta(days=10),
    end: datetime = _NOW + _YEAR,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    serial: int = 0,
) -> Pair:
    """A certificate by :func:`authority` unless ``by`` says otherwise; ``key`` may be a public one that nobody holds."""
    above, signer = by or authority()
    own = key or _key()
    public: Any = own.public_key() if hasattr(own, "public_key") else own
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(x509.load_der_x509_certificate(above).subject)
        .public_key(public)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names and not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER), own


@cache
def authority() -> Pair:
    """The root that the tests trust."""
    key = _key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named("Hostile Root"))
        .issuer_name(_named("Hostile Root"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_NOW - timedelta(days=3000))
        .not_valid_after(_NOW + timedelta(days=3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER), key


def root_pem() -> bytes:
    return x509.load_der_x509_certificate(authority()[0]).public_bytes(Encoding.PEM)


# ---- DER by hand (X.690)


def _tlv(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + body


def _altered(pair: Pair, old: bytes, new: bytes) -> Pair:
    """The certificate with some of its bytes exchanged for as many others, signed anew."""
    der, key = pair
    certificate = x509.load_der_x509_certificate(der)
    body = certificate.tbs_certificate_bytes
    assert len(old) == len(new)
    assert old in body
    body = body.replace(old, new)
    signature = authority()[1].sign(body, ec.ECDSA(hashes.SHA256()))
    return _tlv(0x30, body + _ECDSA_SHA256 + _tlv(0x03, b"\0" + signature)), key


def _utc(moment: datetime) -> bytes:
    return f"{moment:%y%m%d%H%M%SZ}".encode()


# ---- chains that OpenSSL presents: DER, leaf first, and the leaf's key

Chain = tuple[list[bytes], ec.EllipticCurvePrivateKey]


def _alone(pair: Pair) -> Chain:
    return [pair[0]], pair[1]


def _below(length: int, *, same_name: bool = False) -> Chain:
    """A leaf under ``length`` intermediates that each issued the next."""
    chain: list[bytes] = []
    above = authority()
    for number in range(length):
        above = _issue("Same Name" if same_name else f"Intermediate {number}", by=above, ca=True)
        chain.insert(0, above[0])
    leaf, key = _issue(by=above)
    return [leaf, *chain], key


def _lookalikes() -> Chain:
    """The issuer's name on twenty certificates, and the signature of none of them."""
    real = _issue("Same Name", ca=True)
    leaf, key = _issue(by=real)
    return [leaf, *(_issue("Same Name", by=real, ca=True)[0] for _ in range(18))], key


def _circle() -> Chain:
    """Two authorities, each of which issued the other."""
    first, second = _key(), _key()
    one = _issue("Circle One", by=(_issue("Circle Two", ca=True)[0], second), key=first, ca=True)
    two = _issue("Circle Two", by=(one[0], first), key=second, ca=True)
    leaf, key = _issue(by=one)
    return [leaf, one[0], two[0]], key


def _upside_down() -> Chain:
    chain, key = _below(3)
    return [chain[0], *reversed(chain[1:])], key


def _unreadable_dates() -> Chain:
    start = _NOW - timedelta(days=17)
    return _alone(_altered(_issue(start=start), _utc(start), b"2x" + _utc(start)[2:]))


def _with_extension(*, critical: bool) -> Chain:
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x04\x02\xff\xff")
    return _alone(_issue(extra=[(unknown, critical)]))


SHOWN: dict[str, Callable[[], Chain]] = {
    "cert.ten_thousand_names": lambda: _alone(_issue(names=[f"h{n}.{ZONE}" for n in range(10_000)])),
    "cert.a_thousand_names": lambda: _alone(_issue(names=[*NAMES, *(f"h{n}.{ZONE}" for n in range(1000))])),
    "cert.no_names": lambda: _alone(_issue(names=())),
    "cert.unreadable_dates": _unreadable_dates,
    "cert.far_future": lambda: _alone(_issue(end=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))),
    "cert.not_yet_valid": lambda: _alone(_issue(start=_NOW + timedelta(days=5))),
    "cert.nul_in_name": lambda: _alone(
        _altered(_issue(names=[f"x.{ZONE}_evil.test"]), f"x.{ZONE}_evil".encode(), f"x.{ZONE}\0evil".encode())
    ),
    "cert.wildcards": lambda: _alone(_issue(names=["*", "*.*.gov.example", "w*.hostile.gov.example", "*.example"])),
    "cert.injecting_subject": lambda: _alone(_issue(_INJECTING_NAME, names=[*NAMES, "<b>.hostile.gov.example"])),
    "cert.for_clients_only": lambda: _alone(
        _issue(extra=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), True)])
    ),
    "cert.unknown_critical_extension": lambda: _with_extension(critical=True),
    "cert.unknown_extension": lambda: _with_extension(critical=False),
    "cert.serial_of_twenty_bytes": lambda: _alone(_issue(serial=(1 << 159) - 1)),
    "chain.hundred_certificates": lambda: _below(100),
    "chain.hundred_of_the_same_name": lambda: _below(100, same_name=True),
    "chain.same_names": lambda: _below(15, same_name=True),
    "chain.lookalike_issuers": _lookalikes,
    "chain.circle": _circle,
    "chain.upside_down": _upside_down,
}


@cache
def context(name: str) -> ssl.SSLContext:
    """A server's context that presents one of SHOWN."""
    ders, key = SHOWN[name]()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chain.pem")
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem + "".join(map(ssl.DER_cert_to_PEM_cert, ders)).encode())
        made.load_cert_chain(path)
    return made


def pair() -> tuple[crypto.X509, crypto.PKey]:
    """An ordinary certificate and its key, for servers that drive OpenSSL themselves."""
    der, key = _issue()
    return crypto.load_certificate(crypto.FILETYPE_ASN1, der), crypto.PKey.from_cryptography_key(key)


# ---- certificates in clear


def _huge_rsa() -> bytes:
    """A modulus of 32,768 bits, of which nobody knows the factors."""
    return _issue(key=rsa.RSAPublicNumbers(65537, (1 << 32767) | 1).public_key())[0]


def _lying_length() -> bytes:
    der = _issue()[0]
    return der[:2] + b"\xff\xff" + der[4:]


def _unreadable_utf8() -> bytes:
    return _altered(_issue("Ministry of Finance"), b"Ministry", b"\xff\xfe\xc0\xaf\x80\x80\xf5\xff")[0]


def _duplicate_extension() -> bytes:
    """Two subjectAltNames: the second one was another extension of the same length."""
    other = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.99"), b"\x30\x05\x82\x03a.b")
    return _altered(_issue(extra=[(other, False)]), b"\x06\x03\x55\x1d\x63", b"\x06\x03\x55\x1d\x11")[0]


BY_HAND: dict[str, Callable[[], list[bytes]]] = {
    "cert.malformed": lambda: [b"\x30\x82\x01\x00" + b"\xff" * 256],
    "cert.empty": lambda: [b""],
    "cert.lying_length": lambda: [_lying_length()],
    "cert.cut_short": lambda: [_issue()[0][:200]],
    "cert.trailing_bytes": lambda: [_issue()[0] + b"\0" * 50],
    "cert.nested_ten_thousand_deep": lambda: [_nested(10_000)],
    "cert.endless_length": lambda: [b"\x30\x80" + b"\x30\x80" * 4000],
    "cert.huge_rsa_key": lambda: [_huge_rsa()],
    "cert.unreadable_utf8": lambda: [_unreadable_utf8()],
    "cert.duplicate_extension": lambda: [_duplicate_extension()],
    "chain.none": list,
    "chain.garbage_above_the_leaf": lambda: [_issue()[0], b"\x30\x03abc", b"", b"\xff" * 5000],
    "chain.leaf_fifty_times": lambda: [_issue()[0]] * 50,
}


def _nested(depth: int) -> bytes:
    body = b"\x05\x00"
    for _ in range(depth):
        body = _tlv(0x30, body)
    return body
