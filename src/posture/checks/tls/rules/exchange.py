"""Key exchange: tls.kex.dh_group, tls.kex.curves, tls.kex.pq_hybrid, tls.kex.hash."""

from __future__ import annotations

from functools import lru_cache

from posture.checks.rule import Case, rule
from posture.checks.tls.answers import (
    accepted_before_13,
    not_listed,
    not_spoken,
    on_mail_exchanger,
    trait,
    unclear,
    unclear_trait,
)
from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.groups import WITHDRAWN, standard_primes
from posture.facts.suites import suites
from posture.facts.tls import (
    ACCEPTED,
    HYBRID_GROUPS,
    NOT_ASKED,
    OLD_HASHES,
    POLITENESS,
    REFUSED,
    UNCLEAR,
    WITHDRAWN_CURVES,
)
from posture.model import Reason, Verdict

# No honest prime is told composite by these, and nobody makes a composite to pass them who could not hand out his prime.
_BASES = (2, 3, 5, 7, 11, 13)
_BITS_TESTED = 4096
_BITS_OF = dict(WITHDRAWN.values())
# Only this one of the withdrawn curves is phased out rather than insufficient (NCSC-NL TLS 2025-05, 3.3.2.1).
_PHASED_OUT = frozenset({"secp224r1"})


@rule("tls.kex.dh_group", needs=(TlsFacts,), version=2)
def dh_group(case: Case) -> Verdict | tuple[()]:
    """RFC 10015: DHE is on its way out. RFC 9325 section 4.1: below 2048 bits, or without a prime, it protects nobody."""
    facts = case.need(TlsFacts)
    if facts.finite_fields:
        sizes = sorted({int.from_bytes(one.prime).bit_length() for one in facts.finite_fields})
        args = {"bits": sizes}
        if any(_composite(one.prime) for one in facts.finite_fields):
            return Verdict("DH_NOT_PRIME", args)
        if sizes[0] < case.policy.number("tls.kex.dh_bits_fail_below", case.at):
            return Verdict("DH_TOO_SHORT", args)
        own = any(int.from_bytes(one.prime) not in standard_primes() for one in facts.finite_fields)
        return Verdict("DH_OWN_GROUP" if own else "DH_PHASED_OUT", args)
    known = suites()
    if any(known[name].exchange == "DHE" for answer in facts.versions for name in answer.suites if name in known):
        raise case.unknown(Reason.NOT_RECORDED, "the server accepts DHE, but its parameters were not read")
    if on_mail_exchanger(case) and not all(_whole(answer.answer, answer.complete) for answer in facts.versions):
        return ()
    for answer in facts.versions:
        if answer.answer == UNCLEAR:
            raise unclear(case, answer)
        if not _whole(answer.answer, answer.complete or answer.exchange_complete) and answer.version != "TLS 1.3":
            raise not_listed(case, answer)
    if not facts.accepted:
        raise case.unknown(Reason.REFUSED_BY_TARGET, "no suite was accepted")
    return Verdict("NO_FINITE_FIELD")


def _whole(answer: str, complete: bool) -> bool:
    return answer == REFUSED or (answer == ACCEPTED and complete)


@lru_cache(maxsize=64)
def _composite(prime: bytes) -> bool:
    """Whether a number is certainly no prime (Miller-Rabin); very long ones are tried with one base, to bound the cost."""
    number = int.from_bytes(prime)
    if number in _BASES:
        return False
    if number < 2 or number % 2 == 0:
        return True
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    bases = _BASES if number.bit_length() <= _BITS_TESTED else _BASES[:1]
    return any(_witness(base, odd, twos, number) for base in bases)


def _witness(base: int, odd: int, twos: int, number: int) -> bool:
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return False
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return False
    return True


@rule("tls.kex.curves", needs=(TlsFacts,))
def curves(case: Case) -> Verdict | tuple[()]:
    """RFC 8422 section 5.1.1 keeps five curves of TLS 1.2; TLS 1.3 has no others."""
    facts = case.need(TlsFacts)
    if not accepted_before_13(facts) and "TLS 1.3" in facts.accepted and not_spoken(case, facts):
        return Verdict("CURVES_CURRENT")
    found = trait(case, facts, WITHDRAWN_CURVES)
    names = [name for name in found.seen if name not in _PHASED_OUT]
    if names:
        return Verdict("CURVES_WITHDRAWN", {"curves": names, "bits": min(_BITS_OF[name] for name in names)})
    if found.answer == ACCEPTED and found.complete:
        return Verdict("CURVES_PHASED_OUT", {"curves": list(found.seen)})
    if found.answer == REFUSED:
        return Verdict("CURVES_CURRENT")
    if found.answer == NOT_ASKED:
        return () if found.why == POLITENESS else Verdict("NO_CURVES")
    raise unclear_trait(case, found)


@rule("tls.kex.pq_hybrid", needs=(TlsFacts,))
def pq_hybrid(case: Case) -> Verdict | tuple[()]:
    """Hybrids with ML-KEM exist in TLS 1.3 only, and TLS 1.2 will never have any (RFC 9851)."""
    facts = case.need(TlsFacts)
    answer = facts.version("TLS 1.3")
    if answer is None or answer.answer == UNCLEAR:
        raise unclear(case, answer)
    if answer.answer == REFUSED:
        return Verdict("PQ_NEEDS_TLS13")
    found = trait(case, facts, HYBRID_GROUPS)
    if found.answer == ACCEPTED:
        return Verdict("PQ_OFFERED", {"groups": list(found.seen)})
    if found.answer == REFUSED:
        return Verdict("PQ_NOT_OFFERED")
    if found.answer == NOT_ASKED:
        return ()
    raise unclear_trait(case, found)


@rule("tls.kex.hash", needs=(TlsLegacyFacts,))
def handshake_hash(case: Case) -> Verdict | tuple[()]:
    """RFC 9155 sections 2 and 3: a server that is offered nothing better must not sign with MD5 or SHA-1."""
    found = trait(case, case.need(TlsLegacyFacts), OLD_HASHES)
    names = [name for name in found.seen if name != "SHA-224"]
    if names:
        return Verdict("OLD_HASH_ACCEPTED", {"hashes": names})
    if found.answer == ACCEPTED and found.complete:
        return Verdict("SHA224_ACCEPTED")
    if found.answer == REFUSED:
        return Verdict("OLD_HASHES_REFUSED")
    if found.answer == NOT_ASKED:
        return () if found.why == POLITENESS else Verdict("NO_TLS12_SIGNATURES")
    raise unclear_trait(case, found)


EXCHANGE_RULES = (dh_group, curves, pq_hybrid, handshake_hash)
