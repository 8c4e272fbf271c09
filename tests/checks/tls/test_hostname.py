"""RFC 9525 clause by clause: which names a certificate stands for, and which only look like it."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from posture.checks import Missing
from posture.checks.tls.x509 import Names, matches, names
from posture.facts.parse_x509 import Malformed, certificate
from posture.model import Reason, Unobserved
from tests.checks.tls.odd import NAME, sequence, value
from tests.checks.tls.pki import MIDDLE, issue
from tests.checks.tls.seen import chain, judge


def found(*presented: str) -> Names:
    return names(issue("cn.gov.example", MIDDLE, names=presented).cert)


MATCHING = [
    # 6.3: ASCII letters in any case, whole labels
    ("www.gov.example", "www.gov.example"),
    ("WWW.Gov.Example", "www.gov.example"),
    ("www.gov.example", "WWW.GOV.EXAMPLE"),
    # a wildcard that is the whole left-most label stands for exactly one label
    ("*.gov.example", "www.gov.example"),
    ("*.gov.example", "xn--bcher-kva.gov.example"),
    ("*.finance.gov.example", "a.finance.gov.example"),
    # 2: internationalised names are compared as A-labels
    ("xn--bcher-kva.gov.example", "xn--bcher-kva.gov.example"),
    # the dot of the root is of the name that is asked, not of another host
    ("www.gov.example", "www.gov.example."),
    ("*.gov.example", "www.gov.example."),
    # 6.4: addresses, octet by octet, however they are written
    ("192.0.2.7", "192.0.2.7"),
    ("2001:db8::7", "2001:0DB8:0:0::7"),
]
NOT_MATCHING = [
    # one label, not none and not two
    ("*.gov.example", "gov.example"),
    ("*.gov.example", "a.b.gov.example"),
    ("*.gov.example", ".gov.example"),
    ("*.gov.example", "*.gov.example"),
    # not in another place than left-most, not a part of a label, not twice
    ("www.*.example", "www.gov.example"),
    ("w*.gov.example", "www.gov.example"),
    ("*w.gov.example", "www.gov.example"),
    ("w*w.gov.example", "www.gov.example"),
    ("xn--*.gov.example", "xn--bcher-kva.gov.example"),
    ("*.*.gov.example", "a.b.gov.example"),
    ("*", "localhost"),
    ("*.example", "gov.example"),
    # whole labels only
    ("gov.example", "www.gov.example"),
    ("www.gov.example", "gov.example"),
    ("ww.gov.example", "www.gov.example"),
    ("www.gov.example", "www.gov.example.evil.example"),
    # a presented name with the dot of the root is not in the preferred syntax
    ("www.gov.example.", "www.gov.example"),
    # 6.2: an address is no DNS name, and a DNS name that looks like one is no address
    ("192.0.2.7", "192.0.2.8"),
    ("2001:db8::7", "2001:db8::8"),
    ("192.0.2.7", "::ffff:192.0.2.7"),
    # nothing is nothing
    ("www.gov.example", ""),
    ("www.gov.example", "."),
    ("www.gov.example", "www.gov.example.."),
]


@pytest.mark.parametrize(("presented", "asked"), MATCHING)
def test_names_that_match(presented: str, asked: str) -> None:
    assert matches(found(presented), asked)


@pytest.mark.parametrize(("presented", "asked"), NOT_MATCHING)
def test_names_that_do_not_match(presented: str, asked: str) -> None:
    assert not matches(found(presented), asked)


def test_an_address_counts_as_an_address_only() -> None:
    as_name = x509.SubjectAlternativeName([x509.DNSName("192.0.2.7"), x509.DNSName("*.0.2.7")])
    read = names(issue(NAME, MIDDLE, extensions=(as_name,)).cert)
    assert not matches(read, "192.0.2.7")
    assert matches(Names((), ("192.0.2.7",)), "192.0.2.7")


def test_other_kinds_of_names_and_the_common_name_do_not_count() -> None:
    """RFC 9525 section 2: neither the subject, nor URI-ID and SRV-ID, which belong to other applications."""
    other = [x509.UniformResourceIdentifier(f"https://{NAME}/"), x509.RFC822Name(f"web@{NAME}")]
    read = issue(NAME, MIDDLE, extensions=(x509.SubjectAlternativeName(other),))
    assert names(read.cert) == Names((), ())
    assert judge("tls.cert.hostname", chain(read, MIDDLE)).tag == "CERT_WITHOUT_NAMES"


def test_one_of_many_is_enough() -> None:
    assert matches(found(*(f"h{number}.gov.example" for number in range(500)), NAME), NAME)


@pytest.mark.parametrize(
    "raw",
    [b"www.gov.example\0.evil.example", b"www.gov.example ", b"www.gov.example\n", b"www\xe2\x84\xaa.gov.example"],
    ids=["NUL", "space", "newline", "Kelvin"],
)
def test_what_only_looks_like_the_name_does_not_match(raw: bytes) -> None:
    listed = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, sequence(value(0x82, raw)))
    try:
        read = names(certificate(issue(NAME, MIDDLE, extensions=(listed,)).der))
    except Malformed:
        return
    assert not any(matches(read, asked) for asked in (NAME, "wwwk.gov.example"))


def test_the_kelvin_sign_does_not_become_a_k_by_lower_case() -> None:
    assert "\u212a".lower() == "k"
    assert not matches(Names(("wwwk.gov.example",), ()), "www\u212a.gov.example")


@given(st.text(max_size=30), st.lists(st.text(max_size=20), max_size=4))
def test_any_text_is_compared_and_nothing_raises(asked: str, presented: list[str]) -> None:
    said = matches(Names(tuple(presented), ()), asked)
    assert not said or asked.lower().removesuffix(".") in presented or any(one.startswith("*.") for one in presented)


def test_an_unreadable_list_of_names_is_unknown() -> None:
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x80")
    with pytest.raises(Missing) as missing:
        judge("tls.cert.hostname", chain(issue(NAME, MIDDLE, extensions=(broken,)), MIDDLE))
    assert isinstance(missing.value.answer, Unobserved)
    assert missing.value.answer.reason is Reason.MALFORMED
