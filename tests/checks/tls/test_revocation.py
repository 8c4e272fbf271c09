"""Revocation by lists and by staples, on real lists and responses: every outcome, and everything that must not be believed."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from posture.checks import Missing, Reference
from posture.facts import CrlFacts
from posture.facts.certificate import FETCHED, FROM_FILE, RevocationList
from posture.facts.parse_crl import (
    BAD_SIGNATURE,
    DELTA,
    INDIRECT,
    LISTED,
    MALFORMED,
    NO_ISSUER,
    NOT_LISTED,
    NOT_YET,
    OTHER_ISSUER,
    OTHER_SCOPE,
    STALE,
    UNKNOWN_EXTENSION,
    distribution_points,
    load,
    read_list,
)
from posture.facts.parse_ocsp import (
    ALGORITHM,
    DECLINED,
    GOOD,
    NOT_AUTHORISED,
    OTHER_CERTIFICATE,
    REVOKED,
    UNKNOWN,
    read_staple,
)
from posture.facts.parse_ocsp import BAD_SIGNATURE as BAD_STAPLE
from posture.facts.parse_ocsp import MALFORMED as GARBAGE
from posture.facts.parse_ocsp import (
    NO_ISSUER as NO_SIGNER,
)
from posture.facts.tls import ACCEPTED, REFUSED, STAPLE, UNCLEAR, Trait
from posture.model import Reason, Unobserved
from tests.checks.tls.pki import AT, DAY, MIDDLE, OTHER_ROOT, ROOT, Pair, issue
from tests.checks.tls.revoking import (
    LIST_URL,
    coded,
    point,
    points,
    responder,
    responder_at,
    response,
    revocation_list,
)
from tests.checks.tls.seen import MX, NAME, RULES, Seen, case_of, chain, judge, unseen

SECOND = timedelta(seconds=1)
leaf = partial(issue, NAME, MIDDLE, names=(NAME,))
LEAF = leaf(extensions=(points(LIST_URL),))
ASKABLE = leaf(extensions=(responder_at(), points(LIST_URL)))
BARE = leaf()
STAPLED = (Trait(STAPLE, ACCEPTED),)
IMPOSTOR = issue("Example Issuing CA", OTHER_ROOT, ca=True)
STRANGER = ec.generate_private_key(ec.SECP256R1())
RESPONDER = responder()


def listed(*lists: RevocationList, of: Pair = LEAF, about: Pair | None = None) -> Seen:
    return {**chain(of, MIDDLE), "crl": CrlFacts(sha256((about or of).der).hexdigest(), lists)}


def seen_list(word: str, source: str = FETCHED, **more: Any) -> RevocationList:
    return RevocationList(LIST_URL if source == FETCHED else "", source, word, **more)


def stapled(staple: bytes, *traits: Trait, of: Pair = ASKABLE, above: tuple[Pair, ...] = (MIDDLE,)) -> Seen:
    seen = chain(of, *above, traits=traits or STAPLED, staple=staple)
    return {**seen, "crl": CrlFacts(sha256(of.der).hexdigest(), ())}


IN_LIST = {"revoked_at": "2026-05-30T12:00:00Z", "reason": "keyCompromise"}
SHORT = leaf(start=AT - DAY, end=AT + 6 * DAY - SECOND)
SHORT_BUT_ONE = leaf(start=AT - DAY, end=AT + 6 * DAY, extensions=(points(LIST_URL),))
SELF = issue(NAME, names=(NAME,))
ROOTED = issue(NAME, ROOT, names=(NAME,), extensions=(responder_at(),))

LIST_CASES: list[tuple[Any, ...]] = [
    ("tls.cert.revocation", "not in the list", listed(seen_list(NOT_LISTED)), {}, "CERT_NOT_LISTED"),
    ("tls.cert.revocation", "not in the file", listed(seen_list(NOT_LISTED, FROM_FILE)), {}, "CERT_NOT_LISTED"),
    ("tls.cert.revocation", "in the list", listed(seen_list(LISTED, **IN_LIST)), {}, "CERT_REVOKED"),
    (
        "tls.cert.revocation",
        "in one of two",
        listed(seen_list(NOT_LISTED), seen_list(LISTED, **IN_LIST)),
        {},
        "CERT_REVOKED",
    ),
    (
        "tls.cert.revocation",
        "one of two is stale",
        listed(seen_list(STALE, FROM_FILE), seen_list(NOT_LISTED)),
        {},
        "CERT_NOT_LISTED",
    ),
    ("tls.cert.revocation", "good by staple", stapled(response(ASKABLE)), {}, "CERT_GOOD_BY_STAPLE"),
    (
        "tls.cert.revocation",
        "a good staple not kept",
        stapled(b"", Trait(STAPLE, ACCEPTED, seen=(GOOD,))),
        {},
        "CERT_GOOD_BY_STAPLE",
    ),
    ("tls.cert.revocation", "revoked by staple", stapled(response(ASKABLE, "REVOKED")), {}, "CERT_REVOKED"),
    (
        "tls.cert.revocation",
        "revoked by a staple of last week",
        stapled(response(ASKABLE, "REVOKED", end=AT - SECOND)),
        {},
        "CERT_REVOKED",
    ),
    (
        "tls.cert.revocation",
        "revoked by staple, not yet listed",
        {**stapled(response(ASKABLE, "REVOKED")), "crl": listed(seen_list(NOT_LISTED), of=ASKABLE)["crl"]},
        {},
        "CERT_REVOKED",
    ),
    ("tls.cert.revocation", "six days", {**listed(of=SHORT)}, {}, "REVOCATION_SHORT_LIVED"),
    ("tls.cert.revocation", "a week and a second", listed(of=SHORT_BUT_ONE), {}, Reason.NOT_RECORDED),
    ("tls.cert.revocation", "nobody to ask", listed(of=BARE), {}, "REVOCATION_NOT_OFFERED"),
    ("tls.cert.revocation", "self-signed", {**chain(SELF)}, {}, "REVOCATION_SELF_SIGNED"),
    ("tls.cert.revocation", "stale", listed(seen_list(STALE)), {}, Reason.FEED_STALE),
    ("tls.cert.revocation", "of tomorrow", listed(seen_list(NOT_YET)), {}, Reason.FEED_STALE),
    ("tls.cert.revocation", "delta", listed(seen_list(DELTA)), {}, Reason.MALFORMED),
    ("tls.cert.revocation", "indirect", listed(seen_list(INDIRECT)), {}, Reason.MALFORMED),
    ("tls.cert.revocation", "forged", listed(seen_list(BAD_SIGNATURE)), {}, Reason.MALFORMED),
    ("tls.cert.revocation", "another's", listed(seen_list(OTHER_ISSUER)), {}, Reason.MALFORMED),
    ("tls.cert.revocation", "other certificates'", listed(seen_list(OTHER_SCOPE)), {}, Reason.MALFORMED),
    ("tls.cert.revocation", "strange", listed(seen_list(UNKNOWN_EXTENSION)), {}, Reason.MALFORMED),
    ("tls.cert.revocation", "garbage for a list", listed(seen_list(MALFORMED)), {}, Reason.MALFORMED),
    ("tls.cert.revocation", "no issuer sent", listed(seen_list(NO_ISSUER)), {}, Reason.NOT_RECORDED),
    (
        "tls.cert.revocation",
        "not ours to fetch",
        listed(seen_list("out_of_scope", code="E-SCOPE-010")),
        {},
        Reason.OUT_OF_SCOPE,
    ),
    ("tls.cert.revocation", "no answer", listed(seen_list("timeout")), {}, Reason.TIMEOUT),
    ("tls.cert.revocation", "404", listed(seen_list("refused_by_target", status=404)), {}, Reason.REFUSED_BY_TARGET),
    ("tls.cert.revocation", "of another certificate", listed(seen_list(LISTED), about=BARE), {}, Reason.NOT_RECORDED),
    ("tls.cert.revocation", "not asked", chain(LEAF, MIDDLE), {}, Reason.NOT_RUN),
    ("tls.cert.revocation", "an expired staple", stapled(response(ASKABLE, end=AT - SECOND)), {}, Reason.NOT_RECORDED),
    (
        "tls.cert.revocation",
        "a forged staple",
        stapled(response(ASKABLE, "REVOKED", by=IMPOSTOR, named=True)),
        {},
        Reason.NOT_RECORDED,
    ),
    ("tls.cert.revocation", "unseen", unseen("tls", Reason.RESET), {}, Reason.RESET),
    ("tls.cert.revocation", "unreadable", chain(b"\x30\x00"), {}, Reason.MALFORMED),
]

STAPLE_CASES: list[tuple[Any, ...]] = [
    ("tls.cert.ocsp_staple", "good", stapled(response(ASKABLE)), {}, "STAPLE_GOOD"),
    ("tls.cert.ocsp_staple", "not kept", stapled(b"", Trait(STAPLE, ACCEPTED, seen=(GOOD,))), {}, "STAPLE_GOOD"),
    (
        "tls.cert.ocsp_staple",
        "by a root that is not sent",
        stapled(response(ROOTED, by=ROOT, issuer=ROOT), of=ROOTED, above=()),
        {},
        "STAPLE_GOOD",
    ),
    ("tls.cert.ocsp_staple", "none", stapled(b"", Trait(STAPLE, REFUSED)), {}, "STAPLE_MISSING"),
    ("tls.cert.ocsp_staple", "expired", stapled(response(ASKABLE, end=AT - SECOND)), {}, "STAPLE_EXPIRED"),
    ("tls.cert.ocsp_staple", "revoked", stapled(response(ASKABLE, "REVOKED")), {}, "STAPLE_REVOKED"),
    ("tls.cert.ocsp_staple", "forged", stapled(response(ASKABLE, by=IMPOSTOR, named=True)), {}, "STAPLE_BAD"),
    ("tls.cert.ocsp_staple", "unknown to it", stapled(response(ASKABLE, "UNKNOWN")), {}, "STAPLE_BAD"),
    ("tls.cert.ocsp_staple", "of tomorrow", stapled(response(ASKABLE, start=AT + SECOND)), {}, "STAPLE_BAD"),
    ("tls.cert.ocsp_staple", "garbage", stapled(b"\x30\x03\x0a\x01\x00"), {}, "STAPLE_BAD"),
    ("tls.cert.ocsp_staple", "no responder", stapled(b"", Trait(STAPLE, REFUSED), of=LEAF), {}, "STAPLE_NOT_POSSIBLE"),
    ("tls.cert.ocsp_staple", "not recorded then", chain(ASKABLE), {}, Reason.NOT_RECORDED),
    ("tls.cert.ocsp_staple", "not kept then", stapled(b""), {}, Reason.NOT_RECORDED),
    ("tls.cert.ocsp_staple", "whose issuer is missing", stapled(response(ASKABLE), above=()), {}, Reason.NOT_RECORDED),
    ("tls.cert.ocsp_staple", "unclear", stapled(b"", Trait(STAPLE, UNCLEAR, "truncated")), {}, Reason.TRUNCATED),
    ("tls.cert.ocsp_staple", "unseen", unseen("tls", Reason.TIMEOUT), {}, Reason.TIMEOUT),
]

# The last item is the expected tag, or the reason of an unknown.
CASES = [*LIST_CASES, *STAPLE_CASES]


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


def test_a_refusal_of_ours_keeps_its_code() -> None:
    with pytest.raises(Missing) as missing:
        judge("tls.cert.revocation", listed(seen_list("out_of_scope", code="E-SCOPE-010")))
    answer = missing.value.answer
    assert isinstance(answer, Unobserved)
    assert (answer.code, LIST_URL in answer.detail) == ("E-SCOPE-010", True)


def test_who_says_that_it_is_revoked_and_since_when_is_told() -> None:
    assert judge("tls.cert.revocation", listed(seen_list(LISTED, **IN_LIST))).args == {
        "since": "2026-05-30",
        "why": "keyCompromise",
        "source": f"the list at {LIST_URL}",
    }
    no_reason = seen_list(LISTED, revoked_at=IN_LIST["revoked_at"])
    assert judge("tls.cert.revocation", listed(no_reason)).args["why"] == "not given"
    by_staple = judge("tls.cert.revocation", stapled(response(ASKABLE, "REVOKED"))).args
    assert (by_staple["since"], by_staple["why"]) == ("2026-05-31", "keyCompromise")


def test_a_verdict_by_a_staple_is_good_until_its_end() -> None:
    seen = stapled(response(ASKABLE))
    assert judge("tls.cert.revocation", seen).good_until == AT + DAY
    assert judge("tls.cert.ocsp_staple", seen, at=AT + DAY).tag == "STAPLE_GOOD"
    assert judge("tls.cert.ocsp_staple", seen, at=AT + DAY + SECOND).tag == "STAPLE_EXPIRED"


def test_the_limit_of_short_lives_is_that_of_the_day_of_issue() -> None:
    ten = leaf(start=AT - 200 * DAY, end=AT - 190 * DAY - SECOND)
    assert judge("tls.cert.revocation", listed(of=ten), at=AT - 195 * DAY).tag == "REVOCATION_SHORT_LIVED"
    long = leaf(start=AT - DAY, end=AT + 9 * DAY - SECOND, extensions=(points(LIST_URL),))
    with pytest.raises(Missing):
        judge("tls.cert.revocation", listed(of=long))


@pytest.mark.parametrize("control", ["tls.cert.revocation", "tls.cert.ocsp_staple"])
def test_mail_exchangers_are_the_business_of_another_control(control: str) -> None:
    assert RULES[control].judge(case_of(stapled(response(ASKABLE, "REVOKED")), {"subject": MX})) == ()


# ---- what a list says, and when it is believed


def read(crl: x509.CertificateRevocationList, *, of: Pair = LEAF, url: str = LIST_URL, others: Any = None) -> str:
    return read_list(crl, url, of.cert, [MIDDLE.cert] if others is None else others, AT).word


LISTS = [
    ("empty", revocation_list(), NOT_LISTED),
    ("listed", revocation_list(LEAF), LISTED),
    ("listed without a reason", revocation_list(LEAF, reason=None), LISTED),
    ("on hold", revocation_list(LEAF, reason=x509.ReasonFlags.certificate_hold), LISTED),
    ("others", revocation_list(BARE, ASKABLE), NOT_LISTED),
    ("ends now", revocation_list(end=AT), NOT_LISTED),
    ("ended a second ago", revocation_list(LEAF, end=AT - SECOND), STALE),
    ("begins now", revocation_list(start=AT), NOT_LISTED),
    ("begins in a second", revocation_list(LEAF, start=AT + SECOND, end=AT + DAY), NOT_YET),
    ("signed by a stranger", revocation_list(LEAF, key=STRANGER), BAD_SIGNATURE),
    ("signed with a hash that can be forged", revocation_list(LEAF, digest=hashes.SHA224()), BAD_SIGNATURE),
    ("of another authority", revocation_list(LEAF, by=OTHER_ROOT), OTHER_ISSUER),
    ("delta", revocation_list(LEAF, extensions=(x509.DeltaCRLIndicator(1),)), DELTA),
    ("indirect", revocation_list(LEAF, extensions=(point(indirect_crl=True),)), INDIRECT),
    ("of authorities", revocation_list(LEAF, extensions=(point(only_contains_ca_certs=True),)), OTHER_SCOPE),
    ("of attributes", revocation_list(LEAF, extensions=(point(only_contains_attribute_certs=True),)), OTHER_SCOPE),
    ("of users", revocation_list(LEAF, extensions=(point(only_contains_user_certs=True),)), LISTED),
    ("of this part", revocation_list(extensions=(point(urls=(LIST_URL,)),)), NOT_LISTED),
    ("of another part", revocation_list(extensions=(point(urls=(LIST_URL + "2",)),)), OTHER_SCOPE),
    (
        "for some reasons, listed",
        revocation_list(LEAF, extensions=(point(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})),)),
        LISTED,
    ),
    (
        "for some reasons, not listed",
        revocation_list(extensions=(point(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})),)),
        OTHER_SCOPE,
    ),
    (
        "strange",
        revocation_list(extensions=(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),)),
        UNKNOWN_EXTENSION,
    ),
]


@pytest.mark.parametrize(("_name", "crl", "word"), LISTS, ids=[one[0] for one in LISTS])
def test_what_a_list_says(_name: str, crl: x509.CertificateRevocationList, word: str) -> None:
    assert read(crl) == word


def test_a_partitioned_list_in_a_file_is_recognised_by_what_the_certificate_names() -> None:
    part = revocation_list(LEAF, extensions=(point(urls=(LIST_URL,)),))
    assert read(part, url="") == LISTED
    assert read(part, url="", of=BARE) == OTHER_SCOPE


def test_a_list_is_believed_from_an_issuer_that_may_sign_lists() -> None:
    usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False)
    usage |= {"key_agreement": False, "key_cert_sign": True, "encipher_only": False, "decipher_only": False}
    for crl_sign, word in ((True, NOT_LISTED), (False, NO_ISSUER)):
        extension = x509.KeyUsage(crl_sign=crl_sign, **usage)
        authority = issue("Example Careful CA", ROOT, ca=True, extensions=(extension,))
        own = issue(NAME, authority, names=(NAME,))
        assert read(revocation_list(by=authority), of=own, others=[authority.cert]) == word
    assert read(revocation_list(), others=[]) == NO_ISSUER


def test_lists_are_read_in_both_codings_and_nothing_else() -> None:
    crl = revocation_list(LEAF)
    assert load(coded(crl)) == load(crl.public_bytes(Encoding.PEM)) == crl
    for other in (b"", b"-----BEGIN", b"<html>", LEAF.der, coded(crl)[:-1], coded(crl) + b"\x00"):
        with pytest.raises(ValueError, match=r"."):
            load(other)


def test_where_lists_are_is_read_from_the_certificate() -> None:
    assert distribution_points(BARE.cert) == ()
    several = leaf(extensions=(points("http://b.example/", "ldap://c.example/", "HTTPS://a.example/"),))
    assert distribution_points(several.cert) == ("HTTPS://a.example/", "http://b.example/")
    foreign = x509.DistributionPoint(
        [x509.UniformResourceIdentifier(LIST_URL)], None, None, [x509.DirectoryName(ROOT.cert.subject)]
    )
    assert distribution_points(leaf(extensions=(x509.CRLDistributionPoints([foreign]),)).cert) == ()
    broken = x509.UnrecognizedExtension(x509.CRLDistributionPoints.oid, b"\x30\x80")
    assert distribution_points(leaf(extensions=(broken,)).cert) == ()


# ---- what a staple says, and when it is believed


ENCLOSED: dict[str, Any] = {"by": RESPONDER, "enclosed": (RESPONDER,)}
CLIENT = responder(usage=ExtendedKeyUsageOID.CLIENT_AUTH)
PLAIN = responder(usage=None)
FOREIGN = responder(OTHER_ROOT)
PAST = responder(start=AT - 100 * DAY, end=AT - DAY - SECOND)
SIBLING = issue(NAME, MIDDLE, names=(NAME,))

RESPONSES = [
    ("by the issuer", response(ASKABLE), GOOD),
    ("by the issuer, named", response(ASKABLE, named=True), GOOD),
    ("revoked", response(ASKABLE, "REVOKED"), REVOKED),
    ("unknown", response(ASKABLE, "UNKNOWN"), UNKNOWN),
    ("delegated", response(ASKABLE, **ENCLOSED), GOOD),
    ("delegated, named", response(ASKABLE, named=True, **ENCLOSED), GOOD),
    ("delegated and not enclosed", response(ASKABLE, by=RESPONDER), NO_SIGNER),
    ("by one not made for it", response(ASKABLE, by=CLIENT, enclosed=(CLIENT,)), NOT_AUTHORISED),
    ("by one made for nothing", response(ASKABLE, by=PLAIN, enclosed=(PLAIN,)), NOT_AUTHORISED),
    ("by another authority's responder", response(ASKABLE, by=FOREIGN, enclosed=(FOREIGN,)), NOT_AUTHORISED),
    ("by a responder of the past", response(ASKABLE, by=PAST, enclosed=(PAST,)), NOT_AUTHORISED),
    ("by the site itself", response(ASKABLE, by=ASKABLE, enclosed=(ASKABLE,)), NOT_AUTHORISED),
    ("with a stranger's key", response(ASKABLE, by=IMPOSTOR, named=True), BAD_STAPLE),
    (
        "delegated, with a stranger's key",
        response(ASKABLE, by=responder(), named=True, enclosed=(RESPONDER,)),
        BAD_STAPLE,
    ),
    ("signed with SHA-224", response(ASKABLE, digest=hashes.SHA224()), ALGORITHM),
    ("about a sibling", response(SIBLING), OTHER_CERTIFICATE),
    ("about the same number of another authority", response(ASKABLE, issuer=OTHER_ROOT), OTHER_CERTIFICATE),
    (
        "declined",
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
        DECLINED,
    ),
    ("garbage", b"\x30\x03\x0a\x01\x00", GARBAGE),
    ("empty", b"", GARBAGE),
    ("a certificate", ASKABLE.der, GARBAGE),
]


@pytest.mark.parametrize(("_name", "staple", "word"), RESPONSES, ids=[one[0] for one in RESPONSES])
def test_what_a_staple_says(_name: str, staple: bytes, word: str) -> None:
    assert read_staple(staple, (ASKABLE.der, MIDDLE.der)).word == word


def test_the_issuer_is_found_wherever_it_stands_in_the_chain_and_else_in_the_store() -> None:
    staple = response(ASKABLE)
    assert read_staple(staple, (ASKABLE.der, b"\x30\x00", ROOT.der, MIDDLE.der)).word == GOOD
    assert read_staple(staple, (ASKABLE.der, ROOT.der)).word == NO_SIGNER
    assert read_staple(staple, (ASKABLE.der,), [MIDDLE.cert]).word == GOOD


def test_a_signed_response_with_any_byte_exchanged_never_says_good_of_another_day() -> None:
    """The dates, the number and the status are under the signature."""
    staple, chain_sent = response(ASKABLE), (ASKABLE.der, MIDDLE.der)
    words = set()
    for at in range(len(staple)):
        altered = staple[:at] + bytes((staple[at] ^ 1,)) + staple[at + 1 :]
        said = read_staple(altered, chain_sent)
        words.add(said.word)
        assert said.word != REVOKED
        if said.word == GOOD:  # outside of what is signed: nothing that is told has changed
            assert (said.this_update, said.next_update) == (AT - DAY, AT + DAY)
    assert BAD_STAPLE in words


def test_no_store_is_needed_where_the_server_sends_the_issuer() -> None:
    assert judge("tls.cert.ocsp_staple", stapled(response(ASKABLE)), {"reference": Reference()}).tag == "STAPLE_GOOD"
