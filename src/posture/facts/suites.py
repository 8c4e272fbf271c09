"""Cipher suites as data: number, IANA name, and what the name says of key exchange, authentication and strength.

suites.csv is the IANA "TLS Cipher Suites" registry (RFC 8446 section B.4, RFC 5246 section A.5 and later), the EXPORT1024
drafts that servers of 1999 shipped, and the cipher kinds of SSL 2.0. GOST suites are left out: no probe offers them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

SSL2, TLS12, TLS13 = "SSL 2.0", "TLS 1.2 or older", "TLS 1.3"


@dataclass(frozen=True, slots=True)
class Suite:
    """One cipher suite.

    ``number`` is two bytes (three for SSL 2.0). ``family`` is SSL2, TLS12 or TLS13 of this module. ``exchange`` is "RSA",
    "DH", "DHE", "ECDH", "ECDHE", "PSK", ... or "" where the version decides (TLS 1.3); ``authentication`` is "RSA", "DSS",
    "ECDSA", "anon", "PSK", ... or "". ``broken`` lists why nobody should accept it; empty for a sound suite.
    """

    number: int
    name: str
    family: str
    exchange: str
    authentication: str
    broken: tuple[str, ...]

    @property
    def certified(self) -> bool:
        """Whether an ordinary client with a list of certificate authorities can use it."""
        return self.exchange in ("RSA", "DH", "DHE", "ECDH", "ECDHE") and self.authentication in ("RSA", "DSS", "ECDSA")

    @property
    def aead(self) -> bool:
        """Whether it encrypts and authenticates in one (GCM, CCM, ChaCha20-Poly1305): RFC 9325 section 4.2."""
        return self.family == TLS13 or any(word in self.name for word in ("GCM", "CCM", "POLY1305"))

    @property
    def uncommon(self) -> bool:
        """Whether it is an AEAD suite that guidelines leave out or phase out: national ciphers, or a tag of 64 bits."""
        return self.aead and any(word in self.name for word in ("ARIA", "CAMELLIA", "CCM_8"))

    @property
    def forward_secret(self) -> bool:
        """Whether a stolen server key leaves recorded traffic closed (RFC 9325 section 4.1)."""
        return self.family == TLS13 or self.exchange in ("DHE", "ECDHE")


@cache
def suites() -> Mapping[str, Suite]:
    """Every known suite by IANA name, in the order of their numbers."""
    table = resources.files("posture.facts").joinpath("suites.csv").read_text("ascii")
    return {row["name"]: _suite(int(row["id"], 16), row["name"]) for row in csv.DictReader(table.splitlines())}


def _suite(number: int, name: str) -> Suite:
    if name.startswith("SSL_CK_"):
        return Suite(number, name, SSL2, "RSA", "RSA", _broken(name))
    key, _, cipher = name.removeprefix("TLS_").partition("_WITH_")
    if not cipher:
        return Suite(number, name, TLS13, "", "", ())
    words = [word for word in key.split("_") if not word.startswith("EXPORT")]
    return Suite(number, name, TLS12, words[0], words[-1], _broken(name))


def _broken(name: str) -> tuple[str, ...]:
    """The weaknesses that a name spells out (RFC 9325 section 4.1, RFC 7465, RFC 6176)."""
    words = set(name.split("_"))
    found: list[str] = [word for word in ("NULL", "anon", "RC4", "RC2", "IDEA", "3DES") if word in words]
    if any(word.startswith("EXPORT") for word in words):
        found.append("EXPORT")
    if words & {"DES", "DES40"}:
        found.append("3DES" if "EDE3" in words else "DES")
    if "MD5" in words:
        found.append("MD5")
    return tuple(sorted(set(found), key=str.lower))


def openssl_name(name: str) -> str:
    """What OpenSSL calls a suite of TLS 1.2 or older that an ordinary client can use, or an anonymous one; else ""."""
    suite = suites().get(name)
    if suite is None or suite.family != TLS12 or "_EXPORT" in name:
        return ""
    if not suite.certified and suite.authentication != "anon":
        return ""
    key, _, cipher = name.removeprefix("TLS_").partition("_WITH_")
    exchange = {"RSA": "", "DH_anon": "ADH-", "ECDH_anon": "AECDH-"}.get(key, key.replace("_", "-") + "-")
    for old, new in _OPENSSL:
        cipher = cipher.replace(old, new)
    return (exchange + cipher.replace("_", "-")).replace("ECDHE-RSA-ARIA", "ECDHE-ARIA")  # its one irregular name


# In this order: a rule of one line each, that OpenSSL's own names follow.
_OPENSSL = (
    ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    ("3DES_EDE_CBC", "DES-CBC3"),
    ("AES_128", "AES128"),
    ("AES_256", "AES256"),
    ("CAMELLIA_128", "CAMELLIA128"),
    ("CAMELLIA_256", "CAMELLIA256"),
    ("ARIA_128", "ARIA128"),
    ("ARIA_256", "ARIA256"),
    ("CCM_8", "CCM8"),
    ("_CBC_", "_"),
    ("RC4_128", "RC4"),
)
