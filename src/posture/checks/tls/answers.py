"""What several rules ask of a VersionAnswer."""

from __future__ import annotations

from posture.checks.rule import Case, Missing
from posture.facts.tls import VersionAnswer
from posture.model import Reason


def on_mail_exchanger(case: Case) -> bool:
    """Whether the case is a mail exchanger's port 25, where encryption is opportunistic (RFC 7435)."""
    return case.subject.startswith("mx:") or case.subject.endswith(":25/tcp")


def unclear(case: Case, answer: VersionAnswer | None) -> Missing:
    """For ``raise unclear(...)``: the answer decides nothing; its reason when it names one."""
    if answer is None:
        return case.unknown(Reason.NOT_RECORDED)
    try:
        return case.unknown(Reason(answer.why), answer.version)
    except ValueError:
        return case.unknown(Reason.REFUSED_BY_TARGET, f"{answer.version}: {answer.why}")
