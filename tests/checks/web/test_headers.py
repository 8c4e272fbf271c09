"""web.header.basic on recorded pages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from posture.checks import Declared
from posture.facts import HttpFacts
from posture.facts.http import Hop
from posture.judge import Docket, judge
from posture.model import Absent, AbsentCause, Answer, Finding, Observed, Outcome, Reason, Unobserved
from posture.policy import load_policy

AT = datetime(2026, 11, 23, 21, tzinfo=UTC)
NAME = "www.finance.gov.example"
HTTP, HTTPS = "198.51.100.7:80/tcp", "198.51.100.7:443/tcp"
CONTROL = "web.header.basic"

NOSNIFF = ("x-content-type-options", "nosniff")
FRAMES = ("content-security-policy", "default-src 'self'; frame-ancestors 'none'")
REFERRER = ("referrer-policy", "strict-origin-when-cross-origin")
CLOSED = Absent(AbsentCause.CLOSED, AT)
SILENT = Unobserved(Reason.TIMEOUT, AT)


def page(*headers: tuple[str, str], status: int = 200, ended: str = "final", why: str = "") -> HttpFacts:
    return HttpFacts("https", (Hop(f"https://{NAME}/", status, headers),), ended, "trusted", why)


# (control, answer of port 443, tag or reason)
CASES = [
    (CONTROL, page(NOSNIFF, FRAMES, REFERRER), "BASIC_HEADERS_SET"),
    (
        CONTROL,
        page(NOSNIFF, ("x-frame-options", "SAMEORIGIN"), ("referrer-policy", "no-referrer")),
        "BASIC_HEADERS_SET",
    ),
    (CONTROL, page(NOSNIFF, FRAMES), "BASIC_HEADER_MISSING"),
    (CONTROL, page(("x-content-type-options", "off, nosniff"), FRAMES, REFERRER), "BASIC_HEADER_MISSING"),
    (CONTROL, page(NOSNIFF, ("x-frame-options", "ALLOW-FROM https://a.test"), REFERRER), "BASIC_HEADER_MISSING"),
    (CONTROL, page(NOSNIFF, ("content-security-policy", "frame-ancestors *"), REFERRER), "BASIC_HEADER_MISSING"),
    (CONTROL, page(NOSNIFF), "BASIC_HEADERS_MISSING"),
    (CONTROL, page(), "BASIC_HEADERS_MISSING"),
    (CONTROL, page(NOSNIFF, FRAMES, ("referrer-policy", "no-referrer, unsafe-url")), "REFERRER_UNSAFE"),
    (CONTROL, page(NOSNIFF, FRAMES, ("referrer-policy", "unsafe-url, same-origin, future")), "BASIC_HEADERS_SET"),
    (CONTROL, page(status=403), Reason.REFUSED_BY_TARGET),
    (CONTROL, page(status=503), Reason.TEMPORARY),
    (CONTROL, page(status=302, ended="out_of_scope"), Reason.OUT_OF_SCOPE),
    (CONTROL, page(status=302, ended="unseen", why="timeout"), Reason.TIMEOUT),
    (CONTROL, page(status=302, ended="unseen", why="closed"), Reason.REFUSED_BY_TARGET),
    (CONTROL, page(status=302, ended="loop"), Reason.MALFORMED),
    (CONTROL, SILENT, Reason.TIMEOUT),
]


def findings(answers: dict[str, HttpFacts | Answer]) -> tuple[Finding, ...]:
    recorded: dict[tuple[str, str], Answer] = {
        ("http", subject): Observed(answer, AT) if isinstance(answer, HttpFacts) else answer
        for subject, answer in answers.items()
    }
    return judge(Docket("finance", Declared(NAME, "host"), recorded), load_policy(), AT, controls=[CONTROL])


@pytest.mark.parametrize(("control", "answer", "expected"), CASES)
def test_a_page_is_judged(control: str, answer: HttpFacts | Answer, expected: str | Reason) -> None:
    (finding,) = findings({HTTPS: answer})

    assert (finding.reason or finding.tag) == expected
    assert finding.control == control


@pytest.mark.parametrize(
    ("at_80", "at_443", "subject", "outcome"),
    [
        (page(), page(NOSNIFF, FRAMES, REFERRER), HTTPS, Outcome.PASS),
        (page(), CLOSED, HTTP, Outcome.FAIL),
        (page(NOSNIFF, FRAMES, REFERRER), SILENT, HTTPS, Outcome.UNKNOWN),
        (SILENT, CLOSED, HTTP, Outcome.UNKNOWN),
        (CLOSED, CLOSED, HTTPS, Outcome.NOT_APPLICABLE),
        (CLOSED, page(), HTTPS, Outcome.FAIL),
    ],
)
def test_an_address_has_one_finding_over_https_where_it_is_offered(
    at_80: HttpFacts | Answer, at_443: HttpFacts | Answer, subject: str, outcome: Outcome
) -> None:
    (finding,) = findings({HTTP: at_80, HTTPS: at_443})

    assert (finding.subject, finding.outcome) == (subject, outcome)


def test_a_site_that_nobody_declared_is_not_applicable() -> None:
    (finding,) = findings({"": Absent(AbsentCause.NOT_DECLARED, AT)})

    assert finding.outcome is Outcome.NOT_APPLICABLE
