"""dns.caa.present: which certificate authorities may issue (RFC 8659)."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.facts.dns import CaaFacts, CaaRecord
from posture.facts.parse_caa import CRITICAL, KNOWN_TAGS, CaaError, parse_issuer
from posture.model import Verdict

ISSUING = ("issue", "issuewild")


@rule("dns.caa.present", needs=(CaaFacts,))
def present(case: Case) -> Verdict:
    """An issue or issuewild property in the closest set on the way up, and all of it understood."""
    facts = case.need(CaaFacts)
    args = {"domain": case.asset.name, "found_at": facts.found_at}
    if not facts.records:
        return Verdict("CAA_MISSING", args)
    if critical := [one.tag for one in facts.records if one.flags & CRITICAL and one.tag not in KNOWN_TAGS]:
        return Verdict("CAA_UNKNOWN_CRITICAL", {**args, "tags": critical})
    issuing = [one for one in facts.records if one.tag in ISSUING]
    if malformed := [f'{one.tag} "{one.value}"' for one in issuing if not _is_issuer(one)]:
        return Verdict("CAA_MALFORMED", {**args, "properties": malformed})
    if not issuing:
        return Verdict("CAA_WITHOUT_ISSUER", {**args, "tags": sorted({one.tag for one in facts.records})})
    issuers = sorted({parse_issuer(one.value).domain or "nobody" for one in issuing})
    return Verdict("CAA_RESTRICTS", {**args, "issuers": issuers})


def _is_issuer(record: CaaRecord) -> bool:
    try:
        parse_issuer(record.value)
    except CaaError:
        return False
    return True
