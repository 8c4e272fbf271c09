"""What makes a handshake whole: tls.ems, tls.compression, tls.fallback_scsv."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.checks.tls.answers import accepted_before_13, not_spoken, trait, unclear, unclear_trait
from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.tls import (
    ACCEPTED,
    COMPRESSION,
    EXTENDED_MASTER_SECRET,
    FALLBACK_SIGNAL,
    NOT_ASKED,
    POLITENESS,
    REFUSED,
    UNCLEAR,
)
from posture.model import Reason, Verdict


@rule("tls.ems", needs=(TlsFacts,))
def extended_master_secret(case: Case) -> Verdict:
    """RFC 7627; TLS 1.3 binds its secrets to the whole handshake by itself."""
    facts = case.need(TlsFacts)
    if not accepted_before_13(facts) and not_spoken(case, facts):
        return Verdict("EMS_NOT_NEEDED")
    found = trait(case, facts, EXTENDED_MASTER_SECRET)
    if found.answer == ACCEPTED:
        return Verdict("EMS_OFFERED")
    if found.answer == REFUSED:
        return Verdict("EMS_MISSING", {"protocols": accepted_before_13(facts)})
    raise unclear_trait(case, found)


@rule("tls.compression", needs=(TlsLegacyFacts,))
def compression(case: Case) -> Verdict | tuple[()]:
    """RFC 9325 section 3.3: compression tells secrets by the length of what is sent (CRIME). TLS 1.3 has none."""
    found = trait(case, case.need(TlsLegacyFacts), COMPRESSION)
    if found.answer == ACCEPTED:
        return Verdict("COMPRESSION_ACCEPTED")
    if found.answer == REFUSED:
        return Verdict("COMPRESSION_REFUSED")
    if found.answer == NOT_ASKED:
        return () if found.why == POLITENESS else Verdict("COMPRESSION_REFUSED")
    raise unclear_trait(case, found)


@rule("tls.fallback_scsv", needs=(TlsLegacyFacts, TlsFacts))
def fallback_signal(case: Case) -> Verdict | tuple[()]:
    """RFC 7507; it protects where there are two versions below TLS 1.3, which itself marks a downgrade (RFC 8446 4.1.3)."""
    legacy = case.need(TlsLegacyFacts)
    facts = case.need(TlsFacts)
    old = accepted_before_13(facts)
    if len(old) < 2 and any(answer.answer == NOT_ASKED for answer in facts.versions if answer.version != "TLS 1.3"):
        return ()
    if len(old) < 2:
        for answer in facts.versions:
            if answer.answer == UNCLEAR:
                raise unclear(case, answer)
        return Verdict("FALLBACK_NOT_NEEDED", {"protocols": list(facts.accepted)})
    found = trait(case, legacy, FALLBACK_SIGNAL)
    if found.answer == ACCEPTED:
        return Verdict("FALLBACK_REFUSED", {"protocols": old})
    if found.answer == REFUSED:
        return Verdict("FALLBACK_IGNORED", {"protocols": old})
    if found.answer == NOT_ASKED:
        if found.why == POLITENESS:
            return ()
        raise case.unknown(Reason.NOT_RECORDED, "the two probes saw different versions")
    raise unclear_trait(case, found)


EXTENSION_RULES = (extended_master_secret, compression, fallback_signal)
