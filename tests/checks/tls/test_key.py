"""Keys: every kind and size, and those that give themselves away; unknown always."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from posture.checks import Missing
from posture.checks.tls.rsa import FERMAT_ROUNDS, MOST_BITS, close_primes, exponent_is_void, small_factor
from posture.facts import CrlFacts
from posture.facts.parse_x509 import certificate, key_bits, key_parameters, spki
from posture.model import Reason, Unobserved
from tests.checks.tls.odd import NAME, PLAIN, ec_key, integer, rsa_key, sequence, value, with_key
from tests.checks.tls.pki import MIDDLE, issue
from tests.checks.tls.seen import Seen, chain, judge, unseen

RSA = rsa.generate_private_key(65_537, 2048)
MODULUS = RSA.public_key().public_numbers().n
P, Q = RSA.private_numbers().p, RSA.private_numbers().q


def of(key: Any) -> Seen:
    return chain(issue(NAME, MIDDLE, names=(NAME,), key=key), MIDDLE)


def odd(info: bytes) -> Seen:
    return chain(with_key(info), MIDDLE)


def looked_up(word: str, *, about: bytes | None = None) -> Seen:
    leaf = issue(NAME, MIDDLE, names=(NAME,), key=RSA)
    return {**chain(leaf, MIDDLE), "crl": CrlFacts(sha256(about or leaf.der).hexdigest(), (), word)}


def prime_after(number: int) -> int:
    number |= 1
    while any(pow(base, number - 1, number) != 1 for base in (2, 3, 5)):
        number += 2
    return number


CLOSE = P * prime_after(P + 2)
SECP160R1, SECP112R1 = bytes.fromhex("06052b81040008"), bytes.fromhex("06052b81040006")
C2PNB163V1 = bytes.fromhex("06082a8648ce3d030001")
UNHEARD_OF = bytes.fromhex("06052b8104007f")
# Parameters in place of a name (SEC 1 appendix C.2): the prime of P-256 with another curve over it.
_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_PRIME_FIELD = bytes.fromhex("06072a8648ce3d0101")
EXPLICIT = sequence(
    integer(1),
    sequence(_PRIME_FIELD, integer(_PRIME)),
    sequence(value(4, (_PRIME - 3).to_bytes(32)), value(4, (7).to_bytes(32))),
    value(4, b"\4" + bytes(64)),
    integer(_PRIME - 1),
    integer(1),
)

CASES: list[tuple[Any, ...]] = [
    ("tls.cert.key", "P-256", of(ec.generate_private_key(ec.SECP256R1())), {}, "KEY_STRONG"),
    ("tls.cert.key", "P-384", of(ec.generate_private_key(ec.SECP384R1())), {}, "KEY_STRONG"),
    ("tls.cert.key", "P-224", of(ec.generate_private_key(ec.SECP224R1())), {}, "KEY_PHASE_OUT"),
    ("tls.cert.key", "P-192", of(ec.generate_private_key(ec.SECP192R1())), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "secp160r1", odd(ec_key(SECP160R1)), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "secp112r1", odd(ec_key(SECP112R1)), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "c2pnb163v1", odd(ec_key(C2PNB163V1)), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "a curve of its own", odd(ec_key(EXPLICIT)), {}, "KEY_CURVE_NOT_NAMED"),
    ("tls.cert.key", "a curve unheard of", odd(ec_key(UNHEARD_OF)), {}, Reason.TOOL_MISSING),
    ("tls.cert.key", "a point off the curve", odd(ec_key(bytes.fromhex("06082a8648ce3d030107"))), {}, Reason.MALFORMED),
    ("tls.cert.key", "Ed25519", of(ed25519.Ed25519PrivateKey.generate()), {}, "KEY_STRONG"),
    ("tls.cert.key", "Ed448", of(ed448.Ed448PrivateKey.generate()), {}, "KEY_STRONG"),
    ("tls.cert.key", "DSA", of(dsa.generate_private_key(2048)), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "2048 bits", of(RSA), {}, "KEY_GOOD_UNTIL_2030"),
    ("tls.cert.key", "3072 bits", of(rsa.generate_private_key(65_537, 3072)), {}, "KEY_STRONG_RSA"),
    ("tls.cert.key", "1024 bits", of(rsa.generate_private_key(65_537, 1024)), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "no bits", odd(rsa_key(0)), {}, "KEY_EXPONENT_WEAK"),
    ("tls.cert.key", "a toy", odd(rsa_key((1 << 127) - 1)), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "e = 0", odd(rsa_key(MODULUS, 0)), {}, "KEY_EXPONENT_WEAK"),
    ("tls.cert.key", "e = 1", odd(rsa_key(MODULUS, 1)), {}, "KEY_EXPONENT_WEAK"),
    ("tls.cert.key", "e = 2", odd(rsa_key(MODULUS, 2)), {}, "KEY_EXPONENT_WEAK"),
    ("tls.cert.key", "e is even", odd(rsa_key(MODULUS, 65_536)), {}, "KEY_EXPONENT_WEAK"),
    ("tls.cert.key", "e is the modulus", odd(rsa_key(MODULUS, MODULUS)), {}, "KEY_EXPONENT_WEAK"),
    ("tls.cert.key", "e = 3", odd(rsa_key(MODULUS, 3)), {}, "KEY_EXPONENT_UNUSUAL"),
    ("tls.cert.key", "e = 65535", odd(rsa_key(MODULUS, 65_535)), {}, "KEY_EXPONENT_UNUSUAL"),
    ("tls.cert.key", "e of 32 bits", odd(rsa_key(MODULUS, (1 << 32) - 1)), {}, "KEY_GOOD_UNTIL_2030"),
    ("tls.cert.key", "e of 33 bits", odd(rsa_key(MODULUS, (1 << 32) + 1)), {}, "KEY_EXPONENT_UNUSUAL"),
    ("tls.cert.key", "e of 65 bits", odd(rsa_key(MODULUS, (1 << 64) + 1)), {}, "KEY_EXPONENT_UNUSUAL"),
    ("tls.cert.key", "an even modulus", odd(rsa_key(MODULUS - 1)), {}, "KEY_FACTORED"),
    ("tls.cert.key", "a factor of 751", odd(rsa_key(MODULUS * 751)), {}, "KEY_FACTORED"),
    ("tls.cert.key", "a square", odd(rsa_key(P * P)), {}, "KEY_FACTORED"),
    ("tls.cert.key", "primes next to each other", odd(rsa_key(CLOSE)), {}, "KEY_FACTORED"),
    ("tls.cert.key", "16384 bits", odd(rsa_key(MODULUS**8)), {}, "KEY_FACTORED"),
    ("tls.cert.key", "more bits than anybody reads", odd(rsa_key(1 << MOST_BITS | 1)), {}, Reason.MALFORMED),
    ("tls.cert.key", "a public private key", looked_up("listed"), {}, "KEY_PUBLIC"),
    ("tls.cert.key", "on no list", looked_up("not_listed"), {}, "KEY_GOOD_UNTIL_2030"),
    ("tls.cert.key", "no list", looked_up(""), {}, "KEY_GOOD_UNTIL_2030"),
    ("tls.cert.key", "another's key is", looked_up("listed", about=PLAIN.der), {}, "KEY_GOOD_UNTIL_2030"),
    ("tls.cert.key", "unseen", unseen("tls", Reason.RESET), {}, Reason.RESET),
]


@pytest.mark.parametrize(
    ("control", "_name", "seen", "how", "expected"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_verdict(control: str, _name: str, seen: Seen, how: dict[str, Any], expected: str | Reason) -> None:
    if not isinstance(expected, Reason):
        assert judge(control, seen, how).tag == expected
        return
    with pytest.raises(Missing) as missing:
        judge(control, seen, how)
    assert isinstance(missing.value.answer, Unobserved)
    assert missing.value.answer.reason is expected


def test_factors_are_found_as_far_as_the_requirements_ask() -> None:
    assert small_factor(MODULUS) == 1
    assert [small_factor(MODULUS * factor) for factor in (2, 3, 743, 751)] == [2, 3, 743, 751]
    assert small_factor(757 * 761) == 1
    assert not close_primes(MODULUS)


def test_fermat_stops_after_a_hundred_rounds() -> None:
    """p = m - d, q = m + d: found in the round that reaches m."""
    root = 1 << 600
    for rounds, found in ((FERMAT_ROUNDS, True), (FERMAT_ROUNDS + 5, False)):
        # m is the square root of n = m^2 - d^2, rounded down, plus d^2 / 2m rounded up.
        distance = 1
        while -(-(distance * distance) // (2 * root)) < rounds:
            distance *= 2
        low, high = distance // 2, distance
        while low < high:
            middle = (low + high) // 2
            if -(-(middle * middle) // (2 * root)) < rounds:
                low = middle + 1
            else:
                high = middle
        assert close_primes(root * root - low * low) is found


def test_exponents() -> None:
    assert [exponent_is_void(number, MODULUS) for number in (-1, 0, 1, 2, 3, 4, 65_537, MODULUS, MODULUS + 2)] == [
        *(True, True, True, True, False, True, False, True, True)
    ]


def test_a_key_is_found_in_a_certificate_whether_or_not_a_library_reads_it() -> None:
    for info in (rsa_key(MODULUS, 1), ec_key(EXPLICIT), ec_key(SECP160R1), rsa_key(1 << 20_000)):
        read = certificate(with_key(info))
        assert spki(read) == info
        assert info.endswith(key_bits(info))
    assert key_parameters(certificate(with_key(ec_key(SECP160R1)))) == SECP160R1
    assert key_parameters(certificate(with_key(rsa_key(MODULUS)))) == b"\x05\x00"
