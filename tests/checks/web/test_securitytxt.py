"""web.securitytxt on recorded files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from posture.checks import Declared
from posture.facts import SecurityTxtFacts
from posture.judge import Docket, judge
from posture.model import Absent, AbsentCause, Answer, Finding, Observed, Outcome, Reason, Unobserved
from posture.policy import load_policy

AT = datetime(2026, 11, 23, 21, tzinfo=UTC)
URL = "https://www.finance.gov.example/.well-known/security.txt"
FORMER = "https://www.finance.gov.example/security.txt"
CONTROL = "web.securitytxt"
CONTACT = "Contact: mailto:soc@cert.example\n"
CANONICAL = f"Canonical: {URL}\n"
GOOD = f"# ours\n{CONTACT}Expires: 2027-06-01T00:00:00Z\n{CANONICAL}"
SIGNED = (
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\nContact: mailto:not@covered.example\n\n"
    f"{GOOD}-----BEGIN PGP SIGNATURE-----\n\nContact: mailto:neither@covered.example\n-----END PGP SIGNATURE-----\n"
)


def file(
    body: str, path: str = "/.well-known/security.txt", content_type: str = "text/plain; charset=utf-8"
) -> SecurityTxtFacts:
    return SecurityTxtFacts(path, 200, content_type, body, "final", URL if path != "/security.txt" else FORMER)


def expires(date: str) -> str:
    return f"{CONTACT}Expires: {date}\n{CANONICAL}"


NONE = SecurityTxtFacts("", 404, "text/html", "", "final", URL)

# (control, facts or answer, tag or reason)
CASES = [
    (CONTROL, file(GOOD), "SECURITYTXT_VALID"),
    (CONTROL, file(GOOD.replace("\n", "\r\n").upper()), "SECURITYTXT_VALID"),
    (CONTROL, file("\ufeff" + SIGNED), "SECURITYTXT_VALID"),
    (CONTROL, file(expires("2027-11-24T20:00:00Z")), "SECURITYTXT_VALID"),
    (CONTROL, file(expires("2027-11-24T22:00:00Z")), "SECURITYTXT_EXPIRES_FAR"),
    (CONTROL, file(expires("2026-12-23T20:00:00Z")), "SECURITYTXT_EXPIRES_SOON"),
    (CONTROL, file(expires("2026-11-23T21:00:00Z")), "SECURITYTXT_EXPIRED"),
    (CONTROL, file(expires("2026-11-23T17:30:00-04:00")), "SECURITYTXT_EXPIRES_SOON"),
    (CONTROL, file(GOOD, path="/security.txt"), "SECURITYTXT_FORMER_PLACE"),
    (CONTROL, file(GOOD.replace(CANONICAL, "")), "SECURITYTXT_NO_CANONICAL"),
    (CONTROL, file(GOOD.replace(CONTACT, "")), "SECURITYTXT_NO_CONTACT"),
    (CONTROL, file(GOOD.replace("mailto:soc@cert.example", "the webmaster")), "SECURITYTXT_NO_CONTACT"),
    (CONTROL, file(CONTACT), "SECURITYTXT_NO_EXPIRES"),
    (CONTROL, file(expires("next year")), "SECURITYTXT_NO_EXPIRES"),
    (CONTROL, file(expires("2027-02-30T00:00:00Z")), "SECURITYTXT_NO_EXPIRES"),
    (CONTROL, file(GOOD + "Expires: 2027-01-01T00:00:00Z\n"), "SECURITYTXT_NO_EXPIRES"),
    (CONTROL, file(GOOD, content_type="text/html"), "SECURITYTXT_NOT_TEXT"),
    (CONTROL, file("", content_type="text/html"), "SECURITYTXT_ABSENT"),
    (CONTROL, NONE, "SECURITYTXT_ABSENT"),
    (CONTROL, replace(NONE, status=410), "SECURITYTXT_ABSENT"),
    (CONTROL, replace(NONE, status=403), Reason.REFUSED_BY_TARGET),
    (CONTROL, replace(NONE, status=500), Reason.TEMPORARY),
    (CONTROL, replace(NONE, status=301, ended="out_of_scope"), Reason.OUT_OF_SCOPE),
    (CONTROL, replace(NONE, status=301, ended="unseen", why="reset"), Reason.RESET),
    (CONTROL, replace(NONE, status=301, ended="too_many"), Reason.MALFORMED),
    (CONTROL, Unobserved(Reason.TIMEOUT, AT), Reason.TIMEOUT),
    (CONTROL, Absent(AbsentCause.CLOSED, AT), "NOTHING_THERE"),
]


def finding_of(answer: SecurityTxtFacts | Answer, at: datetime = AT) -> Finding:
    recorded = Observed(answer, AT) if isinstance(answer, SecurityTxtFacts) else answer
    declared = Declared("www.finance.gov.example", "host")
    docket = Docket("finance", declared, {("securitytxt", "198.51.100.7:443/tcp"): recorded})
    (finding,) = judge(docket, load_policy(), at, controls=[CONTROL])
    return finding


@pytest.mark.parametrize(("control", "answer", "expected"), CASES)
def test_a_file_is_judged(control: str, answer: SecurityTxtFacts | Answer, expected: str | Reason) -> None:
    finding = finding_of(answer)

    assert (finding.reason or finding.tag) == expected
    assert finding.control == control


def test_good_until_is_the_next_instant_at_which_the_file_is_judged_otherwise() -> None:
    facts = file(GOOD)
    outcomes = []
    at = AT
    while (finding := finding_of(facts, at)).good_until:
        outcomes.append((finding.outcome, finding.good_until))
        at = finding.good_until

    assert outcomes == [
        (Outcome.PASS, datetime(2027, 5, 2, tzinfo=UTC)),
        (Outcome.WARN, datetime(2027, 6, 1, tzinfo=UTC)),
    ]
    assert finding_of(facts, at).outcome is Outcome.FAIL
