"""posture-score/1: from the current state to a grade, with every addend and cap kept. Pure; exact fractions, no floats.

Per control and asset the *worst* subject counts. From there:

    practice   value of a control = criticality-weighted mean over the assets on which it applies and is known
    hazard     deduction of a control = worst harm x (1/2 + 1/2 x affected share); a warn harms half as much as a fail
    pillar     max(0, 100 x sum(weight x value) / sum(weight) - sum(deductions)); no known practice: the base is 100
    raw        mean of the pillars by their weight; an absent pillar leaves the others to share
    score      raw, lowered to the smallest cap

Unknowns never raise a score. One never measured is left out, lowers coverage and widens the interval
[every unknown fails, every unknown passes]; a pillar of which nothing was seen earns nothing in the lower bound.
One after an open answer is *carried*: it goes on counting as that answer (improvements count only when measured) but
not as covered; after 30 days the upper bound takes it for unknown, its cap stays. One after a pass is simply unknown.
An exemption is a note: what somebody accepts for a time counts like any other. Only the cap of a fail that nobody could
measure again for 30 days goes when it is exempted.
All numbers are rounded down to tenths, so that no rounding flatters.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from fractions import Fraction

from posture.model import AssetKey, Confidence, Kind, Outcome, Reason, Severity
from posture.policy import Policy
from posture.scorecard.records import Addend, Cap, Pillar, Score, Scorecard, ScoredAsset, Standing, Weighed

MODEL = "posture-score/1"
PILLARS: Mapping[str, int] = {"services": 30, "email": 20, "tls": 20, "dns": 20, "web": 10}
PRACTICE_WEIGHT = {Severity.CRITICAL: 10, Severity.HIGH: 6, Severity.MEDIUM: 3, Severity.LOW: 1}
HAZARD_DEDUCTION = {Severity.CRITICAL: 30, Severity.HIGH: 15, Severity.MEDIUM: 6, Severity.LOW: 2}
GRADES = (("A", 900), ("B", 750), ("C", 600), ("D", 400), ("E", 0))  # from tenths of a point

CAP_OVERDUE, CAP_CRITICAL, CAP_WIDESPREAD, CAP_HIGH = 390, 590, 740, 890
WIDESPREAD_ASSETS, WIDESPREAD_SHARE = 4, Fraction(1, 4)
CARRY = timedelta(days=30)
CRITICAL_DEADLINE = timedelta(days=30)  # unless the finding carries a mend_by of its own

# A real fail of the first control makes the second one a note, on the same asset and subject: nothing counts twice.
SUPPRESSED_BY = (
    ("svc.*", "svc.baseline"),
    ("tls.protocol.ssl", "tls.protocol.legacy"),
    ("dns.dnssec.valid", "dns.dnssec.*"),
)


def scorecard(
    standings: Iterable[Standing],
    assets: Iterable[ScoredAsset],
    policy: Policy,
    catalogue: Mapping[str, Weighed],
    *,
    at: datetime,
) -> Scorecard:
    """The score of each ministry and of the State.

    Args:
        standings: the current state (one vantage, one policy); assets that are not listed are ignored.
        assets: the inventory; it decides ministry and criticality.
        policy: its ``controls`` are scored, those of severity info never.
        catalogue: weight, kind and pillar of each control.
        at: the time of scoring (UTC), for deadlines and the 30 days of carrying.
    """
    inventory = {asset.key: asset for asset in assets}
    scored = {name: catalogue[name] for name in policy.controls if name in catalogue and _is_scored(catalogue[name])}
    listed = [standing for standing in standings if standing.asset in inventory]
    present = [standing for standing in listed if standing.control in scored]
    readings = [_reading(standing, at) for standing in _without_doubles(present) if _applies(standing)]
    by_ministry: dict[str, list[ScoredAsset]] = defaultdict(list)
    for asset in inventory.values():
        by_ministry[asset.ministry].append(asset)
    owned: dict[str, list[_Reading]] = defaultdict(list)
    for reading in readings:
        owned[inventory[reading.standing.asset].ministry].append(reading)
    accepted = Counter(inventory[one.asset].ministry for one in listed if one.exempted)
    ministries = tuple(
        replace(_score(code, group, owned[code], scored, at), exempted=accepted[code])
        for code, group in by_ministry.items()
    )
    whole = _score("", list(inventory.values()), readings, scored, at)
    return Scorecard(policy.id, at, ministries, replace(whole, exempted=accepted.total()))


class _Bound(StrEnum):
    """Which question is asked of the unknowns."""

    MEASURED = "measured"
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class _Reading:
    """One standing as the score sees it: half-points (0 fail, 1 warn, 2 pass) per bound; None is left out."""

    standing: Standing
    halves: Mapping[_Bound, int | None]
    covered: bool

    @property
    def fails(self) -> bool:
        return self.standing.outcome is Outcome.FAIL


_HALVES = {Outcome.FAIL: 0, Outcome.WARN: 1, Outcome.PASS: 2}
_SEEN: Mapping[int, Mapping[_Bound, int | None]] = {halves: dict.fromkeys(_Bound, halves) for halves in (0, 1, 2)}
_UNSEEN: Mapping[_Bound, int | None] = {_Bound.MEASURED: None, _Bound.LOW: 0, _Bound.HIGH: 2}


def _is_scored(control: Weighed) -> bool:
    return control.severity is not Severity.INFO and control.family in PILLARS


def _applies(standing: Standing) -> bool:
    """A provider's machine that we may not look at is not the ministry's unknown."""
    if standing.outcome in (Outcome.NOT_APPLICABLE, Outcome.INFO):
        return False
    return not (standing.reason is Reason.OUT_OF_SCOPE and standing.mends == "provider")


def _without_doubles(standings: Sequence[Standing]) -> Iterator[Standing]:
    """Leaves out what another, real fail on the same asset and subject already says."""
    failing: dict[tuple[AssetKey, str], set[str]] = defaultdict(set)
    for standing in standings:
        if standing.outcome is Outcome.FAIL:
            failing[standing.asset, standing.subject].add(standing.control)
    for standing in standings:
        others = failing.get((standing.asset, standing.subject), set())
        if not (standing.outcome.is_open and _is_double(standing.control, others)):
            yield standing


def _is_double(control: str, failing: set[str]) -> bool:
    return any(
        fnmatchcase(control, suppressed) and other != control and fnmatchcase(other, by)
        for by, suppressed in SUPPRESSED_BY
        for other in failing
    )


def _reading(standing: Standing, at: datetime) -> _Reading:
    if standing.outcome is Outcome.UNKNOWN or (standing.stale and not standing.outcome.is_open):
        return _Reading(standing, _UNSEEN, covered=False)
    halves = _HALVES[standing.outcome]
    if not standing.stale:
        return _Reading(standing, _SEEN[halves], covered=True)
    expired = standing.observed_at is not None and at - standing.observed_at > CARRY
    carried = {_Bound.MEASURED: halves, _Bound.LOW: 0, _Bound.HIGH: 2 if expired else halves}
    return _Reading(standing, carried, covered=False)


def _score(
    ministry: str,
    assets: Sequence[ScoredAsset],
    readings: Sequence[_Reading],
    scored: Mapping[str, Weighed],
    at: datetime,
) -> Score:
    criticality = {asset.key: asset.criticality for asset in assets}
    cells: dict[str, dict[AssetKey, list[_Reading]]] = defaultdict(lambda: defaultdict(list))
    for reading in readings:
        cells[reading.standing.control][reading.standing.asset].append(reading)
    addends = {bound: _addends(cells, criticality, scored, bound) for bound in _Bound}
    pillars = _pillars(addends[_Bound.MEASURED])
    seen = {pillar.name for pillar in pillars if pillar.tenths is not None}
    lowest = [pillar for pillar in _pillars(addends[_Bound.LOW]) if pillar.name in seen]
    blind = sum(pillar.weight for pillar in pillars if pillar.name not in seen)
    caps = {bound: _caps(readings, assets, at, bound) for bound in _Bound}
    raw = _mean(pillars)
    coverage = _coverage(cells, criticality, scored)
    tenths = _capped(raw, caps[_Bound.MEASURED])
    grade, tentative = _grade(tenths, coverage)
    uncovered = {reading.standing.asset for reading in readings if not reading.covered}
    seriously = {
        reading.standing.asset for reading in readings if reading.fails and reading.standing.severity.rank >= 3
    }
    return Score(
        ministry=ministry,
        tenths=tenths,
        raw=None if raw is None else _tenths(raw),
        grade=grade,
        tentative=tentative,
        complete=grade == "A" and _is_complete(addends[_Bound.MEASURED], coverage),
        coverage=_tenths(coverage * 100),
        low=_capped(_mean(lowest, blind), caps[_Bound.LOW]) or 0,
        high=_capped(_mean(_pillars(addends[_Bound.HIGH])), caps[_Bound.HIGH]) or 0,
        pillars=pillars,
        caps=caps[_Bound.MEASURED],
        addends=addends[_Bound.MEASURED],
        assets=len(assets),
        answered=len(criticality.keys() - uncovered),
        clean=len(criticality.keys() - seriously),
    )


_Cells = Mapping[str, Mapping[AssetKey, Sequence[_Reading]]]


def _addends(
    cells: _Cells, criticality: Mapping[AssetKey, int], scored: Mapping[str, Weighed], bound: _Bound
) -> tuple[Addend, ...]:
    """One addend per control that applies anywhere, in the policy's order."""
    return tuple(
        _addend(name, control, cells[name], criticality, bound) for name, control in scored.items() if name in cells
    )


def _addend(
    name: str,
    control: Weighed,
    cell: Mapping[AssetKey, Sequence[_Reading]],
    criticality: Mapping[AssetKey, int],
    bound: _Bound,
) -> Addend:
    known = weighed = earned = 0
    harm = 0
    for asset, readings in cell.items():
        halves = _worst(readings, bound)
        if halves is None:
            continue
        known += 1
        weighed += criticality[asset]
        earned += criticality[asset] * halves
        if halves < 2:
            harm = max(harm, *(_harm(reading, bound) for reading in readings))
    value = Fraction(earned, 2 * weighed) if weighed else None
    deduction = Fraction(0)
    if control.kind is Kind.HAZARD and value is not None:
        value = 1 - value  # the affected share
        deduction = Fraction(harm, 2) * (1 + value) / 2
    weight = PRACTICE_WEIGHT[control.severity]
    return Addend(name, control.family, control.kind, weight, value, deduction, known, len(cell))


def _worst(readings: Sequence[_Reading], bound: _Bound) -> int | None:
    """Half-points of one control on one asset. A pass beside an unseen subject is no pass: it is not known."""
    halves = [reading.halves[bound] for reading in readings]
    seen = [half for half in halves if half is not None]
    worst = min(seen, default=None)
    return None if worst == 2 and len(seen) < len(halves) else worst


def _harm(reading: _Reading, bound: _Bound) -> int:
    """What one finding of a hazard takes away if every asset were affected, in half-points."""
    halves = reading.halves[bound]
    return 0 if halves is None else (2 - halves) * HAZARD_DEDUCTION.get(reading.standing.severity, 0)


def _pillars(addends: Sequence[Addend]) -> tuple[Pillar, ...]:
    return tuple(
        _pillar(name, weight, [addend for addend in addends if addend.pillar == name])
        for name, weight in PILLARS.items()
        if any(addend.pillar == name for addend in addends)
    )


def _pillar(name: str, weight: int, addends: Sequence[Addend]) -> Pillar:
    practices = [
        (addend.weight, addend.value) for addend in addends if addend.kind is Kind.PRACTICE and addend.value is not None
    ]
    deductions = sum((addend.deduction for addend in addends), Fraction(0))
    base = Fraction(100)
    if practices:
        base = sum((100 * w * v for w, v in practices), Fraction(0)) / sum(w for w, _ in practices)
    is_known = any(addend.value is not None for addend in addends)
    return Pillar(name, weight, _tenths(max(Fraction(0), base - deductions)) if is_known else None, base, deductions)


def _mean(pillars: Sequence[Pillar], blind: int = 0) -> Fraction | None:
    """The raw score in points, from exact pillars (not from their rounded tenths).

    ``blind``: the weight of pillars of which nothing was seen; in the lower bound they count, and earn nothing.
    """
    present = [pillar for pillar in pillars if pillar.tenths is not None]
    if not present:
        return None
    points = sum((pillar.weight * max(Fraction(0), pillar.base - pillar.deductions) for pillar in present), Fraction(0))
    return points / (sum(pillar.weight for pillar in present) + blind)


def _coverage(cells: _Cells, criticality: Mapping[AssetKey, int], scored: Mapping[str, Weighed]) -> Fraction:
    """Known weight / applicable weight: an asset's control is known when every subject of it answered."""
    known = applicable = Fraction(0)
    for name, cell in cells.items():
        weight = PRACTICE_WEIGHT[scored[name].severity]
        whole = sum(criticality[asset] for asset in cell)
        answered = sum(criticality[asset] for asset, readings in cell.items() if all(r.covered for r in readings))
        applicable += weight
        known += Fraction(weight * answered, whole)
    return known / applicable if applicable else Fraction(0)


def _caps(readings: Sequence[_Reading], assets: Sequence[ScoredAsset], at: datetime, bound: _Bound) -> tuple[Cap, ...]:
    """The caps that hold, lowest first. In the lower bound whatever was not seen is taken for a fail."""
    fails = [
        reading
        for reading in readings
        if (reading.fails or (bound is _Bound.LOW and reading.halves[bound] == 0)) and not _is_waived(reading, at)
    ]
    serious = [reading.standing for reading in fails if reading.standing.severity.rank >= Severity.HIGH.rank]
    critical = [
        reading.standing
        for reading in fails
        if reading.standing.severity is Severity.CRITICAL
        and (not reading.fails or reading.standing.confidence is Confidence.CONFIRMED)
    ]
    overdue = [standing for standing in critical if is_overdue(standing, at)]
    widespread = (
        serious
        if len(assets) >= WIDESPREAD_ASSETS
        and Fraction(len({standing.asset for standing in serious}), len(assets)) > WIDESPREAD_SHARE
        else []
    )
    rules: tuple[tuple[str, int, list[Standing]], ...] = (
        ("overdue", CAP_OVERDUE, overdue),
        ("critical", CAP_CRITICAL, critical),
        ("widespread", CAP_WIDESPREAD, widespread),
        ("high", CAP_HIGH, serious),
    )
    return tuple(Cap(rule, tenths, tuple(found)) for rule, tenths, found in rules if found)


def _is_waived(reading: _Reading, at: datetime) -> bool:
    """Whether an exemption lifts its cap: of what was carried for longer than ``CARRY`` alone."""
    standing = reading.standing
    return (
        standing.exempted and standing.stale and standing.observed_at is not None and at - standing.observed_at > CARRY
    )


def is_overdue(standing: Standing, at: datetime) -> bool:
    """Whether a fail is past its ``mend_by``; a critical one without is 30 days after it was first seen."""
    if standing.outcome is not Outcome.FAIL:
        return False
    if standing.mend_by is not None:
        return standing.mend_by < at
    if standing.severity is not Severity.CRITICAL or standing.first_seen is None:
        return False
    return standing.first_seen + CRITICAL_DEADLINE < at


def _capped(raw: Fraction | None, caps: Sequence[Cap]) -> int | None:
    return None if raw is None else min([_tenths(raw), *(cap.tenths for cap in caps)])


def _grade(tenths: int | None, coverage: Fraction) -> tuple[str | None, bool]:
    """The letter and its "?": below 80 % coverage it is tentative and at most B, below 50 % there is none."""
    if tenths is None or coverage < Fraction(1, 2):
        return None, False
    letter = letter_of(tenths)
    tentative = coverage < Fraction(4, 5)
    return ("B" if tentative and letter == "A" else letter), tentative


def letter_of(tenths: int) -> str:
    """The letter of a score in tenths, coverage aside."""
    return next(letter for letter, floor in GRADES if tenths >= floor)


def _is_complete(addends: Sequence[Addend], coverage: Fraction) -> bool:
    good: dict[Kind, Callable[[Fraction], bool]] = {Kind.PRACTICE: lambda v: v == 1, Kind.HAZARD: lambda v: v == 0}
    return coverage >= Fraction(95, 100) and all(
        addend.value is None or good[addend.kind](addend.value) for addend in addends
    )


def _tenths(points: Fraction) -> int:
    """Rounded down: nothing is ever shown better than it is."""
    return int(points * 10 // 1)
