"""The dns family: RULES in reading order."""

from __future__ import annotations

from posture.checks.dns.rules import caa, dnssec, nameservers
from posture.checks.rule import Rule

RULES: tuple[Rule, ...] = (
    dnssec.signed,
    caa.present,
    nameservers.count,
    nameservers.lame,
    nameservers.axfr,
)
