"""What we did not ask ourselves keeps the code of the refusal, so that its reader learns how to mend it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from posture.checks import Declared
from posture.facts import AxfrFacts, Facts, HttpFacts, MxFacts, SecurityTxtFacts, SmtpFacts
from posture.facts.dns import RESOLVED, AxfrAnswer, HostAddresses, MxRecord
from posture.facts.http import Hop
from posture.facts.smtp import SmtpAnswer
from posture.judge import Docket, judge
from posture.model import Observed, Outcome, Reason
from posture.policy import load_policy

AT = datetime(2026, 11, 23, 21, tzinfo=UTC)
ZONE, NAME = "finance.gov.example", "www.finance.gov.example"
MX, NS = f"mx:mx.{ZONE}:25", f"ns:ns1.{ZONE}"
HTTP, HTTPS = "198.51.100.7:80/tcp", "198.51.100.7:443/tcp"
ELSEWHERE = "http://elsewhere.example/"
LED_AWAY = HttpFacts(
    "http",
    (Hop(f"http://{NAME}/", 301, (("location", ELSEWHERE),)),),
    "out_of_scope",
    why="out_of_scope",
    code="E-SCOPE-022",
)
GREETS = SmtpAnswer("198.51.100.7", "greeted", ("STARTTLS",), "offered", "accepted", "TLS 1.3")
FOREIGN = SmtpAnswer("192.0.2.77", "out_of_scope", code="E-SCOPE-020")


@pytest.mark.parametrize(
    ("control", "subject", "facts", "code"),
    [
        ("tls.https.redirect", HTTP, LED_AWAY, "E-SCOPE-022"),
        ("web.header.basic", HTTPS, replace(LED_AWAY, scheme="https"), "E-SCOPE-022"),
        (
            "web.securitytxt",
            HTTPS,
            SecurityTxtFacts("", 301, ended="out_of_scope", why="out_of_scope", code="E-SCOPE-022"),
            "E-SCOPE-022",
        ),
        ("mail.starttls", MX, SmtpFacts(f"mx.{ZONE}", (GREETS, FOREIGN)), "E-SCOPE-020"),
        (
            "dns.ns.axfr",
            NS,
            AxfrFacts(f"ns1.{ZONE}", (AxfrAnswer("192.0.2.77", "out_of_scope", code="E-SCOPE-020"),)),
            "E-SCOPE-020",
        ),
    ],
)
def test_an_unknown_of_our_own_making_has_the_code(control: str, subject: str, facts: Facts, code: str) -> None:
    record = MxRecord(10, HostAddresses(f"mx.{ZONE}", RESOLVED, ("198.51.100.7", "192.0.2.77")))
    answers = {(facts.TYPE, subject): Observed(facts, AT), ("mx", ""): Observed(MxFacts("records", (record,)), AT)}
    asset = Declared(NAME, "host") if subject in (HTTP, HTTPS) else Declared(ZONE, "zone", mail=("receives",))

    (finding,) = judge(Docket("finance", asset, answers), load_policy(), AT, controls=[control])

    assert (finding.outcome, finding.reason, finding.code) == (Outcome.UNKNOWN, Reason.OUT_OF_SCOPE, code)


def test_a_redirect_into_a_blackout_says_blackout() -> None:
    facts = replace(LED_AWAY, why="blackout", code="E-SCOPE-011")
    docket = Docket("finance", Declared(NAME, "host"), {("http", HTTP): Observed(facts, AT)})

    (finding,) = judge(docket, load_policy(), AT, controls=["tls.https.redirect"])

    assert (finding.reason, finding.code) == (Reason.BLACKOUT, "E-SCOPE-011")
