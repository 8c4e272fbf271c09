"""What the rules make of facts about mail servers, of which little is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from posture.checks import Missing
from posture.facts import SmtpFacts
from posture.facts.smtp import SmtpAnswer
from posture.facts.tls import (
    ACCEPTED,
    DOWNGRADE_MARK,
    FALLBACK_SIGNAL,
    NOT_ASKED,
    POLITENESS,
    Trait,
    VersionAnswer,
)
from posture.model import Reason, Severity
from tests.checks.tls.seen import MX, RULES, SECRET, STATIC, Seen, case_of, incomplete, judge, legacy, tls

ON_MX = {"subject": MX}
SUBMISSION = "192.0.2.7:587/tcp"
ANONYMOUS = "TLS_DH_anon_WITH_AES_128_CBC_SHA"


def said_of(seen: Seen, *answers: VersionAnswer) -> Seen:
    """The same facts with other answers about some versions."""
    other = {answer.version: answer for answer in answers}
    facts = seen["tls"]
    return {**seen, "tls": replace(facts, versions=tuple(other.get(one.version, one) for one in facts.versions))}


def visit(version: str) -> dict[str, Any]:
    return {
        "smtp": SmtpFacts("mail.gov.example", (SmtpAnswer("192.0.2.25", "greeted", (), "offered", ACCEPTED, version),))
    }


UNASKED_13 = said_of(tls(), VersionAnswer("TLS 1.3", NOT_ASKED, POLITENESS))


@pytest.mark.parametrize(("version", "tag"), [("TLS 1.3", "TLS13_OFFERED"), ("TLS 1.2", "TLS12_ONLY")])
def test_the_visit_tells_of_tls13_what_was_not_asked(version: str, tag: str) -> None:
    assert judge("tls.protocol.tls13", {**UNASKED_13, **visit(version)}, ON_MX).tag == tag


def test_without_a_visit_what_was_not_asked_is_unknown() -> None:
    for seen in (UNASKED_13, {**UNASKED_13, "smtp": SmtpFacts("mail.gov.example", ())}):
        with pytest.raises(Missing) as missing:
            judge("tls.protocol.tls13", seen, ON_MX)
        assert missing.value.answer.reason is Reason.RATE_LIMITED  # type: ignore[union-attr]


def test_a_visit_does_not_overrule_what_the_probe_saw() -> None:
    refused = tls(tls13="TLS 1.2")

    assert judge("tls.protocol.tls13", {**refused, **visit("TLS 1.3")}, ON_MX).tag == "TLS12_ONLY"


def test_the_mark_of_a_downgrade_is_an_offer_of_tls13() -> None:
    marked = said_of(tls(), VersionAnswer("TLS 1.3", ACCEPTED, DOWNGRADE_MARK))

    assert judge("tls.protocol.tls13", marked, ON_MX).tag == "TLS13_OFFERED"


def test_the_worst_suite_of_an_exchanger_being_one_without_a_certificate_is_a_small_matter() -> None:
    found = judge("tls.cipher.insecure", incomplete(legacy(tls12=(ANONYMOUS,)), "TLS 1.2"), ON_MX)

    assert (found.tag, found.severity) == ("ANONYMOUS_SUITES_ON_MX", Severity.LOW)


@pytest.mark.parametrize("control", ["tls.cipher.forward_secrecy", "tls.cipher.cbc", "tls.kex.dh_group"])
@pytest.mark.parametrize("subject", [MX, SUBMISSION, "192.0.2.7:465/tcp"])
def test_what_only_a_list_of_suites_could_tell_is_not_judged_of_a_mail_server(control: str, subject: str) -> None:
    one_suite = incomplete(tls(tls12=(SECRET,)), "TLS 1.2")

    assert RULES[control].judge(case_of(one_suite, {"subject": subject})) == ()
    with pytest.raises(Missing):
        RULES[control].judge(case_of(one_suite, {"subject": "192.0.2.7:993/tcp"}))


def test_one_suite_without_forward_secrecy_is_no_list_either() -> None:
    one_suite = incomplete(tls(tls12=(STATIC,), tls13="TLS 1.2"), "TLS 1.2")

    assert RULES["tls.cipher.forward_secrecy"].judge(case_of(one_suite, {"subject": SUBMISSION})) == ()


def test_whether_a_signal_is_needed_is_not_judged_when_the_oldest_version_was_not_asked() -> None:
    signal = Trait(FALLBACK_SIGNAL, NOT_ASKED, POLITENESS)
    seen = said_of(tls(tls12="TLS 1.1"), VersionAnswer("TLS 1.1", ACCEPTED, "", (STATIC,)))
    seen = said_of(seen, VersionAnswer("TLS 1.0", NOT_ASKED, POLITENESS))

    assert RULES["tls.fallback_scsv"].judge(case_of({**seen, **legacy(signal)}, ON_MX)) == ()


def test_old_versions_refused_or_one_of_them_accepted_decide_without_the_other() -> None:
    accepted = said_of(tls(), VersionAnswer("TLS 1.1", ACCEPTED, "", (STATIC,)))
    seen = said_of(accepted, VersionAnswer("TLS 1.0", NOT_ASKED, POLITENESS))

    assert judge("tls.protocol.legacy", seen, ON_MX).tag == "LEGACY_PROTOCOL_ON_MX"
    with pytest.raises(Missing):
        judge("tls.protocol.legacy", said_of(tls(), VersionAnswer("TLS 1.0", NOT_ASKED, POLITENESS)), ON_MX)
