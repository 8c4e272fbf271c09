"""What a TLS endpoint answered to ClientHellos of our own (RFC 8446, RFC 5246, RFC 6101)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posture.facts.base import Facts

# A question to a TLS server has three answers; "unclear" (time-out, reset, garbage) is never "refused".
ACCEPTED = "accepted"
REFUSED = "refused"
UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class VersionAnswer:
    """One protocol version. ``version`` is "SSL 2.0", "SSL 3.0", "TLS 1.0" ... "TLS 1.3".

    ``answer`` is accepted, refused or unclear; ``why`` is the alert ("protocol_version", "handshake_failure"),
    "closed" for a clean close after the hello, or the reason word when unclear ("timeout", "reset", "malformed").
    ``suites`` are IANA names in the order the server chose them by elimination; ``complete`` says that the
    elimination ended with a clear refusal, so that a suite not listed is not offered; ``exchange_complete`` that it did so
    at least among the suites whose key exchange is not ECDHE.
    """

    version: str
    answer: str
    why: str = ""
    suites: tuple[str, ...] = ()
    complete: bool = False
    exchange_complete: bool = False


@dataclass(frozen=True, slots=True)
class TlsFacts(Facts):
    """TLS 1.0-1.3 with suites an ordinary client may offer, and the certificate chain as sent.

    ``versions`` holds TLS 1.0, 1.1, 1.2 and 1.3, in that order. ``chain`` is DER, leaf first, as sent
    (at most 20 certificates, 100 kB; ``chain_cut`` otherwise), empty when no chain could be read.
    ``chain_why`` is the reason word when a handshake began but no chain could be read.
    ``name`` is the server name asked for (SNI); ``starttls`` the protocol spoken before TLS, or "".
    """

    TYPE: ClassVar[str] = "tls"

    name: str
    starttls: str
    versions: tuple[VersionAnswer, ...]
    chain: tuple[bytes, ...] = ()
    chain_cut: bool = False
    chain_why: str = ""

    def version(self, name: str) -> VersionAnswer | None:
        return next((answer for answer in self.versions if answer.version == name), None)

    @property
    def accepted(self) -> tuple[str, ...]:
        """Names of the versions with which a handshake began."""
        return tuple(answer.version for answer in self.versions if answer.answer == ACCEPTED)


@dataclass(frozen=True, slots=True)
class TlsLegacyFacts(Facts):
    """SSL 2.0 and SSL 3.0, and the broken suites (NULL, anonymous, EXPORT, RC4, DES, 3DES, IDEA, MD5 MAC) per version.

    ``versions`` holds SSL 2.0, SSL 3.0 and every TLS version <= 1.2 that was asked for broken suites;
    in a TLS entry ``answer`` is about the broken suites only. ``preferred`` is the suite the server chose when broken
    suites were offered before ordinary ones (asked only when it accepts broken ones), or "".
    """

    TYPE: ClassVar[str] = "tls_legacy"

    name: str
    starttls: str
    versions: tuple[VersionAnswer, ...]
    preferred: str = ""

    def version(self, name: str) -> VersionAnswer | None:
        return next((answer for answer in self.versions if answer.version == name), None)
