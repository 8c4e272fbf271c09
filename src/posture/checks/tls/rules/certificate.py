"""The certificate: tls.cert.expiry, trust, chain, hostname, key, sigalg. Facts hold the DER chain; all else is decided here.

Who vouches for a mail exchanger, and for which name, is a question of its own (mail.tls.cert): senders do not ask by
default (RFC 7435), and a certificate of one's own is the rule with DANE. Dates and keys are judged there too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from posture.checks.rule import Case, Missing, rule
from posture.checks.tls.answers import on_mail_exchanger
from posture.checks.tls.roca import has_roca_mark
from posture.checks.tls.x509 import (
    Malformed,
    certificate,
    issuer_of,
    matches,
    name_of,
    names,
    path,
    readable,
    root_prints,
    self_issued,
    trust,
    trust_until,
)
from posture.facts import HttpFacts, TlsFacts
from posture.model import Reason, Verdict

_NAMES_SHOWN = 50


def chain_of(case: Case) -> tuple[bytes, ...]:
    """The chain as sent, or Missing with the reason why there is none."""
    facts = case.need(TlsFacts)
    if facts.chain:
        return facts.chain
    if not facts.accepted:
        raise case.unknown(Reason.REFUSED_BY_TARGET, "no handshake was possible")
    raise case.unknown(Reason(facts.chain_why) if facts.chain_why else Reason.NOT_RECORDED, "no chain was read")


def leaf_of(case: Case) -> x509.Certificate:
    """The server's own certificate, or Missing when it is not there or cannot be read."""
    der = chain_of(case)[0]
    try:
        return certificate(der)
    except Malformed as fault:
        raise malformed(case, fault) from fault


def malformed(case: Case, fault: Exception) -> Missing:
    """For ``raise malformed(...)``: a part of the certificate that decides cannot be read."""
    return case.unknown(Reason.MALFORMED, f"the certificate cannot be read: {fault}"[:200])


def require_whole(case: Case) -> None:
    """Raises Missing when the issuer that is missed may be among the certificates that were not kept."""
    if case.need(TlsFacts).chain_cut:
        raise case.unknown(Reason.TRUNCATED, "the chain is longer than what is kept of it")


# ---- dates


@rule("tls.cert.expiry", needs=(TlsFacts,))
def expiry(case: Case) -> Verdict:
    """RFC 5280 section 4.1.2.5. Margins are fractions of the lifetime, so that short-lived certificates do not alarm daily."""
    leaf = leaf_of(case)
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    args = {"not_before": day(start), "not_after": day(end)}
    if case.at < start:
        return Verdict("CERT_NOT_YET_VALID", args, good_until=start)
    if case.at > end:
        return Verdict("CERT_EXPIRED", args)
    late, early = (end - _margin(case, kind, end - start) for kind in ("fail", "warn"))
    if case.at >= late:
        return Verdict("CERT_EXPIRES_AT_ONCE", args, good_until=end)
    if case.at > early:
        return Verdict("CERT_EXPIRES_SOON", args, good_until=late)
    return Verdict("CERT_DATES_GOOD", args, good_until=early)


def _margin(case: Case, kind: str, lifetime: timedelta) -> timedelta:
    days = case.policy.number(f"tls.cert.expiry_{kind}_days", case.at)
    divisor = case.policy.number(f"tls.cert.expiry_{kind}_divisor", case.at)
    return min(timedelta(days=days), lifetime / divisor)


def day(moment: datetime) -> str:
    """As findings show dates: YYYY-MM-DD."""
    return f"{moment:%Y-%m-%d}"


# ---- trust and chain


_UNTRUSTED = {
    "self_signed": "CERT_SELF_SIGNED",
    "private_root": "CERT_PRIVATE_ROOT",
    "unknown_issuer": "CERT_ISSUER_UNKNOWN",
    "expired_issuer": "CERT_ISSUER_EXPIRED",
    "purpose": "CERT_NOT_FOR_SERVERS",
}


@rule("tls.cert.trust", needs=(TlsFacts,))
def trusted(case: Case) -> Verdict | tuple[()]:
    """RFC 5280 section 6, against the dated store of the reference."""
    if on_mail_exchanger(case):
        return ()
    if case.asset.internal:
        return Verdict("TRUST_INTERNAL")
    chain = chain_of(case)
    if not case.reference.roots:
        raise case.unknown(Reason.FEED_STALE, "no trust store")
    try:
        leaf = certificate(chain[0])
        found = trust(chain, case.reference.roots, case.at)
    except Malformed:
        return Verdict("CERT_MALFORMED")
    store = case.reference.roots_digest
    if found.fault not in ("", "self_signed", "purpose"):
        require_whole(case)
    if found.fault:
        args = {"certificate": found.subject, "issuer": issuer_of(leaf), "store": store}
        until = trust_until(chain, case.reference.roots, case.at)
        return Verdict(_UNTRUSTED.get(found.fault, "CERT_UNTRUSTED"), args, good_until=until)
    args = {"issuer": issuer_of(leaf), "store": store}
    if found.ends is None or found.ends >= leaf.not_valid_after_utc:
        return Verdict("CERT_TRUSTED", args)
    warn_from = found.ends - timedelta(days=case.policy.number("tls.cert.expiry_warn_days", case.at))
    if case.at < warn_from or not trust(chain, case.reference.roots, found.ends + timedelta(seconds=1)).fault:
        return Verdict("CERT_TRUSTED", args, good_until=warn_from if case.at < warn_from else found.ends)
    return Verdict("TRUST_ENDS_SOON", {**args, "ends": day(found.ends)}, good_until=found.ends)


@rule("tls.cert.chain", needs=(TlsFacts,))
def chain_sent(case: Case) -> Verdict | tuple[()]:
    """RFC 8446 section 4.4.2: leaf first, then each issuer, the root left out."""
    if on_mail_exchanger(case):
        return ()
    sent = chain_of(case)
    try:
        certs = readable(sent)
        found = trust(sent, case.reference.roots, case.at)
    except Malformed as fault:
        raise malformed(case, fault) from fault
    walked = path(certs)
    last = certs[walked[-1]]
    if self_issued(certs[0]):
        return Verdict("CHAIN_SELF_SIGNED", {"certificate": name_of(certs[0])})
    if found.fault == "unknown_issuer" and not self_issued(last):
        if case.asset.internal and len(walked) > 1:
            return Verdict("CHAIN_INTERNAL", {"issuer": issuer_of(last)})
        if not case.reference.roots:
            raise case.unknown(Reason.FEED_STALE, "no trust store")
        require_whole(case)
        return Verdict("CHAIN_INCOMPLETE", {"missing": issuer_of(last)})
    faults = _untidiness(case, len(sent), certs, walked)
    args = {"certificates": len(sent), "faults": faults}
    return Verdict("CHAIN_UNTIDY", args) if faults else Verdict("CHAIN_COMPLETE", args)


def _untidiness(case: Case, sent: int, certs: list[x509.Certificate], walked: tuple[int, ...]) -> list[str]:
    roots = root_prints(case.reference.roots)
    faults = []
    if any(self_issued(cert) or cert.public_bytes(Encoding.DER) in roots for cert in certs[1:]):
        faults.append("the root is included")
    if list(walked) != sorted(walked):
        faults.append("the order is wrong")
    if len(walked) < sent:
        faults.append("certificates that do not belong there are included")
    return faults


# ---- name


@rule("tls.cert.hostname", needs=(TlsFacts, HttpFacts))
def hostname(case: Case) -> Verdict | tuple[()]:
    """RFC 9525 section 6: subjectAltName only."""
    if on_mail_exchanger(case):
        return ()
    asked = case.need(TlsFacts).name
    leaf = leaf_of(case)
    try:
        found = names(leaf)
    except Malformed as fault:
        raise malformed(case, fault) from fault
    shown = [*found.dns, *found.addresses]
    args: dict[str, Any] = {"name": asked, "names": shown[:_NAMES_SHOWN], "count": len(shown)}
    if matches(found, asked):
        return Verdict("CERT_NAME_MATCHES", args)
    if case.asset.kind == "address":
        return Verdict("CERT_NAME_NOT_ASKED", args)
    target = next((host for host in _redirect_hosts(case) if matches(found, host)), None)
    if target:
        return Verdict("CERT_NAME_OF_REDIRECT", {**args, "target": target})
    return Verdict("CERT_NAME_DIFFERS", args) if shown else Verdict("CERT_WITHOUT_NAMES", args)


def _redirect_hosts(case: Case) -> list[str]:
    """Hosts to which the asset's own web server was seen to redirect."""
    seen = [facts for facts in case.every(HttpFacts).values() if isinstance(facts, HttpFacts)]
    locations = [location for facts in seen for hop in facts.hops for location in hop.header("location")]
    return [host for host in map(_host, locations) if host]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


# ---- key and signature


@rule("tls.cert.key", needs=(TlsFacts,), version=2)
def key(case: Case) -> Verdict:
    """CA/B BR 6.1.5, NIST SP 800-57 part 1."""
    leaf = leaf_of(case)
    try:
        public = leaf.public_key()
    except UnsupportedAlgorithm as fault:
        raise case.unknown(Reason.TOOL_MISSING, "a kind of key that this release cannot read") from fault
    except ValueError as fault:
        if "exponent" in str(fault) or "e must be" in str(fault):
            return Verdict("KEY_EXPONENT_WEAK", {"key": "RSA"})
        raise malformed(case, fault) from fault
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


def _rsa(case: Case, public: rsa.RSAPublicKey) -> Verdict:
    args = {"key": f"RSA {public.key_size}"}
    exponent = public.public_numbers().e
    if exponent < 3 or exponent % 2 == 0:
        return Verdict("KEY_EXPONENT_WEAK", args)
    if has_roca_mark(public.public_numbers().n):
        return Verdict("KEY_ROCA", args)
    if public.key_size < case.policy.number("tls.cert.rsa_bits_fail_below", case.at):
        return Verdict("KEY_TOO_WEAK", args)
    if public.key_size < case.policy.number("tls.cert.rsa_bits_warn_below", case.at):
        return Verdict("KEY_PHASE_OUT", args)
    return Verdict("KEY_STRONG", args) if public.key_size >= 3072 else Verdict("KEY_GOOD_UNTIL_2030", args)


def _ec(case: Case, public: ec.EllipticCurvePublicKey) -> Verdict:
    args = {"key": f"EC {public.curve.name}"}
    if public.curve.key_size < case.policy.number("tls.cert.ec_bits_fail_below", case.at):
        return Verdict("KEY_TOO_WEAK", args)
    if public.curve.key_size < case.policy.number("tls.cert.ec_bits_warn_below", case.at):
        return Verdict("KEY_PHASE_OUT", args)
    return Verdict("KEY_STRONG", args)


# Signature algorithms whose hash the library no longer names, by object identifier.
_OLD_HASHES = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.3": "MD4",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
}
_HASHES = {"sha1": "SHA-1", "md5": "MD5", "sha224": "SHA-224"}
_STRONG = frozenset({"sha256", "sha384", "sha512", "sha512-256", "sha3-256", "sha3-384", "sha3-512"})


@rule("tls.cert.sigalg", needs=(TlsFacts,))
def signature_algorithm(case: Case) -> Verdict:
    """CA/B BR 7.1.3.2, RFC 9155. A root's own signature is never checked by anybody, so it does not count."""
    leaf_of(case)
    certs = readable(chain_of(case))
    checked = [cert for index, cert in enumerate(certs) if index == 0 or not self_issued(cert)]
    found = {_hash(cert): name_of(cert) for cert in reversed(checked)}
    for name in ("MD2", "MD4", "MD5", "SHA-1"):
        if name in found:
            return Verdict("SIGNATURE_BROKEN", {"hash": name, "certificate": found[name]})
    if "SHA-224" in found:
        return Verdict("SIGNATURE_PHASE_OUT", {"hash": "SHA-224", "certificate": found["SHA-224"]})
    if "" in found:
        raise case.unknown(Reason.TOOL_MISSING, "a signature algorithm that this release does not judge")
    return Verdict("SIGNATURE_STRONG")


def _hash(cert: x509.Certificate) -> str:
    """MD5, SHA-1, SHA-224, "strong", or "" when it is not known."""
    oid = cert.signature_algorithm_oid
    if oid.dotted_string in _OLD_HASHES:
        return _OLD_HASHES[oid.dotted_string]
    if oid in (x509.SignatureAlgorithmOID.ED25519, x509.SignatureAlgorithmOID.ED448):
        return "strong"
    try:
        algorithm = cert.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return ""
    name = algorithm.name if algorithm else ""
    return "strong" if name in _STRONG else _HASHES.get(name, "")


CERTIFICATE_RULES = (expiry, trusted, chain_sent, hostname, key, signature_algorithm)
