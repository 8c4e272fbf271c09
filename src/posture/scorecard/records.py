"""What goes into a score and what comes out: frozen records, exact numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Protocol

from posture.model import AssetKey, Confidence, Finding, Kind, Outcome, Reason, Severity


class Weighed(Protocol):
    """What the score needs to know of a control; ``posture.checks.Control`` is one."""

    @property
    def family(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def kind(self) -> Kind: ...


@dataclass(frozen=True, slots=True)
class ScoredAsset:
    """One asset of the inventory; ``criticality`` 1 low, 2 normal, 3 vital."""

    key: AssetKey
    ministry: str
    criticality: int = 2


@dataclass(frozen=True, slots=True)
class Standing:
    """One line of the current state: the last answer, and whether the latest look failed to renew it (``stale``).

    ``exempted``: somebody accepts it for a time; it counts all the same.
    """

    ministry: str
    asset: AssetKey
    control: str
    subject: str
    outcome: Outcome
    severity: Severity
    confidence: Confidence = Confidence.CONFIRMED
    stale: bool = False
    reason: Reason | None = None
    mends: str = "ministry"
    observed_at: datetime | None = None
    first_seen: datetime | None = None
    mend_by: datetime | None = None
    exempted: bool = False

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Standing:
        """From a row of ``posture-findings/1``. What flaps is scored at the worst of late."""
        scored = row.get("unstable") or row
        return cls(
            ministry=row["ministry"],
            asset=AssetKey(row["asset"], row["kind"]),
            control=row["control"],
            subject=row["subject"],
            outcome=Outcome(scored["outcome"]),
            severity=Severity(scored["severity"]),
            confidence=Confidence(row.get("confidence") or "confirmed"),
            stale=bool(row.get("stale") or row.get("unseen")),
            reason=Reason(row["reason"]) if row.get("reason") else None,
            mends=row.get("mends") or "ministry",
            observed_at=instant(row.get("observed_at")),
            first_seen=instant(row.get("first_seen")),
            mend_by=instant(row.get("mend_by")),
            exempted=bool(row.get("exemption")),
        )

    @classmethod
    def of_finding(cls, finding: Finding, *, stale: bool = False, first_seen: datetime | None = None) -> Standing:
        """From a judge's finding, with what only the history knows."""
        return cls(
            ministry=finding.ministry,
            asset=finding.asset,
            control=finding.control,
            subject=finding.subject,
            outcome=finding.outcome,
            severity=finding.severity,
            confidence=finding.confidence,
            stale=stale,
            reason=finding.reason,
            mends=finding.mends,
            observed_at=finding.observed_at,
            first_seen=first_seen,
            mend_by=instant(finding.mend_by),
        )


def instant(text: str | datetime | None) -> datetime | None:
    """An RFC 3339 time, or a date (its first instant, UTC), as an aware datetime."""
    if text is None or isinstance(text, datetime):
        return text
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Addend:
    """One control's part in its pillar. ``weight`` by the catalogue's severity.

    practice: ``value`` 0..1 of ``weight``. hazard: ``value`` is the affected share, ``deduction`` in points.
    ``known``/``applicable`` count assets. ``value`` is None when no asset is known.
    """

    control: str
    pillar: str
    kind: Kind
    weight: int
    value: Fraction | None
    deduction: Fraction
    known: int
    applicable: int


@dataclass(frozen=True, slots=True)
class Pillar:
    """``tenths`` is None when nothing in it is known. ``base`` and ``deductions`` in points."""

    name: str
    weight: int
    tenths: int | None
    base: Fraction
    deductions: Fraction


@dataclass(frozen=True, slots=True)
class Cap:
    """The score cannot exceed ``tenths`` because of ``findings``. ``rule``: overdue, critical, widespread or high."""

    rule: str
    tenths: int
    findings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """A ministry's score, or the State's (``ministry`` ""). Tenths of a point; ``coverage`` in tenths of a percent.

    ``grade`` is None (not graded) below half coverage; ``tentative`` is the "?" behind it below 80 %.
    ``answered``, ``clean``: assets whose every question was answered; assets without a high or critical fail.
    ``exempted``: open findings that somebody accepts for a time, as many as are listed; the score counts them like others.
    """

    ministry: str
    tenths: int | None
    raw: int | None
    grade: str | None
    tentative: bool
    complete: bool
    coverage: int
    low: int
    high: int
    pillars: tuple[Pillar, ...]
    caps: tuple[Cap, ...]
    addends: tuple[Addend, ...]
    assets: int
    answered: int
    clean: int
    exempted: int = 0

    @property
    def label(self) -> str:
        """``B``, ``C?``, ``A, complete`` or ``not graded``."""
        if self.grade is None:
            return "not graded"
        return self.grade + ("?" if self.tentative else ", complete" if self.complete else "")


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Every ministry in the order of ``assets``, and the State as a whole by the same formula."""

    policy: str
    at: datetime
    ministries: tuple[Score, ...]
    state: Score

    def ministry(self, code: str) -> Score:
        """Raises KeyError: no asset of that ministry was scored."""
        for score in self.ministries:
            if score.ministry == code:
                return score
        raise KeyError(code)
