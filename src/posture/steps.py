"""What to do first: one control of one ministry, over all assets that need it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posture.model import AssetKey, Outcome, Severity
from posture.scanned import Scanned

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: one control of one ministry, over all assets that need it. ``dispute``: that somebody says
    it is wrong, of the first of them."""

    ministry: str
    control: str
    outcome: Outcome
    severity: Severity
    assets: tuple[AssetKey, ...]
    criticality: int
    since: str | None
    mends: str
    provider: Scanned | None
    message: Scanned
    dispute: Scanned | None = None


def five_things(rows: Iterable[Row], criticality: Mapping[AssetKey, int], count: int = 5) -> tuple[Step, ...]:
    """What to do first: the worst severity, fails before warnings, the most vital asset, then the oldest.

    Args:
        rows: findings; only open ones that nobody has accepted for a time are considered. One control of one ministry is
            one thing to do.
        criticality: 1..3 by asset; 2 when absent.
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if Outcome(row["outcome"]).is_open and not row.get("exemption"):
            groups[row["ministry"], row["control"]].append(row)
    steps = [_step(group, criticality) for group in groups.values()]
    return tuple(sorted(steps, key=_urgency)[:count])


def _step(group: Sequence[Row], criticality: Mapping[AssetKey, int]) -> Step:
    worst = min(group, key=lambda row: (-Severity(row["severity"]).rank, row["outcome"] != "fail"))
    assets = tuple(sorted({AssetKey(row["asset"], row["kind"]) for row in group}))
    return Step(
        ministry=worst["ministry"],
        control=worst["control"],
        outcome=Outcome(worst["outcome"]),
        severity=Severity(worst["severity"]),
        assets=assets,
        criticality=max(criticality.get(asset, 2) for asset in assets),
        since=min((row["first_seen"] for row in group if row.get("first_seen")), default=None),
        mends=worst.get("mends") or "ministry",
        provider=worst.get("provider"),
        message=worst["message"],
        dispute=next((row["dispute"] for row in group if row.get("dispute")), None),
    )


def _urgency(step: Step) -> tuple[Any, ...]:
    return (
        -step.severity.rank,
        step.outcome is not Outcome.FAIL,
        -step.criticality,
        step.since or "9999",
        step.ministry,
        step.control,
    )


def step_document(step: Step) -> dict[str, Any]:
    """As a row of the published JSON."""
    return {
        "ministry": step.ministry,
        "control": step.control,
        "outcome": str(step.outcome),
        "severity": str(step.severity),
        "assets": [asset.name for asset in step.assets],
        "since": step.since,
        "mends": step.mends,
        "provider": step.provider,
        "message": step.message,
        "dispute": step.dispute,
    }
