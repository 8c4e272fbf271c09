"""The grammar of RFC 7208 section 12, and what a receiver must read as permerror."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.facts.parse_spf import SpfError, SpfRecord, expand, is_spf, parse_spf

GOOD = [
    "v=spf1",
    "V=SPF1 MX -ALL",
    "v=spf1   a  mx ",
    "v=spf1 a:mail.gov.example/24//64 -all",
    "v=spf1 a/24 mx//64 -all",
    "v=spf1 a:x.test/0 mx:x.test/32//128",
    "v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 ip6:::1 -all",
    "v=spf1 ip4:198.51.100.7/24 ~all",
    "v=spf1 exists:%{i}._spf.%{d} -all",
    "v=spf1 exists:%{l1r-}.%{d2} ?all",
    "v=spf1 include:%{d} -all",
    "v=spf1 include:_spf.gov.example. -all",
    "v=spf1 include:x.x-n--p1ai -all",
    "v=spf1 redirect=_spf.gov.example",
    "v=spf1 -all exp=explain.%{d}",
    "v=spf1 mx moo.cow-far_out=man:dog/cat -all",
    "v=spf1 ptr:gov.example -all",
    "v=spf1 -all redirect=x.test",
]
# (record, the term at fault)
BAD = [
    ("v=spf10 -all", "v=spf10 -all"),
    ("v=spf1-all", "v=spf1-all"),
    ("v=spf1 all:x.test", "all:x.test"),
    ("v=spf1 ipv4:198.51.100.1 -all", "ipv4:198.51.100.1"),
    ("v=spf1 ip4:198.51.100 -all", "ip4:198.51.100"),
    ("v=spf1 ip4:198.51.100.1/33", "ip4:198.51.100.1/33"),
    ("v=spf1 ip4:198.51.100.1/", "ip4:198.51.100.1/"),
    ("v=spf1 ip4:198.51.100.1/255.255.255.0", "ip4:198.51.100.1/255.255.255.0"),
    ("v=spf1 ip4:198.51.100.1/024", "ip4:198.51.100.1/024"),
    ("v=spf1 ip4", "ip4"),
    ("v=spf1 ip6:fe80::1%eth0", "ip6:fe80::1%eth0"),
    ("v=spf1 ip6:198.51.100.1", "ip6:198.51.100.1"),
    ("v=spf1 include", "include"),
    ("v=spf1 include: -all", "include:"),
    ("v=spf1 include:localhost", "include:localhost"),
    ("v=spf1 include:198.51.100.1", "include:198.51.100.1"),
    ("v=spf1 a:x.test/33", "a:x.test/33"),
    ("v=spf1 a:x.test//129", "a:x.test//129"),
    ("v=spf1 a:", "a:"),
    ("v=spf1 ptr/24", "ptr/24"),
    ("v=spf1 exists:%{x}.test", "exists:%{x}.test"),
    ("v=spf1 exists:%{d0}.test", "exists:%{d0}.test"),
    ("v=spf1 exists:%d.test", "exists:%d.test"),
    ("v=spf1 redirect=x.test redirect=y.test", "redirect=y.test"),
    ("v=spf1 exp=x.test exp=y.test", "exp=y.test"),
    ("v=spf1 redirect=", "redirect="),
    ("v=spf1 mx; -all", "mx;"),
    ("v=spf1 mx,-all", "mx,-all"),
    ("v=spf1\tmx", "v=spf1\tmx"),
    ("v=spf1 +-all", "+-all"),
    ("v=spf1 include:caf\xe9.test", "include:caf\xe9.test"),
    ("v=spf1 mx \u2013all", "\u2013all"),
    ("v=spf1 =x", "=x"),
]


@pytest.mark.parametrize("text", GOOD)
def test_records_of_the_grammar_parse(text: str) -> None:
    assert parse_spf(text).text == text


@pytest.mark.parametrize(("text", "term"), BAD)
def test_a_permerror_names_the_first_term_at_fault(text: str, term: str) -> None:
    with pytest.raises(SpfError) as fault:
        parse_spf(text)

    assert fault.value.term == term


def test_the_parts_of_a_record() -> None:
    record = parse_spf("v=spf1 ~include:a.test ip4:198.51.100.0/24 -all mx x=1 redirect=b.test exp=c.test")

    assert [(one.qualifier, one.name, one.domain) for one in record.mechanisms] == [
        ("~", "include", "a.test"),
        ("+", "ip4", ""),
        ("-", "all", ""),
        ("+", "mx", ""),
    ]
    assert (record.redirect, record.exp, record.unknown) == ("b.test", "c.test", ("x",))
    assert str(record.mechanisms[1].network) == "198.51.100.0/24"
    assert [one.name for one in record.evaluated] == ["include", "ip4", "all"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("v=spf1", True), ("v=spf1 x", True), ("V=Spf1 ", True), ("v=spf1x", False), (" v=spf1", False), ("spf1", False)],
)
def test_what_is_an_spf_record_at_all(text: str, expected: bool) -> None:
    assert is_spf(text) is expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", "mail.gov.example"),
        ("_spf.X.test.", "_spf.x.test"),
        ("%{d}", "mail.gov.example"),
        ("%{d2}.x.test", "gov.example.x.test"),
        ("%{dr}", "example.gov.mail"),
        ("%{d1r}.test", "mail.test"),
        ("a%%b%_c%-d.test", "a%b c%20d.test"),
        ("%{i}.%{d}", None),
        ("%{l}.test", None),
    ],
)
def test_only_the_domain_is_known_before_a_message_arrives(spec: str, expected: str | None) -> None:
    assert expand(spec, "mail.gov.example") == expected


def test_an_expansion_too_long_for_a_name_loses_labels_on_the_left() -> None:
    expanded = expand(".".join(["%{d}"] * 10), "a" * 50 + ".test")

    assert expanded is not None
    assert len(expanded) <= 253
    assert expanded.endswith("a" * 50 + ".test")


TERMS = st.sampled_from(
    ["a", "mx", "include:", "ip4:", "exists:", "%{", "d", "}", "/24", "//", "=", ".", "-all", " ", "1"]
)


@given(st.one_of(st.text(), st.lists(TERMS).map("".join)))
def test_any_text_gives_a_record_or_an_spf_error(text: str) -> None:
    try:
        record = parse_spf("v=spf1 " + text)
    except SpfError:
        return
    assert isinstance(record, SpfRecord)
    for mechanism in record.mechanisms:
        expand(mechanism.domain, "gov.example")
    expand(record.redirect, "gov.example")


@pytest.mark.parametrize("filler", ["a", ".", "a.", "%%", "0", "-", "a=", "/1"])
def test_long_hostile_records_cost_no_time_to_speak_of(filler: str) -> None:
    for prefix in ("include:", "a:", "x=", "exp=", ""):
        with pytest.raises(SpfError):
            parse_spf(f"v=spf1 {prefix}{filler * (16_000 // len(filler))}!\x7f")
