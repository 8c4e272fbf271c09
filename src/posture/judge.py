"""Facts to findings: every rule of the policy over one asset's answers. Pure; the same facts give the same findings in ten years.

A need that was not observed becomes ``unknown`` with its probe's reason; a clear absence becomes ``not_applicable``.
A rule that crashes becomes ``unknown: bug``: one broken rule costs one control, never the run.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from posture.checks import Case, Control, Declared, Missing, Previous, Reference, catalogue
from posture.facts import Facts, digest, encode
from posture.model import (
    Absent,
    Answer,
    AssetKey,
    Finding,
    Observed,
    Outcome,
    Reason,
    Unobserved,
    Verdict,
)
from posture.policy import Policy
from posture.scanned import Scanned

log = logging.getLogger(__name__)

# The judge's own tag: the one thing that a control says without its rule.
NOTHING_THERE = "NOTHING_THERE"


@dataclass(frozen=True, slots=True)
class Docket:
    """One asset's answers, ready to be judged. ``answers``: (facts type name, subject) -> answer.

    ``authority``: (facts type name, subject) -> authorisation id. ``providers``: subject -> provider name
    for what somebody else must mend. ``digests``: those of answers' facts that are known already.
    """

    ministry: str
    declared: Declared
    answers: Mapping[tuple[str, str], Answer]
    authority: Mapping[tuple[str, str], str] = field(default_factory=dict)
    providers: Mapping[str, str] = field(default_factory=dict)
    digests: dict[tuple[str, str], str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def key(self) -> AssetKey:
        return AssetKey(self.declared.name, self.declared.kind)

    def digest_of(self, kind: str, subject: str, facts: Facts) -> str:
        """The identity of one answer's facts: worked out once, however many controls rest on them."""
        found = self.digests.get((kind, subject))
        if found is None:
            found = self.digests[kind, subject] = digest(encode(facts))
        return found


def judge(
    docket: Docket,
    policy: Policy,
    at: datetime,
    *,
    reference: Reference | None = None,
    previous: Mapping[tuple[str, str], Previous] | None = None,
    lab: bool = False,
    controls: Collection[str] | None = None,
    shipped: Mapping[str, Control] | None = None,
    shown: Mapping[str, Policy] | None = None,
) -> tuple[Finding, ...]:
    """All findings of one asset, in catalogue order.

    Args:
        docket: the asset and what its probes brought home.
        policy: whose ``controls`` are judged, unless ``controls`` narrows them.
        at: the time of judging (UTC), for everything that depends on a clock.
        previous: (control, subject) -> last known answer.
        shipped: the controls to judge by; the shipped catalogue when left out.
        shown: by control the policy as its rule is shown it, for whoever has to know what the rule reads of it.
    """
    shipped = catalogue() if shipped is None else shipped
    chosen = None if controls is None else frozenset(controls)
    reference, previous = reference or Reference(), previous or {}
    bench = _Bench(docket)
    findings: list[Finding] = []
    for name in policy.controls:
        if (chosen is None or name in chosen) and (control := shipped.get(name)):
            terms = policy if shown is None else shown[name]
            for subject in bench.subjects(control):
                before = previous.get((name, subject))
                case = Case(docket.declared, subject, docket.answers, terms, at, reference, before, lab)
                findings.extend(_judge_one(control, case, bench))
    return tuple(findings)


@dataclass(frozen=True, slots=True)
class _Rest:
    """What findings of one subject rest on: under which authorisation, seen when, the digests of facts."""

    authorisation: str | None
    observed_at: datetime | None
    facts: tuple[str, ...]


@dataclass(slots=True)
class _Bench:
    """A docket laid out: what is the same for many controls is worked out once."""

    docket: Docket
    asked: dict[str, list[str]] = field(default_factory=dict)  # facts type name -> subjects, in order
    key: AssetKey = field(init=False)
    _rests: dict[tuple[tuple[type[Facts], ...], str], _Rest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, subject in self.docket.answers:
            self.asked.setdefault(kind, []).append(subject)
        self.key = self.docket.key

    def subjects(self, control: Control) -> Sequence[str]:
        """The instances to judge: those that the control's first need was asked about."""
        needs = control.rule.needs
        if control.subject == "asset":
            return ("",) if any(need.TYPE in self.asked for need in needs) else ()
        return sorted(self.asked.get(needs[0].TYPE, ()))

    def rest(self, control: Control, subject: str) -> _Rest:
        needs = control.rule.needs
        found = self._rests.get((needs, subject))
        if found is None:
            found = self._rests[needs, subject] = self._rest_of(needs, subject)
        return found

    def _rest_of(self, needs: Iterable[type[Facts]], subject: str) -> _Rest:
        docket = self.docket
        used: set[str] = set()
        seen_at: list[datetime] = []
        authority: str | None = None
        for kind in (need.TYPE for need in needs):
            for one in [subject] if (kind, subject) in docket.answers else self.asked.get(kind, ()):
                answer = docket.answers[kind, one]
                authority = authority or docket.authority.get((kind, one))
                if isinstance(answer, Observed):
                    used.add(docket.digest_of(kind, one, answer.facts))
                if not isinstance(answer, Unobserved):
                    seen_at.append(answer.at)
        return _Rest(authority, max(seen_at, default=None), tuple(sorted(used)))


def _judge_one(control: Control, case: Case, bench: _Bench) -> list[Finding]:
    try:
        judged = control.rule.judge(case)
        verdicts = [(case.subject, judged)] if isinstance(judged, Verdict) else judged
        return [_about(control, case, bench, subject, said) for subject, said in verdicts]
    except Missing as missing:
        return [_without(control, case, bench, case.subject, missing.answer)]
    except Exception:  # the one broad except of the judge: a crash becomes a value
        log.exception("rule %s crashed on %s %s", control.id, case.asset.name, case.subject)
        return [_without(control, case, bench, case.subject, Unobserved(Reason.BUG, case.at))]


def _about(control: Control, case: Case, bench: _Bench, subject: str, said: Verdict | Unobserved) -> Finding:
    """One pair of a rule's answer: judged, or seen too little of to be judged."""
    if isinstance(said, Unobserved):
        return _without(control, case, bench, subject, said)
    tag = control.tags[said.tag]
    return _finding(
        control,
        case,
        bench,
        subject,
        outcome=case.policy.outcome(control.id, tag.name, tag.outcome),
        severity=said.severity or control.severity,
        confidence=said.confidence,
        tag=tag.name,
        args=dict(said.args),
        good_until=said.good_until,
    )


def _without(control: Control, case: Case, bench: _Bench, subject: str, answer: Absent | Unobserved) -> Finding:
    if isinstance(answer, Absent):
        return _finding(
            control,
            case,
            bench,
            subject,
            outcome=Outcome.NOT_APPLICABLE,
            severity=control.severity,
            tag=NOTHING_THERE,
            args={"cause": str(answer.cause), "detail": answer.detail},
        )
    args = {"detail": answer.detail} if answer.detail else {}
    return _finding(
        control,
        case,
        bench,
        subject,
        outcome=Outcome.UNKNOWN,
        severity=control.severity,
        reason=answer.reason,
        code=answer.code,
        args=args,
    )


def _finding(control: Control, case: Case, bench: _Bench, subject: str, **said: Any) -> Finding:
    """With what every finding of this case shares: whom it concerns and which facts it rests on."""
    rest = bench.rest(control, case.subject)
    provider = bench.docket.providers.get(case.subject)
    return Finding(
        ministry=bench.docket.ministry,
        asset=bench.key,
        subject=subject,
        control=control.id,
        authorisation=rest.authorisation,
        mends="provider" if provider else "ministry",
        provider=provider,
        observed_at=rest.observed_at,
        facts=rest.facts,
        **said,
    )


def sentence(finding: Finding, shipped: Mapping[str, Control] | None = None) -> Scanned:
    """The finding in one plain sentence, for every reporter: it quotes what the wire said.

    ``shipped``: as for :func:`judge`.
    """
    if finding.outcome is Outcome.UNKNOWN:
        return Scanned(_unknown(finding))
    if finding.tag == NOTHING_THERE:
        return Scanned(_ABSENT[str(finding.args.get("cause", ""))])
    controls = catalogue() if shipped is None else shipped
    return Scanned(controls[finding.control].tags[finding.tag or ""].sentence(finding.args))


def _unknown(finding: Finding) -> str:
    """Why nothing is known; of what this run did not ask, which would."""
    text = _UNKNOWN[finding.reason or Reason.BUG]
    detail = finding.args.get("detail") if finding.reason is Reason.NOT_RUN else None
    return f"{text.removesuffix('.')}: {detail}." if detail else text


def words_of(finding: Finding, shipped: Mapping[str, Control] | None = None) -> Scanned:
    """As :func:`sentence`, of what any release recorded: where this one has no words for it, its tag stays."""
    controls = catalogue() if shipped is None else shipped
    control = controls.get(finding.control)
    if finding.outcome is not Outcome.UNKNOWN and (
        control is None or (finding.tag not in control.tags and finding.tag != NOTHING_THERE)
    ):
        return _wordless(finding)
    try:
        return sentence(finding, controls)
    except KeyError:  # the text names something that the rule did not tell yet
        return _wordless(finding)


def _wordless(finding: Finding) -> Scanned:
    return Scanned(f"{finding.tag or finding.outcome} (this release has no words for it).")


_ABSENT = {
    "closed": "Nothing to judge: the port is closed.",
    "nxdomain": "Nothing to judge: the name does not exist in the DNS.",
    "nodata": "Nothing to judge: the name has no such records in the DNS.",
    "not_offered": "Nothing to judge: the server does not offer it.",
    "not_declared": "Nothing to judge: the inventory declares no such service.",
}

_UNKNOWN = {
    Reason.TIMEOUT: "Could not see: no answer within the time allowed.",
    Reason.RESET: "Could not see: the connection was reset.",
    Reason.REFUSED_BY_TARGET: "Could not see: the server answered and declined to talk to us.",
    Reason.BLOCKED: "Could not see: something on the path blocks us.",
    Reason.RATE_LIMITED: "Could not see: the limit on questions to this server was reached.",
    Reason.TEMPORARY: "Could not see: the server reported a temporary failure.",
    Reason.TRUNCATED: "Could not see: the answer was cut short.",
    Reason.MALFORMED: "Could not see: the answer was not understandable.",
    Reason.OUT_OF_SCOPE: "Not looked at: the address is outside the authorisation.",
    Reason.NOT_GRANTED: "Not looked at: the authorisation does not grant this question.",
    Reason.BLACKOUT: "Not looked at: the authorisation forbids it at this hour.",
    Reason.STOPPED: "Not looked at: the scan was stopped first.",
    Reason.NOT_RUN: "Not looked at in this run.",
    Reason.FEED_STALE: "Could not judge: the reference data is missing or too old.",
    Reason.TOOL_MISSING: "Could not see: a tool that this needs is not installed.",
    Reason.VANTAGE_LIMITED: "Could not see from this vantage point.",
    Reason.NOT_RECORDED: "Could not judge: this was not recorded, or is no longer kept.",
    Reason.DEADLINE: "Could not see: the time for this asset ran out.",
    Reason.BUG: "Could not judge: a fault of posture itself; please report it.",
}
