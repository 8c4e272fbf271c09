"""Who shares a key, and who may ask to be on the browsers' list: every outcome on recorded facts."""

from __future__ import annotations

from typing import Any

import pytest

from posture.checks import Case, Declared, Missing
from posture.facts import HttpFacts, KeyUseFacts
from posture.facts.certificate import KeyUse, WildcardUse
from posture.facts.http import Hop
from posture.model import Absent, AbsentCause, Answer, Observed, Reason, Unobserved, Verdict
from tests.checks.tls.pki import AT
from tests.checks.tls.seen import NAME, POLICY, RULES, WEB

PLAIN = WEB.replace(":443/", ":80/")
KEY, OTHER_KEY = "ab" * 32, "cd" * 32
GOOD = "max-age=31536000; includeSubDomains; preload"
CLOSED = Absent(AbsentCause.CLOSED, AT)
SILENT = Unobserved(Reason.TIMEOUT, AT)

Answers = dict[tuple[str, str], Any]


def uses(*keys: KeyUse, wildcards: tuple[WildcardUse, ...] = (), unreadable: int = 0) -> Answers:
    return {("key_use", ""): KeyUseFacts(keys, wildcards, unreadable)}


def use(key: str = KEY, own: tuple[str, ...] = (), foreign: int = 0) -> KeyUse:
    return KeyUse(key, (WEB,), own, foreign)


def page(value: str | None, *, certificate: str = "trusted", subject: str = WEB, status: int = 200) -> Answers:
    headers = (("strict-transport-security", value),) if value is not None else ()
    return {("http", subject): HttpFacts("https", (Hop(f"https://{NAME}/", status, headers),), "final", certificate)}


def plain(status: int = 301, location: str = f"https://{NAME}/", *, subject: str = PLAIN) -> Answers:
    headers = (("location", location),) if location else ()
    return {("http", subject): HttpFacts("http", (Hop(f"http://{NAME}/", status, headers),), "final")}


NO_PAGE: Answers = {("http", PLAIN): CLOSED}
SECOND, SECOND_PLAIN = "192.0.2.8:443/tcp", "192.0.2.8:80/tcp"

SHARING: list[tuple[Any, ...]] = [
    ("tls.cert.shared_key", "one user", uses(use()), "KEY_NOT_SHARED"),
    ("tls.cert.shared_key", "within", uses(use(own=("app.gov.example",))), "KEY_SHARED_WITHIN"),
    ("tls.cert.shared_key", "across", uses(use(), use(OTHER_KEY, ("app.gov.example",), 2)), "KEY_SHARED_ACROSS"),
    (
        "tls.cert.shared_key",
        "a wildcard",
        uses(use(own=("app.gov.example",)), wildcards=(WildcardUse("*.gov.example", 3),)),
        "WILDCARD_OVER_OWNERS",
    ),
    (
        "tls.cert.shared_key",
        "a wildcard and the key",
        uses(use(foreign=1), wildcards=(WildcardUse("*.gov.example", 3),)),
        "KEY_SHARED_ACROSS",
    ),
    ("tls.cert.shared_key", "one is unreadable", uses(use(), unreadable=1), Reason.MALFORMED),
    ("tls.cert.shared_key", "across, one unreadable", uses(use(foreign=1), unreadable=1), "KEY_SHARED_ACROSS"),
    ("tls.cert.shared_key", "unseen", {("key_use", ""): SILENT}, Reason.TIMEOUT),
]
PRELOAD: list[tuple[Any, ...]] = [
    ("tls.hsts.preload", "eligible", page(GOOD) | plain(), "PRELOAD_ELIGIBLE"),
    ("tls.hsts.preload", "eligible without port 80", page(GOOD) | NO_PAGE, "PRELOAD_ELIGIBLE"),
    ("tls.hsts.preload", "not asked", page("max-age=31536000; includeSubDomains") | plain(), "PRELOAD_NOT_ASKED"),
    ("tls.hsts.preload", "no header", page(None) | plain(), "PRELOAD_NOT_ASKED"),
    ("tls.hsts.preload", "turned away", page(None, status=403) | plain(), Reason.REFUSED_BY_TARGET),
    ("tls.hsts.preload", "a header that nobody reads", page("preload; preload") | plain(), "PRELOAD_NOT_ASKED"),
    ("tls.hsts.preload", "short", page(GOOD.replace("31536000", "31535999")) | plain(), "PRELOAD_NOT_ELIGIBLE"),
    ("tls.hsts.preload", "itself only", page("max-age=31536000; preload") | plain(), "PRELOAD_NOT_ELIGIBLE"),
    ("tls.hsts.preload", "untrusted", page(GOOD, certificate="untrusted") | plain(), "PRELOAD_NOT_ELIGIBLE"),
    ("tls.hsts.preload", "served over HTTP", page(GOOD) | plain(200, ""), "PRELOAD_NOT_ELIGIBLE"),
    (
        "tls.hsts.preload",
        "redirects elsewhere",
        page(GOOD) | plain(301, "https://portal.gov.example/"),
        "PRELOAD_NOT_ELIGIBLE",
    ),
    (
        "tls.hsts.preload",
        "at one address only",
        page(GOOD) | page(None, subject=SECOND) | plain() | plain(subject=SECOND_PLAIN),
        "PRELOAD_NOT_ELIGIBLE",
    ),
    ("tls.hsts.preload", "HTTP not seen", page(GOOD) | {("http", PLAIN): SILENT}, Reason.TIMEOUT),
    ("tls.hsts.preload", "HTTP in trouble", page(GOOD) | plain(503, ""), Reason.TEMPORARY),
    ("tls.hsts.preload", "one address not seen", page(GOOD) | plain() | {("http", SECOND): SILENT}, Reason.TIMEOUT),
    (
        "tls.hsts.preload",
        "bad at one, the other not seen",
        page("max-age=1; preload") | plain() | {("http", SECOND): SILENT},
        "PRELOAD_NOT_ELIGIBLE",
    ),
    ("tls.hsts.preload", "unseen", {("http", WEB): SILENT}, Reason.TIMEOUT),
]
CASES = [*SHARING, *PRELOAD]


def case_of(answers: Answers) -> Case:
    told: dict[tuple[str, str], Answer] = {
        key: one if isinstance(one, (Absent, Unobserved)) else Observed(one, AT) for key, one in answers.items()
    }
    return Case(Declared(NAME, "host"), "", told, POLICY, AT)


@pytest.mark.parametrize(
    ("control", "_name", "answers", "expected"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_verdict(control: str, _name: str, answers: Answers, expected: str | Reason) -> None:
    if not isinstance(expected, Reason):
        verdict = RULES[control].judge(case_of(answers))
        assert isinstance(verdict, Verdict)
        assert verdict.tag == expected
        return
    with pytest.raises(Missing) as missing:
        RULES[control].judge(case_of(answers))
    assert isinstance(missing.value.answer, Unobserved)
    assert missing.value.answer.reason is expected


def test_other_ministries_are_counted_and_never_named() -> None:
    verdict = RULES["tls.cert.shared_key"].judge(case_of(uses(use(own=("app.gov.example",), foreign=2))))
    assert verdict.args == {"ministries": 2, "key": KEY[:16]}


def test_a_run_of_some_assets_says_nothing_of_shared_keys() -> None:
    assert RULES["tls.cert.shared_key"].judge(case_of({("tls", WEB): SILENT})) == ()


def test_without_a_site_there_is_nothing_to_list() -> None:
    for answers in ({("http", WEB): CLOSED} | NO_PAGE, {("http", ""): CLOSED}):
        with pytest.raises(Missing) as missing:
            RULES["tls.hsts.preload"].judge(case_of(answers))
        assert isinstance(missing.value.answer, Absent)
    assert RULES["tls.hsts.preload"].judge(case_of(plain())) == ()


def test_every_fault_is_told_once() -> None:
    both = page("max-age=1; preload") | page("max-age=1; preload", subject=SECOND) | plain(200, "")
    verdict = RULES["tls.hsts.preload"].judge(case_of(both))
    assert verdict.args["faults"] == [
        "HTTP does not lead to HTTPS on the same host",
        "includeSubDomains is missing",
        "max-age is less than a year",
    ]
