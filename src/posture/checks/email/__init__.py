"""The email family: RULES in reading order."""

from __future__ import annotations

from posture.checks.email.rules import dmarc, exchangers, parked, spf
from posture.checks.rule import Rule

RULES: tuple[Rule, ...] = (
    spf.present,
    spf.valid,
    spf.lookups,
    spf.policy,
    dmarc.present,
    dmarc.valid,
    dmarc.policy,
    exchangers.starttls,
    exchangers.valid,
    parked.parked,
)
