"""Who else has the private key: tls.cert.shared_key, out of what one whole run saw (posture.facts.certificate)."""

from __future__ import annotations

from posture.checks.rule import Case, Rule, rule
from posture.facts import KeyUseFacts, TlsFacts
from posture.model import Reason, Verdict

_NAMES_SHOWN = 20
_KEY_SHOWN = 16


@rule("tls.cert.shared_key", needs=(KeyUseFacts, TlsFacts))
def shared_key(case: Case) -> Verdict | tuple[()]:
    """NIST SP 800-57 part 1, section 5.2: a key has one owner. Other ministries are counted, never named."""
    if (KeyUseFacts.TYPE, "") not in case.answers:
        return ()  # a run of some assets compares nothing, and what a whole one found stays
    facts = case.need(KeyUseFacts, "")
    across = max(facts.keys, key=lambda use: use.foreign, default=None)
    if across is not None and across.foreign:
        return Verdict("KEY_SHARED_ACROSS", {"ministries": across.foreign, "key": across.key[:_KEY_SHOWN]})
    if facts.wildcards:
        most = max(one.foreign for one in facts.wildcards)
        patterns = [one.pattern for one in facts.wildcards][:_NAMES_SHOWN]
        return Verdict("WILDCARD_OVER_OWNERS", {"patterns": patterns, "ministries": most})
    if within := sorted({name for use in facts.keys for name in use.own}):
        return Verdict("KEY_SHARED_WITHIN", {"assets": within[:_NAMES_SHOWN]})
    if facts.unreadable or not facts.keys:
        raise case.unknown(Reason.MALFORMED, "a certificate of this asset could not be read")
    return Verdict("KEY_NOT_SHARED")


SHARING_RULES: tuple[Rule, ...] = (shared_key,)
