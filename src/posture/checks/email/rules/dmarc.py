"""mail.dmarc.*: what receivers do with forged mail (RFC 9989). They apply to every domain, parked ones too."""

from __future__ import annotations

from typing import Any

from posture.checks.email.policy import Applied, applied, valid_records
from posture.checks.rule import Case, rule
from posture.facts.dns import DmarcFacts
from posture.model import Verdict


@rule("mail.dmarc.present", needs=(DmarcFacts,))
def present(case: Case) -> Verdict:
    """One valid record by the tree walk (section 4.10); several at the domain's own name discard each other."""
    facts = case.need(DmarcFacts)
    args = {"domain": case.asset.name}
    own = valid_records(facts.steps[0])
    if len(own) > 1:
        return Verdict("DMARC_SEVERAL_RECORDS", {**args, "records": list(own)})
    found = applied(facts)
    if found is None:
        return Verdict("DMARC_MISSING", args)
    args |= {"found_at": found.domain, "record": found.record.text}
    return Verdict("DMARC_AT_SUFFIX_ONLY" if found.suffix else "DMARC_FOUND", args)


@rule("mail.dmarc.valid", needs=(DmarcFacts,))
def valid(case: Case) -> Verdict:
    """Whether receivers can use the record as its author meant it (sections 4.7 and 4.8)."""
    facts = case.need(DmarcFacts)
    args: dict[str, Any] = {"domain": case.asset.name}
    own = facts.steps[0]
    if own.records and not valid_records(own):
        return Verdict("DMARC_VERSION_WRONG", {**args, "record": own.records[0]})
    found = applied(facts)
    if found is None:
        return Verdict("NO_DMARC_TO_JUDGE", args)
    record = found.record
    args |= {"found_at": found.domain, "record": record.text}
    if not record.usable:
        return Verdict("DMARC_POLICY_INVALID", {**args, "tags": list(record.invalid) or ["p"]})
    if record.invalid:
        return Verdict("DMARC_POLICY_READ_AS_NONE", {**args, "tags": list(record.invalid)})
    if record.p is None:
        return Verdict("DMARC_POLICY_MISSING", args)
    if record.ignored:
        return Verdict("DMARC_UNKNOWN_TAGS", {**args, "tags": list(record.ignored)})
    return Verdict("DMARC_SIZE_SUFFIX" if record.sized else "DMARC_VALID", args)


@rule("mail.dmarc.policy", needs=(DmarcFacts,))
def policy(case: Case) -> Verdict:
    """The policy in force for the domain: p, or sp of a record above it, one step lower with t=y (section 4.7)."""
    found = applied(case.need(DmarcFacts))
    if found is None:
        return Verdict("NO_DMARC_TO_JUDGE", {"domain": case.asset.name})
    record = found.record
    args = {
        "domain": case.asset.name,
        "found_at": found.domain,
        "asked": found.asked,
        "policy": found.policy,
        "removed_tags": list(record.removed),
        "percentage": record.percentage,
    }
    return Verdict(_policy_tag(found), args)


def _policy_tag(found: Applied) -> str:
    record = found.record
    if found.policy == "none":
        return "DMARC_TESTING_ACTS_AS_NONE" if record.testing and found.asked == "quarantine" else "DMARC_NOT_ENFORCED"
    if found.policy == "quarantine":
        return "DMARC_TESTING_ACTS_AS_QUARANTINE" if record.testing else "DMARC_QUARANTINE"
    # RFC 9989 ignores pct; receivers that still follow RFC 7489 reject only that share of forgeries.
    return "DMARC_REJECT_IN_PART" if record.percentage is not None and record.percentage < 100 else "DMARC_REJECT"
