"""What an authority owes its certificates: tls.cert.lifetime, tls.cert.must_staple, tls.cert.ct.

Lifetime and timestamps are rules for public authorities: a certificate that leads to no public root owes neither.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from cryptography import x509
from cryptography.x509 import ocsp

from posture.checks.rule import Case, rule
from posture.checks.tls.answers import on_mail_exchanger, trait, unclear_trait
from posture.checks.tls.rules.certificate import chain_of, day, leaf_of, malformed, require_whole
from posture.checks.tls.x509 import UNREADABLE, Malformed, timestamp_logs, trust
from posture.facts import TlsFacts
from posture.facts.tls import ACCEPTED, NOT_ASKED, REFUSED, SIGNED_TIMESTAMPS, STAPLE, UNCLEAR
from posture.model import Reason, Verdict

_LIFETIME = "tls.cert.lifetime_days"
_MARGIN = timedelta(days=1)
# Faults of a path that leads to a public root all the same.
_STILL_PUBLIC = ("", "expired_issuer", "purpose")


def _public(case: Case) -> bool:
    """Whether the certificate leads to a root of the store.

    Raises:
        Missing: no store, or the issuer that is missed may be among the certificates that were not kept.
    """
    if not case.reference.roots:
        raise case.unknown(Reason.FEED_STALE, "no trust store")
    try:
        fault = trust(chain_of(case), case.reference.roots, case.at).fault
    except Malformed as broken:
        raise malformed(case, broken) from broken
    if fault == "unknown_issuer":
        require_whole(case)
    return fault in _STILL_PUBLIC


@rule("tls.cert.lifetime", needs=(TlsFacts,))
def lifetime(case: Case) -> Verdict:
    """CA/B Baseline Requirements 6.3.2: the limit in force on the day of issue; both ends of the validity count."""
    leaf = leaf_of(case)
    if case.asset.internal or not _public(case):
        return Verdict("LIFETIME_NOT_PUBLIC")
    start = leaf.not_valid_before_utc
    length = leaf.not_valid_after_utc - start + timedelta(seconds=1)
    days = -(-length // timedelta(days=1))
    limit = case.policy.number(_LIFETIME, start)
    args = {"days": days, "limit": limit, "issued": day(start)}
    if length > timedelta(days=limit):
        return Verdict("LIFETIME_OVER", args)
    coming = _next_limit(case, max(start, case.at).date())
    until = datetime(coming[0].year, coming[0].month, coming[0].day, tzinfo=UTC) if coming else None
    if coming and days > coming[1]:
        args |= {"next_limit": coming[1], "next_from": f"{coming[0]:%Y-%m-%d}"}
        return Verdict("LIFETIME_OVER_NEXT", args, good_until=until)
    if length > timedelta(days=limit) - _MARGIN:
        return Verdict("LIFETIME_AT_LIMIT", args, good_until=until)
    return Verdict("LIFETIME_FITS", args, good_until=until)


def _next_limit(case: Case, day_of: date) -> tuple[date, int] | None:
    """The first change of the limit after a day: what a renewal will have to meet."""
    rows = case.policy.thresholds.get(_LIFETIME, ())
    return next(((valid_from, value) for valid_from, value in rows if valid_from > day_of), None)


@rule("tls.cert.must_staple", needs=(TlsFacts,))
def must_staple(case: Case) -> Verdict:
    """RFC 7633: who demands a staple and sends none is turned away by some browsers."""
    leaf = leaf_of(case)
    facts = case.need(TlsFacts)
    try:
        feature = leaf.extensions.get_extension_for_class(x509.TLSFeature).value
    except x509.ExtensionNotFound:
        return Verdict("NO_STAPLE_DEMANDED")
    except UNREADABLE as fault:
        raise malformed(case, fault) from fault
    if x509.TLSFeatureType.status_request not in feature:
        return Verdict("NO_STAPLE_DEMANDED")
    found = trait(case, facts, STAPLE)
    if found.answer == REFUSED:
        return Verdict("DEMANDED_STAPLE_MISSING")
    if found.answer != ACCEPTED:
        raise unclear_trait(case, found)
    if not facts.staple:
        raise case.unknown(Reason.NOT_RECORDED, "the staple was not kept")
    start, end = _validity(facts.staple, leaf)
    if start is not None and case.at < start:
        return Verdict("DEMANDED_STAPLE_BAD", good_until=start)
    if start is None or (end is not None and case.at > end):
        return Verdict("DEMANDED_STAPLE_BAD")
    return Verdict("DEMANDED_STAPLE_SENT", good_until=end)


def _validity(staple: bytes, leaf: x509.Certificate) -> tuple[datetime | None, datetime | None]:
    """From when until when a response says that this very certificate is good; (None, None) when it says no such thing."""
    try:
        response = ocsp.load_der_ocsp_response(staple)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return None, None
        good = response.certificate_status is ocsp.OCSPCertStatus.GOOD
        if not good or response.serial_number != leaf.serial_number:
            return None, None
        return response.this_update_utc, response.next_update_utc
    except UNREADABLE:
        return None, None


@rule("tls.cert.ct", needs=(TlsFacts,))
def transparency(case: Case) -> Verdict | tuple[()]:
    """RFC 6962 section 3.3 and the policies of the browsers, which ask for more logs the longer a certificate lives."""
    if on_mail_exchanger(case):
        return ()  # no mail server asks for timestamps
    facts = case.need(TlsFacts)
    if case.lab or case.reference.private_roots or case.asset.internal:
        return Verdict("CT_NOT_PUBLIC")
    leaf = leaf_of(case)
    if not _public(case):
        return Verdict("CT_NOT_PUBLIC")
    try:
        logs = timestamp_logs(leaf, facts.timestamps)
    except Malformed as fault:
        raise malformed(case, fault) from fault
    long_lived = leaf.not_valid_after_utc - leaf.not_valid_before_utc > timedelta(
        days=case.policy.number("tls.cert.ct_long_days", case.at)
    )
    wanted = case.policy.number("tls.cert.ct_logs_long" if long_lived else "tls.cert.ct_logs", case.at)
    args = {"logs": len(logs), "wanted": wanted}
    if len(logs) >= wanted:
        return Verdict("CT_LOGGED", args)
    _told_all(case, facts)
    return Verdict("CT_TOO_FEW", args) if logs else Verdict("CT_NONE", args)


def _told_all(case: Case, facts: TlsFacts) -> None:
    """Raises Missing when timestamps may have come on a way that is not recorded: in the handshake, or in a staple."""
    sent = trait(case, facts, SIGNED_TIMESTAMPS)
    if sent.answer == UNCLEAR:
        raise unclear_trait(case, sent)
    if sent.answer == NOT_ASKED:
        raise case.unknown(Reason.NOT_RECORDED, "TLS 1.3 hides timestamps of the handshake")
    if trait(case, facts, STAPLE).answer != REFUSED:
        raise case.unknown(Reason.NOT_RECORDED, "timestamps in a staple are not recorded")


ISSUANCE_RULES = (lifetime, must_staple, transparency)
