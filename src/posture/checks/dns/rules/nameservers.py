"""dns.ns.*: the servers that answer for a zone (RFC 1912, RFC 2182, RFC 5936)."""

from __future__ import annotations

import ipaddress
from typing import Any

from posture.checks.rule import Case, rule
from posture.facts.dns import CNAME, NODATA, NXDOMAIN, AxfrFacts, DelegationFacts, NameserverFacts, ServerAnswer
from posture.model import Absent, Confidence, Reason, Unobserved, Verdict

AUTHORITATIVE = "authoritative"
UNRESOLVABLE = (NXDOMAIN, NODATA, CNAME)
# Positive evidence that the server does not serve the zone; over TCP a single SERVFAIL may pass.
LAME_OVER_UDP = ("refused", "not_authoritative", "servfail", "closed")
LAME_OVER_TCP = ("refused", "not_authoritative", "closed")
# Words of the facts that say we could not see, and the reason they stand for.
UNSEEN = {
    "timeout": Reason.TIMEOUT,
    "reset": Reason.RESET,
    "malformed": Reason.MALFORMED,
    "servfail": Reason.TEMPORARY,
    "vantage_limited": Reason.VANTAGE_LIMITED,
    "out_of_scope": Reason.OUT_OF_SCOPE,
    "not_granted": Reason.NOT_GRANTED,
    "blackout": Reason.BLACKOUT,
}


@rule("dns.ns.count", needs=(DelegationFacts, NameserverFacts), version=2)
def count(case: Case) -> Verdict:
    """As many names, and IPv4 addresses that answer, as asked for; dead servers do not count, silent ones leave it open."""
    delegation = case.need(DelegationFacts)
    names = [server.name for server in delegation.servers]
    minimum = case.policy.number("dns.ns.minimum", case.at)
    args: dict[str, Any] = {"domain": case.asset.name, "servers": names, "number": len(names), "minimum": minimum}
    if len(names) < minimum:
        return Verdict("NAMESERVERS_TOO_FEW", args)
    seen = {name: case.get(NameserverFacts, f"ns:{name}") for name in names}
    answering = [name for name, facts in seen.items() if _answering(facts)]
    silent = [name for name, facts in seen.items() if not _answering(facts) and not _is_dead(facts)]
    args |= {"answering": answering, "dead": [name for name in names if name not in answering + silent]}
    if len(answering) + len(silent) < minimum:
        return Verdict("NAMESERVERS_DEAD", {**args, "number": len(answering) + len(silent)})
    addresses = sorted({address for name in answering for address in _answering(seen[name])})
    v4 = [address for address in addresses if ipaddress.ip_address(address).version == 4]
    if silent and (len(answering) < minimum or len(v4) < minimum):
        first = seen[silent[0]]
        code = first.code if isinstance(first, Unobserved) else None
        raise case.unknown(_why(first), f"{silent[0]} did not answer", code)
    if len(v4) < minimum:
        return Verdict("NAMESERVERS_ON_ONE_ADDRESS", {**args, "number": len(v4), "addresses": addresses})
    many = case.policy.number("dns.ns.many", case.at)
    if len(names) > many:
        return Verdict("NAMESERVERS_MANY", {**args, "limit": many})
    return Verdict("NAMESERVERS_ENOUGH", {**args, "number": len(answering)})


@rule("dns.ns.lame", needs=(NameserverFacts,))
def lame(case: Case) -> Verdict:
    """This server answers for the zone with AA over UDP and TCP at all its addresses."""
    facts = case.need(NameserverFacts)
    args: dict[str, Any] = {"server": facts.name, "domain": case.asset.name}
    if facts.status in UNRESOLVABLE:
        return Verdict("SERVER_UNRESOLVABLE", {**args, "status": facts.status})
    if bad := [one for one in facts.answers if one.udp in LAME_OVER_UDP or one.tcp in LAME_OVER_TCP]:
        said = sorted({word for one in bad for word in _lame_words(one)})
        return Verdict("SERVER_LAME", {**args, "addresses": [one.address for one in bad], "said": said})
    in_reach = [one for one in facts.answers if one.udp != "vantage_limited"]
    if not in_reach:
        reason = Reason.VANTAGE_LIMITED if facts.answers else Reason.TIMEOUT
        raise case.unknown(reason, f"{facts.name} could not be asked")
    for one in in_reach:
        if unseen := next((word for word in (one.udp, one.tcp) if word != AUTHORITATIVE), None):
            raise case.unknown(UNSEEN.get(unseen, Reason.MALFORMED), f"{one.address}: {unseen}")
    # An address of a family that this machine has no way to is a stated gap, not silence of the server.
    confidence = Confidence.CONFIRMED if len(in_reach) == len(facts.answers) else Confidence.PROBABLE
    if slow := [one.address for one in in_reach if one.tries > 1]:
        return Verdict("SERVER_SLOW_TO_ANSWER", {**args, "addresses": slow}, confidence)
    return Verdict("SERVER_AUTHORITATIVE", args, confidence)


@rule("dns.ns.axfr", needs=(AxfrFacts,))
def axfr(case: Case) -> Verdict:
    """No address of this server gives the zone to whoever asks (RFC 5936 section 5)."""
    facts = case.need(AxfrFacts)
    args: dict[str, Any] = {"server": facts.name, "domain": case.asset.name}
    if given := [one for one in facts.answers if one.answer == "transferred"]:
        records = max(one.records for one in given)
        return Verdict("TRANSFER_ALLOWED", {**args, "addresses": [one.address for one in given], "records": records})
    if half := [one.address for one in facts.answers if one.answer == "soa_only"]:
        return Verdict("TRANSFER_GIVES_SOA", {**args, "addresses": half})
    in_reach = [one for one in facts.answers if one.answer != "vantage_limited"]
    for one in in_reach:
        if one.answer in UNSEEN:
            raise case.unknown(UNSEEN[one.answer], one.address, one.code or None)
    if not in_reach:
        raise case.unknown(Reason.VANTAGE_LIMITED, f"{facts.name} could not be asked")
    confidence = Confidence.CONFIRMED if len(in_reach) == len(facts.answers) else Confidence.PROBABLE
    return Verdict("TRANSFER_REFUSED", args, confidence)


def _answering(facts: NameserverFacts | Absent | Unobserved) -> list[str]:
    """Addresses that answered authoritatively, over either transport."""
    if not isinstance(facts, NameserverFacts):
        return []
    return [one.address for one in facts.answers if AUTHORITATIVE in (one.udp, one.tcp)]


def _is_dead(facts: NameserverFacts | Absent | Unobserved) -> bool:
    """Whether every address positively does not serve the zone, or the name leads nowhere."""
    if not isinstance(facts, NameserverFacts):
        return isinstance(facts, Absent)
    if facts.status in UNRESOLVABLE:
        return True
    return bool(facts.answers) and all(one.udp in LAME_OVER_UDP for one in facts.answers)


def _lame_words(answer: ServerAnswer) -> set[str]:
    return ({answer.udp} & set(LAME_OVER_UDP)) | ({answer.tcp} & set(LAME_OVER_TCP))


def _why(facts: NameserverFacts | Absent | Unobserved) -> Reason:
    """Why a server counts as silent."""
    if isinstance(facts, Unobserved):
        return facts.reason
    if isinstance(facts, NameserverFacts):
        words = (word for one in facts.answers for word in (one.udp, one.tcp))
        return next((UNSEEN[word] for word in words if word in UNSEEN), Reason.TIMEOUT)
    return Reason.TIMEOUT
