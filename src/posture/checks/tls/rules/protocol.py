"""Protocol versions: tls.protocol.ssl, tls.protocol.legacy, tls.protocol.tls13."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.checks.tls.answers import on_mail_exchanger, unclear
from posture.facts import SmtpFacts, TlsFacts, TlsLegacyFacts
from posture.facts.tls import ACCEPTED, NOT_ASKED, REFUSED
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


@rule("tls.protocol.tls13", needs=(TlsFacts, SmtpFacts))
def tls13(case: Case) -> Verdict:
    """RFC 9325 section 3.1, RFC 9851: TLS 1.2 gets no new features.

    An exchanger is not asked again what its visit told: our side of that handshake offered TLS 1.3.
    """
    facts = case.need(TlsFacts)
    known = facts.version("TLS 1.3")
    visited = _visited(case) if known is None or known.answer == NOT_ASKED else ""
    if "TLS 1.3" in facts.accepted or visited == "TLS 1.3":
        return Verdict("TLS13_OFFERED")
    if not visited:
        _all_refused(case, facts, ("TLS 1.3",))
    if "TLS 1.2" in facts.accepted:
        return Verdict("TLS12_ONLY")
    _all_refused(case, facts, ("TLS 1.2",))
    return Verdict("NO_CURRENT_PROTOCOL", {"protocols": list(facts.accepted)}, severity=Severity.HIGH)


def _visited(case: Case) -> str:
    """The newest version on which a mail server's visit and this exchanger agreed; "" when there was none."""
    visit = case.get(SmtpFacts)
    if not isinstance(visit, SmtpFacts):
        return ""
    return max((one.version for one in visit.answers if one.tls == ACCEPTED), default="")


def _accepted(facts: TlsFacts | TlsLegacyFacts, versions: tuple[str, ...]) -> list[str]:
    return [answer.version for answer in facts.versions if answer.version in versions and answer.answer == ACCEPTED]


def _all_refused(case: Case, facts: TlsFacts | TlsLegacyFacts, versions: tuple[str, ...]) -> None:
    """Raises Missing unless each of the versions was clearly refused."""
    for version in versions:
        answer = facts.version(version)
        if answer is None or answer.answer != REFUSED:
            raise unclear(case, answer)


PROTOCOL_RULES = (ssl, legacy, tls13)
