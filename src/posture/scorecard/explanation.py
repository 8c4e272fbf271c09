"""A score line by line: what each control adds or takes, what rounding and caps take; the lines add up to the score.

    practice   100 x value x its weight among the known practices of its pillar x the pillar's share
    hazard     - its deduction x the pillar's share
    base       a pillar without a known practice starts from 100
    floor      what would take a pillar below 0 takes nothing
    pillar     a pillar of which nothing is known; the others share its weight
    rounding   down to a tenth, and what the lines before lost to three decimals
    cap        the lowest takes what stands above it; the others are named and take nothing

Points are in thousandths, so that they add up exactly. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from posture.model import Kind
from posture.scorecard.records import Addend, Cap, Pillar, Score, Standing

_TENTH = 100  # thousandths
_NAMED = 3  # findings that a cap's line names


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``name``: a control, a cap's rule, or as ``kind``. ``pillar`` is "" for rounding and caps.

    ``points`` in thousandths of a point of the score; ``of`` what a practice could earn, None for others.
    ``findings``: what a cap is held by.
    """

    kind: str
    pillar: str
    name: str
    points: int
    why: str
    of: int | None = None
    findings: tuple[Standing, ...] = ()


def explain(score: Score) -> tuple[Line, ...]:
    """The lines of a score, pillar by pillar; none where nothing is known. Their points add up to ``score.tenths``."""
    if score.raw is None:
        return ()
    present = sum(pillar.weight for pillar in score.pillars if pillar.tenths is not None)
    lines = [
        line
        for pillar in score.pillars
        for line in _pillar(pillar, [one for one in score.addends if one.pillar == pillar.name], present)
    ]
    rest = score.raw * _TENTH - sum(line.points for line in lines)
    lines.append(Line("rounding", "", "rounding", rest, "down to a tenth of a point"))
    return (*lines, *_caps(score.caps, score.raw))


def _pillar(pillar: Pillar, addends: Sequence[Addend], present: int) -> Iterator[Line]:
    if pillar.tenths is None:
        yield Line("pillar", pillar.name, pillar.name, 0, "nothing known here: the other pillars share its weight")
    share = Fraction(pillar.weight, present) if pillar.tenths is not None else Fraction(0)
    practices = [one for one in addends if one.kind is Kind.PRACTICE and one.value is not None]
    whole = sum(one.weight for one in practices)
    if pillar.tenths is not None and not practices:
        yield Line("base", pillar.name, "base", _thousandths(100 * share), "no practice known: starts from 100")
    for addend in addends:
        yield _addend(addend, whole, share)
    below = pillar.deductions - pillar.base
    if pillar.tenths is not None and below > 0:
        yield Line("floor", pillar.name, "floor", _thousandths(below * share), "a pillar does not fall below 0")


def _addend(addend: Addend, whole: int, share: Fraction) -> Line:
    seen = f"{addend.known} of {addend.applicable} {'asset' if addend.applicable == 1 else 'assets'} known"
    kind = str(addend.kind)
    if addend.value is None:
        return Line(kind, addend.pillar, addend.control, 0, f"left out: {seen}")
    if addend.kind is Kind.HAZARD:
        taken = _thousandths(addend.deduction * share)
        spread = f"on {_percent(addend.value)} of what is known: {float(addend.deduction):.2f} off its pillar"
        why = spread if addend.deduction else "not there"
        return Line(kind, addend.pillar, addend.control, -taken, f"{why}; {seen}")
    best = 100 * share * addend.weight / whole
    why = f"{_percent(addend.value)} of weight {addend.weight} of {whole}; {seen}"
    return Line(kind, addend.pillar, addend.control, _thousandths(best * addend.value), why, _thousandths(best))


def _caps(caps: Sequence[Cap], raw: int) -> Iterator[Line]:
    """Lowest first, as in the score."""
    for place, cap in enumerate(caps):
        taken = max(0, raw - cap.tenths) if place == 0 else 0
        limit = f"not above {cap.tenths // 10}.{cap.tenths % 10}"
        if not taken:
            limit += ": takes nothing, the score is no higher" if raw <= cap.tenths else ": a lower cap holds already"
        yield Line("cap", "", cap.rule, -taken * _TENTH, f"{limit}; {_named(cap.findings)}", findings=cap.findings)


def _named(findings: Sequence[Standing]) -> str:
    """What a cap is held by: ``svc.mgmt.rdp on tax.gov.example and 4 more``."""
    things = list(dict.fromkeys(f"{one.control} on {one.asset.name}" for one in findings))
    more = f" and {len(things) - _NAMED} more" if len(things) > _NAMED else ""
    return ", ".join(things[:_NAMED]) + more


def _thousandths(points: Fraction) -> int:
    return round(points * 1000)


def _percent(part: Fraction) -> str:
    return f"{float(part * 100):.1f} %"
