"""Doors for administrators that stand open to the internet (CISA BOD 23-02)."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.checks.services.rules.exposure import Findings, exposures, shown, sweep
from posture.facts import PortsFacts
from posture.facts.service import PortAnswer
from posture.model import Confidence, Verdict

TELNET_PORTS = (23, 2323)
RDP_PORTS = (3389,)


@rule("svc.mgmt.telnet", needs=(PortsFacts,))
def telnet(case: Case) -> Findings:
    """Telnet is what negotiates options as RFC 854 says, on any port; a text banner on 23 is not."""

    def assess(answer: PortAnswer) -> Verdict:
        return shown("TELNET_REACHABLE", answer)

    facts = sweep(case)
    return exposures(case, facts, ports=TELNET_PORTS, services=("telnet",), assess=assess, clean="TELNET_NOT_REACHABLE")


@rule("svc.mgmt.rdp", needs=(PortsFacts,))
def rdp(case: Case) -> Findings:
    """Network level authentication keeps the log-in screen from strangers; a gateway is the better of bad ways."""

    def assess(answer: PortAnswer) -> Verdict:
        if answer.service == "rd_gateway":
            return shown("RD_GATEWAY_REACHABLE", answer, Confidence.PROBABLE)
        return shown("RDP_REACHABLE" if answer.access == "nla" else "RDP_WITHOUT_NLA", answer)

    facts = sweep(case)
    return exposures(
        case, facts, ports=RDP_PORTS, services=("rdp", "rd_gateway"), assess=assess, clean="RDP_NOT_REACHABLE"
    )
