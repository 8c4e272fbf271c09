"""What is open, against what was declared."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.checks.services.rules.exposure import Findings, port_class, reachability, shown, sweep
from posture.facts import PortsFacts
from posture.facts.service import OPEN
from posture.model import Verdict, endpoint


@rule("svc.baseline", needs=(PortsFacts,))
def baseline(case: Case) -> Findings:
    """Judged on the ports that were asked: a port that no authorisation names is nobody's promise."""
    facts = sweep(case)
    declared = {number for number, protocol in case.asset.ports if protocol == "tcp"}
    others = [answer for answer in facts.ports if answer.port not in declared]
    found: Findings = []
    for answer in others:
        if answer.state == OPEN:
            kind = port_class(answer)
            verdict = shown("UNDECLARED_PORT_OPEN" if kind == "other" else "UNDECLARED_COMMON_PORT_OPEN", answer)
            args = {**verdict.args, "class_name": kind}
            found.append((endpoint(facts.address, answer.port), Verdict(verdict.tag, args)))
    if found:
        return found
    args = {"address": facts.address, "asked": len(facts.ports)}
    return [(facts.address, Verdict("ONLY_DECLARED_PORTS_OPEN", args, reachability(case, facts, others)))]
