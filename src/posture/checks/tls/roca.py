"""ROCA: RSA keys of a chip library whose primes give themselves away (CVE-2017-15361)."""

from __future__ import annotations

from functools import cache

_GENERATOR = 65_537
# Every prime of such a key is a power of the generator modulo each of these, and so is the modulus.
_SMALL_PRIMES = (
    *(3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83),
    *(89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167),
)


def has_roca_mark(modulus: int) -> bool:
    """Whether a modulus is of the form that the library made. One honest modulus in some hundred million is, too.

    Source: Nemec, Sys, Svenda, Klinec, Matyas, "The Return of Coppersmith's Attack", CCS 2017, section 2.3.
    """
    return all(modulus % prime in _powers(prime) for prime in _SMALL_PRIMES)


@cache
def _powers(prime: int) -> frozenset[int]:
    found = {1}
    power = _GENERATOR % prime
    while power not in found:
        found.add(power)
        power = power * _GENERATOR % prime
    return frozenset(found)
