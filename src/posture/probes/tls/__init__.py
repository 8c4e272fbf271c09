"""TLS by ClientHellos of our own: what a server accepts, refuses, or leaves unclear, in few connections."""

from __future__ import annotations

from posture.facts import TlsFacts, TlsLegacyFacts
from posture.model import ProbeClass
from posture.probes.base import Probe
from posture.probes.tls.legacy import observe_legacy
from posture.probes.tls.prober import observe_tls

PROBES: tuple[Probe, ...] = (
    Probe("tls", TlsFacts, ProbeClass.CLIENT, observe_tls),
    Probe("tls_legacy", TlsLegacyFacts, ProbeClass.ACTIVE, observe_legacy),
)
