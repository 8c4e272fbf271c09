"""``posture-explain/1``: the score of a ministry, or of the State, line by line."""

from __future__ import annotations

from typing import Any

from posture.errors import UsageError
from posture.report import Report, score_document
from posture.scorecard import MODEL, Line, Score, explain


def explained(report: Report, ministry: str | None) -> dict[str, Any]:
    """The document of one score; ``score`` is null and ``lines`` empty where nothing is known or there is no asset.

    Args:
        ministry: its code; None for the State.

    Raises:
        UsageError: no such ministry.
    """
    name, score = _whose(report, ministry)
    numbers = score_document(score) if score else {"label": "no assets"}
    kept = ("score", "raw", "grade", "label", "coverage", "interval")
    return {
        "schema": "posture-explain/1",
        "state": report.state,
        "ministry": ministry,
        "name": name,
        "run": dict(report.run),
        "as_of": report.as_of.strftime("%Y-%m-%dT%H:%M:%SZ") if report.as_of else None,
        "model": MODEL,
        "policy": report.policy,
        "policy_sha256": report.policy_digest,
        "catalogue": report.catalogue_digest,
        **{field: numbers.get(field) for field in kept},
        "lines": [_line(line) for line in explain(score)] if score else [],
    }


def _whose(report: Report, ministry: str | None) -> tuple[str, Score | None]:
    if ministry is None:
        return report.state_name, report.state_score
    for one in report.ministries:
        if one.code == ministry:
            return one.name, one.score
    known = ", ".join(sorted(one.code for one in report.ministries))
    raise UsageError(f"no ministry {ministry!r}. Choose from: {known}.")


def _line(line: Line) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "pillar": line.pillar,
        "name": line.name,
        "points": line.points / 1000,
        "of": None if line.of is None else line.of / 1000,
        "why": line.why,
        "findings": [
            {"asset": one.asset.name, "kind": one.asset.kind, "control": one.control, "subject": one.subject}
            for one in line.findings
        ],
    }
