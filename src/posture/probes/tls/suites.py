"""Which suites each question offers, in the order in which an ordinary client would."""

from __future__ import annotations

from functools import cache, lru_cache

from posture.facts.suites import SSL2, TLS12, TLS13, Suite, suites

_FINITE = ("DHE", "DH")
_EXCHANGES = ("ECDHE", "DHE", "RSA", "ECDH", "DH")
_CIPHERS = ("AES", "CHACHA20", "CAMELLIA", "ARIA", "SEED")


@cache
def ordinary() -> tuple[int, ...]:
    """TLS 1.2 and older: suites with a certificate and nothing broken. Common ones first: old servers read only 64."""
    chosen = [suite for suite in suites().values() if suite.family == TLS12 and suite.certified and not suite.broken]
    return tuple(suite.number for suite in sorted(chosen, key=_commonness))


@cache
def telling() -> tuple[int, ...]:
    """The ordinary suites, ChaCha20 with ECDHE first: few servers of their own mind choose it first, so that the choice of
    it points to a server that heeds our order."""
    known = suites()
    return tuple(sorted(ordinary(), key=lambda number: not _is_telling(known[name_of(number)])))


def _is_telling(suite: Suite) -> bool:
    return "CHACHA20" in suite.name and suite.exchange == "ECDHE"


@cache
def ephemeral() -> tuple[int, ...]:
    """The ordinary suites with whose handshake the server signs something: ECDHE and DHE."""
    known = suites()
    return tuple(number for number in ordinary() if known[name_of(number)].exchange in ("ECDHE", "DHE"))


@cache
def without_aead() -> tuple[int, ...]:
    """The ordinary suites in CBC mode."""
    return tuple(number for number in ordinary() if not suites()[name_of(number)].aead)


@cache
def kinds() -> tuple[tuple[int, ...], ...]:
    """The ordinary suites by what they do for forward secrecy: ECDHE, DHE, and those with a key that never changes."""
    known = suites()
    by = {number: known[name_of(number)].exchange for number in ordinary()}
    return (
        tuple(number for number in by if by[number] == "ECDHE"),
        tuple(number for number in by if by[number] == "DHE"),
        tuple(number for number in by if by[number] not in ("ECDHE", "DHE")),
    )


@lru_cache(maxsize=256)
def without_dhe(offered: tuple[int, ...]) -> tuple[int, ...]:
    """The suites without finite-field Diffie-Hellman; all of them, when there are no others.

    A server that was given no parameters may choose DHE all the same, and stumble: that says nothing of the others.
    """
    known = suites()
    others = tuple(one for one in offered if (name := name_of(one)) not in known or known[name].exchange not in _FINITE)
    return others or offered


@cache
def broken() -> tuple[int, ...]:
    """NULL, anonymous, EXPORT, RC4, RC2, DES, 3DES, IDEA and MD5, those with a chance of an answer without other keys."""
    return tuple(
        suite.number
        for suite in suites().values()
        if suite.family == TLS12 and suite.broken and (suite.certified or suite.authentication == "anon")
    )


@cache
def worst_first() -> tuple[int, ...]:
    """The broken suites, those last that are better than no encryption at all: 3DES, and suites without a certificate."""
    known = suites()
    least = (("3DES",), ("anon",))
    return tuple(sorted(broken(), key=lambda number: known[name_of(number)].broken in least))


@cache
def ssl3() -> tuple[int, ...]:
    """What servers of the SSL 3.0 days knew: CBC and stream suites without elliptic curves, broken ones first."""
    known = [*broken(), *ordinary()]
    return tuple(number for number in known if number <= 0x0066)


@cache
def tls13() -> tuple[int, ...]:
    """RFC 8446 section B.4, in the order of browsers."""
    return tuple(suite.number for suite in suites().values() if suite.family == TLS13)


@cache
def ssl2() -> tuple[int, ...]:
    """The cipher kinds of SSL 2.0."""
    return tuple(suite.number for suite in suites().values() if suite.family == SSL2)


def name_of(number: int) -> str:
    """The IANA name, or ``0xNNNN`` for a number without one."""
    return _names().get(number, f"0x{number:04X}")


def number_of(name: str) -> int:
    """The inverse of :func:`name_of`. Raises ValueError: neither a name nor such a number."""
    known = suites().get(name)
    return known.number if known else int(name, 16)


@cache
def _names() -> dict[int, str]:
    return {suite.number: suite.name for suite in suites().values()}


def _commonness(suite: Suite) -> tuple[int, bool, bool, int]:
    cipher = next((rank for rank, word in enumerate(_CIPHERS) if word in suite.name), len(_CIPHERS))
    aead = any(word in suite.name for word in ("GCM", "POLY1305"))
    return cipher // 2, "CCM" in suite.name, not aead, _EXCHANGES.index(suite.exchange) * 0x10000 + suite.number
