"""Header lines by which a site turns basic browser safety on."""

from __future__ import annotations

from posture.checks.rule import Case, Missing, rule
from posture.facts import HttpFacts
from posture.facts.http import Hop
from posture.facts.parse_http import declined, frames_restricted, lost, nosniff, referrer_policy
from posture.model import Absent, Unobserved, Verdict, parse_endpoint
from posture.model import endpoint as endpoint_of

SAFE_REFERRER = frozenset({"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"})


@rule("web.header.basic", needs=(HttpFacts,))
def basic(case: Case) -> Verdict | list[tuple[str, Verdict]]:
    """On the page that a visitor ends on: over HTTPS where the address offers it, else over HTTP."""
    facts = case.get(HttpFacts)
    if case.subject and not _speaks_for_its_address(case, facts):
        return []
    if isinstance(facts, (Absent, Unobserved)):
        raise Missing(facts)
    page = _final_page(case, facts)
    referrer = referrer_policy(page.header("referrer-policy"))
    if referrer == "unsafe-url":
        return Verdict("REFERRER_UNSAFE", {"url": page.url})
    missing = _missing(page, referrer)
    if not missing:
        return Verdict("BASIC_HEADERS_SET", {"url": page.url})
    tag = "BASIC_HEADER_MISSING" if len(missing) == 1 else "BASIC_HEADERS_MISSING"
    return Verdict(tag, {"url": page.url, "missing": missing})


def _speaks_for_its_address(case: Case, facts: HttpFacts | Absent | Unobserved) -> bool:
    """One finding per address: port 443's, unless that is closed and port 80 is not."""
    address, port, _ = parse_endpoint(case.subject)
    other = case.get(HttpFacts, endpoint_of(address, 80 if port == 443 else 443))
    if port == 443:
        return not isinstance(facts, Absent) or isinstance(other, Absent)
    return isinstance(other, Absent) and not isinstance(facts, Absent)


def _final_page(case: Case, facts: HttpFacts) -> Hop:
    """The page at the end of the redirects.

    Raises:
        Missing: it is not ours to see, or was not seen.
    """
    if reason := lost(facts.ended, facts.why):
        raise case.unknown(reason, facts.ended, facts.code or None)
    if reason := declined(facts.final.status):
        raise case.unknown(reason, f"status {facts.final.status}")
    return facts.final


def _missing(page: Hop, referrer: str) -> list[str]:
    present = {
        "X-Content-Type-Options": nosniff(page.header("x-content-type-options")),
        "frame-ancestors or X-Frame-Options": frames_restricted(
            page.header("content-security-policy"), page.header("x-frame-options")
        ),
        "Referrer-Policy": referrer in SAFE_REFERRER,
    }
    return [name for name, there in present.items() if not there]
