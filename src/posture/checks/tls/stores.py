"""What the trust stores of several makers say of a chain, beside the verdict of our own rule."""

from __future__ import annotations

import hashlib

from posture.checks.rule import Case
from posture.facts import TlsStoresFacts
from posture.facts.deep import NO_PATH


def stores_told(case: Case, leaf: bytes) -> list[str]:
    """ "Apple: trusted", "Windows: not trusted", ...; [] when nobody asked, or it was about another certificate.

    A name that does not match, or a date, makes all of them say no, which tells nothing of the roots: nothing is told then.
    """
    if case.reference.private_roots:
        return []  # roots of the operator's own, which no maker knows
    facts = case.get(TlsStoresFacts)
    shown = facts.of(hashlib.sha256(leaf).hexdigest()) if isinstance(facts, TlsStoresFacts) else None
    if shown is None or any(one.why not in ("", NO_PATH) for one in shown.stores):
        return []
    return [f"{one.store}: {'not trusted' if one.why else 'trusted'}" for one in shown.stores]
