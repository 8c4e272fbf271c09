"""DMARC records as RFC 9989 reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.facts.parse_dmarc import POLICIES, DmarcError, is_dmarc, parse_dmarc, resembles_dmarc


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v=DMARC1", True),
        ("v=DMARC1;p=none", True),
        ("v = DMARC1 ; p=none", True),
        ("v=dmarc1; p=none", False),
        ("v=DMARC10; p=none", False),
        ("V=DMARC1; p=none", False),
        (" v=DMARC1; p=none", False),
        ("p=none; v=DMARC1", False),
        ("v=DMARC1 p=none", False),
    ],
)
def test_the_version_comes_first_and_exactly(text: str, expected: bool) -> None:
    assert is_dmarc(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v=dmarc1; p=none", True),
        ("p=reject", True),
        ("rua=mailto:x@y.test; p = none", True),
        ('"v=DMARC1; p=none"', True),
        ("v=spf1 -all", False),
        ("google-site-verification=p=none", False),
        ("", False),
    ],
)
def test_what_was_meant_as_dmarc_is_told_from_other_text(text: str, expected: bool) -> None:
    assert resembles_dmarc(text) is expected


# (rest of the record, policy, subdomain policy, policy of names that do not exist, usable)
POLICIES_OF = [
    ("p=reject", "reject", "reject", "reject", True),
    ("p=Reject; SP=None", "reject", "none", "none", True),
    ("p=none; sp=quarantine; np=reject", "none", "quarantine", "reject", True),
    ("rua=mailto:a@x.test", "none", "none", "none", True),
    ("p=rejct; rua=mailto:a@x.test", "none", "none", "none", True),
    ("p=reject; sp=bad; rua=mailto:a@x.test", "none", "none", "none", True),
    ("p=reject; np=bad", "none", "none", "none", False),
    ("p=bad", "none", "none", "none", False),
    ("rua=a@x.test", "none", "none", "none", False),
    ("", "none", "none", "none", False),
]


@pytest.mark.parametrize(("rest", "p", "sp", "np", "usable"), POLICIES_OF)
def test_policies_as_receivers_read_them(rest: str, p: str, sp: str, np: str, usable: bool) -> None:
    record = parse_dmarc("v=DMARC1; " + rest)

    assert (record.policy, record.subdomain_policy, record.nonexistent_policy, record.usable) == (p, sp, np, usable)


def test_testing_takes_a_policy_one_step_down() -> None:
    testing, live = parse_dmarc("v=DMARC1; p=reject; t=y"), parse_dmarc("v=DMARC1; p=reject; t=n")

    assert [testing.effective(policy) for policy in POLICIES] == ["none", "none", "quarantine"]
    assert [live.effective(policy) for policy in POLICIES] == list(POLICIES)


def test_the_other_tags() -> None:
    record = parse_dmarc(
        "v=DMARC1;p=none;psd=Y;pct=50;ri=3600;fo=1;x=1;nonsense;p=reject;"
        "rua=mailto:a@x.test!10m, https://x.test/r ,mailto:bad;"
    )

    assert (record.psd, record.percentage, record.removed, record.sized) == ("y", 50, ("pct", "ri"), True)
    assert record.ignored == ("x", "nonsense", "p")
    assert record.rua == ("mailto:a@x.test", "https://x.test/r")
    assert record.policy == "none"


def test_another_text_is_no_record() -> None:
    with pytest.raises(DmarcError):
        parse_dmarc("v=spf1 -all")


PIECES = st.sampled_from(
    ["p", "sp", "=", ";", "reject", "none", " ", "rua", "mailto:", "@", "!", ",", "pct", "9", "t=y"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_any_text_gives_a_record_or_a_dmarc_error(text: str) -> None:
    record = parse_dmarc("v=DMARC1;" + text)

    assert record.effective(record.subdomain_policy) in POLICIES
    resembles_dmarc(text)
    try:
        parse_dmarc(text)
    except DmarcError:
        assert not is_dmarc(text)
