"""mail.parked: a domain without mail says so in three records (RFC 7505, RFC 7208 section 10.1.2, RFC 9989)."""

from __future__ import annotations

from posture.checks.email.policy import Applied, applied
from posture.checks.email.role import mail_role, outside
from posture.checks.rule import Case, rule
from posture.facts.dns import DmarcFacts, MxFacts, SpfFacts
from posture.facts.parse_spf import SpfError, parse_spf
from posture.model import Verdict


@rule("mail.parked", needs=(MxFacts, SpfFacts, DmarcFacts))
def parked(case: Case) -> Verdict:
    """SPF, DMARC and null MX together; what is wrong counts even when another part was not seen."""
    role = mail_role(case)
    if not role.parked:
        return outside("NOT_PARKED", role, case)
    domain = case.asset.name
    spf, dmarc, mx = case.get(SpfFacts), case.get(DmarcFacts), case.get(MxFacts)
    publish: list[str] = []
    if isinstance(spf, SpfFacts) and not _closes_spf(spf):
        publish.append(f'{domain} TXT "v=spf1 -all"')
    if isinstance(dmarc, DmarcFacts) and not _rejects(applied(dmarc)):
        publish.append(f'_dmarc.{domain} TXT "v=DMARC1; p=reject"')
    null_mx = f"{domain} MX 0 ."
    if publish:
        if isinstance(mx, MxFacts) and not mx.null:
            publish.append(null_mx)
        return Verdict("PARKED_UNPROTECTED", {"domain": domain, "publish": publish, **role.args})
    for facts in (SpfFacts, DmarcFacts):
        case.need(facts)  # what was not seen may yet be wrong
    if not case.need(MxFacts).null:
        return Verdict("PARKED_WITHOUT_NULL_MX", {"domain": domain, "publish": [null_mx], **role.args})
    return Verdict("PARKED_LOCKED", {"domain": domain, **role.args})


def _closes_spf(facts: SpfFacts) -> bool:
    """Exactly ``v=spf1 -all``: nobody is authorised."""
    try:
        record = parse_spf(facts.records[0]) if len(facts.records) == 1 else None
    except SpfError:
        return False
    return record is not None and [(one.qualifier, one.name) for one in record.evaluated] == [("-", "all")]


def _rejects(found: Applied | None) -> bool:
    """The domain, its sub-domains and names that do not exist: all reject, and not only as a test."""
    if found is None or found.policy != "reject":
        return False
    record = found.record
    return record.subdomain_policy == record.nonexistent_policy == "reject"
