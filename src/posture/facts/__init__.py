"""What the wire said: frozen records without opinion and without a clock, versioned and sorted.

One facts type per probe. FACTS maps the stable type name (in the database and in exports) to its class.
"""

from __future__ import annotations

from posture.facts.base import Facts, decode, digest, encode
from posture.facts.certificate import CrlFacts, KeyUseFacts
from posture.facts.deep import TlsEarlyDataFacts, TlsStoresFacts, TlsVulnerabilityFacts
from posture.facts.dns import (
    AxfrFacts,
    CaaFacts,
    DelegationFacts,
    DmarcFacts,
    DnssecFacts,
    MxFacts,
    NameserverFacts,
    SpfFacts,
)
from posture.facts.http import HttpFacts, SecurityTxtFacts
from posture.facts.service import PortsFacts
from posture.facts.smtp import SmtpFacts
from posture.facts.tls import TlsFacts, TlsLegacyFacts

FACTS: dict[str, type[Facts]] = {
    facts.TYPE: facts
    for facts in (
        TlsFacts,
        TlsLegacyFacts,
        CrlFacts,
        KeyUseFacts,
        TlsStoresFacts,
        TlsEarlyDataFacts,
        TlsVulnerabilityFacts,
        HttpFacts,
        SecurityTxtFacts,
        DelegationFacts,
        NameserverFacts,
        AxfrFacts,
        DnssecFacts,
        CaaFacts,
        MxFacts,
        SpfFacts,
        DmarcFacts,
        SmtpFacts,
        PortsFacts,
    )
}

__all__ = [
    "FACTS",
    "AxfrFacts",
    "CaaFacts",
    "CrlFacts",
    "DelegationFacts",
    "DmarcFacts",
    "DnssecFacts",
    "Facts",
    "HttpFacts",
    "KeyUseFacts",
    "MxFacts",
    "NameserverFacts",
    "PortsFacts",
    "SecurityTxtFacts",
    "SmtpFacts",
    "SpfFacts",
    "TlsEarlyDataFacts",
    "TlsFacts",
    "TlsLegacyFacts",
    "TlsStoresFacts",
    "TlsVulnerabilityFacts",
    "decode",
    "digest",
    "encode",
]
