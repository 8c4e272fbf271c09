"""What several rules ask of a VersionAnswer or a Trait."""

from __future__ import annotations

from posture.checks.rule import Case, Missing
from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.tls import ACCEPTED, NOT_ASKED, UNCLEAR, Trait, VersionAnswer
from posture.model import Reason


def on_mail_exchanger(case: Case) -> bool:
    """Whether the case is a mail exchanger's port 25, where encryption is opportunistic (RFC 7435)."""
    return case.subject.startswith("mx:") or case.subject.endswith(":25/tcp")


def asked_little(case: Case) -> bool:
    """Whether it is a server of SMTP, which counts connections: its suites are not listed, and much else is not asked."""
    return on_mail_exchanger(case) or case.subject.endswith((":465/tcp", ":587/tcp"))


def unclear(case: Case, answer: VersionAnswer | None) -> Missing:
    """For ``raise unclear(...)``: the answer decides nothing; its reason when it names one."""
    if answer is None:
        return case.unknown(Reason.NOT_RECORDED)
    if answer.answer == NOT_ASKED:
        return case.unknown(Reason.RATE_LIMITED, f"{answer.version}: not asked, out of politeness")
    try:
        return case.unknown(Reason(answer.why), answer.version)
    except ValueError:
        return case.unknown(Reason.REFUSED_BY_TARGET, f"{answer.version}: {answer.why}")


def not_listed(case: Case, answer: VersionAnswer) -> Missing:
    """For ``raise not_listed(...)``: the version is accepted, and not every suite that matters was asked for."""
    try:
        return case.unknown(Reason(answer.why), answer.version)
    except ValueError:
        return case.unknown(Reason.RATE_LIMITED, f"{answer.version}: not every suite was asked for")


def accepted_before_13(facts: TlsFacts) -> list[str]:
    """The accepted versions below TLS 1.3."""
    return [version for version in facts.accepted if version != "TLS 1.3"]


def not_spoken(case: Case, facts: TlsFacts) -> bool:
    """Whether TLS 1.3 is all there is. Raises Missing when an older version gave no clear answer, or nothing was accepted."""
    for answer in facts.versions:
        if answer.answer == UNCLEAR:
            raise unclear(case, answer)
    if not facts.accepted:
        raise case.unknown(Reason.REFUSED_BY_TARGET, "no version was accepted")
    return all(answer.answer != ACCEPTED for answer in facts.versions if answer.version != "TLS 1.3")


def trait(case: Case, facts: TlsFacts | TlsLegacyFacts, name: str) -> Trait:
    """A trait. Raises Missing when facts of their version did not record it."""
    found = facts.trait(name)
    if found is None:
        raise case.unknown(Reason.NOT_RECORDED, f"{name} was not recorded then")
    return found


def unclear_trait(case: Case, found: Trait) -> Missing:
    """For ``raise unclear_trait(...)``: the trait decides nothing; its reason when it names one."""
    try:
        return case.unknown(Reason(found.why), found.name)
    except ValueError:
        return case.unknown(Reason.REFUSED_BY_TARGET, f"{found.name}: {found.why}")
