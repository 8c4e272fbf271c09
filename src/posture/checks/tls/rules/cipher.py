"""Cipher suites: tls.cipher.insecure, tls.cipher.cbc, tls.cipher.forward_secrecy."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.checks.tls.answers import not_listed, on_mail_exchanger, unclear
from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.suites import Suite, suites
from posture.facts.tls import ACCEPTED, UNCLEAR, VersionAnswer
from posture.model import Reason, Severity, Verdict

# The longest list of suites in a finding; the facts have them all.
_SHOWN = 12


@rule("tls.cipher.insecure", needs=(TlsLegacyFacts,))
def insecure(case: Case) -> Verdict:
    """RFC 9325 section 4.1, RFC 7465. On a mail exchanger anonymous suites are no worse than clear text."""
    facts = case.need(TlsLegacyFacts)
    accepted = [suite for suite in _listed(facts) if suite.broken]
    weaknesses = {weakness for suite in accepted for weakness in suite.broken}
    args = {"suites": [suite.name for suite in accepted][:_SHOWN], "count": len(accepted)}
    if accepted and on_mail_exchanger(case):
        if weaknesses == {"3DES"} and _listed_completely(facts) and _is_last_choice(facts):
            return Verdict("TRIPLE_DES_LAST_ON_MX", args)
        if all(suite.broken == ("anon",) for suite in accepted) and _listed_completely(facts):
            return Verdict("ANONYMOUS_SUITES_ON_MX", args, severity=Severity.LOW)
    if accepted:
        return Verdict("BROKEN_SUITES_ACCEPTED", args)
    for answer in facts.versions:
        if answer.answer == ACCEPTED and not answer.complete:
            raise not_listed(case, answer)
        # Whether SSL is spoken at all is another control's question.
        if answer.answer == UNCLEAR and not answer.version.startswith("SSL"):
            raise unclear(case, answer)
    return Verdict("BROKEN_SUITES_REFUSED")


def _listed(facts: TlsLegacyFacts) -> list[Suite]:
    """Every suite accepted at some version, by number."""
    known = suites()
    names = {name for answer in facts.versions for name in answer.suites if name in known}
    return sorted((known[name] for name in names), key=lambda suite: suite.number)


def _listed_completely(facts: TlsLegacyFacts) -> bool:
    return all(answer.complete for answer in facts.versions if answer.answer == ACCEPTED)


def _is_last_choice(facts: TlsLegacyFacts) -> bool:
    preferred = suites().get(facts.preferred)
    return preferred is not None and not preferred.broken


@rule("tls.cipher.forward_secrecy", needs=(TlsFacts,))
def forward_secrecy(case: Case) -> Verdict | tuple[()]:
    """RFC 9325 section 4.1: key exchange by ECDHE only; TLS 1.3 has nothing else.

    A mail exchanger's suites are not listed, out of politeness: it is judged where those seen decide, else not at all.
    """
    facts = case.need(TlsFacts)
    known = suites()
    accepted = [known[name] for answer in facts.versions for name in answer.suites if name in known]
    without = sorted({suite.name for suite in accepted if not suite.forward_secret})
    secret = [suite for suite in accepted if suite.forward_secret]
    finite_field = sorted({suite.name for suite in secret if suite.exchange == "DHE"})
    if secret and without:
        return Verdict("STATIC_KEY_EXCHANGE_TOO", {"suites": without[:_SHOWN], "count": len(without)})
    if finite_field:
        return Verdict("FINITE_FIELD_EXCHANGE_TOO", {"suites": finite_field[:_SHOWN], "count": len(finite_field)})
    if on_mail_exchanger(case) and any(answer.answer == ACCEPTED and not answer.complete for answer in facts.versions):
        return ()
    for answer in facts.versions:
        listed = answer.complete or answer.exchange_complete or answer.version == "TLS 1.3"
        if answer.answer == ACCEPTED and not listed:
            raise not_listed(case, answer)
        if answer.answer == UNCLEAR:
            raise unclear(case, answer)
    if not accepted:
        raise case.unknown(Reason.REFUSED_BY_TARGET, "no suite was accepted")
    return Verdict("ONLY_FORWARD_SECRECY") if secret else Verdict("NO_FORWARD_SECRECY", {"suites": without[:_SHOWN]})


@rule("tls.cipher.cbc", needs=(TlsFacts,), version=2)
def cbc(case: Case) -> Verdict | tuple[()]:
    """RFC 9325 section 4.2: the suites of TLS 1.2; older versions have nothing but CBC, which is another control's business.

    A mail exchanger's suites are not listed, out of politeness: it is judged where those seen decide, else not at all.
    """
    facts = case.need(TlsFacts)
    known = suites()
    answer = facts.version("TLS 1.2")
    if answer is None or answer.answer == UNCLEAR:
        raise unclear(case, answer)
    accepted = [known[name] for name in answer.suites if name in known]
    modes = sorted(suite.name for suite in accepted if not suite.aead)
    args = {"suites": modes[:_SHOWN], "count": len(modes)}
    beside = Verdict("CBC_SHA1_TOO" if any(name.endswith("_SHA") for name in modes) else "CBC_TOO", args)
    if any(suite.aead for suite in accepted) and modes:
        return beside
    whole = answer.complete or answer.mode_complete
    if answer.answer == ACCEPTED and not whole:
        if on_mail_exchanger(case):
            return ()
        raise not_listed(case, answer)
    if modes and "TLS 1.3" in facts.accepted:
        return beside
    if modes:
        return Verdict("NO_AEAD", args)
    if accepted or "TLS 1.3" in facts.accepted:
        return _aead(case, answer, accepted)
    return _without_aead(case, facts)


def _aead(case: Case, answer: VersionAnswer, accepted: list[Suite]) -> Verdict:
    """Nothing but AEAD; of which kinds is all one, unless the policy tells them apart."""
    names = sorted(suite.name for suite in accepted if suite.uncommon)
    if names:
        return Verdict("AEAD_UNCOMMON", {"suites": names[:_SHOWN], "count": len(names)})
    apart = "AEAD_UNCOMMON" in case.policy.verdicts.get("tls.cipher.cbc", {})
    if apart and answer.answer == ACCEPTED and not answer.complete:
        raise not_listed(case, answer)
    return Verdict("ONLY_AEAD")


def _without_aead(case: Case, facts: TlsFacts) -> Verdict:
    """Neither TLS 1.2 nor TLS 1.3: what is spoken, if anything, has no AEAD suite at all."""
    for answer in facts.versions:
        if answer.answer == UNCLEAR:
            raise unclear(case, answer)
    if not facts.accepted:
        raise case.unknown(Reason.REFUSED_BY_TARGET, "no suite was accepted")
    names = sorted({name for answer in facts.versions for name in answer.suites})
    return Verdict("NO_AEAD", {"suites": names[:_SHOWN], "count": len(names)})


CIPHER_RULES = (insecure, cbc, forward_secrecy)
