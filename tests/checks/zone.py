"""Judging recorded answers about one zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from posture.checks import Declared
from posture.facts import Facts
from posture.judge import Docket, judge, sentence
from posture.model import Absent, AbsentCause, Answer, Finding, Observed, Reason, Unobserved
from posture.policy import Policy, load_policy

AT = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
ZONE = "finance.gov.example"
SILENT = Unobserved(Reason.TIMEOUT, AT)
GONE = Absent(AbsentCause.NXDOMAIN, AT)

Answers = Mapping[tuple[str, str], Facts | Answer]
Mail = tuple[str, ...] | None


def asset_level(*facts: Facts) -> dict[tuple[str, str], Facts | Answer]:
    """Facts about the zone itself, keyed as the judge wants them."""
    return {(one.TYPE, ""): one for one in facts}


def findings(
    control: str, answers: Answers, mail: Mail = None, *, lab: bool = False, policy: Policy | None = None
) -> tuple[Finding, ...]:
    recorded = {key: Observed(seen, AT) if isinstance(seen, Facts) else seen for key, seen in answers.items()}
    docket = Docket("finance", Declared(ZONE, "zone", mail=mail), recorded)
    judged = judge(docket, policy or load_policy(), AT, controls=[control], lab=lab)
    for finding in judged:
        sentence(finding)  # every tag has all arguments that its text names
    return judged


def said(control: str, answers: Answers, mail: Mail = None, *, lab: bool = False) -> str | Reason | None:
    """The tag or reason of the one finding."""
    (finding,) = findings(control, answers, mail, lab=lab)
    return finding.reason or finding.tag
