"""TLS by ClientHellos of our own: what a server accepts, refuses, or leaves unclear, in few connections.

In deep scans sslyze is asked, too, for what takes a whole TLS client, or one that lies.
"""

from __future__ import annotations

from posture.facts import TlsEarlyDataFacts, TlsFacts, TlsLegacyFacts, TlsStoresFacts, TlsVulnerabilityFacts
from posture.model import ProbeClass
from posture.net.sslyze import SSLYZE_SECONDS
from posture.probes.base import Probe
from posture.probes.tls.deep import observe_early_data, observe_stores, observe_vulnerability
from posture.probes.tls.legacy import observe_legacy
from posture.probes.tls.prober import observe_tls

PROBES: tuple[Probe, ...] = (
    Probe("tls", TlsFacts, ProbeClass.CLIENT, observe_tls),
    Probe("tls_legacy", TlsLegacyFacts, ProbeClass.ACTIVE, observe_legacy),
    Probe("tls_stores", TlsStoresFacts, ProbeClass.CLIENT, observe_stores, deadline=SSLYZE_SECONDS + 10, deep=True),
    Probe(
        "tls_early_data",
        TlsEarlyDataFacts,
        ProbeClass.CLIENT,
        observe_early_data,
        deadline=SSLYZE_SECONDS + 10,
        deep=True,
    ),
    Probe(
        "tls_vulnerability",
        TlsVulnerabilityFacts,
        ProbeClass.INTRUSIVE,
        observe_vulnerability,
        deadline=3 * SSLYZE_SECONDS + 10,
        deep=True,
    ),
)
