"""Every probe, in one visible tuple; the order is that of the house, from names to services."""

from __future__ import annotations

from posture.probes import (
    caa,
    crl,
    delegation,
    dmarc,
    dnssec,
    http,
    key_use,
    mx,
    nameserver,
    ports,
    securitytxt,
    smtp,
    spf,
    tls,
)
from posture.probes.base import Probe

PROBES: tuple[Probe, ...] = (
    *delegation.PROBES,
    *nameserver.PROBES,
    *dnssec.PROBES,
    *caa.PROBES,
    *mx.PROBES,
    *spf.PROBES,
    *dmarc.PROBES,
    *smtp.PROBES,
    *tls.PROBES,
    crl.PROBE,
    key_use.PROBE,
    http.PROBE,
    securitytxt.PROBE,
    ports.PROBE,
)
