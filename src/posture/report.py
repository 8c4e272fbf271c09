"""What every reporter gets: one frozen record, no store, no clock, no network.

``assemble`` joins the inventory, the current state and the drift into a :class:`Report`; ``narrow`` cuts it down to
some ministries, so that nothing of any other is left for a reporter to leak. Findings and drift events are the rows
of the published JSON, as they are.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from posture.checks.mending import NOT_SAID, Mending
from posture.errors import UsageError
from posture.inventory.records import Inventory
from posture.inventory.statement import statement_digest
from posture.model import AssetKey, Kind, ProbeClass, Severity
from posture.policy import Policy
from posture.rows import EventRow, FindingRow
from posture.scorecard import Score, Scorecard, ScoredAsset, Standing, scorecard
from posture.signatures import Authority
from posture.steps import five_things, step_document

Row = Mapping[str, Any]
R = TypeVar("R", bound=Row)

TLP_LEVELS = ("TLP:RED", "TLP:AMBER+STRICT", "TLP:AMBER", "TLP:GREEN", "TLP:CLEAR")
TLP_DEFAULT = "TLP:AMBER+STRICT"


@dataclass(frozen=True, slots=True)
class ControlText:
    """One control as a reader meets it. ``mapping``: framework -> its references."""

    id: str
    title: str
    family: str
    severity: Severity
    kind: Kind
    probe_class: ProbeClass
    meaning: str
    remedy: str
    observed: str = ""
    passes: str = ""
    warns: str = ""
    fails: str = ""
    sources: str = ""
    false_positives: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    mending: Mending = NOT_SAID

    @classmethod
    def of(cls, control: Any) -> ControlText:
        """From a ``posture.checks.Control``, whose field names these are."""
        return cls(**{name: getattr(control, name) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class AssetEntry:
    name: str
    kind: str
    ministry: str
    criticality: int = 2
    roles: tuple[str, ...] = ()

    @property
    def key(self) -> AssetKey:
        return AssetKey(self.name, self.kind)


@dataclass(frozen=True, slots=True)
class Letter:
    """An authorisation that a ministry was looked at under, as its run recorded it.

    ``reference`` is "" where the inventory no longer has the text that the run went by. ``signers`` is None when the
    run did not go under it, or did not write it down.
    """

    id: str
    reference: str
    signers: tuple[str, ...] | None

    @property
    def words(self) -> str:
        if self.signers is None:
            return "not recorded for this run"
        return f"signed by {', '.join(self.signers)}" if self.signers else "unsigned"


@dataclass(frozen=True, slots=True)
class MinistryReport:
    """``score`` is None when the ministry has no asset; ``before`` is its score at the run compared with.

    ``told``: where the rules or the policy have changed since that run, what its score was then, in tenths; ``before`` is
    then what the same answers are worth now.
    """

    code: str
    name: str
    assets: tuple[AssetEntry, ...]
    score: Score | None
    before: Score | None = None
    letters: tuple[Letter, ...] = ()
    told: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """``run`` and ``events`` as in the published JSON; ``drift`` is None when there is nothing to compare with.

    ``state_score`` is None in a report narrowed to some ministries. ``at`` is when it was written; ``as_of`` the
    past time of which it tells, None for the present. ``exemptions``: rows of ``posture-exempted/1`` with the ``ministry``
    whose asset each is about, None where the inventory knows no such asset. ``trends``: the points of ``posture-trend/1``
    by ministry, "" the State. ``checkpoint`` is the signed note of the ledger over the run, "".
    ``silent_controls``: sentences about controls that nobody answers any more; none in a narrowed report.
    """

    state: str
    state_name: str
    timezone: str
    operator: str
    contact: str
    run: Row
    policy: str
    policy_digest: str
    catalogue_digest: str
    at: datetime
    ministries: tuple[MinistryReport, ...]
    findings: tuple[FindingRow, ...]
    controls: Mapping[str, ControlText]
    state_score: Score | None = None
    state_before: Score | None = None
    drift: Row | None = None
    complete: bool = True
    tlp: str = TLP_DEFAULT
    as_of: datetime | None = None
    exemptions: tuple[Row, ...] = ()
    checkpoint: str = ""
    trends: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    silent_controls: tuple[str, ...] = ()

    @property
    def is_narrowed(self) -> bool:
        return self.state_score is None

    @property
    def events(self) -> tuple[EventRow, ...]:
        return tuple(self.drift["events"]) if self.drift else ()

    @property
    def criticality(self) -> dict[AssetKey, int]:
        return {asset.key: asset.criticality for ministry in self.ministries for asset in ministry.assets}


@dataclass(frozen=True, slots=True)
class Rescored:
    """A run's scores under other rules than its own; ``told``: by ministry what it was told then, in tenths."""

    card: Scorecard
    told: Mapping[str, int | None]


def assemble(
    inventory: Inventory,
    findings_document: Row,
    policy: Policy,
    controls: Mapping[str, Any],
    at: datetime,
    *,
    drift_document: Row | None = None,
    previous: Iterable[Row] | None = None,
    rescored: Rescored | None = None,
    authorities: Mapping[str, Authority] | None = None,
    tlp: str = TLP_DEFAULT,
    as_of: datetime | None = None,
    exemptions: Iterable[Row] = (),
) -> Report:
    """Everything about a State, scored.

    Args:
        findings_document: ``posture-findings/1`` of the current state, all outcomes.
        controls: the catalogue (``posture.checks.catalogue()``).
        at: the time of the report (UTC).
        drift_document: ``posture-drift/1`` since the run compared with.
        previous: the rows of the current state as of that run; gives the scores before.
        rescored: that run under the rules of now, in the place of ``previous``, where they have changed since.
        authorities: what the run went under, by id, as signed.
        as_of: the past time (UTC) of which the document tells; scores count deadlines to it instead of to ``at``.
        exemptions: rows of ``posture-exempted/1``.

    Raises:
        UsageError: ``tlp`` is no level of TLP 2.0.
    """
    rows = tuple(findings_document["findings"])
    scored = [ScoredAsset(asset.key, asset.ministry, asset.criticality) for asset in inventory.assets]
    then = as_of or at
    card = scorecard(map(Standing.of, rows), scored, policy, controls, at=then)
    before = None if previous is None else scorecard(map(Standing.of, previous), scored, policy, controls, at=then)
    before = rescored.card if rescored else before
    texts = {name: ControlText.of(control) for name, control in controls.items()}
    return Report(
        state=inventory.state.code,
        state_name=inventory.state.name,
        timezone=inventory.state.timezone,
        operator=inventory.operator.name,
        contact=inventory.operator.contact,
        run=findings_document.get("run") or {},
        policy=policy.id,
        policy_digest=policy.digest,
        catalogue_digest=catalogue_digest(texts.values()),
        at=at,
        ministries=tuple(
            replace(one, told=rescored.told.get(one.code) if rescored else None)
            for one in _ministries(inventory, card, before, _letters(inventory, rows, authorities or {}))
        ),
        findings=rows,
        controls=texts,
        state_score=card.state,
        state_before=before.state if before else None,
        drift=drift_document,
        complete=bool(findings_document.get("complete", True)),
        tlp=tlp_level(tlp),
        as_of=as_of,
        exemptions=tuple(_owned(exemptions, inventory)),
    )


def _owned(rows: Iterable[Row], inventory: Inventory) -> Iterable[Row]:
    """With the ministry whose asset each is about."""
    owners = {asset.name: asset.ministry for asset in inventory.assets}
    return ({"ministry": owners.get(row["asset"]), **row} for row in rows)


def _ministries(
    inventory: Inventory, card: Scorecard, before: Scorecard | None, letters: Mapping[str, tuple[Letter, ...]]
) -> Iterable[MinistryReport]:
    assets: dict[str, list[AssetEntry]] = defaultdict(list)
    for asset in inventory.assets:
        assets[asset.ministry].append(
            AssetEntry(asset.name, asset.kind, asset.ministry, asset.criticality, asset.roles)
        )
    now = {score.ministry: score for score in card.ministries}
    then = {score.ministry: score for score in before.ministries} if before else {}
    for ministry in inventory.ministries:
        code = ministry.code
        yield MinistryReport(
            code, ministry.name, tuple(assets[code]), now.get(code), then.get(code), letters.get(code, ())
        )


def _letters(
    inventory: Inventory, rows: Iterable[Row], authorities: Mapping[str, Authority]
) -> dict[str, tuple[Letter, ...]]:
    """By ministry: the authorisations that the inventory names for it, else those that its findings were made under."""
    names: dict[str, dict[str, None]] = {each.code: dict.fromkeys(each.authorisations) for each in inventory.ministries}
    for row in rows if not inventory.authorisations else ():
        if row["authorisation"] and row["ministry"] in names:
            names[row["ministry"]][row["authorisation"]] = None
    return {code: tuple(_letter(name, inventory, authorities.get(name)) for name in ids) for code, ids in names.items()}


def _letter(name: str, inventory: Inventory, recorded: Authority | None) -> Letter:
    known = inventory.authorisations.get(name)
    same = known and recorded and statement_digest(known, inventory.state) == recorded.sha256
    return Letter(name, known.reference if known and same else "", recorded.signers if recorded else None)


def narrow(report: Report, ministries: Sequence[str]) -> Report:
    """The same report with nothing of any other ministry in it; an empty list means all of them.

    Raises:
        UsageError: no such ministry.
    """
    if not ministries:
        return report
    known = {ministry.code for ministry in report.ministries}
    if unknown := [code for code in ministries if code not in known]:
        raise UsageError(f"no ministry {', '.join(map(repr, unknown))}. Choose from: {', '.join(sorted(known))}.")
    kept = tuple(ministry for ministry in report.ministries if ministry.code in ministries)
    return replace(
        report,
        ministries=kept,
        findings=_only(report.findings, ministries),
        exemptions=_only(report.exemptions, ministries),
        state_score=None,
        state_before=None,
        silent_controls=(),
        trends={code: points for code, points in report.trends.items() if code in ministries},
        drift=None if report.drift is None else {**report.drift, "events": list(_only(report.events, ministries))},
    )


def _only(rows: Iterable[R], ministries: Collection[str]) -> tuple[R, ...]:
    return tuple(row for row in rows if row["ministry"] in ministries)


def tlp_level(text: str) -> str:
    """``amber+strict`` -> ``TLP:AMBER+STRICT`` (FIRST TLP 2.0).

    Raises:
        UsageError: no such level.
    """
    level = "TLP:" + text.upper().removeprefix("TLP:")
    if level not in TLP_LEVELS:
        raise UsageError(f"no TLP level {text!r}. Choose from: {', '.join(TLP_LEVELS)}.")
    return level


def catalogue_digest(controls: Iterable[ControlText]) -> str:
    """Twelve hex digits that change when a control's id, severity, kind or wording changes."""
    lines = sorted(f"{c.id}|{c.severity}|{c.kind}|{c.passes}|{c.warns}|{c.fails}" for c in controls)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def scorecard_document(report: Report) -> dict[str, Any]:
    """``posture-scorecard/1``: scores as numbers with one decimal, null where nothing is known."""
    scores = [(ministry, ministry.score) for ministry in report.ministries]
    return {
        "schema": "posture-scorecard/1",
        "state": report.state,
        "tlp": report.tlp,
        "generated_at": report.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "as_of": report.as_of.strftime("%Y-%m-%dT%H:%M:%SZ") if report.as_of else None,
        "complete": report.complete,
        "run": dict(report.run),
        "policy": report.policy,
        "policy_sha256": report.policy_digest,
        "catalogue": report.catalogue_digest,
        "checkpoint": report.checkpoint or None,
        "silent_controls": list(report.silent_controls),
        "model": "posture-score/1",
        "score": None if report.state_score is None else score_document(report.state_score),
        "ministries": [
            {
                "ministry": ministry.code,
                "name": ministry.name,
                "score": None if score is None else score_document(score),
                "before": None if ministry.before is None else score_document(ministry.before),
                "before_told": _points(ministry.told),
                "authorisations": [
                    {
                        "id": letter.id,
                        "reference": letter.reference,
                        "signed_by": None if letter.signers is None else list(letter.signers),
                    }
                    for letter in ministry.letters
                ],
            }
            for ministry, score in scores
        ],
        "first": [step_document(step) for step in five_things(report.findings, report.criticality)],
        "exemptions": [dict(row) for row in report.exemptions],
        "events": [dict(event) for event in report.events],
        "findings": [dict(row) for row in report.findings],
    }


def score_document(score: Score) -> dict[str, Any]:
    """One score with every pillar, cap and addend."""
    return {
        "grade": score.grade,
        "label": score.label,
        "score": _points(score.tenths),
        "raw": _points(score.raw),
        "coverage": _points(score.coverage),
        "interval": [_points(score.low), _points(score.high)],
        "tentative": score.tentative,
        "complete": score.complete,
        "assets": {"all": score.assets, "answered": score.answered, "clean": score.clean},
        "exempted": score.exempted,
        "pillars": [{"name": p.name, "weight": p.weight, "score": _points(p.tenths)} for p in score.pillars],
        "caps": [
            {
                "rule": cap.rule,
                "limit": _points(cap.tenths),
                "findings": [
                    {"asset": f.asset.name, "kind": f.asset.kind, "control": f.control, "subject": f.subject}
                    for f in cap.findings
                ],
            }
            for cap in score.caps
        ],
        "addends": [
            {
                "control": addend.control,
                "pillar": addend.pillar,
                "kind": str(addend.kind),
                "weight": addend.weight,
                "value": None if addend.value is None else round(float(addend.value), 4),
                "deduction": round(float(addend.deduction), 4),
                "known": addend.known,
                "applicable": addend.applicable,
            }
            for addend in score.addends
        ],
    }


def _points(tenths: int | None) -> float | None:
    return None if tenths is None else tenths / 10
