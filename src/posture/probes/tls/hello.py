"""ClientHello and what answers it: ServerHello, HelloRetryRequest, Certificate (RFC 8446 section 4, RFC 5246 section 7.4).

What follows a Certificate is read by :mod:`posture.probes.tls.flight`.
SSL 2.0 has messages of its own (the Netscape specification; RFC 6101 appendix E); see :func:`ssl2_hello`.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from posture.probes.tls.records import (
    HANDSHAKE,
    VERSION_NAMES,
    VERSIONS,
    CodecError,
    Message,
    Reader,
    message,
    record,
    vector,
)
from posture.probes.tls.suites import without_dhe

CLIENT_HELLO, SERVER_HELLO, CERTIFICATE = 1, 2, 11
MAX_CERTIFICATES = 20
MAX_CHAIN_BYTES = 100_000

# A ServerHello with this random is a HelloRetryRequest: the server speaks TLS 1.3 (RFC 8446 section 4.1.3).
_RETRY_RANDOM = hashlib.sha256(b"HelloRetryRequest").digest()
# How the random of a server that speaks TLS 1.3 ends where it was talked into TLS 1.2 (the same section).
_SPEAKS_13 = b"DOWNGRD\x01"
STATUS_REQUEST, ALPN, SIGNED_TIMESTAMPS, EXTENDED_MASTER_SECRET = 5, 16, 18, 23
_SUPPORTED_VERSIONS, _KEY_SHARE, RENEGOTIATION_INFO = 43, 51, 0xFF01
_RENEGOTIATION_SCSV, _FALLBACK_SCSV = 0x00FF, 0x5600
DEFLATE = 1

# A certificate's own curve has to be among the groups, or an ECDSA server declines; hybrids first, as browsers do.
_GROUPS_FULL = (0x11EC, 0x11EB, 0x001D, 0x0017, 0x0018, 0x0019, 0x001E, 0x0100, 0x0101)
# Without finite-field groups: a server then shows the parameters that it gives to clients of no such list (RFC 7919
# section 4), which are those to look at.
_GROUPS_OLD = (0x001D, 0x0017, 0x0018, 0x0019, 0x001E)
_GROUPS_LEAN = (0x001D, 0x0017, 0x0018, 0x0019)
_SIGNATURES = (
    *(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0603, 0x0807, 0x0808),
    *(0x0809, 0x080A, 0x080B, 0x0303, 0x0301, 0x0203, 0x0201, 0x0402, 0x0202),
)
# What an elliptic and an RSA server of any age can sign with: a lean hello is to stay below 256 octets.
_SIGNATURES_LEAN = (0x0403, 0x0804, 0x0401, 0x0503, 0x0501, 0x0807, 0x0201, 0x0203)
LEAN_SUITES = 52
_OF_TLS13 = 0x13
# Of the suites before TLS 1.3 some of each kind, where there is no room for more.
_VARIED = frozenset(
    (0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC009, 0xC013, 0xC00A, 0xC014, 0x009C, 0x009D, 0x002F, 0x0035)
)
# Some load balancers hang on hellos of 256 to 511 octets (RFC 7685).
_PADDED = 512


@dataclass(frozen=True, slots=True)
class Shape:
    """How a hello looks, apart from what it asks; two shapes tell a refusal from a dislike of the hello itself."""

    name: str
    full: bool


FULL = Shape("full", True)
LEAN = Shape("lean", False)


@dataclass(frozen=True, slots=True)
class Question:
    """What a hello offers: ``versions`` newest first (names of VERSIONS), ``suites`` by number in client's order.

    Several versions are listed in an extension that servers of TLS 1.3 have to heed (RFC 8446 section 4.2.1), in the frame
    of a hello of TLS 1.2: asked plainly for a version that it does not speak, GnuTLS does not go down to an older one
    that it does, as RFC 5246 appendix E.1 would have it.

    ``server_name`` is an A-label name or ""; see :func:`sni`. ``groups`` and ``signatures`` stand in the place of those of
    an ordinary client. ``compressions`` are offered in the full shape only, so that the lean one tells whether a server
    dislikes the rest. ``fallback``: says that it is the second try of a client that may do better (RFC 7507).
    """

    versions: tuple[str, ...]
    suites: tuple[int, ...]
    server_name: str = ""
    alpn: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    signatures: tuple[int, ...] = ()
    compressions: tuple[int, ...] = (0,)
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What the server chose. ``suite``, ``compression`` and ``group`` (of TLS 1.3, else 0) are numbers; ``retry``: a
    HelloRetryRequest; ``extensions`` are those in clear, by number; ``speaks_13``: it says that it would rather have
    spoken TLS 1.3 (only where it chose TLS 1.2; not every server says so)."""

    version: str
    suite: int
    retry: bool = False
    compression: int = 0
    group: int = 0
    extensions: Mapping[int, bytes] = field(default_factory=dict)
    speaks_13: bool = False


def client_hello(question: Question, shape: Shape, random: bytes) -> bytes:
    """One record with a ClientHello.

    Args:
        random: 64 octets: the hello's random, and a session id (or key share) of the middlebox-compatible kind.
    """
    newest = VERSIONS[question.versions[0]]
    suites = question.suites if shape.full else _lean(question.suites, newest)
    if not shape.full:
        suites = (*suites, _RENEGOTIATION_SCSV)
    if question.fallback:
        suites = (*suites, _FALLBACK_SCSV)
    session = random[32:] if newest > VERSIONS["TLS 1.2"] else b""
    body = (
        (VERSIONS["TLS 1.2"] if len(question.versions) > 1 else min(newest, VERSIONS["TLS 1.2"])).to_bytes(2)
        + random[:32]
        + vector(1, session)
        + _numbers(2, suites)
        + vector(1, bytes(question.compressions if shape.full else (0,)))
    )
    if newest > VERSIONS["SSL 3.0"]:
        body += _extensions(question, shape, random[32:], len(body))
    # The record says TLS 1.0 whatever the hello offers: middleboxes accept nothing else (RFC 8446 section 5.1).
    return record(HANDSHAKE, min(newest, VERSIONS["TLS 1.0"]), message(CLIENT_HELLO, body))


def _extensions(question: Question, shape: Shape, share: bytes, length_before: int) -> bytes:
    newest = VERSIONS[question.versions[0]]
    wanted: list[tuple[int, bytes]] = []
    if question.server_name:
        wanted.append((0, vector(2, b"\0" + vector(2, question.server_name.encode("ascii")))))
    if shape.full:
        wanted += [(EXTENDED_MASTER_SECRET, b""), (RENEGOTIATION_INFO, b"\0")]
    wanted += [(10, _numbers(2, question.groups or _groups(newest, shape))), (11, b"\1\0")]
    if question.alpn and shape.full:
        wanted.append((ALPN, vector(2, b"".join(vector(1, name.encode("ascii")) for name in question.alpn))))
    if newest >= VERSIONS["TLS 1.2"]:
        usual = _SIGNATURES if shape.full else _SIGNATURES_LEAN
        wanted.append((13, _numbers(2, question.signatures or usual)))
    if question.signatures:
        # Only what is said in the handshake is asked about: certificates may be signed as ever (RFC 8446 section 4.2.3).
        wanted.append((50, _numbers(2, _SIGNATURES)))
    if shape.full and newest < VERSIONS["TLS 1.3"]:
        wanted += [(STATUS_REQUEST, b"\1\0\0\0\0"), (SIGNED_TIMESTAMPS, b"")]
    if newest >= VERSIONS["TLS 1.3"] or len(question.versions) > 1:
        offered = b"".join(VERSIONS[version].to_bytes(2) for version in question.versions)
        wanted.append((_SUPPORTED_VERSIONS, vector(1, offered)))
    if newest >= VERSIONS["TLS 1.3"]:
        # Empty: the server names its group in a HelloRetryRequest. Lean: a share, for servers that know no retry.
        empty = shape.full or bool(question.groups)
        shares = b"" if empty else (0x001D).to_bytes(2) + vector(2, share)
        wanted += [(45, b"\1\1"), (_KEY_SHARE, vector(2, shares))]
    coded = b"".join(kind.to_bytes(2) + vector(2, body) for kind, body in wanted)
    length = 4 + length_before + 2 + len(coded)
    if shape.full and length < _PADDED:
        coded += (21).to_bytes(2) + vector(2, bytes(max(0, _PADDED - length - 4)))
    return vector(2, coded)


@lru_cache(maxsize=128)
def _lean(suites: tuple[int, ...], newest: int) -> tuple[int, ...]:
    chosen = without_dhe(suites)
    if newest >= VERSIONS["TLS 1.3"]:
        chosen = tuple(suite for suite in chosen if suite >> 8 == _OF_TLS13 or suite in _VARIED) or chosen
    return chosen[:LEAN_SUITES]


def _groups(newest: int, shape: Shape) -> tuple[int, ...]:
    if not shape.full:
        return _GROUPS_LEAN
    return _GROUPS_FULL if newest >= VERSIONS["TLS 1.3"] else _GROUPS_OLD


@lru_cache(maxsize=512)
def _numbers(octets: int, values: tuple[int, ...]) -> bytes:
    """The same few lists are offered to every server."""
    return vector(octets, b"".join(value.to_bytes(2) for value in values))


def sni(name: str) -> str:
    """What to say as server name: the name, or "" for an address, which may not be sent (RFC 6066 section 3)."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.rstrip(".")
    return ""


def server_hello(reply: Message) -> ServerHello:
    """The choice in a ServerHello.

    Raises:
        CodecError: not a ServerHello, or of a version that does not exist.
    """
    if reply.kind != SERVER_HELLO:
        raise CodecError("the first message is not a ServerHello")
    body = Reader(reply.body)
    number, random = body.number(2), body.take(32)
    body.vector(1)
    suite, compression = body.number(2), body.number(1)
    extensions = _extensions_of(body.vector(2)) if len(body) else {}
    if _SUPPORTED_VERSIONS in extensions:
        number = Reader(extensions[_SUPPORTED_VERSIONS]).number(2)
    if number not in VERSION_NAMES:
        raise CodecError("a version that does not exist")
    group = Reader(extensions[_KEY_SHARE]).number(2) if _KEY_SHARE in extensions else 0
    speaks_13 = number == VERSIONS["TLS 1.2"] and random.endswith(_SPEAKS_13)
    return ServerHello(VERSION_NAMES[number], suite, random == _RETRY_RANDOM, compression, group, extensions, speaks_13)


def _extensions_of(coded: Reader) -> dict[int, bytes]:
    """By number; of two of one number the first."""
    found: dict[int, bytes] = {}
    while len(coded):
        kind, body = coded.number(2), coded.vector(2).take_all()
        found.setdefault(kind, body)
    return found


@dataclass(frozen=True, slots=True)
class Chain:
    """Certificates as sent, DER, leaf first; ``cut`` when there were more than the caps allow.

    ``staple`` is the OCSP response that came with them (DER, RFC 6066 section 8), b"" when there was none.
    """

    certificates: tuple[bytes, ...] = ()
    cut: bool = False
    staple: bytes = b""


def certificate_chain(reply: Message) -> Chain:
    """The chain in a Certificate message of TLS 1.2 or older.

    Raises:
        CodecError: not a Certificate message.
    """
    if reply.kind != CERTIFICATE:
        raise CodecError("not a Certificate message")
    listed = Reader(reply.body).vector(3)
    certificates: list[bytes] = []
    while len(listed):
        certificates.append(listed.vector(3).take_all())
    return capped(certificates)


def capped(certificates: list[bytes]) -> Chain:
    """At most MAX_CERTIFICATES certificates and MAX_CHAIN_BYTES bytes of a chain."""
    kept: list[bytes] = []
    for certificate in certificates:
        if len(kept) == MAX_CERTIFICATES or sum(map(len, kept)) + len(certificate) > MAX_CHAIN_BYTES:
            return Chain(tuple(kept), cut=True)
        kept.append(certificate)
    return Chain(tuple(kept))


def ssl2_hello(kinds: tuple[int, ...], challenge: bytes) -> bytes:
    """An SSL 2.0 CLIENT-HELLO. ``challenge`` is 16 to 32 octets."""
    specs = b"".join(kind.to_bytes(3) for kind in kinds)
    body = b"\x01\x00\x02" + len(specs).to_bytes(2) + b"\0\0" + len(challenge).to_bytes(2) + specs + challenge
    return (0x8000 | len(body)).to_bytes(2) + body


def ssl2_server_hello(data: bytes) -> tuple[int, ...] | None:
    """The cipher kinds in an SSL 2.0 SERVER-HELLO, or None while bytes are missing.

    Raises:
        CodecError: something else.
    """
    if len(data) < 3:
        return None
    length = int.from_bytes(data[:2]) & 0x7FFF
    if not data[0] & 0x80 or data[2] != 4:
        raise CodecError("not an SSL 2.0 SERVER-HELLO")
    if len(data) < 2 + length:
        return None
    body = Reader(data[2 : 2 + length])
    body.take(3)
    version, certificate, specs, connection = (body.number(2) for _ in range(4))
    if version != 0x0002:
        raise CodecError("a SERVER-HELLO of another version")
    body.take(certificate)
    kinds = Reader(body.take(specs))
    body.take(connection)
    return tuple(kinds.number(3) for _ in range(specs // 3))
