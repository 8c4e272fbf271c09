"""What a TLS endpoint answered to ClientHellos of our own (RFC 8446, RFC 5246, RFC 6101)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from posture.facts.base import Facts

# A question to a TLS server has three answers; "unclear" (time-out, reset, garbage) is never "refused".
ACCEPTED = "accepted"
REFUSED = "refused"
UNCLEAR = "unclear"
# A question that was not put: there was nothing to ask about, or the server counts its connections (ports 25, 465, 587).
NOT_ASKED = "not_asked"
NOTHING_TO_ASK, POLITENESS = "nothing_to_ask", "politeness"
# Known without a hello of its own: the server said in its choice of TLS 1.2 that it speaks TLS 1.3 (RFC 8446 section 4.1.3).
DOWNGRADE_MARK = "downgrade_mark"
SAME_CERTIFICATE = "same_certificate"

# Traits: what else a server was asked, or told by the way. Those of TlsFacts:
APPLICATION_PROTOCOL = "application_protocol"  # ALPN (RFC 7301)
EXTENDED_MASTER_SECRET = "extended_master_secret"  # noqa: S105 (an extension, RFC 7627)
HYBRID_GROUPS = "hybrid_groups"  # TLS 1.3 with a post-quantum hybrid
RENEGOTIATION_INFO = "renegotiation_info"  # RFC 5746
SERVER_PREFERENCE = "server_preference"  # of suites, at TLS 1.2: accepted = its own order, refused = the client's
SIGNED_TIMESTAMPS = "signed_timestamps"  # in the handshake of TLS 1.2 or older (RFC 6962 section 3.3)
STAPLE = "staple"  # an OCSP response (RFC 6066 section 8)
WITHDRAWN_CURVES = "withdrawn_curves"  # TLS 1.2 or older with curves that RFC 8422 withdrew
# ... and of TlsLegacyFacts:
COMPRESSION = "compression"  # DEFLATE (RFC 3749)
FALLBACK_SIGNAL = "fallback_signal"  # TLS_FALLBACK_SCSV is heeded: accepted; a lesser version is agreed to: refused
OLD_HASHES = "old_hashes"  # TLS 1.2 signed with MD5, SHA-1 or SHA-224 when nothing better is offered


@dataclass(frozen=True, slots=True)
class VersionAnswer:
    """One protocol version. ``version`` is "SSL 2.0", "SSL 3.0", "TLS 1.0" ... "TLS 1.3".

    ``answer`` is accepted, refused, unclear or not_asked; ``why`` is the alert ("protocol_version", "handshake_failure"),
    "closed" for a clean close after the hello, or the reason word when unclear ("timeout", "reset", "malformed"), also of
    an accepted version whose elimination ended in nothing clear; or how else it is known (downgrade_mark).
    ``suites`` are IANA names in the order the server chose them by elimination; ``complete`` says that the
    elimination ended with a clear refusal, so that a suite not listed is not offered; ``exchange_complete`` that a kind
    of key exchange (ECDHE, DHE, a key that never changes) of which no suite is listed is not offered, ``mode_complete`` the
    same of suites that are not AEAD.
    """

    version: str
    answer: str
    why: str = ""
    suites: tuple[str, ...] = ()
    complete: bool = False
    exchange_complete: bool = False
    mode_complete: bool = False


@dataclass(frozen=True, slots=True)
class Trait:
    """The answer to one more question. ``name`` is a trait of this module; ``answer`` and ``why`` as in VersionAnswer, or
    not_asked with nothing_to_ask or politeness.

    ``seen`` names what the server chose (groups, hashes, a protocol), in its order; ``complete`` says that whatever
    is not among them is refused.
    """

    name: str
    answer: str
    why: str = ""
    seen: tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class FiniteField:
    """Diffie-Hellman parameters that a server sent for a DHE suite of ``version``; big-endian, without leading zeros."""

    version: str
    prime: bytes
    generator: bytes


@dataclass(frozen=True, slots=True)
class Unnamed:
    """What a client is told that says no server name, as old ones do. A fact for the reader: no rule blames anybody for it,
    because a host of many sites owes nothing to clients that do not say which one they want.

    ``answer`` and ``why`` as in VersionAnswer, where every alert is a refusal, or not_asked; ``leaf``: the server's own
    certificate (DER), b"" when none was seen. That which the name is shown as well is not kept twice: ``why`` is
    same_certificate.
    """

    answer: str
    why: str = ""
    leaf: bytes = b""


@dataclass(frozen=True, slots=True)
class TlsFacts(Facts):
    """TLS 1.0-1.3 with suites an ordinary client may offer, and the certificate chain as sent.

    ``versions`` holds TLS 1.0, 1.1, 1.2 and 1.3, in that order. ``chain`` is DER, leaf first, as sent
    (at most 20 certificates, 100 kB; ``chain_cut`` otherwise), empty when no chain could be read.
    ``chain_why`` is the reason word when a handshake began but no chain could be read.
    ``name`` is the server name asked for (SNI); ``starttls`` the protocol spoken before TLS, or "".
    ``traits`` are sorted by name; one that is missing was not recorded (facts of version 1 have none). ``groups`` are the
    names of all groups that the server was seen to choose, ``finite_fields`` its finite-field parameters, both sorted.
    ``staple`` is the OCSP response that came along, ``timestamps`` the list of SCTs of the handshake, as sent; b"" when there
    was none. A staple that says "good", then and well signed, changes from day to day: unless the certificate demands one
    (RFC 7633) it is not kept, and the trait ``staple`` has seen ("good",).
    ``unnamed`` is None in facts of versions 1 and 2, which did not ask.
    """

    TYPE: ClassVar[str] = "tls"
    VERSION: ClassVar[int] = 3

    name: str
    starttls: str
    versions: tuple[VersionAnswer, ...]
    chain: tuple[bytes, ...] = ()
    chain_cut: bool = False
    chain_why: str = ""
    traits: tuple[Trait, ...] = ()
    groups: tuple[str, ...] = ()
    finite_fields: tuple[FiniteField, ...] = ()
    staple: bytes = b""
    timestamps: bytes = b""
    unnamed: Unnamed | None = None

    @classmethod
    def upgrade(cls, version: int, body: dict[str, Any]) -> dict[str, Any]:
        return _with_defaults(cls, version, body)

    def version(self, name: str) -> VersionAnswer | None:
        return next((answer for answer in self.versions if answer.version == name), None)

    def trait(self, name: str) -> Trait | None:
        return next((trait for trait in self.traits if trait.name == name), None)

    @property
    def accepted(self) -> tuple[str, ...]:
        """Names of the versions with which a handshake began."""
        return tuple(answer.version for answer in self.versions if answer.answer == ACCEPTED)


@dataclass(frozen=True, slots=True)
class TlsLegacyFacts(Facts):
    """SSL 2.0 and SSL 3.0, and the broken suites (NULL, anonymous, EXPORT, RC4, DES, 3DES, IDEA, MD5 MAC) per version.

    ``versions`` holds SSL 2.0, SSL 3.0 and every TLS version <= 1.2 that was asked for broken suites;
    in a TLS entry ``answer`` is about the broken suites only. ``preferred`` is the suite the server chose when broken
    suites were offered before ordinary ones (asked only when it accepts broken ones), or "". ``traits`` as in TlsFacts.
    """

    TYPE: ClassVar[str] = "tls_legacy"
    VERSION: ClassVar[int] = 2

    name: str
    starttls: str
    versions: tuple[VersionAnswer, ...]
    preferred: str = ""
    traits: tuple[Trait, ...] = ()

    @classmethod
    def upgrade(cls, version: int, body: dict[str, Any]) -> dict[str, Any]:
        return _with_defaults(cls, version, body)

    def version(self, name: str) -> VersionAnswer | None:
        return next((answer for answer in self.versions if answer.version == name), None)

    def trait(self, name: str) -> Trait | None:
        return next((trait for trait in self.traits if trait.name == name), None)


def _with_defaults(cls: type[Facts], version: int, body: dict[str, Any]) -> dict[str, Any]:
    """Older versions knew fewer fields; those that are missing have their defaults (version 1: no traits and what
    follows them; version 2: nothing of clients without a name)."""
    if not 1 <= version <= cls.VERSION:
        raise ValueError(f"{cls.TYPE} facts of version {version} are not known to this release")
    return body
