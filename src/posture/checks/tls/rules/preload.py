"""Whether a site that asks to be on the browsers' HTTPS-only list may be on it: tls.hsts.preload.

The list itself is not shipped, so nothing is said of who is on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from posture.checks.rule import Case, Missing, Rule, rule
from posture.facts import HttpFacts
from posture.facts.parse_http import Hsts, declined, host_of, parse_hsts, redirect_target, split_url
from posture.model import Absent, Reason, Unobserved, Verdict, endpoint, parse_endpoint

_NOT_ASKED = Verdict("PRELOAD_NOT_ASKED")


@rule("tls.hsts.preload", needs=(HttpFacts,))
def preload(case: Case) -> Verdict | tuple[()]:
    """The published conditions of the list, at every address of the name: the first answer over HTTPS and over HTTP count."""
    pages = {subject: page for subject, page in case.every(HttpFacts).items() if subject.endswith(":443/tcp")}
    if not pages:
        for settled in case.every(HttpFacts).values():
            if isinstance(settled, (Absent, Unobserved)):
                raise Missing(settled)
        return ()
    seen = {subject: page for subject, page in pages.items() if isinstance(page, HttpFacts)}
    asking = {subject: hsts for subject, page in seen.items() if (hsts := _header(page)) and hsts.preload}
    unseen = [page for page in pages.values() if not isinstance(page, HttpFacts)]
    faults = sorted(
        {fault for subject, hsts in asking.items() for fault in _faults(case, seen[subject], subject, hsts)}
    )
    if faults:
        return Verdict("PRELOAD_NOT_ELIGIBLE", {"faults": faults})
    if missed := next((page for page in unseen if isinstance(page, Unobserved)), None):
        raise Missing(missed)
    if not seen:
        raise Missing(unseen[0])
    if not asking:
        _require_pages(case, seen)
        return _NOT_ASKED
    if len(asking) < len(seen):
        return Verdict("PRELOAD_NOT_ELIGIBLE", {"faults": ["not every address sends the header"]})
    for subject in asking:
        _require_redirect_seen(case, subject)
    return Verdict("PRELOAD_ELIGIBLE")


def _require_pages(case: Case, seen: Mapping[str, HttpFacts]) -> None:
    """Raises Missing: an answer that is an error, and without the header, is not the site's."""
    for page in seen.values():
        if page.first.status >= 400 and not _header(page) and (reason := declined(page.first.status)):
            raise case.unknown(reason, f"status {page.first.status}")


def _header(page: HttpFacts) -> Hsts | None:
    """Of the very first answer: a site that redirects on has to send it there too."""
    values = page.first.header("strict-transport-security")
    return parse_hsts(values[0]) if values else None


def _faults(case: Case, page: HttpFacts, subject: str, hsts: Hsts) -> list[str]:
    faults = []
    if hsts.max_age < case.policy.number("tls.hsts.preload_max_age", case.at):
        faults.append("max-age is less than a year")
    if not hsts.include_subdomains:
        faults.append("includeSubDomains is missing")
    if page.certificate != "trusted":
        faults.append("the certificate is not trusted")
    plain = _plain(case, subject)
    if isinstance(plain, HttpFacts) and _redirects_home(case, plain) is False:
        faults.append("HTTP does not lead to HTTPS on the same host")
    return faults


def _plain(case: Case, subject: str) -> HttpFacts | Absent | Unobserved:
    address, _, _ = parse_endpoint(subject)
    return case.get(HttpFacts, endpoint(address, 80))


def _redirects_home(case: Case, plain: HttpFacts) -> bool | None:
    """None: the answer is an error of the moment, which tells nothing."""
    target = redirect_target(plain.first)
    if target is None:
        return None if plain.first.status >= 500 else False
    parts = split_url(target)
    return parts is not None and parts.scheme == "https" and host_of(target) == case.asset.name.lower().rstrip(".")


def _require_redirect_seen(case: Case, subject: str) -> None:
    """Raises Missing: whether HTTP leads to HTTPS could not be seen. A closed port 80 leads nobody astray."""
    plain = _plain(case, subject)
    if isinstance(plain, Unobserved):
        raise Missing(plain)
    if isinstance(plain, HttpFacts) and _redirects_home(case, plain) is None:
        raise case.unknown(Reason.TEMPORARY, f"status {plain.first.status}")


PRELOAD_RULES: tuple[Rule, ...] = (preload,)
