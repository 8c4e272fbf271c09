"""RSA keys that give themselves away, or that clients do not bear: what can be told from modulus and exponent alone."""

from __future__ import annotations

from functools import cache
from math import gcd, isqrt

# Beyond this OpenSSL refuses a modulus; arithmetic on larger ones is work that a server should not be able to order.
MOST_BITS = 16_384
FERMAT_ROUNDS = 100
_FACTORS_BELOW = 752


def small_factor(modulus: int) -> int:
    """The greatest common divisor with all primes below 752 (CA/B Baseline Requirements 6.1.6); 1 when there is none."""
    return gcd(modulus, _primorial())


@cache
def _primorial() -> int:
    sieve = bytearray([1]) * _FACTORS_BELOW
    product = 1
    for number in range(2, _FACTORS_BELOW):
        if sieve[number]:
            product *= number
            sieve[number * number :: number] = bytes(len(sieve[number * number :: number]))
    return product


def close_primes(modulus: int) -> bool:
    """Whether Fermat's method finds the factors of an odd modulus in a hundred rounds (BR 6.1.1.3, CVE-2022-26320)."""
    middle = isqrt(modulus)
    if middle * middle == modulus:
        return True
    for step in range(1, FERMAT_ROUNDS + 1):
        rest = (middle + step) ** 2 - modulus
        if isqrt(rest) ** 2 == rest:
            return True
    return False


def exponent_is_void(exponent: int, modulus: int) -> bool:
    """Whether encryption with it changes nothing, or cannot be undone: 1, even, or not below the modulus."""
    return exponent < 3 or exponent % 2 == 0 or exponent >= modulus
