from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.inventory.names import (
    is_address,
    is_placeholder,
    parse_address,
    parse_asset_name,
    parse_contact,
    parse_name,
    parse_network,
    parse_selector,
)
from posture.inventory.reading import Fault


def refused(parse: Callable[[str], object], text: str) -> str:
    with pytest.raises(Fault) as caught:
        parse(text)
    assert caught.value.next
    return caught.value.code


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("WWW.Finance.GOV.example", "www.finance.gov.example"),
        ("www.finance.gov.example.", "www.finance.gov.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("a-b--c.example", "a-b--c.example"),
        ("schüler.example", "xn--schler-5ya.example"),
        ("SCHÜLER.example", "xn--schler-5ya.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("ministère。gouv。example", "xn--ministre-60a.gouv.example"),
        ("XN--Schler-5YA.example", "xn--schler-5ya.example"),
        ("www.example.xn--p1ai", "www.example.xn--p1ai"),
    ],
)
def test_a_name_has_one_spelling(text: str, name: str) -> None:
    assert parse_name(text) == name
    assert parse_name(name) == name


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "INV-010"),
        (".", "INV-010"),
        ("www", "INV-010"),
        ("a..example", "INV-010"),
        (".a.example", "INV-010"),
        ("a.example..", "INV-010"),
        ("under_score.example", "INV-010"),
        ("a b.example", "INV-010"),
        ("a;b.example", "INV-010"),
        ("trailing-.example", "INV-010"),
        (f"{'a' * 64}.example", "INV-010"),
        (f"{'a.' * 130}example", "INV-010"),
        ("xn--zzzzzz999999.example", "INV-010"),
        ("\u2620\ufe0f.example", "INV-010"),
        ("ü" * 5000 + ".example", "INV-010"),
        ("-oN", "INV-011"),
        ("-oN/tmp/x.example", "INV-011"),
        ("--script=x.example", "INV-011"),
        ("0x7f000001", "INV-012"),
        ("2130706433", "INV-012"),
        ("0177.0.0.1", "INV-012"),
        ("127.1", "INV-012"),
        ("127.0.0.0x1", "INV-012"),
        ("256.1.1.1", "INV-012"),
        ("\uff11\uff12\uff17.0.0.1", "INV-012"),
        ("fe80::1%eth0", "INV-012"),
        ("[2001:db8::1]", "INV-012"),
        ("www.finance.gov.example:443", "INV-012"),
        ("*.finance.gov.example", "INV-013"),
        ("https://www.finance.gov.example/", "INV-014"),
        ("198.51.100.0/24", "INV-014"),
    ],
)
def test_odd_names_are_refused(text: str, code: str) -> None:
    assert refused(parse_asset_name, text) == code


@pytest.mark.parametrize(
    ("text", "address"),
    [("198.51.100.7", "198.51.100.7"), ("2001:DB8:0::7", "2001:db8::7"), ("::1", "::1")],
)
def test_an_address_has_one_spelling(text: str, address: str) -> None:
    assert parse_asset_name(text) == address


@pytest.mark.parametrize(
    "text", ["::ffff:198.51.100.7", "fe80::1%1", "1.2.3", "01.2.3.4", "1.2.3.4 ", "٣.2.3.4", "[::1]"]
)
def test_odd_spellings_of_addresses_are_refused(text: str) -> None:
    assert refused(parse_address, text) == "INV-012"
    assert not is_address(text)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("0123456789.xabcdef:-", max_size=20))
def test_a_name_that_is_accepted_is_plain_and_stays_as_it_is(text: str) -> None:
    try:
        name = parse_asset_name(text)
    except Fault:
        return
    assert name.isascii()
    assert name == name.lower()
    assert not set(name) & set(" \t\r\n/\\%*[]_'\"$;&|<>`")
    assert not name.startswith("-")
    assert parse_asset_name(name) == name
    assert is_address(name) or not name.rpartition(".")[2].isdigit()


@pytest.mark.parametrize("text", ["198.51.100.0/24", "2001:db8:40::/48", "10.0.0.0/8", "2001:d00::/24", "198.51.100.7"])
def test_networks_of_an_owner_are_read(text: str) -> None:
    assert parse_network(text) == ip_network(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0.0.0.0/0", "INV-021"),
        ("8.0.0.0/7", "INV-021"),
        ("2000::/23", "INV-021"),
        ("198.51.100.7/24", "INV-021"),
        ("198.51.100.0/33", "INV-012"),
        ("198.51.100.0/", "INV-012"),
        ("198.51.100.0/255.255.255.0", "INV-012"),
        ("198.51.100.0/²4", "INV-012"),
        ("198.51.100.*", "INV-012"),
        ("::ffff:0:0/96", "INV-012"),
        ("finance.gov.example", "INV-012"),
    ],
)
def test_networks_that_nobody_owns_are_refused(text: str, code: str) -> None:
    assert refused(parse_network, text) == code


def test_selectors_keep_underscores_and_dots() -> None:
    assert parse_selector("S1._x.mail") == "s1._x.mail"
    assert refused(parse_selector, "a b") == "INV-010"
    assert refused(parse_selector, "*") == "INV-010"


@pytest.mark.parametrize("text", ["", "soc@cert.lc", "+1-758-555-0100", "https://cert.lc/contact"])
def test_contacts_that_can_be_sent_are_kept(text: str) -> None:
    assert parse_contact(text) == text


@pytest.mark.parametrize("text", ["söc@cert.lc", "soc@", "@cert.lc", "a b@cert.lc", "soc@-x.lc", "a\tb"])
def test_contacts_that_cannot_be_sent_are_refused(text: str) -> None:
    refused(parse_contact, text)


@pytest.mark.parametrize(
    ("contact", "is_example"),
    [
        ("", True),
        ("soc@cert.example", True),
        ("soc@a.test", True),
        ("soc@a.INVALID", True),
        ("root@localhost", True),
        ("soc@example.com", True),
        ("soc@mail.example.org", True),
        ("https://scan.example.net/x", True),
        ("soc@cert.lc", False),
        ("soc@notexample.com", False),
        ("soc@example.com.lc", False),
        ("https://cert.lc/example.com", False),
    ],
)
def test_placeholder_contacts_are_recognised(contact: str, is_example: bool) -> None:
    assert is_placeholder(contact) is is_example
