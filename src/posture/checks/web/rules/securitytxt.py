"""Whether somebody who finds a flaw is told whom to write to (RFC 9116)."""

from __future__ import annotations

from datetime import datetime, timedelta

from posture.checks.rule import Case, rule
from posture.facts import SecurityTxtFacts
from posture.facts.parse_http import declined, lost
from posture.facts.parse_securitytxt import SecurityTxt, parse
from posture.model import Verdict

FORMER_PLACE = "/security.txt"
_GONE = frozenset({404, 410})


@rule("web.securitytxt", needs=(SecurityTxtFacts,))
def securitytxt(case: Case) -> Verdict:
    """A page that the site gives for every address is no security.txt: it must be text/plain and name a contact."""
    facts = case.need(SecurityTxtFacts)
    _require_answer(case, facts)
    if not facts.path:
        return Verdict("SECURITYTXT_ABSENT")
    if not facts.content_type.startswith("text/plain"):
        if facts.body and parse(facts.body).contacts:
            return Verdict("SECURITYTXT_NOT_TEXT", {"url": facts.url, "content_type": facts.content_type or "nothing"})
        return Verdict("SECURITYTXT_ABSENT")
    said = parse(facts.body)
    if not said.contacts:
        return Verdict("SECURITYTXT_NO_CONTACT", {"url": facts.url})
    if said.expires is None:
        return Verdict("SECURITYTXT_NO_EXPIRES", {"url": facts.url})
    return _dated(case, facts, said, said.expires)


def _require_answer(case: Case, facts: SecurityTxtFacts) -> None:
    """Raises Missing unless the place was found, or is clearly empty."""
    if reason := lost(facts.ended, facts.why):
        raise case.unknown(reason, facts.ended, facts.code or None)
    if facts.status not in _GONE and (reason := declined(facts.status)):
        raise case.unknown(reason, f"status {facts.status}")


def _dated(case: Case, facts: SecurityTxtFacts, said: SecurityTxt, expires: datetime) -> Verdict:
    soon = expires - timedelta(days=case.policy.number("web.securitytxt.expires_warn_below_days", case.at))
    far = expires - timedelta(days=case.policy.number("web.securitytxt.expires_warn_above_days", case.at))
    boundary = next((moment for moment in sorted((far, soon, expires)) if moment > case.at), None)
    if expires <= case.at:
        tag = "SECURITYTXT_EXPIRED"
    elif case.at >= soon:
        tag = "SECURITYTXT_EXPIRES_SOON"
    elif facts.path == FORMER_PLACE:
        tag = "SECURITYTXT_FORMER_PLACE"
    elif case.at < far:
        tag = "SECURITYTXT_EXPIRES_FAR"
    else:
        tag = "SECURITYTXT_VALID" if said.canonical else "SECURITYTXT_NO_CANONICAL"
    return Verdict(tag, {"url": facts.url, "expires": f"{expires:%Y-%m-%d}"}, good_until=boundary)
