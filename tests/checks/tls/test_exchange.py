"""Every tag of the rules about suites' modes, key exchange and extensions on recorded facts, and unknown always."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from posture.facts import FACTS, TlsFacts, TlsLegacyFacts, decode, encode
from posture.facts.groups import standard_primes
from posture.facts.tls import (
    ACCEPTED,
    COMPRESSION,
    EXTENDED_MASTER_SECRET,
    FALLBACK_SIGNAL,
    HYBRID_GROUPS,
    NOT_ASKED,
    NOTHING_TO_ASK,
    OLD_HASHES,
    POLITENESS,
    REFUSED,
    UNCLEAR,
    WITHDRAWN_CURVES,
    FiniteField,
    Trait,
)
from posture.model import Reason
from tests.checks.tls.seen import (
    MX,
    NAME,
    RULES,
    SECRET,
    STATIC,
    Seen,
    case_of,
    incomplete,
    judge,
    legacy,
    tls,
    told,
    unseen,
    versions,
)

CBC, FINITE = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"
CBC_SHA2, ARIA = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256"
ON_MX = {"subject": MX}
ONLY_13 = {"tls12": "protocol_version"}
ONLY_12 = {"tls13": "protocol_version"}
OLDEST = {"tls10": (CBC,), "tls12": "TLS 1.0", "tls13": "TLS 1.0"}
NOTHING = {"tls12": "protocol_version", "tls13": "protocol_version"}
# Mersenne primes, and a number of the same kind that is none.
FFDHE3072 = next(prime for prime in standard_primes() if prime.bit_length() == 3072)
PRIME_2203, PRIME_1279, NOT_PRIME = (1 << 2203) - 1, (1 << 1279) - 1, (1 << 2201) - 1


def answered(name: str, answer: str, *seen: str, why: str = "", complete: bool = True) -> Trait:
    return Trait(name, answer, why, seen, complete)


def skipped(name: str, why: str = NOTHING_TO_ASK) -> Trait:
    return Trait(name, NOT_ASKED, why)


def field(*primes: int) -> Seen:
    seen = tls(tls12=(SECRET, FINITE))
    found = tuple(FiniteField("TLS 1.2", prime.to_bytes((prime.bit_length() + 7) // 8), b"\2") for prime in primes)
    return {"tls": replace(seen["tls"], finite_fields=found)}


def curves(answer: str, *seen: str, why: str = "", complete: bool = True) -> Seen:
    return tls(answered(WITHDRAWN_CURVES, answer, *seen, why=why, complete=complete))


def hashes(answer: str, *seen: str, why: str = "", complete: bool = True) -> Seen:
    return legacy(answered(OLD_HASHES, answer, *seen, why=why, complete=complete))


def fallback(trait: Trait, **answers: Any) -> Seen:
    return legacy(trait) | tls(**{"tls10": (CBC,), **answers})


CIPHER_CASES: list[tuple[Any, ...]] = [
    ("tls.cipher.cbc", "AEAD only", tls(), {}, "ONLY_AEAD"),
    ("tls.cipher.cbc", "TLS 1.3 only", tls(**ONLY_13), {}, "ONLY_AEAD"),
    ("tls.cipher.cbc", "CBC too", tls(tls12=(SECRET, CBC_SHA2)), {}, "CBC_TOO"),
    ("tls.cipher.cbc", "CBC with SHA-1 too", tls(tls12=(SECRET, CBC_SHA2, CBC)), {}, "CBC_SHA1_TOO"),
    ("tls.cipher.cbc", "CBC beside 1.3", tls(tls12=(CBC_SHA2,)), {}, "CBC_TOO"),
    ("tls.cipher.cbc", "CBC with SHA-1 beside 1.3", tls(tls12=(CBC,)), {}, "CBC_SHA1_TOO"),
    ("tls.cipher.cbc", "CBC seen, not all asked", incomplete(tls(tls12=(SECRET, CBC)), "TLS 1.2"), {}, "CBC_SHA1_TOO"),
    ("tls.cipher.cbc", "an uncommon one", tls(tls12=(SECRET, ARIA)), {}, "AEAD_UNCOMMON"),
    ("tls.cipher.cbc", "no AEAD", tls(tls12=(CBC,), **ONLY_12), {}, "NO_AEAD"),
    ("tls.cipher.cbc", "TLS 1.0 only", tls(**OLDEST), {}, "NO_AEAD"),
    ("tls.cipher.cbc", "a long list, CBC asked", incomplete(tls(), "TLS 1.2", mode_complete=True), {}, "ONLY_AEAD"),
    ("tls.cipher.cbc", "a long list, CBC not asked", incomplete(tls(), "TLS 1.2"), {}, Reason.RATE_LIMITED),
    ("tls.cipher.cbc", "unclear", tls(tls12="reset"), {}, Reason.RESET),
    ("tls.cipher.cbc", "old ones unclear", tls(**{**OLDEST, "tls10": "timeout"}), {}, Reason.TIMEOUT),
    ("tls.cipher.cbc", "nothing", tls(**NOTHING), {}, Reason.REFUSED_BY_TARGET),
    ("tls.cipher.cbc", "tarpit", unseen("tls", Reason.TIMEOUT), {}, Reason.TIMEOUT),
]

KEX_CASES: list[tuple[Any, ...]] = [
    ("tls.kex.dh_group", "none", tls(), {}, "NO_FINITE_FIELD"),
    ("tls.kex.dh_group", "TLS 1.3 only", tls(**ONLY_13), {}, "NO_FINITE_FIELD"),
    ("tls.kex.dh_group", "ffdhe3072", field(FFDHE3072), {}, "DH_PHASED_OUT"),
    ("tls.kex.dh_group", "ffdhe3072 and an own one", field(FFDHE3072, PRIME_2203), {}, "DH_OWN_GROUP"),
    ("tls.kex.dh_group", "2203 bits", field(PRIME_2203), {}, "DH_OWN_GROUP"),
    ("tls.kex.dh_group", "1279 bits", field(PRIME_1279), {}, "DH_TOO_SHORT"),
    ("tls.kex.dh_group", "two fields, one short", field(PRIME_2203, PRIME_1279), {}, "DH_TOO_SHORT"),
    ("tls.kex.dh_group", "no prime", field(NOT_PRIME), {}, "DH_NOT_PRIME"),
    ("tls.kex.dh_group", "even", field(PRIME_2203 - 1), {}, "DH_NOT_PRIME"),
    ("tls.kex.dh_group", "on MX", field(PRIME_1279), ON_MX, "DH_TOO_SHORT"),
    ("tls.kex.dh_group", "DHE, not read", tls(tls12=(SECRET, FINITE)), {}, Reason.NOT_RECORDED),
    ("tls.kex.dh_group", "not all asked", incomplete(tls(), "TLS 1.2"), {}, Reason.RATE_LIMITED),
    (
        "tls.kex.dh_group",
        "a long list, DHE asked",
        incomplete(tls(), "TLS 1.2", exchange_complete=True),
        {},
        "NO_FINITE_FIELD",
    ),
    ("tls.kex.dh_group", "unclear", tls(tls11="timeout"), {}, Reason.TIMEOUT),
    ("tls.kex.dh_group", "nothing", tls(**NOTHING), {}, Reason.REFUSED_BY_TARGET),
    ("tls.kex.curves", "refused", curves(REFUSED, why="handshake_failure"), {}, "CURVES_CURRENT"),
    ("tls.kex.curves", "TLS 1.3 only", tls(**ONLY_13), {}, "CURVES_CURRENT"),
    ("tls.kex.curves", "P-224", curves(ACCEPTED, "secp224r1"), {}, "CURVES_PHASED_OUT"),
    ("tls.kex.curves", "secp256k1", curves(ACCEPTED, "secp256k1"), {}, "CURVES_WITHDRAWN"),
    ("tls.kex.curves", "P-224 and worse", curves(ACCEPTED, "secp224r1", "sect163k1"), {}, "CURVES_WITHDRAWN"),
    ("tls.kex.curves", "no curves", tls(skipped(WITHDRAWN_CURVES), tls12=(STATIC,), **ONLY_12), {}, "NO_CURVES"),
    (
        "tls.kex.curves",
        "P-224, then silence",
        curves(ACCEPTED, "secp224r1", why="timeout", complete=False),
        {},
        Reason.TIMEOUT,
    ),
    ("tls.kex.curves", "unclear", curves(UNCLEAR, why="reset"), {}, Reason.RESET),
    ("tls.kex.curves", "TLS 1.3 and a doubt", tls(tls10="timeout", tls12="closed"), {}, Reason.TIMEOUT),
    ("tls.kex.curves", "not recorded then", tls(), {}, Reason.NOT_RECORDED),
    ("tls.kex.pq_hybrid", "offered", tls(answered(HYBRID_GROUPS, ACCEPTED, "X25519MLKEM768")), {}, "PQ_OFFERED"),
    ("tls.kex.pq_hybrid", "refused", tls(answered(HYBRID_GROUPS, REFUSED)), {}, "PQ_NOT_OFFERED"),
    ("tls.kex.pq_hybrid", "1.2 only", tls(**ONLY_12), {}, "PQ_NEEDS_TLS13"),
    ("tls.kex.pq_hybrid", "1.3 unclear", tls(tls13="timeout"), {}, Reason.TIMEOUT),
    ("tls.kex.pq_hybrid", "swallowed", tls(answered(HYBRID_GROUPS, UNCLEAR, why="timeout")), {}, Reason.TIMEOUT),
    ("tls.kex.pq_hybrid", "not recorded then", tls(), {}, Reason.NOT_RECORDED),
    ("tls.kex.hash", "refused", hashes(REFUSED, why="handshake_failure"), {}, "OLD_HASHES_REFUSED"),
    ("tls.kex.hash", "signs as it likes", hashes(REFUSED, why="SHA-256"), {}, "OLD_HASHES_REFUSED"),
    ("tls.kex.hash", "SHA-224", hashes(ACCEPTED, "SHA-224"), {}, "SHA224_ACCEPTED"),
    ("tls.kex.hash", "SHA-1", hashes(ACCEPTED, "SHA-1", complete=False), {}, "OLD_HASH_ACCEPTED"),
    ("tls.kex.hash", "SHA-224, then MD5", hashes(ACCEPTED, "SHA-224", "MD5", complete=False), {}, "OLD_HASH_ACCEPTED"),
    ("tls.kex.hash", "no TLS 1.2", legacy(skipped(OLD_HASHES)), {}, "NO_TLS12_SIGNATURES"),
    (
        "tls.kex.hash",
        "SHA-224, then silence",
        hashes(ACCEPTED, "SHA-224", why="timeout", complete=False),
        {},
        Reason.TIMEOUT,
    ),
    ("tls.kex.hash", "unclear", hashes(UNCLEAR, why="reset", complete=False), {}, Reason.RESET),
    ("tls.kex.hash", "not granted", unseen("tls_legacy", Reason.NOT_GRANTED), {}, Reason.NOT_GRANTED),
]

EXTENSION_CASES: list[tuple[Any, ...]] = [
    ("tls.ems", "echoed", tls(answered(EXTENDED_MASTER_SECRET, ACCEPTED)), {}, "EMS_OFFERED"),
    ("tls.ems", "not echoed", tls(answered(EXTENDED_MASTER_SECRET, REFUSED)), {}, "EMS_MISSING"),
    ("tls.ems", "TLS 1.3 only", tls(**ONLY_13), {}, "EMS_NOT_NEEDED"),
    ("tls.ems", "on MX", tls(answered(EXTENDED_MASTER_SECRET, REFUSED)), ON_MX, "EMS_MISSING"),
    ("tls.ems", "TLS 1.3 and a doubt", tls(tls12="reset"), {}, Reason.RESET),
    ("tls.ems", "unclear", tls(answered(EXTENDED_MASTER_SECRET, UNCLEAR, why="not_recorded")), {}, Reason.NOT_RECORDED),
    ("tls.ems", "nothing", tls(**NOTHING), {}, Reason.REFUSED_BY_TARGET),
    ("tls.ems", "not recorded then", tls(), {}, Reason.NOT_RECORDED),
    ("tls.compression", "refused", legacy(answered(COMPRESSION, REFUSED)), {}, "COMPRESSION_REFUSED"),
    ("tls.compression", "TLS 1.3 only", legacy(skipped(COMPRESSION)), {}, "COMPRESSION_REFUSED"),
    ("tls.compression", "accepted", legacy(answered(COMPRESSION, ACCEPTED)), {}, "COMPRESSION_ACCEPTED"),
    ("tls.compression", "unclear", legacy(answered(COMPRESSION, UNCLEAR, why="timeout")), {}, Reason.TIMEOUT),
    ("tls.compression", "not recorded then", legacy(), {}, Reason.NOT_RECORDED),
    (
        "tls.fallback_scsv",
        "heeded",
        fallback(answered(FALLBACK_SIGNAL, ACCEPTED, why="inappropriate_fallback")),
        {},
        "FALLBACK_REFUSED",
    ),
    ("tls.fallback_scsv", "ignored", fallback(answered(FALLBACK_SIGNAL, REFUSED)), {}, "FALLBACK_IGNORED"),
    (
        "tls.fallback_scsv",
        "1.2 and 1.3",
        fallback(answered(FALLBACK_SIGNAL, REFUSED), tls10="closed"),
        {},
        "FALLBACK_NOT_NEEDED",
    ),
    ("tls.fallback_scsv", "TLS 1.0 unclear", fallback(skipped(FALLBACK_SIGNAL), tls10="timeout"), {}, Reason.TIMEOUT),
    ("tls.fallback_scsv", "unclear", fallback(answered(FALLBACK_SIGNAL, UNCLEAR, why="reset")), {}, Reason.RESET),
    ("tls.fallback_scsv", "probes disagree", fallback(skipped(FALLBACK_SIGNAL)), {}, Reason.NOT_RECORDED),
    ("tls.fallback_scsv", "versions unseen", legacy(skipped(FALLBACK_SIGNAL)), {}, Reason.NOT_RUN),
]

# The last item is the expected tag, or the reason of an unknown.
CASES: list[tuple[Any, ...]] = [*CIPHER_CASES, *KEX_CASES, *EXTENSION_CASES]


@pytest.mark.parametrize(
    ("control", "_name", "seen", "how", "expected"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_verdict(control: str, _name: str, seen: Seen, how: dict[str, Any], expected: str | Reason) -> None:
    assert told(control, seen, how) == expected


@pytest.mark.parametrize(
    ("control", "seen"),
    [
        ("tls.cipher.cbc", incomplete(tls(), "TLS 1.2")),
        ("tls.kex.dh_group", incomplete(tls(), "TLS 1.2")),
        ("tls.kex.curves", tls(skipped(WITHDRAWN_CURVES, POLITENESS))),
        ("tls.kex.pq_hybrid", tls(skipped(HYBRID_GROUPS, POLITENESS))),
        ("tls.kex.hash", legacy(skipped(OLD_HASHES, POLITENESS))),
        ("tls.compression", legacy(skipped(COMPRESSION, POLITENESS))),
        ("tls.fallback_scsv", fallback(skipped(FALLBACK_SIGNAL, POLITENESS))),
    ],
)
def test_what_a_mail_exchanger_was_not_asked_is_not_judged(control: str, seen: Seen) -> None:
    assert RULES[control].judge(case_of(seen, ON_MX)) == ()


def test_the_bits_of_the_weakest_curve_and_of_every_field_are_named() -> None:
    weak = judge("tls.kex.curves", curves(ACCEPTED, "sect233k1", "secp160r1"))

    assert weak.args == {"curves": ["sect233k1", "secp160r1"], "bits": 160}
    assert judge("tls.kex.dh_group", field(PRIME_2203, PRIME_1279)).args["bits"] == [1279, 2203]


def test_facts_of_version_one_are_read_and_lack_what_was_not_recorded() -> None:
    old = TlsFacts(NAME, "", versions(tls12=(SECRET,)))
    written = encode(old).replace(b'"version":2,', b'"version":1,')
    for name in (b'"traits":[],', b'"groups":[],', b'"finite_fields":[],', b'"staple":"",', b'"timestamps":"",'):
        written = written.replace(name, b"")
    written = written.replace(b',"mode_complete":false', b"")
    assert b'"version":1,' in written
    assert b"traits" not in written
    assert b"mode_complete" not in written

    found = decode(written, FACTS)

    assert found == old
    with pytest.raises(ValueError, match="version 3"):
        decode(encode(old).replace(b'"version":2,', b'"version":3,'), FACTS)


def test_legacy_facts_of_version_one_are_read() -> None:
    old = TlsLegacyFacts(NAME, "", versions(tls12="closed"))
    written = encode(old).replace(b'"traits":[],', b"").replace(b'"version":2,', b'"version":1,')

    assert b'"version":1' in written
    assert decode(written, FACTS) == old


def test_facts_with_everything_come_back_as_they_were() -> None:
    full = replace(
        field(PRIME_2203)["tls"],
        traits=(answered(HYBRID_GROUPS, ACCEPTED, "X25519MLKEM768", complete=False),),
        groups=("x25519",),
        staple=b"\0staple",
        timestamps=b"\0\0",
    )

    assert decode(encode(full), FACTS) == full
