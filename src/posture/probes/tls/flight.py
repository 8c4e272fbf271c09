"""What follows a ServerHello of TLS 1.2 or older in clear: CertificateStatus and ServerKeyExchange.

Sources: RFC 5246 section 7.4.3, RFC 8422 section 5.4, RFC 6066 section 8. Bytes in, values out; total.
"""

from __future__ import annotations

from dataclasses import dataclass

from posture.probes.tls.records import CodecError, Message, Reader

SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE, CERTIFICATE_STATUS = 12, 14, 22
# The longest OCSP response that is kept: real ones take 0.5 to 3 kB.
MAX_STAPLE_BYTES = 20_000
# The longest prime that is kept, in octets: 16,384 bits are four times what anybody uses.
_MAX_PRIME_BYTES = 2048
_NAMED_CURVE, _OCSP = 3, 1


@dataclass(frozen=True, slots=True)
class Exchange:
    """The server's half of a key exchange.

    ``group`` is the number of a named curve, 0 otherwise; ``prime`` and ``generator`` are those of finite-field
    Diffie-Hellman, big-endian without leading zeros, b"" otherwise. ``signature`` is the number of the scheme with which
    TLS 1.2 signed it, 0 when nothing says so.
    """

    group: int = 0
    prime: bytes = b""
    generator: bytes = b""
    signature: int = 0


def key_exchange(reply: Message, kind: str, *, signed: bool) -> Exchange:
    """A ServerKeyExchange message.

    Args:
        kind: the suite's exchange, "DHE" or "ECDHE" (or their kin without a certificate, "DH" and "ECDH").
        signed: whether a signature with its scheme follows: TLS 1.2, with a certificate.

    Raises:
        CodecError: not one, or a curve without a name.
    """
    if reply.kind != SERVER_KEY_EXCHANGE:
        raise CodecError("not a ServerKeyExchange message")
    body = Reader(reply.body)
    group, prime, generator = 0, b"", b""
    if kind.startswith("EC"):
        if body.number(1) != _NAMED_CURVE:
            raise CodecError("a curve without a name")
        group = body.number(2)
        body.vector(1)
    else:
        prime, generator = (body.vector(2).take_all().lstrip(b"\0") for _ in range(2))
        body.vector(2)
        if not prime or len(prime) > _MAX_PRIME_BYTES:
            raise CodecError("a prime of an impossible length")
    return Exchange(group, prime, generator, body.number(2) if signed else 0)


def certificate_status(reply: Message) -> bytes:
    """The OCSP response (DER) in a CertificateStatus message; b"" when it is too long to be kept.

    Raises:
        CodecError: not one.
    """
    if reply.kind != CERTIFICATE_STATUS:
        raise CodecError("not a CertificateStatus message")
    body = Reader(reply.body)
    if body.number(1) != _OCSP:
        raise CodecError("a status of an unknown kind")
    staple = body.vector(3).take_all()
    return staple if len(staple) <= MAX_STAPLE_BYTES else b""
