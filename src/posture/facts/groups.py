"""Named groups and signature schemes by number, as the IANA "TLS Supported Groups" and "SignatureScheme" registries name them.

Sources: RFC 8446 sections 4.2.3 and 4.2.7, RFC 8422 section 5.1.1 (which curves of RFC 4492 it withdraws), RFC 7919.
"""

from __future__ import annotations

from functools import cache

# RFC 4492's curves that RFC 8422 withdrew, by what an attack on them costs: half of these bits.
WITHDRAWN = {
    0x000F: ("secp160k1", 160),
    0x0010: ("secp160r1", 160),
    0x0011: ("secp160r2", 160),
    0x0001: ("sect163k1", 163),
    0x0002: ("sect163r1", 163),
    0x0003: ("sect163r2", 163),
    0x0012: ("secp192k1", 192),
    0x0013: ("secp192r1", 192),
    0x0004: ("sect193r1", 193),
    0x0005: ("sect193r2", 193),
    0x0014: ("secp224k1", 224),
    0x0006: ("sect233k1", 233),
    0x0007: ("sect233r1", 233),
    0x0008: ("sect239k1", 239),
    0x0016: ("secp256k1", 256),
    0x0009: ("sect283k1", 283),
    0x000A: ("sect283r1", 283),
    0x000B: ("sect409k1", 409),
    0x000C: ("sect409r1", 409),
    0x000D: ("sect571k1", 571),
    0x000E: ("sect571r1", 571),
    0x0015: ("secp224r1", 224),
}
# A classical group and ML-KEM at once: recorded traffic stays closed to a quantum computer.
HYBRIDS = {0x11EC: "X25519MLKEM768", 0x11EB: "SecP256r1MLKEM768", 0x11ED: "SecP384r1MLKEM1024"}
_CURRENT = {
    0x0017: "secp256r1",
    0x0018: "secp384r1",
    0x0019: "secp521r1",
    0x001A: "brainpoolP256r1",
    0x001B: "brainpoolP384r1",
    0x001C: "brainpoolP512r1",
    0x001D: "x25519",
    0x001E: "x448",
    0x001F: "brainpoolP256r1tls13",
    0x0020: "brainpoolP384r1tls13",
    0x0021: "brainpoolP512r1tls13",
    0x0100: "ffdhe2048",
    0x0101: "ffdhe3072",
    0x0102: "ffdhe4096",
    0x0103: "ffdhe6144",
    0x0104: "ffdhe8192",
    0x0200: "MLKEM512",
    0x0201: "MLKEM768",
    0x0202: "MLKEM1024",
}
_GROUPS = {**_CURRENT, **HYBRIDS, **{number: name for number, (name, _) in WITHDRAWN.items()}}
# TLS 1.2 signs with a hash (high octet) and a kind of key (low octet); RFC 5246 section 7.4.1.4.1.
_HASHES = {1: "MD5", 2: "SHA-1", 3: "SHA-224", 4: "SHA-256", 5: "SHA-384", 6: "SHA-512"}


def group_name(number: int) -> str:
    """The registered name, or ``0xNNNN``."""
    return _GROUPS.get(number, f"0x{number:04X}")


def hash_name(scheme: int) -> str:
    """The hash of a signature scheme of TLS 1.2: "SHA-1", ...; "other" for schemes that do not spell it out (Ed25519, PSS)."""
    return _HASHES.get(scheme >> 8, "other")


# The finite-field groups of RFC 7919 appendix A by bits: the summand X of each.
_FINITE = {2048: 560316, 3072: 2625351, 4096: 5736041, 6144: 15705020, 8192: 10965728}


@cache
def standard_primes() -> frozenset[int]:
    """The primes of the finite-field groups ffdhe2048 to ffdhe8192, by their formula (RFC 7919 appendix A)."""
    return frozenset(
        2**bits - 2 ** (bits - 64) + (_scaled_e(bits - 130) + extra) * 2**64 - 1 for bits, extra in _FINITE.items()
    )


def _scaled_e(bits: int) -> int:
    """The base of the natural logarithm times 2**bits, rounded down."""
    guard = 64
    term = total = 1 << (bits + guard)
    place = 1
    while term:
        term //= place
        total += term
        place += 1
    return total >> guard
