"""From the sweep of an address to findings: one per port that is bad or unclear, else one for the address.

Reachability has three values. ``filtered`` counts as not reachable, with confidence "probable", only when the host
answered on another port of the same sweep; otherwise nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from posture.checks.rule import Case
from posture.facts import PortsFacts
from posture.facts.service import FILTERED, OPEN, UNASKED, PortAnswer
from posture.model import Confidence, Reason, Unobserved, Verdict, endpoint
from posture.scope import PORT

Said = Verdict | Unobserved
Findings = list[tuple[str, Said]]

# With fewer ports asked, a share of open ones says nothing: a plain web server has two of two open.
FEWEST_FOR_A_SHARE = 10

WEB_PORTS = frozenset({80, 443, 8080, 8443})
MAIL_PORTS = frozenset({25, 110, 143, 465, 587, 993, 995})
DNS_PORTS = frozenset({53})
_USUAL = (
    ("web", WEB_PORTS, frozenset({"", "http", "https", "tls", "rd_gateway"})),
    ("mail", MAIL_PORTS, frozenset({"", "smtp", "pop3", "imap", "tls"})),
    ("dns", DNS_PORTS, frozenset({""})),
)


def port_class(answer: PortAnswer) -> str:
    """web, mail, dns or other; a service that does not belong on such a port makes it other."""
    fitting = (name for name, ports, services in _USUAL if answer.port in ports and answer.service in services)
    return next(fitting, "other")


def sweep(case: Case) -> PortsFacts:
    """The sweep of the case's address.

    Raises:
        Missing: there is none, or so many ports are "open" that a firewall answers for the host.
    """
    facts = case.need(PortsFacts)
    states = [answer.state for answer in facts.ports]
    probed, opened = len(states) - states.count(UNASKED), states.count(OPEN)
    limit = case.policy.number("svc.open_share_unbelievable", case.at)
    if probed >= FEWEST_FOR_A_SHARE and 100 * opened > limit * probed:
        raise case.unknown(Reason.BLOCKED, f"{opened} of {probed} ports seem open")
    return facts


def exposures(
    case: Case,
    facts: PortsFacts,
    *,
    ports: Collection[int],
    services: Collection[str],
    assess: Callable[[PortAnswer], Said | None],
    clean: str,
) -> Findings:
    """The findings of a control about some services.

    Args:
        ports: where these services usually listen; an open one that nobody recognised is unknown.
        services: what the control is about, on any port.
        assess: an open port with such a service; None when it is as it should be.
        clean: the tag when nothing is bad or unclear.

    Raises:
        Missing: nothing bad was found, but a usual port was not seen.
    """
    found: Findings = []
    for answer in facts.ports:
        said: Said | None = None
        if answer.state == OPEN and answer.service in services:
            said = assess(answer)
        elif answer.state == OPEN and answer.service == "" and answer.port in ports:
            said = unclear(case, answer)
        if said:
            found.append((endpoint(facts.address, answer.port), said))
    if found:
        return found
    return [(facts.address, Verdict(clean, {"address": facts.address}, _seen(case, facts, ports)))]


def shown(tag: str, answer: PortAnswer, confidence: Confidence = Confidence.CONFIRMED) -> Verdict:
    """A verdict about one open port."""
    return Verdict(tag, {"port": answer.port, "service": answer.service, "heard": answer.heard}, confidence)


def unclear(case: Case, answer: PortAnswer) -> Unobserved:
    """An open port whose protocol, or whose way with strangers, was not established."""
    return Unobserved(Reason(answer.why or Reason.MALFORMED), case.at, f"port {answer.port}")


def _seen(case: Case, facts: PortsFacts, ports: Collection[int]) -> Confidence:
    """How sure it is that nothing is reachable on ``ports``."""
    known = {answer.port: answer for answer in facts.ports}
    if ungranted := [port for port in sorted(ports) if port not in known]:
        which = ", ".join(map(str, ungranted))
        mend = "If the owner agrees, add them to ports."
        raise case.unknown(Reason.NOT_GRANTED, f"ports {which} are not in the authorisation. {mend}", PORT)
    return reachability(case, facts, [known[port] for port in sorted(ports)])


def reachability(case: Case, facts: PortsFacts, answers: Collection[PortAnswer]) -> Confidence:
    """Confirmed when every port gave an answer, probable when silence of a living host stands for some.

    Raises:
        Missing: a port was not asked, or all is silence.
    """
    for answer in answers:
        if answer.state == UNASKED:
            raise case.unknown(Reason(answer.why or Reason.DEADLINE), f"port {answer.port} was not asked")
    silent = any(answer.state == FILTERED for answer in answers)
    if silent and not facts.alive:
        raise case.unknown(Reason.TIMEOUT, f"{facts.address} answers on no port")
    return Confidence.PROBABLE if silent else Confidence.CONFIRMED
