"""The public key of the certificate: tls.cert.key."""

from __future__ import annotations

from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from posture.checks.rule import Case, rule
from posture.checks.tls.roca import has_roca_mark
from posture.checks.tls.rsa import MOST_BITS, close_primes, exponent_is_void, small_factor
from posture.checks.tls.rules.certificate import chain_of, leaf_of, malformed
from posture.facts import CrlFacts, TlsFacts
from posture.facts.parse_crl import LISTED
from posture.facts.parse_x509 import UNREADABLE, key_parameters
from posture.model import Reason, Verdict

_EC_KEY = "1.2.840.10045.2.1"
# BR 6.1.6: below the usual 65537 a key is still valid; of more than 32 bits it is, too, and several clients refuse it.
_USUAL_EXPONENT = 65_537
_EXPONENT_BITS = 32
# A modulus of fewer bits is factored by hand: nothing else needs to be told of it.
_TOY_BITS = 256
# Curves below 224 bits that the library does not know, by what stands for their name: SEC 2 and X9.62.
_SMALL_CURVES = {
    **{f"1.3.132.0.{number}": "SEC 2" for number in (4, 5, 6, 7, 8, 9, 22, 23, 24, 25, 28, 29, 30, 31)},
    **{f"1.2.840.10045.3.0.{number}": "X9.62" for number in range(1, 11)},
    **{f"1.2.840.10045.3.1.{number}": "X9.62" for number in (2, 3)},
}


@rule("tls.cert.key", needs=(TlsFacts, CrlFacts), version=4)
def key(case: Case) -> Verdict:
    """CA/B BR 6.1.5 and 6.1.6, NIST SP 800-57 part 1, RFC 5480 section 2.1.1."""
    leaf = leaf_of(case)
    try:
        public = leaf.public_key()
    except UNREADABLE as fault:
        return _unread(case, leaf, fault)
    if isinstance(public, rsa.RSAPublicKey):
        return _rsa(case, public)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _ec(case, public)
    if isinstance(public, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        kind = "Ed25519" if isinstance(public, ed25519.Ed25519PublicKey) else "Ed448"
        return Verdict("KEY_STRONG", {"key": kind})
    if isinstance(public, dsa.DSAPublicKey):
        return Verdict("KEY_TOO_WEAK", {"key": f"DSA {public.key_size}"})
    raise case.unknown(Reason.TOOL_MISSING, "a kind of key that this release does not judge")


def _unread(case: Case, leaf: x509.Certificate, fault: Exception) -> Verdict:
    """A key that the library declines: some are declined for what is wrong with them."""
    if any(word in str(fault) for word in ("exponent", "e must be", "n must be")):
        return Verdict("KEY_EXPONENT_WEAK", {"key": "RSA"})
    try:
        curve = key_parameters(leaf) if leaf.public_key_algorithm_oid.dotted_string == _EC_KEY else b""
    except UNREADABLE:
        curve = b""
    if curve[:1] == b"\x30":
        return Verdict("KEY_CURVE_NOT_NAMED", {"key": "EC"})
    name = _dotted(curve)
    if name in _SMALL_CURVES:
        return Verdict("KEY_TOO_WEAK", {"key": f"EC over a small curve of {_SMALL_CURVES[name]} ({name})"})
    if isinstance(fault, UnsupportedAlgorithm):
        raise case.unknown(Reason.TOOL_MISSING, "a kind of key that this release cannot read") from fault
    raise malformed(case, fault) from fault


def _dotted(coded: bytes) -> str:
    """An object identifier of DER in words; "" for anything else. All of the small curves fit into 32 bytes."""
    if coded[:1] != b"\x06" or not 2 < len(coded) <= 32 or coded[1] != len(coded) - 2:
        return ""
    arcs, arc = [], 0
    for octet in coded[2:]:
        arc = arc << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2) if arcs else 0
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:]))) if arcs else ""


def _rsa(case: Case, public: rsa.RSAPublicKey) -> Verdict:
    size = public.key_size
    args = {"key": f"RSA {size}"}
    if size > MOST_BITS:
        raise case.unknown(Reason.MALFORMED, f"an RSA key of {size} bits is too large to be looked at")
    numbers = public.public_numbers()
    if fault := _rsa_fault(case, numbers.n, numbers.e):
        return Verdict(fault, args)
    if size < case.policy.number("tls.cert.rsa_bits_fail_below", case.at):
        return Verdict("KEY_TOO_WEAK", args)
    if size < case.policy.number("tls.cert.rsa_bits_warn_below", case.at):
        return Verdict("KEY_PHASE_OUT", args)
    if numbers.e < _USUAL_EXPONENT or numbers.e.bit_length() > _EXPONENT_BITS:
        shown = str(numbers.e) if numbers.e < _USUAL_EXPONENT else f"of {numbers.e.bit_length()} bits"
        return Verdict("KEY_EXPONENT_UNUSUAL", {**args, "exponent": shown})
    return Verdict("KEY_STRONG_RSA", args) if size >= 3072 else Verdict("KEY_GOOD_UNTIL_2030", args)


def _rsa_fault(case: Case, modulus: int, exponent: int) -> str:
    """The tag of what makes a key worthless whatever its size, the surest first."""
    if exponent_is_void(exponent, modulus):
        return "KEY_EXPONENT_WEAK"
    if modulus.bit_length() < _TOY_BITS:
        return "KEY_TOO_WEAK"
    if small_factor(modulus) > 1 or close_primes(modulus):
        return "KEY_FACTORED"
    if _is_public(case):
        return "KEY_PUBLIC"
    return "KEY_ROCA" if has_roca_mark(modulus) else ""


def _is_public(case: Case) -> bool:
    """Whether the operator's list of weak keys has this one; no list says nothing."""
    looked = case.get(CrlFacts)
    own = isinstance(looked, CrlFacts) and looked.leaf == sha256(chain_of(case)[0]).hexdigest()
    return own and isinstance(looked, CrlFacts) and looked.weak_key == LISTED


def _ec(case: Case, public: ec.EllipticCurvePublicKey) -> Verdict:
    args = {"key": f"EC {public.curve.name}"}
    if public.curve.key_size < case.policy.number("tls.cert.ec_bits_fail_below", case.at):
        return Verdict("KEY_TOO_WEAK", args)
    if public.curve.key_size < case.policy.number("tls.cert.ec_bits_warn_below", case.at):
        return Verdict("KEY_PHASE_OUT", args)
    return Verdict("KEY_STRONG", args)


KEY_RULES = (key,)
