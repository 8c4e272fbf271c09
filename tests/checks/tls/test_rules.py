"""Every tag of the tls rules on recorded facts, and unknown always. Certificates are real DER made here."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from posture.checks import Reference
from posture.facts import HttpFacts, TlsFacts
from posture.facts.http import Hop
from posture.model import Reason, Severity
from tests.checks.tls.pki import (
    AT,
    CLIENT_ONLY,
    DAY,
    ENDING_MIDDLE,
    LOWER,
    MIDDLE,
    OLD_MIDDLE,
    OTHER_ROOT,
    ROOT,
    UPPER,
    Pair,
    issue,
    weakly_signed,
)
from tests.checks.tls.seen import (
    MX,
    NAME,
    RULES,
    SECRET,
    STATIC,
    Seen,
    case_of,
    chain,
    incomplete,
    judge,
    legacy,
    tls,
    told,
    unseen,
)
from tests.lab import need

FINITE = "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"
RC4, TRIPLE = "TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"
ANONYMOUS = "TLS_DH_anon_WITH_AES_128_CBC_SHA"


def redirect(to: str) -> Seen:
    return {"http": HttpFacts("http", (Hop(f"http://{NAME}/", 301, (("location", to),)),), "final")}


def leaf(**how: Any) -> Pair:
    return issue(NAME, MIDDLE, **{"names": (NAME,), **how})


def exponent_one() -> bytes:
    """A certificate whose RSA key has exponent 1; libraries make none, so one is cut into shape."""
    key = rsa.generate_private_key(65537, 2048)
    modulus = key.public_key().public_numbers().n.to_bytes(257)
    usual = b"\x02\x82\x01\x01" + modulus + b"\x02\x03\x01\x00\x01"
    made = leaf(key=key).der
    assert usual in made
    return made.replace(usual, b"\x02\x82\x01\x03" + modulus + b"\x00\x01" + b"\x02\x01\x01")


def even_exponent() -> bytes:
    return leaf(key=rsa.generate_private_key(65537, 2048)).der.replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x00")


GOOD = leaf()
SELF_SIGNED = issue(NAME, names=(NAME,))
INTERNAL = {"internal": True}
BY_ADDRESS = {"name": "192.0.2.7", "kind": "address"}
ON_MX = {"subject": MX}
HOSTILE_NAMES = tuple(f"n{number}.gov.example" for number in range(3000))
TWINS = [issue("Example Issuing CA", ROOT, ca=True, key=ec.generate_private_key(ec.SECP256R1())) for _ in range(18)]

PROTOCOL_CASES: list[tuple[Any, ...]] = [
    ("tls.protocol.ssl", "both refused", legacy(), {}, "SSL_REFUSED"),
    ("tls.protocol.ssl", "SSL 3.0", legacy(ssl30=(RC4,)), {}, "SSL3_ACCEPTED"),
    ("tls.protocol.ssl", "SSL 2.0", legacy(ssl20=("SSL_CK_RC4_128_WITH_MD5",)), {}, "SSL2_ACCEPTED"),
    ("tls.protocol.ssl", "SSL 3.0 beside a reset", legacy(ssl20="reset", ssl30=(RC4,)), {}, "SSL3_ACCEPTED"),
    ("tls.protocol.ssl", "SSL 2.0 unclear", legacy(ssl20="reset"), {}, Reason.RESET),
    ("tls.protocol.ssl", "SSL 3.0 unclear", legacy(ssl30="timeout"), {}, Reason.TIMEOUT),
    ("tls.protocol.ssl", "not granted", unseen("tls_legacy", Reason.NOT_GRANTED), {}, Reason.NOT_GRANTED),
    ("tls.protocol.legacy", "refused", tls(), {}, "LEGACY_PROTOCOL_REFUSED"),
    ("tls.protocol.legacy", "TLS 1.0", tls(tls10=(STATIC,)), {}, "LEGACY_PROTOCOL_ACCEPTED"),
    (
        "tls.protocol.legacy",
        "one accepted, one unclear",
        tls(tls10="reset", tls11=(STATIC,)),
        {},
        "LEGACY_PROTOCOL_ACCEPTED",
    ),
    (
        "tls.protocol.legacy",
        "submission",
        tls(tls10=(STATIC,)),
        {"subject": "192.0.2.7:587/tcp"},
        "LEGACY_PROTOCOL_ACCEPTED",
    ),
    ("tls.protocol.legacy", "mail exchanger", tls(tls10=(STATIC,)), ON_MX, "LEGACY_PROTOCOL_ON_MX"),
    ("tls.protocol.legacy", "port 25", tls(tls10=(STATIC,)), {"subject": "192.0.2.7:25/tcp"}, "LEGACY_PROTOCOL_ON_MX"),
    ("tls.protocol.legacy", "banned midway", tls(tls10="timeout"), {}, Reason.TIMEOUT),
    ("tls.protocol.tls13", "both", tls(), {}, "TLS13_AND_TLS12"),
    ("tls.protocol.tls13", "alone", tls(tls12="protocol_version"), {}, "TLS13_ONLY"),
    ("tls.protocol.tls13", "1.2 unclear", tls(tls12="timeout"), {}, "TLS13_OFFERED"),
    ("tls.protocol.tls13", "1.2 only", tls(tls13="protocol_version"), {}, "TLS12_ONLY"),
    (
        "tls.protocol.tls13",
        "1.0 only",
        tls(tls10=(STATIC,), tls12="TLS 1.0", tls13="TLS 1.0"),
        {},
        "NO_CURRENT_PROTOCOL",
    ),
    ("tls.protocol.tls13", "1.3 unclear", tls(tls13="reset"), {}, Reason.RESET),
    ("tls.protocol.tls13", "1.2 unclear, 1.3 refused", tls(tls12="timeout", tls13="closed"), {}, Reason.TIMEOUT),
    ("tls.protocol.tls13", "tarpit", unseen("tls", Reason.TIMEOUT), {}, Reason.TIMEOUT),
]

CIPHER_CASES: list[tuple[Any, ...]] = [
    ("tls.cipher.insecure", "none", legacy(), {}, "BROKEN_SUITES_REFUSED"),
    ("tls.cipher.insecure", "SSL unclear", legacy(ssl20="reset"), {}, "BROKEN_SUITES_REFUSED"),
    ("tls.cipher.insecure", "RC4", legacy(tls12=(RC4,)), {}, "BROKEN_SUITES_ACCEPTED"),
    ("tls.cipher.insecure", "only in SSL 3.0", legacy(ssl30=(RC4,)), {}, "BROKEN_SUITES_ACCEPTED"),
    ("tls.cipher.insecure", "RC4 and a reset", legacy(tls10="reset", tls12=(RC4,)), {}, "BROKEN_SUITES_ACCEPTED"),
    ("tls.cipher.insecure", "3DES on the web", legacy(preferred=SECRET, tls12=(TRIPLE,)), {}, "BROKEN_SUITES_ACCEPTED"),
    (
        "tls.cipher.insecure",
        "3DES last on MX",
        legacy(preferred=SECRET, tls12=(TRIPLE,)),
        ON_MX,
        "TRIPLE_DES_LAST_ON_MX",
    ),
    (
        "tls.cipher.insecure",
        "3DES first on MX",
        legacy(preferred=TRIPLE, tls12=(TRIPLE,)),
        ON_MX,
        "BROKEN_SUITES_ACCEPTED",
    ),
    (
        "tls.cipher.insecure",
        "3DES and more",
        incomplete(legacy(preferred=SECRET, tls12=(TRIPLE,)), "TLS 1.2"),
        ON_MX,
        "BROKEN_SUITES_ACCEPTED",
    ),
    ("tls.cipher.insecure", "anonymous on MX", legacy(tls12=(ANONYMOUS,)), ON_MX, "ANONYMOUS_SUITES_ON_MX"),
    ("tls.cipher.insecure", "anonymous on the web", legacy(tls12=(ANONYMOUS,)), {}, "BROKEN_SUITES_ACCEPTED"),
    (
        "tls.cipher.insecure",
        "anonymous RC4 on MX",
        legacy(tls12=("TLS_DH_anon_WITH_RC4_128_MD5",)),
        ON_MX,
        "BROKEN_SUITES_ACCEPTED",
    ),
    ("tls.cipher.insecure", "unclear", legacy(tls12="timeout"), {}, Reason.TIMEOUT),
    (
        "tls.cipher.insecure",
        "SSL 3.0 half seen",
        incomplete(legacy(ssl30=(STATIC,)), "SSL 3.0"),
        {},
        Reason.RATE_LIMITED,
    ),
    ("tls.cipher.insecure", "not granted", unseen("tls_legacy", Reason.NOT_GRANTED), {}, Reason.NOT_GRANTED),
    ("tls.cipher.forward_secrecy", "ECDHE", tls(), {}, "ONLY_FORWARD_SECRECY"),
    ("tls.cipher.forward_secrecy", "TLS 1.3 only", tls(tls12="protocol_version"), {}, "ONLY_FORWARD_SECRECY"),
    ("tls.cipher.forward_secrecy", "static too", tls(tls12=(SECRET, STATIC)), {}, "STATIC_KEY_EXCHANGE_TOO"),
    ("tls.cipher.forward_secrecy", "DHE too", tls(tls12=(SECRET, FINITE)), {}, "FINITE_FIELD_EXCHANGE_TOO"),
    ("tls.cipher.forward_secrecy", "none", tls(tls12=(STATIC,), tls13="TLS 1.2"), {}, "NO_FORWARD_SECRECY"),
    (
        "tls.cipher.forward_secrecy",
        "none seen yet",
        incomplete(tls(tls12=(STATIC,), tls13="TLS 1.2"), "TLS 1.2"),
        {},
        Reason.RATE_LIMITED,
    ),
    ("tls.cipher.forward_secrecy", "not all asked", incomplete(tls(), "TLS 1.2"), {}, Reason.RATE_LIMITED),
    ("tls.cipher.forward_secrecy", "unclear", tls(tls12="reset"), {}, Reason.RESET),
    (
        "tls.cipher.forward_secrecy",
        "nothing",
        tls(tls12="protocol_version", tls13="protocol_version"),
        {},
        Reason.REFUSED_BY_TARGET,
    ),
]

CERTIFICATE_CASES: list[tuple[Any, ...]] = [
    ("tls.cert.expiry", "fresh", chain(leaf(end=AT + 31 * DAY)), {}, "CERT_DATES_GOOD"),
    ("tls.cert.expiry", "exactly the margin", chain(leaf(end=AT + 30 * DAY)), {}, "CERT_DATES_GOOD"),
    ("tls.cert.expiry", "29 days", chain(leaf(end=AT + 29 * DAY)), {}, "CERT_EXPIRES_SOON"),
    ("tls.cert.expiry", "short-lived", chain(leaf(start=AT - 3 * DAY, end=AT + 3 * DAY)), {}, "CERT_DATES_GOOD"),
    (
        "tls.cert.expiry",
        "short-lived, late",
        chain(leaf(start=AT - 5 * DAY, end=AT + 1 * DAY)),
        {},
        "CERT_EXPIRES_SOON",
    ),
    ("tls.cert.expiry", "six days", chain(leaf(end=AT + 6 * DAY)), {}, "CERT_EXPIRES_AT_ONCE"),
    ("tls.cert.expiry", "expired", chain(leaf(end=AT - DAY)), {}, "CERT_EXPIRED"),
    ("tls.cert.expiry", "not yet", chain(leaf(start=AT + DAY)), {}, "CERT_NOT_YET_VALID"),
    ("tls.cert.expiry", "garbage", chain(b"\x30\x03\x02\x01\x01"), {}, Reason.MALFORMED),
    ("tls.cert.expiry", "no chain", tls(), {}, Reason.NOT_RECORDED),
    ("tls.cert.trust", "public", chain(GOOD, MIDDLE), {}, "CERT_TRUSTED"),
    ("tls.cert.trust", "hostile twins", chain(GOOD, *TWINS, MIDDLE), {}, "CERT_TRUSTED"),
    ("tls.cert.trust", "leaf expired", chain(leaf(end=AT - DAY), MIDDLE), {}, "CERT_TRUSTED"),
    ("tls.cert.trust", "issuer ends soon", chain(issue(NAME, ENDING_MIDDLE), ENDING_MIDDLE), {}, "TRUST_ENDS_SOON"),
    ("tls.cert.trust", "self-signed", chain(SELF_SIGNED), {}, "CERT_SELF_SIGNED"),
    ("tls.cert.trust", "private root", chain(issue(NAME, OTHER_ROOT), OTHER_ROOT), {}, "CERT_PRIVATE_ROOT"),
    ("tls.cert.trust", "missing intermediate", chain(GOOD), {}, "CERT_ISSUER_UNKNOWN"),
    ("tls.cert.trust", "expired intermediate", chain(issue(NAME, OLD_MIDDLE), OLD_MIDDLE), {}, "CERT_ISSUER_EXPIRED"),
    ("tls.cert.trust", "client certificate", chain(leaf(usage=CLIENT_ONLY), MIDDLE), {}, "CERT_NOT_FOR_SERVERS"),
    ("tls.cert.trust", "issuer is no CA", chain(issue("below", GOOD), GOOD, MIDDLE), {}, "CERT_UNTRUSTED"),
    ("tls.cert.trust", "garbage", chain(b"\x30\x03\x02\x01\x01"), {}, "CERT_MALFORMED"),
    ("tls.cert.trust", "internal", chain(SELF_SIGNED), INTERNAL, "TRUST_INTERNAL"),
    ("tls.cert.trust", "no store", chain(GOOD), {"reference": Reference()}, Reason.FEED_STALE),
    ("tls.cert.trust", "handshake timed out", {"tls": replace(tls()["tls"], chain_why="timeout")}, {}, Reason.TIMEOUT),
    ("tls.cert.chain", "whole", chain(GOOD, MIDDLE), {}, "CHAIN_COMPLETE"),
    ("tls.cert.chain", "two intermediates", chain(issue(NAME, LOWER), LOWER, UPPER), {}, "CHAIN_COMPLETE"),
    ("tls.cert.chain", "root included", chain(GOOD, MIDDLE, ROOT), {}, "CHAIN_UNTIDY"),
    ("tls.cert.chain", "misordered", chain(issue(NAME, LOWER), UPPER, LOWER), {}, "CHAIN_UNTIDY"),
    ("tls.cert.chain", "stranger included", chain(GOOD, MIDDLE, LOWER), {}, "CHAIN_UNTIDY"),
    ("tls.cert.chain", "garbage included", chain(GOOD, MIDDLE, b"\x30\x00"), {}, "CHAIN_UNTIDY"),
    ("tls.cert.chain", "missing", chain(GOOD), {}, "CHAIN_INCOMPLETE"),
    ("tls.cert.chain", "self-signed", chain(SELF_SIGNED), {}, "CHAIN_SELF_SIGNED"),
    (
        "tls.cert.chain",
        "internal",
        chain(issue(NAME, LOWER), LOWER),
        {"reference": Reference(OTHER_ROOT.pem), **INTERNAL},
        "CHAIN_INTERNAL",
    ),
    ("tls.cert.chain", "garbage", chain(b"\x30\x00"), {}, Reason.MALFORMED),
    ("tls.cert.chain", "no store", chain(GOOD), {"reference": Reference()}, Reason.FEED_STALE),
    ("tls.cert.hostname", "exact", chain(GOOD), {}, "CERT_NAME_MATCHES"),
    ("tls.cert.hostname", "wildcard", chain(leaf(names=("*.gov.example",))), {}, "CERT_NAME_MATCHES"),
    ("tls.cert.hostname", "capitals", chain(leaf(names=("WWW.Gov.Example",))), {}, "CERT_NAME_MATCHES"),
    ("tls.cert.hostname", "among thousands", chain(leaf(names=(*HOSTILE_NAMES, NAME))), {}, "CERT_NAME_MATCHES"),
    (
        "tls.cert.hostname",
        "address",
        {"tls": replace(chain(leaf(names=("192.0.2.7",)))["tls"], name="192.0.2.7")},
        BY_ADDRESS,
        "CERT_NAME_MATCHES",
    ),
    (
        "tls.cert.hostname",
        "address without",
        {"tls": replace(chain(GOOD)["tls"], name="192.0.2.7")},
        BY_ADDRESS,
        "CERT_NAME_NOT_ASKED",
    ),
    (
        "tls.cert.hostname",
        "redirect name",
        chain(leaf(names=("gov.example",))) | redirect("https://gov.example/"),
        {},
        "CERT_NAME_OF_REDIRECT",
    ),
    (
        "tls.cert.hostname",
        "another",
        chain(leaf(names=("gov.example",))) | redirect("https://[bad/"),
        {},
        "CERT_NAME_DIFFERS",
    ),
    ("tls.cert.hostname", "wildcard one label too high", chain(leaf(names=("*.example",))), {}, "CERT_NAME_DIFFERS"),
    ("tls.cert.hostname", "partial wildcard", chain(leaf(names=("w*.gov.example",))), {}, "CERT_NAME_DIFFERS"),
    ("tls.cert.hostname", "common name only", chain(issue(NAME, MIDDLE)), {}, "CERT_WITHOUT_NAMES"),
    ("tls.cert.hostname", "unseen", unseen("tls", Reason.RESET), {}, Reason.RESET),
    ("tls.cert.key", "P-256", chain(GOOD), {}, "KEY_STRONG"),
    ("tls.cert.key", "Ed25519", chain(leaf(key=ed25519.Ed25519PrivateKey.generate())), {}, "KEY_STRONG"),
    ("tls.cert.key", "RSA 3072", chain(leaf(key=rsa.generate_private_key(65537, 3072))), {}, "KEY_STRONG"),
    ("tls.cert.key", "RSA 2048", chain(leaf(key=rsa.generate_private_key(65537, 2048))), {}, "KEY_GOOD_UNTIL_2030"),
    ("tls.cert.key", "RSA 1024", chain(leaf(key=rsa.generate_private_key(65537, 1024))), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "P-224", chain(leaf(key=ec.generate_private_key(ec.SECP224R1()))), {}, "KEY_PHASE_OUT"),
    ("tls.cert.key", "P-192", chain(leaf(key=ec.generate_private_key(ec.SECP192R1()))), {}, "KEY_TOO_WEAK"),
    ("tls.cert.key", "exponent 1", chain(exponent_one()), {}, "KEY_EXPONENT_WEAK"),
    ("tls.cert.key", "even exponent", chain(even_exponent()), {}, "KEY_EXPONENT_WEAK"),
    ("tls.cert.key", "garbage", chain(b"\x30\x00"), {}, Reason.MALFORMED),
    ("tls.cert.sigalg", "SHA-256", chain(GOOD, MIDDLE), {}, "SIGNATURE_STRONG"),
    (
        "tls.cert.sigalg",
        "Ed25519",
        chain(issue(NAME, issue("Ed CA", ca=True, key=ed25519.Ed25519PrivateKey.generate()))),
        {},
        "SIGNATURE_STRONG",
    ),
    ("tls.cert.sigalg", "SHA-224", chain(leaf(algorithm=hashes.SHA224()), MIDDLE), {}, "SIGNATURE_PHASE_OUT"),
    ("tls.cert.sigalg", "unseen", unseen("tls", Reason.TIMEOUT), {}, Reason.TIMEOUT),
]

# The last item is the expected tag, or the reason of an unknown. SIGNATURE_BROKEN needs the openssl command: see below.
CASES: list[tuple[Any, ...]] = [
    *PROTOCOL_CASES,
    *CIPHER_CASES,
    *CERTIFICATE_CASES,
    ("tls.cert.sigalg", "SHA-1, made by openssl", {}, {}, "SIGNATURE_BROKEN"),
]
TABLE = [row for row in CASES if row[-1] != "SIGNATURE_BROKEN"]


@pytest.mark.parametrize(
    ("control", "_name", "seen", "how", "expected"), TABLE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_verdict(control: str, _name: str, seen: Seen, how: dict[str, Any], expected: str | Reason) -> None:
    assert told(control, seen, how) == expected


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_an_old_digest_in_a_signature_is_broken(digest: str, tmp_path: Any) -> None:
    authority = issue("Old CA", ca=True, key=rsa.generate_private_key(65537, 2048))
    made = weakly_signed(tmp_path, need("openssl", "openssl"), digest, authority)

    verdict = judge("tls.cert.sigalg", chain(made))

    assert verdict.tag == "SIGNATURE_BROKEN"
    assert verdict.args["certificate"] == NAME


def test_the_old_digest_of_a_root_does_not_count(tmp_path: Any) -> None:
    openssl = need("openssl", "openssl")
    root = issue("Old Root", ca=True, key=rsa.generate_private_key(65537, 2048))
    cross = weakly_signed(tmp_path, openssl, "sha1", replace(root))

    assert judge("tls.cert.sigalg", chain(issue(NAME, root), root)).tag == "SIGNATURE_STRONG"
    assert judge("tls.cert.sigalg", chain(issue(NAME, root), cross)).tag == "SIGNATURE_BROKEN"


def test_ssl2_is_critical_and_ssl3_is_not() -> None:
    assert judge("tls.protocol.ssl", legacy(ssl20=("SSL_CK_RC4_128_WITH_MD5",))).severity is Severity.CRITICAL
    assert judge("tls.protocol.ssl", legacy(ssl30=(RC4,))).severity is None


def test_no_current_protocol_is_high_and_anonymous_mail_is_low() -> None:
    old = tls(tls10=(STATIC,), tls12="TLS 1.0", tls13="TLS 1.0")
    assert judge("tls.protocol.tls13", old).severity is Severity.HIGH
    assert judge("tls.cipher.insecure", legacy(tls12=(ANONYMOUS,)), ON_MX).severity is Severity.LOW


@pytest.mark.parametrize("days", [300, 29, 3])
def test_good_until_is_the_instant_at_which_the_same_certificate_is_judged_otherwise(days: int) -> None:
    seen = chain(leaf(end=AT + days * DAY))
    verdict = judge("tls.cert.expiry", seen)
    assert verdict.good_until is not None

    before = judge("tls.cert.expiry", seen, at=verdict.good_until - timedelta(seconds=1))
    after = judge("tls.cert.expiry", seen, at=verdict.good_until + timedelta(seconds=1))

    assert before.tag == verdict.tag
    assert after.tag != verdict.tag


def test_names_of_the_finding_are_at_most_fifty_and_the_count_is_kept() -> None:
    args = judge("tls.cert.hostname", chain(leaf(names=HOSTILE_NAMES))).args

    assert len(args["names"]) == 50
    assert args["count"] == 3000


def test_the_faults_of_an_untidy_chain_are_named() -> None:
    args = judge("tls.cert.chain", chain(issue(NAME, LOWER), UPPER, LOWER, ROOT)).args

    assert args["faults"] == ["the root is included", "the order is wrong"]


def test_a_broken_suite_is_found_by_every_kind_of_weakness() -> None:
    weak = (
        "TLS_RSA_WITH_NULL_SHA256",
        "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA",
        "TLS_RSA_WITH_IDEA_CBC_SHA",
        "TLS_RSA_WITH_DES_CBC_SHA",
    )
    for suite in weak:
        assert judge("tls.cipher.insecure", legacy(tls12=(suite,))).args["suites"] == [suite]


def test_a_mail_exchanger_whose_suites_were_not_listed_is_not_judged_on_forward_secrecy() -> None:
    case = case_of(incomplete(tls(), "TLS 1.2"), ON_MX)

    assert RULES["tls.cipher.forward_secrecy"].judge(case) == ()


def test_a_long_list_decides_once_its_suites_without_ecdhe_were_asked_for() -> None:
    seen = incomplete(tls(), "TLS 1.2")
    asked = {
        key: replace(facts, versions=tuple(replace(one, exchange_complete=True) for one in facts.versions))
        for key, facts in seen.items()
        if isinstance(facts, TlsFacts)
    }

    assert judge("tls.cipher.forward_secrecy", asked).tag == "ONLY_FORWARD_SECRECY"


@pytest.mark.parametrize("control", ["tls.cert.trust", "tls.cert.chain", "tls.cert.hostname"])
def test_who_vouches_for_a_mail_exchanger_is_not_judged_here(control: str) -> None:
    assert RULES[control].judge(case_of(chain(leaf()), ON_MX)) == ()
