"""Recorded facts of the tls family, as rules meet them, for tables of cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from posture.checks import Case, Declared, Missing, Reference
from posture.checks.tls import RULES as ALL
from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.tls import ACCEPTED, REFUSED, UNCLEAR, Trait, VersionAnswer
from posture.model import Answer, Observed, Reason, Unobserved, Verdict
from posture.policy import load_policy
from tests.checks.tls.pki import AT, ROOT, Pair

NAME = "www.gov.example"
WEB = "192.0.2.7:443/tcp"
MX = "mx:mail.gov.example:25"
RULES = {rule.control: rule for rule in ALL}
POLICY = load_policy()
ROOTS = Reference(ROOT.pem, "sha256:test")
SECRET, STATIC = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"

Seen = dict[str, Any]


def versions(**answers: Any) -> tuple[VersionAnswer, ...]:
    """``tls12="closed"`` etc.; a tuple of suites means accepted and complete, "timeout" unclear, anything else refused."""
    found = []
    for key, said in answers.items():
        version = f"{key[:3].upper()} {key[3]}.{key[4]}"
        if isinstance(said, tuple):
            found.append(VersionAnswer(version, ACCEPTED, "", said, complete=True))
        elif said in ("timeout", "reset"):
            found.append(VersionAnswer(version, UNCLEAR, said))
        else:
            found.append(VersionAnswer(version, REFUSED, said, (), complete=True))
    return tuple(found)


def tls(*traits: Trait, **answers: Any) -> Seen:
    base = {
        "tls10": "protocol_version",
        "tls11": "protocol_version",
        "tls12": (SECRET,),
        "tls13": ("TLS_AES_128_GCM_SHA256",),
    }
    return {"tls": TlsFacts(NAME, "", versions(**{**base, **answers}), traits=traits)}


def legacy(*traits: Trait, preferred: str = "", **answers: Any) -> Seen:
    base = {"ssl20": "closed", "ssl30": "handshake_failure"}
    base |= {"tls10": "protocol_version", "tls11": "protocol_version", "tls12": "handshake_failure"}
    return {"tls_legacy": TlsLegacyFacts(NAME, "", versions(**{**base, **answers}), preferred, traits)}


def chain(*pairs: Pair | bytes, **more: Any) -> Seen:
    """A chain as sent; ``more`` are other fields of TlsFacts."""
    sent = tuple(one if isinstance(one, bytes) else one.der for one in pairs)
    return {"tls": replace(tls()["tls"], chain=sent, **more)}


def unseen(kind: str, reason: Reason) -> Seen:
    return {kind: Unobserved(reason, AT)}


def incomplete(seen: Seen, version: str, **also: Any) -> Seen:
    """The same facts with the elimination of one version not ended; ``also`` are other fields of that answer."""
    return {
        kind: replace(
            facts,
            versions=tuple(
                replace(one, complete=False, **also) if one.version == version else one for one in facts.versions
            ),
        )
        for kind, facts in seen.items()
    }


def case_of(seen: Seen, how: dict[str, Any], at: datetime = AT) -> Case:
    """``how`` may hold subject, name, kind, internal, reference and lab."""
    subject = how.get("subject", WEB)
    answers: dict[tuple[str, str], Answer] = {
        (kind, subject): facts if isinstance(facts, Unobserved) else Observed(facts, AT) for kind, facts in seen.items()
    }
    asset = Declared(how.get("name", NAME), how.get("kind", "host"), internal=how.get("internal", False))
    reference = how.get("reference", ROOTS)
    return Case(asset, subject, answers, POLICY, at, reference, lab=how.get("lab", False))


def judge(control: str, seen: Seen, how: dict[str, Any] | None = None, at: datetime = AT) -> Verdict:
    verdict = RULES[control].judge(case_of(seen, how or {}, at))
    assert isinstance(verdict, Verdict)
    return verdict


def told(control: str, seen: Seen, how: dict[str, Any]) -> str | Reason:
    """The tag of a rule's verdict, or the reason for which it gives none."""
    try:
        return judge(control, seen, how).tag
    except Missing as missing:
        answer = missing.answer
    assert isinstance(answer, Unobserved)
    return answer.reason
