"""Whether a visitor gets, and stays on, a protected connection."""

from __future__ import annotations

from enum import StrEnum

from posture.checks.rule import Case, Missing, Rule, rule
from posture.facts import HttpFacts, TlsFacts
from posture.facts.http import Hop
from posture.facts.parse_http import PERMANENT, declined, host_of, hsts_max_age, lost, redirect_target, split_url
from posture.facts.tls import UNCLEAR
from posture.model import Absent, AbsentCause, Reason, Unobserved, Verdict, endpoint, parse_endpoint

NO_FINDING: list[tuple[str, Verdict]] = []


class _Https(StrEnum):
    """What one address made of HTTPS on port 443."""

    DONE = "done"
    CLOSED = "closed"
    DECLINED = "declined"  # connected, and no handshake


@rule("tls.https.available", needs=(TlsFacts, HttpFacts))
def available(case: Case) -> Verdict | list[tuple[str, Verdict]]:
    """Port 443 of every address of the name; other TLS ports are the business of other controls."""
    addresses = _addresses(case)
    if not addresses:
        return _nothing_asked(case)
    states = {address: _https(case, address) for address in addresses}
    done = [address for address, state in states.items() if state is _Https.DONE]
    unseen = [state for state in states.values() if isinstance(state, Unobserved)]
    without = [address for address, state in states.items() if state in (_Https.CLOSED, _Https.DECLINED)]
    if done and without:
        return Verdict("HTTPS_ON_SOME_ADDRESSES", {"addresses": done, "without": without})
    if unseen:
        raise Missing(unseen[0])
    if done:
        return Verdict("HTTPS_ON_EVERY_ADDRESS", {"addresses": done})
    return _without_https(case, without, closed=_Https.DECLINED not in states.values())


def _addresses(case: Case) -> list[str]:
    """Addresses of which port 443 was asked, by either probe."""
    subjects = {*case.every(TlsFacts), *case.every(HttpFacts)}
    return sorted(parse_endpoint(subject)[0] for subject in subjects if subject.endswith(":443/tcp"))


def _nothing_asked(case: Case) -> list[tuple[str, Verdict]]:
    """Raises Missing with what was settled for the whole asset; a zone of which only the mail was asked has no site."""
    for facts in (HttpFacts, TlsFacts):
        settled = case.every(facts).get("")
        if isinstance(settled, (Absent, Unobserved)):
            raise Missing(settled)
    return NO_FINDING


def _https(case: Case, address: str) -> _Https | Unobserved:
    """A handshake seen by either probe is a handshake; else what the TLS probe met, else the HTTP one."""
    subject = endpoint(address, 443)
    hello, page = case.get(TlsFacts, subject), case.get(HttpFacts, subject)
    if isinstance(page, HttpFacts) or (isinstance(hello, TlsFacts) and hello.accepted and not hello.chain_why):
        return _Https.DONE
    if isinstance(hello, TlsFacts) and hello.accepted:  # begun, and never seen to end
        return Unobserved(Reason(hello.chain_why), case.at)
    if isinstance(hello, TlsFacts):
        if any(version.answer == UNCLEAR for version in hello.versions):
            return Unobserved(_first_reason(hello), case.at)
        return _Https.DECLINED
    met = page if isinstance(hello, Unobserved) and hello.reason is Reason.NOT_RUN else hello
    return _Https.CLOSED if isinstance(met, Absent) else met


def _first_reason(hello: TlsFacts) -> Reason:
    words = [version.why for version in hello.versions if version.answer == UNCLEAR]
    return next((Reason(word) for word in words if word in set(Reason)), Reason.MALFORMED)


def _without_https(case: Case, addresses: list[str], *, closed: bool) -> Verdict:
    """No address does HTTPS: bad when port 80 serves a site, nothing to judge when there is no site."""
    pages = [case.get(HttpFacts, endpoint(address, 80)) for address in addresses]
    served = [page for page in pages if isinstance(page, HttpFacts)]
    if served:
        if closed and all(_leads_away(case, page) for page in served):
            return Verdict("REDIRECT_ONLY_NAME", {"target": redirect_target(served[0].first) or ""})
        return Verdict("HTTPS_NOT_OFFERED", {"without": addresses})
    for page in pages:
        if isinstance(page, Unobserved):
            raise Missing(page)
    if not closed:
        raise case.unknown(Reason.REFUSED_BY_TARGET, "port 443 declines every handshake")
    raise Missing(Absent(AbsentCause.CLOSED, case.at, "neither port 80 nor port 443 is open"))


def _leads_away(case: Case, page: HttpFacts) -> bool:
    target = redirect_target(page.first)
    return target is not None and host_of(target) != _own_host(case)


def _own_host(case: Case) -> str:
    return case.asset.name.lower().rstrip(".")


@rule("tls.https.redirect", needs=(HttpFacts,))
def redirect(case: Case) -> Verdict | list[tuple[str, Verdict]]:
    """The first hop of port 80 decides; then no hop may end without HTTPS (RFC 6797 section 7.2)."""
    if case.subject and not case.subject.endswith(":80/tcp"):
        return NO_FINDING
    facts = case.get(HttpFacts)
    if isinstance(facts, Absent) and case.subject:
        return _closed(case, facts)
    facts = case.need(HttpFacts)
    target = redirect_target(facts.first)
    if target is None:
        if reason := declined(facts.first.status):
            raise case.unknown(reason, f"status {facts.first.status}")
        return Verdict("CONTENT_OVER_HTTP")
    _require_decided(case, facts, target)
    if facts.ended == "final" and not _is_https(facts.final.url):
        return Verdict("ENDS_ON_HTTP", {"target": facts.final.url})
    if host_of(target) != _own_host(case):
        return Verdict("REDIRECT_TO_OTHER_HOST", {"target": target})
    if not _is_https(target):
        return Verdict("REDIRECT_BY_HTTP", {"target": target})
    if facts.first.status not in PERMANENT:
        return Verdict("REDIRECT_NOT_PERMANENT", {"status": facts.first.status})
    return Verdict("REDIRECTS_TO_HTTPS")


def _closed(case: Case, absent: Absent) -> Verdict:
    """Port 80 closed is good where there is a site at all."""
    address, _, _ = parse_endpoint(case.subject)
    if isinstance(case.get(HttpFacts, endpoint(address, 443)), Absent):
        raise Missing(absent)
    return Verdict("HTTP_CLOSED")


def _require_decided(case: Case, facts: HttpFacts, target: str) -> None:
    """Raises Missing when what was not seen decides: the last redirect known leads to plain HTTP, and no further."""
    onward = redirect_target(facts.final)
    reason = lost(facts.ended, facts.why)
    if reason and not _is_https(onward or target):
        raise case.unknown(reason, f"redirects to {host_of(onward or target)}: {facts.ended}", facts.code or None)


def _is_https(url: str) -> bool:
    parts = split_url(url)
    return parts is not None and parts.scheme == "https"


@rule("tls.hsts.policy", needs=(HttpFacts,))
def hsts(case: Case) -> Verdict | list[tuple[str, Verdict]]:
    """The last HTTPS response of the scanned host itself; the first of several headers counts (RFC 6797 section 8.1)."""
    if case.subject and not case.subject.endswith(":443/tcp"):
        return NO_FINDING
    facts = case.need(HttpFacts)
    if facts.certificate != "trusted":
        return Verdict("HSTS_CERT_NOT_TRUSTED")
    own = [hop for hop in facts.hops if _is_https(hop.url) and host_of(hop.url) == _own_host(case)]
    if not own:
        raise case.unknown(Reason.MALFORMED, "no response of the name itself")
    _require_last(case, facts, own[-1])
    values = own[-1].header("strict-transport-security")
    if not values:
        if own[-1] is facts.final and facts.ended == "final" and (reason := declined(own[-1].status)):
            raise case.unknown(reason, f"status {own[-1].status}")
        return Verdict("HSTS_ABSENT")
    return _judged_age(case, values[0])


def _require_last(case: Case, facts: HttpFacts, last: Hop) -> None:
    """Raises Missing when a later response of the same host over HTTPS was not seen."""
    onward = redirect_target(last)
    reason = lost(facts.ended, facts.why)
    if reason and last is facts.final and onward and host_of(onward) == _own_host(case):
        endless = facts.ended in ("loop", "too_many")
        if endless or (facts.ended == "unseen" and _is_https(onward)):
            raise case.unknown(reason, f"redirects: {facts.ended}", facts.code or None)


def _judged_age(case: Case, value: str) -> Verdict:
    seconds = hsts_max_age(value)
    if seconds is None:
        return Verdict("HSTS_INVALID", {"value": value[:200]})
    if seconds == 0:
        return Verdict("HSTS_OFF")
    args = {"max_age": seconds}
    if seconds >= case.policy.number("tls.hsts.max_age_pass", case.at):
        return Verdict("HSTS_LONG", args)
    enough = seconds >= case.policy.number("tls.hsts.max_age_warn", case.at)
    return Verdict("HSTS_SHORT" if enough else "HSTS_TOO_SHORT", args)


HTTPS_RULES: tuple[Rule, ...] = (available, redirect, hsts)
