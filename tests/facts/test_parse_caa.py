"""The value of CAA issue properties by RFC 8659 section 4.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.facts.parse_caa import CaaError, Issuer, parse_issuer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ca.example", Issuer("ca.example")),
        ("  CA.Example ", Issuer("ca.example")),
        (";", Issuer("")),
        ("", Issuer("")),
        ("ca.example;", Issuer("ca.example")),
        (
            "ca.example; AccountURI=https://ca.example/acct/1; validationmethods=dns-01",
            Issuer("ca.example", (("accounturi", "https://ca.example/acct/1"), ("validationmethods", "dns-01"))),
        ),
        ("ca.example; policy=", Issuer("ca.example", (("policy", ""),))),
    ],
)
def test_issuers(value: str, expected: Issuer) -> None:
    assert parse_issuer(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "Let's Encrypt",
        "ca..example",
        "-ca.example",
        "ca.example policy",
        "ca.example; policy",
        "%%%%%",
        "ca.example;;a=b",
    ],
)
def test_what_authorities_read_as_nobody(value: str) -> None:
    with pytest.raises(CaaError):
        parse_issuer(value)


@given(st.one_of(st.text(), st.text("abc.;= -\t")))
def test_any_text_gives_an_issuer_or_a_caa_error(value: str) -> None:
    try:
        issuer = parse_issuer(value)
    except CaaError:
        return
    assert issuer.domain == issuer.domain.lower()
