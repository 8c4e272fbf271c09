"""What only a full TLS client of somebody else's can find out: facts of deep scans, as sslyze reported them.

Each of its answers has been held against what went over the wire meanwhile (posture.probes.tls.witness): where it says
"not vulnerable" after it met silence, a reset or a refusal to begin, the answer is unclear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posture.facts.base import Facts

# Names of the answers of TlsVulnerabilityFacts, and what their attempts can say beside UNCLEAR:
HEARTBLEED = "heartbleed"  # VULNERABLE, SAFE, PRESUMED
EARLY_CCS = "early_ccs"  # VULNERABLE, SAFE, PRESUMED
ROBOT = "robot"  # STRONG, WEAK, SAFE, NO_RSA
RENEGOTIATIONS = "renegotiations"  # how many of MOST_RENEGOTIATIONS that the client began were agreed to: "0" to "10"
SECURE_RENEGOTIATION = "secure_renegotiation"  # SAFE (RFC 5746 is heeded), VULNERABLE

VULNERABLE, SAFE, UNCLEAR = "vulnerable", "safe", "unclear"
PRESUMED = "presumed"  # not asked: the server speaks TLS 1.3, which no vulnerable release of OpenSSL can
STRONG, WEAK = "strong", "weak"  # oracles
NO_RSA = "no_rsa"  # no key exchange by RSA encryption was agreed to
MOST_RENEGOTIATIONS = 10

# Why a store does not vouch for a chain:
NO_PATH = "path"  # none leads to a root of it
OTHER_NAME = "name"  # the certificate is not made out for the name that was asked for
FORM = "form"  # dates, or rules of form that browsers do not all insist on

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt; ``why`` is the reason word (posture.model.Reason) when it is unclear."""

    said: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class DeepAnswer:
    """All attempts at one question, in order: ``ATTEMPTS`` of them when the first one was bad news, else one."""

    name: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class TlsVulnerabilityFacts(Facts):
    """Heartbleed (CVE-2014-0160), early ChangeCipherSpec (CVE-2014-0224), ROBOT (VU#144389), renegotiation (RFC 5746).

    ``name`` is the server name asked for; ``starttls`` the protocol spoken before TLS, or ""; ``newest`` the newest
    version that sslyze could agree on ("TLS 1.2"); ``tool`` its name and version; ``answers`` sorted by name.
    """

    TYPE: ClassVar[str] = "tls_vulnerability"

    name: str
    starttls: str
    newest: str
    tool: str
    answers: tuple[DeepAnswer, ...]

    def attempts(self, name: str) -> tuple[Attempt, ...]:
        """() for a question that was not recorded."""
        return next((answer.attempts for answer in self.answers if answer.name == name), ())


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """Whether one maker's trust store vouches for a chain; ``why`` not: NO_PATH, OTHER_NAME or FORM, else ""."""

    store: str
    version: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One certificate that the server shows; ``leaf`` is the SHA-256 of its DER, in hexadecimal. Stores sorted by name."""

    leaf: str
    stores: tuple[StoreAnswer, ...]


@dataclass(frozen=True, slots=True)
class TlsStoresFacts(Facts):
    """What the stores of Apple, Google (Android), Microsoft, Mozilla and Oracle (Java) make of the chains shown.

    ``deployments`` sorted by leaf: a server may have one certificate for RSA and one for ECDSA. Other fields as above.
    """

    TYPE: ClassVar[str] = "tls_stores"

    name: str
    starttls: str
    tool: str
    deployments: tuple[Deployment, ...]

    def of(self, leaf: str) -> Deployment | None:
        return next((one for one in self.deployments if one.leaf == leaf), None)


@dataclass(frozen=True, slots=True)
class TlsEarlyDataFacts(Facts):
    """Whether a resumed TLS 1.3 session may begin with data (RFC 8446 section 2.3). Asked of HTTPS only.

    ``attempt`` says VULNERABLE (early data was accepted), SAFE or UNCLEAR. Other fields as above.
    """

    TYPE: ClassVar[str] = "tls_early_data"

    name: str
    newest: str
    tool: str
    attempt: Attempt
