"""Lifetime, must-staple, timestamps and ROCA on real certificates made here, and unknown always."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from posture.checks import Reference
from posture.checks.tls.roca import has_roca_mark
from posture.facts.tls import ACCEPTED, NOT_ASKED, NOTHING_TO_ASK, REFUSED, SIGNED_TIMESTAMPS, STAPLE, UNCLEAR, Trait
from posture.model import Reason
from tests.checks.tls.pki import AT, DAY, MIDDLE, OTHER_ROOT, ROOT, Pair, issue
from tests.checks.tls.seen import MX, NAME, RULES, Seen, case_of, chain, judge, tls, told, unseen

SECOND = timedelta(seconds=1)
MUST_STAPLE = x509.TLSFeature([x509.TLSFeatureType.status_request])
OLD_STAPLE = x509.TLSFeature([x509.TLSFeatureType.status_request_v2])
KEY = ec.generate_private_key(ec.SECP256R1())
leaf = partial(issue, NAME, MIDDLE, names=(NAME,), key=KEY)


def living(days: int, issued: datetime = AT - DAY, **how: Any) -> Pair:
    """A certificate whose validity is so many days, both ends included."""
    return leaf(start=issued, end=issued + days * DAY - SECOND, **how)


def on(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


# ---- timestamps


def timestamp_list(*logs: bytes) -> bytes:
    """A SignedCertificateTimestampList of SCTs that nobody signed."""
    one = [b"\0" + log + (1_780_000_000_000).to_bytes(8) + b"\0\0" + b"\4\3\0\1s" for log in logs]
    body = b"".join(len(sct).to_bytes(2) + sct for sct in one)
    return len(body).to_bytes(2) + body


def embedded(*logs: bytes) -> x509.UnrecognizedExtension:
    octets = timestamp_list(*logs)
    inner = b"\x04" + _length(len(octets)) + octets
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), inner)


def _length(octets: int) -> bytes:
    return bytes((octets,)) if octets < 128 else b"\x81" + bytes((octets,))


LOGS = tuple(bytes((number,)) * 32 for number in range(4))
NO_TIMESTAMPS = (Trait(SIGNED_TIMESTAMPS, REFUSED), Trait(STAPLE, REFUSED))


def logged(*logs: bytes, days: int = 90, traits: tuple[Trait, ...] = NO_TIMESTAMPS, sent: bytes = b"") -> Seen:
    extensions = (embedded(*logs),) if logs else ()
    return chain(living(days, extensions=extensions), MIDDLE, traits=traits, timestamps=sent)


# ---- staples


DEMANDING = leaf(extensions=(MUST_STAPLE,))
STAPLED = (Trait(STAPLE, ACCEPTED),)


@cache
def staple(status: str = "GOOD", start: datetime = AT - DAY, end: datetime | None = AT + DAY, of: Any = None) -> bytes:
    about = (of or DEMANDING).cert
    revoked = status == "REVOKED"
    response = ocsp.OCSPResponseBuilder().add_response(
        *(about, MIDDLE.cert, hashes.SHA256(), ocsp.OCSPCertStatus[status], start, end),
        *(AT - DAY if revoked else None, None),
    )
    responder = response.responder_id(ocsp.OCSPResponderEncoding.HASH, MIDDLE.cert)
    return responder.sign(MIDDLE.key, hashes.SHA256()).public_bytes(Encoding.DER)


def stapled(response: bytes, *traits: Trait) -> Seen:
    return chain(DEMANDING, MIDDLE, traits=traits or STAPLED, staple=response)


OTHER = leaf(extensions=(MUST_STAPLE,))
UNSUCCESSFUL = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER)
INTERNAL = {"internal": True}
PRIVATE = issue(NAME, OTHER_ROOT, names=(NAME,), start=AT - DAY, end=AT + 900 * DAY)
NO_STORE = {"reference": Reference()}

LIFETIME_CASES: list[tuple[Any, ...]] = [
    ("tls.cert.lifetime", "90 days", chain(living(90), MIDDLE), {}, "LIFETIME_FITS"),
    ("tls.cert.lifetime", "100 days", chain(living(100), MIDDLE), {}, "LIFETIME_FITS"),
    ("tls.cert.lifetime", "101 days", chain(living(101), MIDDLE), {}, "LIFETIME_OVER_NEXT"),
    ("tls.cert.lifetime", "200 days", chain(living(200), MIDDLE), {}, "LIFETIME_OVER_NEXT"),
    ("tls.cert.lifetime", "201 days", chain(living(201), MIDDLE), {}, "LIFETIME_OVER"),
    (
        "tls.cert.lifetime",
        "one second too many",
        chain(leaf(start=AT - DAY, end=AT + 199 * DAY), MIDDLE),
        {},
        "LIFETIME_OVER",
    ),
    (
        "tls.cert.lifetime",
        "398 days of last year",
        chain(living(398, on(2026, 3, 14)), MIDDLE),
        {},
        "LIFETIME_OVER_NEXT",
    ),
    ("tls.cert.lifetime", "399 days of last year", chain(living(399, on(2026, 3, 14)), MIDDLE), {}, "LIFETIME_OVER"),
    ("tls.cert.lifetime", "a private authority", chain(PRIVATE, OTHER_ROOT), {}, "LIFETIME_NOT_PUBLIC"),
    ("tls.cert.lifetime", "internal", chain(living(900), MIDDLE), INTERNAL, "LIFETIME_NOT_PUBLIC"),
    ("tls.cert.lifetime", "no store", chain(living(90), MIDDLE), NO_STORE, Reason.FEED_STALE),
    ("tls.cert.lifetime", "a long chain cut", chain(living(90), chain_cut=True), {}, Reason.TRUNCATED),
    ("tls.cert.lifetime", "garbage", chain(b"\x30\x00"), {}, Reason.MALFORMED),
    ("tls.cert.lifetime", "unseen", unseen("tls", Reason.RESET), {}, Reason.RESET),
]
# Tested below at a time of its own.
AT_LIMIT: tuple[Any, ...] = ("tls.cert.lifetime", "47 days in 2030", {}, {}, "LIFETIME_AT_LIMIT")

STAPLE_CASES: list[tuple[Any, ...]] = [
    ("tls.cert.must_staple", "absent", chain(leaf(), MIDDLE), {}, "NO_STAPLE_DEMANDED"),
    ("tls.cert.must_staple", "another feature", chain(leaf(extensions=(OLD_STAPLE,))), {}, "NO_STAPLE_DEMANDED"),
    ("tls.cert.must_staple", "sent", stapled(staple()), {}, "DEMANDED_STAPLE_SENT"),
    ("tls.cert.must_staple", "sent, without an end", stapled(staple(end=None)), {}, "DEMANDED_STAPLE_SENT"),
    (
        "tls.cert.must_staple",
        "missing",
        stapled(b"", Trait(STAPLE, REFUSED)),
        {},
        "DEMANDED_STAPLE_MISSING",
    ),
    ("tls.cert.must_staple", "stale", stapled(staple(end=AT - SECOND)), {}, "DEMANDED_STAPLE_BAD"),
    (
        "tls.cert.must_staple",
        "of tomorrow",
        stapled(staple(start=AT + DAY, end=AT + 2 * DAY)),
        {},
        "DEMANDED_STAPLE_BAD",
    ),
    ("tls.cert.must_staple", "revoked", stapled(staple("REVOKED")), {}, "DEMANDED_STAPLE_BAD"),
    ("tls.cert.must_staple", "another's", stapled(staple(of=OTHER)), {}, "DEMANDED_STAPLE_BAD"),
    ("tls.cert.must_staple", "try later", stapled(UNSUCCESSFUL), {}, "DEMANDED_STAPLE_BAD"),
    ("tls.cert.must_staple", "garbage in it", stapled(b"\x30\x03\x0a\x01\x00"), {}, "DEMANDED_STAPLE_BAD"),
    ("tls.cert.must_staple", "not recorded then", chain(DEMANDING), {}, Reason.NOT_RECORDED),
    ("tls.cert.must_staple", "unclear", stapled(b"", Trait(STAPLE, UNCLEAR, "truncated")), {}, Reason.TRUNCATED),
    ("tls.cert.must_staple", "not kept", stapled(b""), {}, Reason.NOT_RECORDED),
    ("tls.cert.must_staple", "garbage", chain(b"\x30\x00"), {}, Reason.MALFORMED),
]

CT_CASES: list[tuple[Any, ...]] = [
    ("tls.cert.ct", "two logs", logged(*LOGS[:2]), {}, "CT_LOGGED"),
    ("tls.cert.ct", "two in the handshake", logged(sent=timestamp_list(*LOGS[:2])), {}, "CT_LOGGED"),
    ("tls.cert.ct", "one and one", logged(LOGS[0], sent=timestamp_list(LOGS[1])), {}, "CT_LOGGED"),
    ("tls.cert.ct", "the same log twice", logged(LOGS[0], LOGS[0]), {}, "CT_TOO_FEW"),
    ("tls.cert.ct", "two for a long life", logged(*LOGS[:2], days=199), {}, "CT_TOO_FEW"),
    ("tls.cert.ct", "three for a long life", logged(*LOGS[:3], days=199), {}, "CT_LOGGED"),
    ("tls.cert.ct", "none", logged(), {}, "CT_NONE"),
    ("tls.cert.ct", "garbage in the handshake", logged(sent=b"\0\5\0\x99abc"), {}, "CT_NONE"),
    ("tls.cert.ct", "a private authority", chain(PRIVATE, OTHER_ROOT), {}, "CT_NOT_PUBLIC"),
    ("tls.cert.ct", "internal", logged(), INTERNAL, "CT_NOT_PUBLIC"),
    (
        "tls.cert.ct",
        "a root of the operator's",
        logged(),
        {"reference": Reference(ROOT.pem, "", True)},
        "CT_NOT_PUBLIC",
    ),
    ("tls.cert.ct", "lab", logged(), {"lab": True}, "CT_NOT_PUBLIC"),
    ("tls.cert.ct", "no store", logged(), NO_STORE, Reason.FEED_STALE),
    ("tls.cert.ct", "not recorded then", logged(traits=()), {}, Reason.NOT_RECORDED),
    (
        "tls.cert.ct",
        "hidden by TLS 1.3",
        logged(traits=(Trait(SIGNED_TIMESTAMPS, NOT_ASKED, NOTHING_TO_ASK),)),
        {},
        Reason.NOT_RECORDED,
    ),
    (
        "tls.cert.ct",
        "perhaps in the staple",
        logged(traits=(Trait(SIGNED_TIMESTAMPS, REFUSED), Trait(STAPLE, ACCEPTED))),
        {},
        Reason.NOT_RECORDED,
    ),
    ("tls.cert.ct", "unclear", logged(traits=(Trait(SIGNED_TIMESTAMPS, UNCLEAR, "reset"),)), {}, Reason.RESET),
    ("tls.cert.ct", "unseen", unseen("tls", Reason.TIMEOUT), {}, Reason.TIMEOUT),
]

TABLE = [*LIFETIME_CASES, *STAPLE_CASES, *CT_CASES]
# The last item is the expected tag, or the reason of an unknown.
CASES: list[tuple[Any, ...]] = [*TABLE, AT_LIMIT, ("tls.cert.key", "ROCA, made below", {}, {}, "KEY_ROCA")]


@pytest.mark.parametrize(
    ("control", "_name", "seen", "how", "expected"), TABLE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_verdict(control: str, _name: str, seen: Seen, how: dict[str, Any], expected: str | Reason) -> None:
    assert told(control, seen, how) == expected


@pytest.mark.parametrize(
    ("issued", "days", "tag"),
    [
        (on(2020, 8, 31), 825, "LIFETIME_OVER_NEXT"),
        (on(2020, 9, 1), 399, "LIFETIME_OVER"),
        (on(2027, 3, 14), 200, "LIFETIME_OVER_NEXT"),
        (on(2027, 3, 15), 101, "LIFETIME_OVER"),
        (on(2027, 3, 15), 47, "LIFETIME_FITS"),
        (on(2029, 3, 15), 48, "LIFETIME_OVER"),
        (on(2029, 3, 15), 47, "LIFETIME_AT_LIMIT"),
        (on(2029, 3, 15), 46, "LIFETIME_FITS"),
    ],
)
def test_the_schedule_is_dated_by_the_day_of_issue(issued: datetime, days: int, tag: str) -> None:
    assert judge("tls.cert.lifetime", chain(living(days, issued), MIDDLE), at=issued + DAY).tag == tag


def test_good_until_is_the_day_on_which_the_limit_changes() -> None:
    seen = chain(living(90, on(2027, 3, 1)), MIDDLE)
    verdict = judge("tls.cert.lifetime", seen, at=on(2027, 3, 14))

    assert verdict.good_until == on(2027, 3, 15)
    assert verdict.tag == "LIFETIME_FITS"
    assert judge("tls.cert.lifetime", seen, at=on(2027, 3, 15)).tag == "LIFETIME_OVER_NEXT"


def test_a_staple_is_good_until_its_end() -> None:
    assert judge("tls.cert.must_staple", stapled(staple())).good_until == AT + DAY
    assert judge("tls.cert.must_staple", stapled(staple()), at=AT + DAY + SECOND).tag == "DEMANDED_STAPLE_BAD"


def test_no_mail_server_asks_for_timestamps() -> None:
    assert RULES["tls.cert.ct"].judge(case_of(logged(), {"subject": MX})) == ()
    assert tls()["tls"].chain == ()


# ---- ROCA


def roca_prime(bits: int) -> int:
    """A prime of the form that the library made: k * M + (65537^a mod M), M the product of the first 39 primes."""
    product = 1
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97):
        product *= prime
    for prime in (101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167):
        product *= prime
    while True:
        multiple = secrets.randbits(bits - product.bit_length()) | 1 << (bits - product.bit_length())
        number = multiple * product + pow(65_537, secrets.randbelow(1 << 60), product)
        if number.bit_length() == bits and pow(2, number - 1, number) == 1:
            return number


def test_a_key_of_the_form_is_found_in_a_certificate() -> None:
    p, q = roca_prime(1024), roca_prime(1024)
    d = rsa.rsa_recover_private_exponent(65_537, p, q)
    public = rsa.RSAPublicNumbers(65_537, p * q)
    crt = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
    key = rsa.RSAPrivateNumbers(p, q, d, *crt, public).private_key()

    verdict = judge("tls.cert.key", chain(leaf(key=key), MIDDLE))

    assert verdict.tag == "KEY_ROCA"


def test_honest_keys_do_not_bear_the_mark() -> None:
    assert not any(
        has_roca_mark(rsa.generate_private_key(65_537, 1024).public_key().public_numbers().n) for _ in range(20)
    )
    assert not has_roca_mark((1 << 2048) - 1)
