"""Certificates made to be expensive or to confuse: every rule ends with a verdict or a reason, after work that is counted."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from posture.checks import Case, Missing
from posture.checks.tls import RULES
from posture.checks.tls.x509 import issuer_of, name_of
from posture.facts import CrlFacts, KeyUseFacts, TlsFacts
from posture.facts.certificate import KeyUse
from posture.facts.parse_ocsp import read_staple
from posture.facts.parse_x509 import Malformed, certificate, issued, usable_key
from posture.facts.tls import ACCEPTED, STAPLE, Trait
from posture.model import Unobserved, Verdict
from tests.checks.tls.odd import NAME, PLAIN, integer, rsa_key, sequence, value, with_key, with_part
from tests.checks.tls.pki import AT, MIDDLE, ROOT, Pair, issue
from tests.checks.tls.revoking import LIST_URL, points, responder_at
from tests.checks.tls.seen import Seen, case_of, chain

OF_CERTIFICATES = [rule for rule in RULES if rule.control.startswith("tls.cert.")]


def verdicts(seen: Seen) -> dict[str, str]:
    """By control, the tag or the reason; whatever else a rule does is a bug and comes out."""
    said: dict[str, str] = {}
    also: Seen = {"crl": CrlFacts("", ()), "key_use": KeyUseFacts((KeyUse("", (), (), 0),))}
    for rule in OF_CERTIFICATES:
        case = case_of({**also, **seen}, {})
        try:
            judged = rule.judge(case)
        except Missing as missing:
            said[rule.control] = str(
                missing.answer.reason if isinstance(missing.answer, Unobserved) else missing.answer
            )
        else:
            if isinstance(judged, Verdict):
                said[rule.control] = judged.tag
                assert len(repr(judged.args)) < 20_000
    return said


def named(*names: str) -> Pair:
    return issue(NAME, MIDDLE, names=names)


def constrained(excluded: int) -> Pair:
    """An authority with that many name constraints."""
    trees = [x509.DNSName(f"n{number}.example") for number in range(excluded)]
    constraints = x509.NameConstraints(None, trees)
    return issue("Constrained CA", ROOT, ca=True, extensions=(constraints,))


def subject(*, tag: int, content: bytes) -> bytes:
    """The leaf with another subject: one common name, as any kind of string."""
    oid = bytes.fromhex("0603550403")
    wanted = sequence(value(0x31, sequence(oid, value(tag, content))))
    return with_part(PLAIN.cert.subject.public_bytes(), wanted)


def with_long_oid(octets: int) -> bytes:
    """The leaf with an extension whose object identifier is that long."""
    marker = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5.6.7"), b"x")
    base = issue(NAME, MIDDLE, names=(NAME,), extensions=(marker,))
    found = sequence(bytes.fromhex("06062a0304050607"), value(4, b"x"))
    long = sequence(value(6, b"\x2a" + b"\x83" * octets + b"\x01"), value(4, b"x"))
    # The lists around it grow, too: it is put in the place of the whole of them.
    extensions = base.cert.tbs_certificate_bytes
    begin = extensions.index(found)
    outer = extensions.rindex(b"\xa3", 0, begin)
    kept = extensions[outer:][extensions[outer:].index(b"\x30") :]
    inner = kept[2 + (kept[1] & 0x7F if kept[1] & 0x80 else 0) :]
    return with_part(extensions[outer:], value(0xA3, sequence(inner.replace(found, long))), of=base)


def test_thousands_of_names() -> None:
    many = named(*(f"h{number}.gov.example" for number in range(3000)), NAME)
    said = verdicts(chain(many, MIDDLE))
    assert said["tls.cert.hostname"] == "CERT_NAME_MATCHES"
    assert said["tls.cert.trust"] == "CERT_TRUSTED"


def test_a_hundred_certificates_that_do_not_belong_there() -> None:
    others = [issue(f"Other CA {number}", ROOT, ca=True) for number in range(100)]
    said = verdicts(chain(named(NAME), MIDDLE, *others))
    assert (said["tls.cert.trust"], said["tls.cert.chain"]) == ("CERT_TRUSTED", "CHAIN_UNTIDY")


@pytest.mark.parametrize("names", [10, 3000])
def test_names_times_constraints(names: int) -> None:
    """OpenSSL gives up beyond a million comparisons, and so does whoever else would check them."""
    authority = constrained(3000)
    leaf = issue(NAME, authority, names=tuple(f"h{number}.gov.example" for number in range(names)))
    said = verdicts(chain(leaf, authority))
    assert said["tls.cert.trust"] == ("CERT_TRUSTED" if names == 10 else "CERT_UNTRUSTED")


@pytest.mark.parametrize("bits", [4096, 16_384, 16_385, 65_536])
def test_a_huge_key_of_the_leaf_is_not_worked_with(bits: int) -> None:
    said = verdicts(chain(with_key(rsa_key((1 << (bits - 1)) + 12_345 * 2 + 1)), MIDDLE))
    assert said["tls.cert.key"] == ("malformed" if bits > 16_384 else said["tls.cert.key"])
    assert said["tls.cert.trust"] in ("CERT_TRUSTED", "CERT_UNTRUSTED", "CERT_MALFORMED")


@pytest.mark.parametrize(
    ("info", "usable"),
    [
        (rsa_key((1 << 2047) + 1), True),
        (rsa_key((1 << 16_383) + 1), True),
        (rsa_key((1 << 16_384) + 1), False),
        (rsa_key((1 << 2047) + 1, (1 << 64) + 1), False),
        (rsa_key((1 << 2047) + 1, (1 << 63) + 1), True),
    ],
    ids=["2048", "16384", "16385", "a long exponent", "64 bits of it"],
)
def test_signatures_are_checked_only_with_keys_that_cost_little(info: bytes, usable: bool) -> None:
    heavy = certificate(with_key(info))
    assert (usable_key(heavy) is not None) is usable
    leaf = issue("under it", Pair(heavy, ec.generate_private_key(ec.SECP256R1())))
    assert not issued(heavy, leaf.cert)


@pytest.mark.parametrize(
    ("tag", "content", "shown"),
    [
        (0x1E, "a\x07b\u202ec".encode("utf-16-be"), "a?b?c"),
        (0x1E, b"odd", None),
        (0x1E, b"\xd8\x00", None),
        (0x0C, b"\x1b[31mred\r\n", "?[31mred??"),
        (0x0C, b"\xff\xfe", None),
        (0x14, b"a\x00b", "a?b"),
        (0x1C, "\U0001f600".encode("utf-32-be"), "\U0001f600"),
        (0x13, b"*@&", "*@&"),
        (0x0C, b"x" * 5000, "x" * 80),
        (0x0C, b"", ""),
        (0x7F, b"x", None),
    ],
)
def test_names_of_every_kind_of_string_are_shown_without_what_controls_a_terminal(
    tag: int, content: bytes, shown: str | None
) -> None:
    der = subject(tag=tag, content=content)
    verdicts(chain(der, MIDDLE))
    try:
        read = certificate(der)
    except Malformed:
        return
    told = name_of(read)
    assert len(told) <= 80
    assert told.isprintable()
    assert issuer_of(read).isprintable()
    if shown is not None:
        assert told in (shown, "CN=" + shown, "(no name)")


@pytest.mark.parametrize("octets", [5, 100, 50_000])
def test_long_object_identifiers(octets: int) -> None:
    said = verdicts(chain(with_long_oid(octets), MIDDLE))
    assert set(said) >= {"tls.cert.trust", "tls.cert.expiry"}


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        sequence(sequence()),
        sequence(sequence(integer(1) * 10_000)),
        value(0x30, *[b"\x30\x80"] * 5000),
        PLAIN.der[:-1],
        PLAIN.der + b"\0",
        MIDDLE.cert.tbs_certificate_bytes,
    ],
    ids=range(11),
)
def test_what_is_no_certificate_is_malformed_wherever_it_stands(der: bytes) -> None:
    said = verdicts(chain(der, MIDDLE))
    assert said["tls.cert.trust"] == "CERT_MALFORMED"
    assert {word for control, word in said.items() if control not in ("tls.cert.trust", "tls.cert.shared_key")} == {
        "malformed"
    }
    among = verdicts(chain(PLAIN, der, MIDDLE))
    assert among["tls.cert.trust"] == "CERT_TRUSTED"


def test_a_response_of_thousands_of_answers_is_read_to_a_limit() -> None:
    rich = issue(NAME, MIDDLE, names=(NAME,), extensions=(responder_at(), points(LIST_URL)))
    for staple in (b"", b"\x30\x00", sequence(*[b"\x0a\x01\x00"] * 10_000), b"\x30\x03\x0a\x01\x00" * 1000):
        assert read_staple(staple, (rich.der, MIDDLE.der)).word == "malformed"
        seen = chain(rich, MIDDLE, staple=staple, traits=(Trait(STAPLE, ACCEPTED),))
        assert verdicts(seen)["tls.cert.ocsp_staple"] in ("STAPLE_BAD", "not_recorded")


def test_the_case_is_the_one_that_rules_meet() -> None:
    """Guards these tests: an empty list of rules would prove nothing."""
    assert len(OF_CERTIFICATES) == 12
    case: Case = case_of(chain(PLAIN, MIDDLE), {})
    assert isinstance(case.need(TlsFacts), TlsFacts)
    assert case.at == AT
    quiet: Any = verdicts(chain(PLAIN, MIDDLE))
    assert quiet["tls.cert.hostname"] == "CERT_NAME_MATCHES"
