"""The same facts under the TLS guidelines of others: what each of the shipped policies makes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from posture.checks import Declared, Reference
from posture.judge import Docket, judge
from posture.model import Finding, Observed, Outcome, Reason
from posture.policy import load_policy
from tests.checks.tls.pki import ROOT
from tests.checks.tls.seen import MX, NAME, SECRET, STATIC, WEB, Seen, incomplete, tls
from tests.checks.tls.test_exchange import ARIA, CBC, CBC_SHA2, FFDHE3072, FINITE, PRIME_2203, field

AT = datetime(2026, 11, 24, tzinfo=UTC)
DEFAULT, INTERMEDIATE, MODERN, NL = "oecs-baseline/2026.2", "tlsref-6.0/intermediate", "tlsref-6.0/modern", "nl-2025"


def found(policy: str, control: str, seen: Seen, subject: str = WEB) -> Finding:
    answers = {(kind, subject): Observed(facts, AT) for kind, facts in seen.items()}
    docket = Docket("finance", Declared(NAME, "host"), answers)
    findings = judge(docket, load_policy(policy), AT, reference=Reference(ROOT.pem, "sha256:x"), controls=[control])
    (one,) = findings
    return one


GRADED: list[tuple[Any, ...]] = [
    # control, what is seen, where, and what the default, intermediate, modern and the Dutch make of it
    ("tls.protocol.tls13", tls(), WEB, "pass", "pass", "fail", "pass"),
    ("tls.protocol.tls13", tls(tls12="protocol_version"), WEB, "pass", "pass", "pass", "pass"),
    ("tls.protocol.tls13", tls(tls13="protocol_version"), WEB, "warn", "warn", "fail", "warn"),
    ("tls.protocol.legacy", tls(tls10=(STATIC,)), MX, "warn", "fail", "fail", "fail"),
    ("tls.cipher.cbc", tls(tls12=(SECRET, CBC_SHA2)), WEB, "warn", "fail", "fail", "warn"),
    ("tls.cipher.cbc", tls(tls12=(SECRET, CBC)), WEB, "warn", "fail", "fail", "fail"),
    ("tls.cipher.cbc", tls(tls12=(SECRET, ARIA)), WEB, "pass", "fail", "fail", "warn"),
    ("tls.cipher.cbc", tls(), WEB, "pass", "pass", "pass", "pass"),
    ("tls.cipher.forward_secrecy", tls(tls12=(SECRET, STATIC)), WEB, "warn", "fail", "fail", "fail"),
    ("tls.cipher.forward_secrecy", tls(tls12=(SECRET, FINITE)), WEB, "warn", "fail", "fail", "warn"),
    ("tls.kex.dh_group", field(FFDHE3072), WEB, "warn", "fail", "fail", "warn"),
    ("tls.kex.dh_group", field(PRIME_2203), WEB, "warn", "fail", "fail", "fail"),
]


@pytest.mark.parametrize(("control", "seen", "subject", *"dimn"), GRADED)
def test_verdicts(control: str, seen: Seen, subject: str, d: str, i: str, m: str, n: str) -> None:
    told = [found(policy, control, seen, subject) for policy in (DEFAULT, INTERMEDIATE, MODERN, NL)]
    assert [str(one.outcome) for one in told] == [d, i, m, n]
    assert len({one.tag for one in told} - {"DH_TOO_SHORT"}) == 1


def test_whether_1_2_is_spoken_too_decides_for_modern_only() -> None:
    seen = tls(tls12="timeout")
    assert found(DEFAULT, "tls.protocol.tls13", seen).outcome is Outcome.PASS
    modern = found(MODERN, "tls.protocol.tls13", seen)
    assert (modern.outcome, modern.reason) == (Outcome.UNKNOWN, Reason.TIMEOUT)


@pytest.mark.parametrize("policy", [INTERMEDIATE, MODERN, NL])
def test_suites_that_were_not_all_listed_pass_only_where_their_kind_is_all_one(policy: str) -> None:
    seen = incomplete(tls(), "TLS 1.2", mode_complete=True)
    assert found(DEFAULT, "tls.cipher.cbc", seen).outcome is Outcome.PASS
    assert found(policy, "tls.cipher.cbc", seen).outcome is Outcome.UNKNOWN


def test_rules_that_a_policy_grades_stay_what_they_are() -> None:
    told = found(MODERN, "tls.protocol.tls13", tls())
    assert told.tag == "TLS13_AND_TLS12"
    assert replace(told, outcome=Outcome.PASS) == found(DEFAULT, "tls.protocol.tls13", tls())
