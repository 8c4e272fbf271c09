"""tls.https.available, tls.https.redirect and tls.hsts.policy on recorded answers."""

from __future__ import annotations

import pytest

from posture.checks import Declared
from posture.facts import Facts, HttpFacts, TlsFacts
from posture.facts.http import Hop
from posture.facts.tls import ACCEPTED, REFUSED, UNCLEAR, VersionAnswer
from posture.judge import Docket, judge
from posture.model import Absent, AbsentCause, Answer, Finding, Observed, Outcome, Reason, Unobserved, endpoint
from posture.policy import load_policy
from tests.checks.web.test_headers import AT, NAME

A, B = "198.51.100.7", "2001:db8::7"
AVAILABLE, REDIRECT, HSTS = "tls.https.available", "tls.https.redirect", "tls.hsts.policy"
CLOSED = Absent(AbsentCause.CLOSED, AT)
SILENT = Unobserved(Reason.TIMEOUT, AT)
STS = "strict-transport-security"
YEAR = 31_536_000
ROOT = f"https://{NAME}/"

Seen = Facts | Answer
Answers = dict[tuple[str, str], Seen]


def hello(answer: str, why: str = "") -> TlsFacts:
    names = ("TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3")
    return TlsFacts(NAME, "", tuple(VersionAnswer(name, answer, why) for name in names))


def chain(*hops: Hop, ended: str = "final", why: str = "", certificate: str = "trusted") -> HttpFacts:
    return HttpFacts(hops[0].url.partition(":")[0], hops, ended, certificate, why)


def page(url: str, *headers: tuple[str, str], status: int = 200) -> Hop:
    return Hop(url, status, headers)


def leads(url: str, to: str, status: int = 301, *headers: tuple[str, str]) -> Hop:
    return Hop(url, status, (("location", to), *headers))


def tls(address: str, seen: Seen) -> tuple[tuple[str, str], Seen]:
    return ("tls", endpoint(address, 443)), seen


def web(address: str, port: int, seen: Seen) -> tuple[tuple[str, str], Seen]:
    return ("http", endpoint(address, port)), seen


DONE = hello(ACCEPTED)
CONTENT = chain(page(f"http://{NAME}/"))
AWAY = chain(leads(f"http://{NAME}/", "https://www.other.example/"), ended="out_of_scope", why="out_of_scope")
ORIGIN = f"http://{NAME}/"


def port_80(*hops: Hop, ended: str = "final", why: str = "") -> Answers:
    return dict([web(A, 80, chain(*hops, ended=ended, why=why))])


def sts(*values: str, certificate: str = "trusted") -> Answers:
    return dict([web(A, 443, chain(page(ROOT, *((STS, value) for value in values)), certificate=certificate))])


# (control, answers, tag or reason)
CASES = [
    (AVAILABLE, dict([tls(A, DONE), tls(B, DONE)]), "HTTPS_ON_EVERY_ADDRESS"),
    (AVAILABLE, dict([web(A, 443, chain(page(ROOT)))]), "HTTPS_ON_EVERY_ADDRESS"),
    (AVAILABLE, dict([tls(A, DONE), tls(B, CLOSED)]), "HTTPS_ON_SOME_ADDRESSES"),
    (AVAILABLE, dict([tls(A, DONE), tls(B, hello(REFUSED, "handshake_failure"))]), "HTTPS_ON_SOME_ADDRESSES"),
    (AVAILABLE, dict([tls(A, CLOSED), web(A, 443, CLOSED), web(A, 80, CONTENT)]), "HTTPS_NOT_OFFERED"),
    (AVAILABLE, dict([web(A, 443, CLOSED), web(A, 80, CONTENT)]), "HTTPS_NOT_OFFERED"),
    (AVAILABLE, dict([tls(A, hello(REFUSED)), web(A, 443, SILENT), web(A, 80, CONTENT)]), "HTTPS_NOT_OFFERED"),
    (AVAILABLE, dict([tls(A, CLOSED), web(A, 80, AWAY)]), "REDIRECT_ONLY_NAME"),
    (AVAILABLE, dict([tls(A, CLOSED), web(A, 80, CLOSED)]), "NOTHING_THERE"),
    (AVAILABLE, {("http", ""): Absent(AbsentCause.NXDOMAIN, AT)}, "NOTHING_THERE"),
    (AVAILABLE, dict([tls(A, SILENT)]), Reason.TIMEOUT),
    (AVAILABLE, dict([tls(A, DONE), tls(B, SILENT)]), Reason.TIMEOUT),
    (AVAILABLE, dict([tls(A, CLOSED), web(A, 80, SILENT)]), Reason.TIMEOUT),
    (AVAILABLE, dict([tls(A, hello(UNCLEAR, "reset")), web(A, 80, CONTENT)]), Reason.RESET),
    (AVAILABLE, dict([tls(A, hello(REFUSED)), web(A, 80, CLOSED)]), Reason.REFUSED_BY_TARGET),
    (REDIRECT, dict([web(A, 80, CLOSED), web(A, 443, chain(page(ROOT)))]), "HTTP_CLOSED"),
    (REDIRECT, dict([web(A, 80, CLOSED), web(A, 443, CLOSED)]), "NOTHING_THERE"),
    (REDIRECT, port_80(leads(ORIGIN, ROOT), page(ROOT)), "REDIRECTS_TO_HTTPS"),
    (REDIRECT, port_80(leads(ORIGIN, ROOT, 308), ended="unseen", why="timeout"), "REDIRECTS_TO_HTTPS"),
    (REDIRECT, port_80(leads(ORIGIN, ROOT, 302), page(ROOT)), "REDIRECT_NOT_PERMANENT"),
    (REDIRECT, port_80(leads(ORIGIN, "https://gov.example/"), page("https://gov.example/")), "REDIRECT_TO_OTHER_HOST"),
    (REDIRECT, dict([web(A, 80, AWAY)]), "REDIRECT_TO_OTHER_HOST"),
    (REDIRECT, port_80(leads(ORIGIN, "/en/"), leads(f"{ORIGIN}en/", ROOT), page(ROOT)), "REDIRECT_BY_HTTP"),
    (REDIRECT, port_80(page(ORIGIN)), "CONTENT_OVER_HTTP"),
    (REDIRECT, port_80(leads(ORIGIN, "/en/"), page(f"{ORIGIN}en/")), "ENDS_ON_HTTP"),
    (REDIRECT, port_80(leads(ORIGIN, ROOT), leads(ROOT, f"{ORIGIN}old"), page(f"{ORIGIN}old")), "ENDS_ON_HTTP"),
    (REDIRECT, port_80(page(ORIGIN, status=403)), Reason.REFUSED_BY_TARGET),
    (REDIRECT, port_80(page(ORIGIN, status=502)), Reason.TEMPORARY),
    (REDIRECT, port_80(leads(ORIGIN, "http://gov.example/"), ended="out_of_scope"), Reason.OUT_OF_SCOPE),
    (REDIRECT, port_80(leads(ORIGIN, "/en/"), ended="unseen", why="reset"), Reason.RESET),
    (
        REDIRECT,
        port_80(leads(ORIGIN, ROOT), leads(ROOT, "http://www.other.example/"), ended="out_of_scope"),
        Reason.OUT_OF_SCOPE,
    ),
    (REDIRECT, port_80(leads(ORIGIN, ROOT), leads(ROOT, ORIGIN), ended="loop"), Reason.MALFORMED),
    (REDIRECT, port_80(leads(ORIGIN, "/"), ended="loop"), Reason.MALFORMED),
    (REDIRECT, dict([web(A, 80, SILENT)]), Reason.TIMEOUT),
    (HSTS, sts(f"max-age={YEAR}"), "HSTS_LONG"),
    (HSTS, sts(f'Max-Age="{YEAR}" ; includeSubDomains;; preload'), "HSTS_LONG"),
    (HSTS, sts(f"max-age={YEAR}", "max-age=0"), "HSTS_LONG"),
    (HSTS, sts(f"max-age={YEAR - 1}"), "HSTS_SHORT"),
    (HSTS, sts("max-age=15768000"), "HSTS_SHORT"),
    (HSTS, sts("max-age=15767999"), "HSTS_TOO_SHORT"),
    (HSTS, sts("max-age=0", f"max-age={YEAR}"), "HSTS_OFF"),
    (HSTS, sts(f"max-age=0, max-age={YEAR}"), "HSTS_INVALID"),
    (HSTS, sts(f"max-age={YEAR}; max-age={YEAR}"), "HSTS_INVALID"),
    (HSTS, sts("includeSubDomains"), "HSTS_INVALID"),
    (HSTS, sts("max-age=-1"), "HSTS_INVALID"),
    (HSTS, sts(""), "HSTS_INVALID"),
    (HSTS, sts(), "HSTS_ABSENT"),
    (HSTS, sts(f"max-age={YEAR}", certificate="untrusted"), "HSTS_CERT_NOT_TRUSTED"),
    (HSTS, dict([web(A, 443, CLOSED)]), "NOTHING_THERE"),
    (HSTS, dict([web(A, 443, SILENT)]), Reason.TIMEOUT),
    (HSTS, dict([web(A, 443, chain(page(ROOT, status=503)))]), Reason.TEMPORARY),
    (HSTS, dict([web(A, 443, chain(leads(ROOT, "/en/", 302), ended="unseen", why="timeout"))]), Reason.TIMEOUT),
]


def findings(control: str, answers: Answers) -> tuple[Finding, ...]:
    recorded = {key: Observed(seen, AT) if isinstance(seen, Facts) else seen for key, seen in answers.items()}
    docket = Docket("finance", Declared(NAME, "host"), recorded)
    return judge(docket, load_policy(), AT, controls=[control])


@pytest.mark.parametrize(("control", "answers", "expected"), CASES)
def test_recorded_answers_are_judged(control: str, answers: Answers, expected: str | Reason) -> None:
    (finding,) = findings(control, answers)

    assert (finding.reason or finding.tag) == expected


def test_the_header_of_the_scanned_host_counts_and_not_that_of_the_host_it_leads_to() -> None:
    seen = chain(leads(ROOT, "https://gov.example/"), page("https://gov.example/", (STS, f"max-age={YEAR}")))

    (finding,) = findings(HSTS, dict([web(A, 443, seen)]))

    assert finding.tag == "HSTS_ABSENT"


def test_redirects_are_judged_once_per_address_and_hsts_too() -> None:
    answers = dict([web(A, 80, CONTENT), web(A, 443, chain(page(ROOT))), web(B, 80, CONTENT), web(B, 443, CLOSED)])

    assert [finding.subject for finding in findings(REDIRECT, answers)] == [f"{A}:80/tcp", f"[{B}]:80/tcp"]
    assert [finding.subject for finding in findings(HSTS, answers)] == [f"{A}:443/tcp", f"[{B}]:443/tcp"]


def test_a_zone_of_which_only_the_mail_was_asked_has_no_site_to_judge() -> None:
    assert findings(AVAILABLE, {("tls", "mx:mail.gov.example:25"): DONE}) == ()


def test_another_tls_port_says_nothing_of_the_site() -> None:
    answers: Answers = {("tls", endpoint(A, 8443)): DONE, ("http", ""): Absent(AbsentCause.NOT_DECLARED, AT)}

    (finding,) = findings(AVAILABLE, answers)

    assert finding.outcome is Outcome.NOT_APPLICABLE
