"""Whether an authority has withdrawn the certificate: tls.cert.revocation, tls.cert.ocsp_staple.

Two witnesses are heard: lists of revoked certificates (RFC 5280 section 6.3) and the response that the server staples
(RFC 6960). Neither is asked of an authority's own responder: that would tell it whom we look at.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from posture.checks.rule import Case, Missing, rule
from posture.checks.tls.answers import on_mail_exchanger, trait, unclear_trait
from posture.checks.tls.rules.certificate import chain_of, day, leaf_of, malformed
from posture.checks.tls.x509 import root_certificates, self_issued
from posture.facts import CrlFacts, TlsFacts
from posture.facts.certificate import FETCHED, RevocationList
from posture.facts.parse_crl import (
    BAD_SIGNATURE,
    DELTA,
    INDIRECT,
    LISTED,
    NO_ISSUER,
    NOT_LISTED,
    NOT_YET,
    OTHER_ISSUER,
    OTHER_SCOPE,
    STALE,
    UNKNOWN_EXTENSION,
    distribution_points,
)
from posture.facts.parse_ocsp import ALGORITHM, GOOD, REVOKED, Staple, read_staple
from posture.facts.parse_ocsp import NO_ISSUER as NO_SIGNER
from posture.facts.parse_x509 import UNREADABLE
from posture.facts.tls import ACCEPTED, REFUSED, STAPLE
from posture.model import Absent, Reason, Unobserved, Verdict

_NO_REASON = "not given"
# Why a list does not count, and the reason to give; other words are reasons themselves.
_NO_WITNESS = {
    STALE: (Reason.FEED_STALE, "the list has expired"),
    NOT_YET: (Reason.FEED_STALE, "the list is not valid yet"),
    NO_ISSUER: (Reason.NOT_RECORDED, "the issuer, who signs the list, is not in the chain"),
    BAD_SIGNATURE: (Reason.MALFORMED, "the list's signature does not verify"),
    OTHER_ISSUER: (Reason.MALFORMED, "the list is another authority's"),
    DELTA: (Reason.MALFORMED, "a delta list, which is only a part of one"),
    INDIRECT: (Reason.MALFORMED, "an indirect list, which this release does not judge"),
    OTHER_SCOPE: (Reason.MALFORMED, "the list is about other certificates"),
    UNKNOWN_EXTENSION: (Reason.MALFORMED, "the list has a critical extension that this release does not know"),
}


def staple_of(case: Case, facts: TlsFacts) -> Staple:
    """What the staple that was kept says; of a root that the server did not send the store knows the key."""
    said = read_staple(facts.staple, facts.chain)
    if said.word != NO_SIGNER:
        return said
    return read_staple(facts.staple, facts.chain, root_certificates(case.reference.roots))


@rule("tls.cert.revocation", needs=(TlsFacts, CrlFacts))
def revocation(case: Case) -> Verdict | tuple[()]:
    """One witness that says revoked is enough; one that says it is not, of this time, too, where none says it is."""
    if on_mail_exchanger(case):
        return ()
    leaf, facts = leaf_of(case), case.need(TlsFacts)
    said = staple_of(case, facts) if facts.staple else Staple("")
    lists = _lists(case)
    listed = next((one for one in lists if one.word == LISTED), None)
    if said.word == REVOKED and said.revoked_at is not None:
        return _revoked(day(said.revoked_at), said.reason, "its OCSP staple")
    if listed is not None:
        return _revoked(listed.revoked_at[:10], listed.reason, _named(listed))
    clear = next((one for one in lists if one.word == NOT_LISTED), None)
    if clear is not None:
        return Verdict("CERT_NOT_LISTED", {"source": _named(clear)})
    if said.word == GOOD and said.is_current(case.at):
        return Verdict("CERT_GOOD_BY_STAPLE", good_until=said.next_update)
    if not facts.staple and _staple_was_good(facts):
        return Verdict("CERT_GOOD_BY_STAPLE")
    return _without_witness(case, leaf, lists)


def _revoked(since: str, why: str, source: str) -> Verdict:
    return Verdict("CERT_REVOKED", {"since": since, "why": why or _NO_REASON, "source": source})


def _named(one: RevocationList) -> str:
    return f"the list at {one.url}" if one.source == FETCHED else "the list given to posture"


def _lists(case: Case) -> tuple[RevocationList, ...]:
    """The lists that this very certificate was looked up in."""
    facts = case.get(CrlFacts)
    if isinstance(facts, (Absent, Unobserved)) or facts.leaf != sha256(chain_of(case)[0]).hexdigest():
        return ()
    return facts.lists


def _staple_was_good(facts: TlsFacts) -> bool:
    """Whether the prober saw a staple that said good, was of its time, and was signed as it should be."""
    found = facts.trait(STAPLE)
    return found is not None and found.answer == ACCEPTED and found.seen == (GOOD,)


def _without_witness(case: Case, leaf: x509.Certificate, lists: tuple[RevocationList, ...]) -> Verdict:
    if self_issued(leaf):
        return Verdict("REVOCATION_SELF_SIGNED")
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc + timedelta(seconds=1)
    if life <= timedelta(days=case.policy.number("tls.cert.short_lived_days", leaf.not_valid_before_utc)):
        return Verdict("REVOCATION_SHORT_LIVED", {"days": -(-life // timedelta(days=1))})
    if not lists and not distribution_points(leaf) and not responders(case, leaf):
        return Verdict("REVOCATION_NOT_OFFERED")
    if lists:
        raise _no_witness(case, lists[0])
    answer = case.get(CrlFacts)
    if isinstance(answer, CrlFacts):
        raise case.unknown(Reason.NOT_RECORDED, "no list about this certificate was looked at")
    raise Missing(answer)


def _no_witness(case: Case, one: RevocationList) -> Missing:
    reason, detail = _NO_WITNESS.get(one.word, (None, ""))
    if reason is None:
        known = one.word in set(Reason)
        reason = Reason(one.word) if known else Reason.MALFORMED
        detail = (
            f"status {one.status}"
            if one.status
            else "the list was not fetched"
            if known
            else "the list is not readable"
        )
    return case.unknown(reason, f"{_named(one)}: {detail}", one.code or None)


def responders(case: Case, leaf: x509.Certificate) -> tuple[str, ...]:
    """The OCSP responders that a certificate names (RFC 5280 section 4.2.2.1). Raises Missing: unreadable."""
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ()
    except UNREADABLE as fault:
        raise malformed(case, fault) from fault
    named = [one.access_location for one in access if one.access_method == AuthorityInformationAccessOID.OCSP]
    return tuple(sorted(str(name.value) for name in named if isinstance(name, x509.UniformResourceIdentifier)))


@rule("tls.cert.ocsp_staple", needs=(TlsFacts,))
def ocsp_staple(case: Case) -> Verdict | tuple[()]:
    """RFC 6066 section 8. Without a responder there is nothing to staple, which is the rule by now."""
    if on_mail_exchanger(case):
        return ()
    leaf, facts = leaf_of(case), case.need(TlsFacts)
    if not responders(case, leaf):
        return Verdict("STAPLE_NOT_POSSIBLE")
    found = trait(case, facts, STAPLE)
    if found.answer == REFUSED:
        return Verdict("STAPLE_MISSING")
    if found.answer != ACCEPTED:
        raise unclear_trait(case, found)
    if not facts.staple:
        if _staple_was_good(facts):
            return Verdict("STAPLE_GOOD")
        raise case.unknown(Reason.NOT_RECORDED, "the staple was not kept")
    said = staple_of(case, facts)
    if said.word in (NO_SIGNER, ALGORITHM):
        raise case.unknown(Reason.NOT_RECORDED, "the staple's signature cannot be checked")
    if said.word == GOOD and said.is_current(case.at):
        return Verdict("STAPLE_GOOD", good_until=said.next_update)
    if said.word in (GOOD, REVOKED) and said.next_update is not None and said.next_update < case.at:
        return Verdict("STAPLE_EXPIRED", {"ended": day(said.next_update)})
    coming = said.this_update if said.this_update is not None and said.this_update > case.at else None
    return Verdict("STAPLE_REVOKED" if said.word == REVOKED else "STAPLE_BAD", good_until=coming or said.next_update)


REVOCATION_RULES = (revocation, ocsp_staple)
