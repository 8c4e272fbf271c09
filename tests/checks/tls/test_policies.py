"""The same facts under the TLS guidelines of others: what each of the shipped policies makes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from posture.checks import Declared, Reference
from posture.facts.deep import VULNERABLE
from posture.facts.tls import REFUSED, STAPLE, Trait
from posture.judge import Docket, judge
from posture.model import Finding, Observed, Outcome, Reason
from posture.policy import load_policy
from tests.checks.tls.pki import ROOT
from tests.checks.tls.revoking import response
from tests.checks.tls.seen import MX, NAME, SECRET, STATIC, WEB, Seen, incomplete, legacy, tls
from tests.checks.tls.test_exchange import ARIA, CBC, CBC_SHA2, FFDHE3072, FINITE, PRIME_2203, field
from tests.checks.tls.test_key import of as keyed
from tests.checks.tls.test_revocation import ASKABLE, stapled
from tests.checks.tls.test_vulnerability import deep, early, often, old

AT = datetime(2026, 11, 24, tzinfo=UTC)
DEFAULT, INTERMEDIATE, MODERN, NL = "oecs-baseline/2026.2", "tlsref-6.0/intermediate", "tlsref-6.0/modern", "nl-2025"

EXPIRED = response(ASKABLE)  # half a year ago
TRIPLE_DES = incomplete(legacy(tls12=("TLS_RSA_WITH_3DES_EDE_CBC_SHA",)), "TLS 1.2")


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
    ("tls.cipher.insecure", TRIPLE_DES, MX, "warn", "fail", "fail", "fail"),
    ("tls.cipher.cbc", tls(tls12=(SECRET, CBC_SHA2)), WEB, "warn", "fail", "fail", "warn"),
    ("tls.cipher.cbc", tls(tls12=(SECRET, CBC)), WEB, "warn", "fail", "fail", "fail"),
    ("tls.cipher.cbc", tls(tls12=(SECRET, ARIA)), WEB, "pass", "fail", "fail", "warn"),
    ("tls.cipher.cbc", tls(), WEB, "pass", "pass", "pass", "pass"),
    ("tls.cipher.forward_secrecy", tls(tls12=(SECRET, STATIC)), WEB, "warn", "fail", "fail", "fail"),
    ("tls.cipher.forward_secrecy", tls(tls12=(SECRET, FINITE)), WEB, "warn", "fail", "fail", "warn"),
    ("tls.kex.dh_group", field(FFDHE3072), WEB, "warn", "fail", "fail", "warn"),
    ("tls.kex.dh_group", field(PRIME_2203), WEB, "warn", "fail", "fail", "fail"),
    ("tls.cert.key", keyed(ec.generate_private_key(ec.SECP256R1())), WEB, "pass", "pass", "pass", "pass"),
    ("tls.cert.key", keyed(rsa.generate_private_key(65537, 3072)), WEB, "pass", "pass", "fail", "pass"),
    ("tls.cert.key", keyed(rsa.generate_private_key(65537, 2048)), WEB, "pass", "pass", "fail", "warn"),
    ("tls.reneg", {**old(), **deep(renegotiations="3")}, WEB, "warn", "warn", "warn", "pass"),
    ("tls.reneg", {**old(), **deep(renegotiations=often("10"))}, WEB, "fail", "fail", "fail", "warn"),
    ("tls.early_data", {**tls(), **early(VULNERABLE)}, WEB, "warn", "warn", "warn", "fail"),
    ("tls.cert.ocsp_staple", stapled(b"", Trait(STAPLE, REFUSED)), WEB, "warn", "warn", "warn", "info"),
    ("tls.cert.ocsp_staple", stapled(EXPIRED), WEB, "warn", "warn", "warn", "fail"),
    ("tls.cert.ocsp_staple", stapled(b"\x30\x03\x0a\x01\x00"), WEB, "warn", "warn", "warn", "fail"),
]


@pytest.mark.parametrize(("control", "seen", "subject", *"dimn"), GRADED)
def test_verdicts(control: str, seen: Seen, subject: str, d: str, i: str, m: str, n: str) -> None:
    told = [found(policy, control, seen, subject) for policy in (DEFAULT, INTERMEDIATE, MODERN, NL)]
    assert [str(one.outcome) for one in told] == [d, i, m, n]
    assert len({one.tag for one in told} - {"DH_TOO_SHORT", "KEY_PHASE_OUT"}) == 1


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


def test_whether_suites_of_cbc_are_with_sha1_must_be_known_where_it_matters() -> None:
    seen = incomplete(tls(tls12=(SECRET, CBC_SHA2)), "TLS 1.2")
    assert [found(policy, "tls.cipher.cbc", seen).tag for policy in (DEFAULT, INTERMEDIATE)] == ["CBC_TOO"] * 2
    dutch = found(NL, "tls.cipher.cbc", seen)
    assert (dutch.outcome, dutch.reason) == (Outcome.UNKNOWN, Reason.RATE_LIMITED)
    older = incomplete(tls(tls12=(SECRET, CBC_SHA2, CBC)), "TLS 1.2")
    assert found(NL, "tls.cipher.cbc", older).tag == "CBC_SHA1_TOO"


def test_rules_that_a_policy_grades_stay_what_they_are() -> None:
    told = found(MODERN, "tls.protocol.tls13", tls())
    assert told.tag == "TLS13_AND_TLS12"
    assert replace(told, outcome=Outcome.PASS) == found(DEFAULT, "tls.protocol.tls13", tls())
