"""Whatever stands where a certificate, a list or a staple should be: every rule about certificates ends, and only as rules do."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.checks import Case, Declared, Missing, Reference
from posture.checks.tls import RULES
from posture.facts import CrlFacts, TlsFacts
from posture.facts.parse_crl import load, read_list
from posture.facts.parse_ocsp import read_staple
from posture.facts.parse_x509 import UNREADABLE, certificate
from posture.facts.tls import ACCEPTED, STAPLE, Trait, VersionAnswer
from posture.model import Answer, AssetKey, Observed, ProbeClass, Verdict
from posture.plan import FOLLOWS
from posture.policy import load_policy
from posture.scan.following import follow_up
from posture.scan.shelf import Shelf
from posture.task import Task
from tests.checks.tls.pki import AT, MIDDLE, ROOT, issue
from tests.checks.tls.revoking import LIST_URL, coded, points, responder, responder_at, response, revocation_list
from tests.checks.tls.test_issuance import MUST_STAPLE

NAME, WEB = "www.gov.example", "192.0.2.7:443/tcp"
RICH = issue(
    NAME,
    MIDDLE,
    names=(NAME, "*.gov.example", "192.0.2.7"),
    extensions=(points(LIST_URL), responder_at(), MUST_STAPLE),
)
RESPONDER = responder()
STAPLE_SENT = response(RICH, "REVOKED", by=RESPONDER, enclosed=(RESPONDER,))
LIST = revocation_list(RICH)
CONTROLS = [rule for rule in RULES if rule.control.startswith("tls.cert.")]
POLICY = load_policy()
HOST = AssetKey(NAME, "host")
SHELF = Shelf({MIDDLE.cert.subject.public_bytes(): (LIST,)}, frozenset({b"x" * 10}))


def judged(*chain: bytes, staple: bytes = STAPLE_SENT) -> int:
    """Asks every rule; the number that gave a verdict. Anything raised but Missing comes out and fails the test."""
    spoken = (VersionAnswer("TLS 1.3", ACCEPTED),)
    facts = TlsFacts(NAME, "", spoken, chain, traits=(Trait(STAPLE, ACCEPTED),), staple=staple)
    answers: dict[tuple[str, str], Answer] = {("tls", WEB): Observed(facts, AT)}
    if chain:
        answers["crl", WEB] = Observed(CrlFacts(sha256(chain[0]).hexdigest(), ()), AT)
    case = Case(Declared(NAME, "host"), WEB, answers, POLICY, AT, Reference(ROOT.pem, "sha256:test"))
    given_verdict = 0
    for rule in CONTROLS:
        try:
            given_verdict += isinstance(rule.judge(case), Verdict)
        except Missing:
            continue
    told = Task("finance", NAME, "host", "crl", "tls", ProbeClass.CLIENT, WEB, NAME, "a", params={FOLLOWS: "tls"})
    seen = {(HOST, "tls", WEB): answers["tls", WEB]}
    follow_up([told, replace(told, probe="key_use", subject="")], seen, {HOST: "finance"}, SHELF, AT)
    return given_verdict


def exchanged(der: bytes, place: int, new: bytes) -> bytes:
    at = place % len(der)
    return der[:at] + new + der[at + len(new) :]


PLACES, BYTES = st.integers(0, 100_000), st.binary(min_size=1, max_size=4)
MANY = settings(max_examples=400, deadline=None)


def test_untouched_everything_is_judged() -> None:
    assert judged(RICH.der, MIDDLE.der) >= 8


@MANY
@given(place=PLACES, new=BYTES)
def test_a_leaf_with_bytes_exchanged(place: int, new: bytes) -> None:
    judged(exchanged(RICH.der, place, new), MIDDLE.der)


@MANY
@given(place=PLACES, new=BYTES)
def test_an_issuer_with_bytes_exchanged(place: int, new: bytes) -> None:
    judged(RICH.der, exchanged(MIDDLE.der, place, new))


@MANY
@given(end=PLACES, more=st.binary(max_size=8))
def test_a_chain_cut_short_with_something_behind(end: int, more: bytes) -> None:
    judged(RICH.der[: end % len(RICH.der)] + more, MIDDLE.der[: end % len(MIDDLE.der)])


@MANY
@given(chain=st.lists(st.binary(max_size=200), max_size=4), staple=st.binary(max_size=100))
def test_anything_for_a_chain(chain: list[bytes], staple: bytes) -> None:
    judged(*chain, staple=staple)


@MANY
@given(place=PLACES, new=BYTES)
def test_a_staple_with_bytes_exchanged(place: int, new: bytes) -> None:
    altered = exchanged(STAPLE_SENT, place, new)
    judged(RICH.der, MIDDLE.der, staple=altered)
    said = read_staple(altered, (RICH.der, MIDDLE.der))
    assert said.word != "good"


@MANY
@given(place=PLACES, new=BYTES)
def test_a_list_with_bytes_exchanged(place: int, new: bytes) -> None:
    try:
        altered = load(exchanged(coded(LIST), place, new))
    except ValueError:
        return
    said = read_list(altered, LIST_URL, RICH.cert, [MIDDLE.cert], AT)
    assert said.word != "not_listed", "the number that is listed is under the signature"


@pytest.mark.parametrize("length", range(0, len(RICH.der), 7))
def test_every_kind_of_fault_in_reading_is_foreseen(length: int) -> None:
    with pytest.raises(UNREADABLE):
        certificate(RICH.der[:length])
