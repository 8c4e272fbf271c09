"""dns.dnssec.signed: the zone is signed and its parent vouches for it (RFC 9364)."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.facts.dns import DnssecFacts
from posture.model import Verdict


@rule("dns.dnssec.signed", needs=(DnssecFacts,))
def signed(case: Case) -> Verdict:
    """DS at the parent and DNSKEY at the zone; under an unsigned parent no zone can have both."""
    facts = case.need(DnssecFacts)
    args = {"zone": facts.zone or case.asset.name, "parent": facts.parent}
    if facts.keys and facts.ds:
        return Verdict("SIGNED", {**args, "key_tags": sorted({tag for tag, _, _ in facts.ds})})
    if facts.ds:
        return Verdict("DS_WITHOUT_KEYS", args)
    if not facts.parent_signed:
        return Verdict("PARENT_UNSIGNED", args)
    if not facts.keys:
        return Verdict("UNSIGNED", args)
    return Verdict("DS_AWAITED" if facts.cds else "DS_MISSING", args)
