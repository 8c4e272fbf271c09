"""Protocol versions: tls.protocol.ssl, tls.protocol.legacy, tls.protocol.tls13."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.checks.tls.answers import on_mail_exchanger, unclear
from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.tls import ACCEPTED, REFUSED
from posture.model import Severity, Verdict

_SSL = ("SSL 2.0", "SSL 3.0")
_LEGACY = ("TLS 1.0", "TLS 1.1")


@rule("tls.protocol.ssl", needs=(TlsLegacyFacts,))
def ssl(case: Case) -> Verdict:
    """RFC 6176 and RFC 7568. SSL 2.0 breaks every session under the same key (DROWN), hence critical."""
    facts = case.need(TlsLegacyFacts)
    accepted = _accepted(facts, _SSL)
    if "SSL 2.0" in accepted:
        return Verdict("SSL2_ACCEPTED", {"protocols": accepted}, severity=Severity.CRITICAL)
    if accepted:
        return Verdict("SSL3_ACCEPTED", {"protocols": accepted})
    _all_refused(case, facts, _SSL)
    return Verdict("SSL_REFUSED")


@rule("tls.protocol.legacy", needs=(TlsFacts,))
def legacy(case: Case) -> Verdict:
    """RFC 8996; on a mail exchanger encryption is opportunistic, and old encryption beats none."""
    facts = case.need(TlsFacts)
    accepted = _accepted(facts, _LEGACY)
    if accepted:
        tag = "LEGACY_PROTOCOL_ON_MX" if on_mail_exchanger(case) else "LEGACY_PROTOCOL_ACCEPTED"
        return Verdict(tag, {"protocols": accepted})
    _all_refused(case, facts, _LEGACY)
    return Verdict("LEGACY_PROTOCOL_REFUSED")


@rule("tls.protocol.tls13", needs=(TlsFacts,), version=2)
def tls13(case: Case) -> Verdict:
    """RFC 9325 section 3.1, RFC 9851: TLS 1.2 gets no new features."""
    facts = case.need(TlsFacts)
    if "TLS 1.3" in facts.accepted:
        older = facts.version("TLS 1.2")
        if older is not None and older.answer == ACCEPTED:
            return Verdict("TLS13_AND_TLS12")
        if older is not None and older.answer == REFUSED:
            return Verdict("TLS13_ONLY")
        if case.policy.verdicts.get("tls.protocol.tls13"):  # then it is not all one which of the two it is
            raise unclear(case, older)
        return Verdict("TLS13_OFFERED")
    _all_refused(case, facts, ("TLS 1.3",))
    if "TLS 1.2" in facts.accepted:
        return Verdict("TLS12_ONLY")
    _all_refused(case, facts, ("TLS 1.2",))
    return Verdict("NO_CURRENT_PROTOCOL", {"protocols": list(facts.accepted)}, severity=Severity.HIGH)


def _accepted(facts: TlsFacts | TlsLegacyFacts, versions: tuple[str, ...]) -> list[str]:
    return [answer.version for answer in facts.versions if answer.version in versions and answer.answer == ACCEPTED]


def _all_refused(case: Case, facts: TlsFacts | TlsLegacyFacts, versions: tuple[str, ...]) -> None:
    """Raises Missing unless each of the versions was clearly refused."""
    for version in versions:
        answer = facts.version(version)
        if answer is None or answer.answer != REFUSED:
            raise unclear(case, answer)


PROTOCOL_RULES = (ssl, legacy, tls13)
