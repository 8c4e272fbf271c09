"""Which verdicts differ between two judgements, and which way."""

from __future__ import annotations

import pytest

from posture.model import AssetKey, Finding, Outcome, Reason, Severity
from posture.moves import counts_of, move_row, moves

WWW = AssetKey("www.finance.gov.example", "host")
KEY = (WWW, "tls.cert.key", "")


def said(word: str | None) -> dict[tuple[AssetKey, str, str], Finding]:
    """``fail``, ``fail low``, ``fail high OTHER``; None: not judged."""
    if word is None:
        return {}
    outcome, severity, tag = (*word.split(), "high", "TAG")[:3] if len(word.split()) < 3 else word.split()
    severity = severity if severity in set(Severity) else "high"
    unknown = outcome == "unknown"
    finding = Finding(
        "finance", WWW, "", KEY[1], Outcome(outcome), Severity(severity), tag=None if unknown else tag,
        reason=Reason.NOT_RECORDED if unknown else None,
    )  # fmt: skip
    return {KEY: finding}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("pass", "fail", "worse"), ("pass", "warn", "worse"), ("warn", "fail", "worse"), ("fail", "warn", "better"),
        ("fail", "pass", "better"), ("fail", "not_applicable", "better"), ("not_applicable", "pass", "changed"),
        ("fail low TAG", "fail high TAG", "worse"), ("fail high TAG", "fail low TAG", "better"),
        ("pass low TAG", "pass high TAG", "changed"), ("fail high TAG", "fail high OTHER", "changed"),
        ("pass", "unknown", "unknown"), ("unknown", "fail", "known"), (None, "fail", "new"), ("fail", None, "gone"),
        ("pass", "pass", None), ("unknown", "unknown", None), (None, "unknown", None), ("unknown", None, None),
    ],
)  # fmt: skip
def test_kinds(before: str | None, after: str | None, kind: str | None) -> None:
    found = moves(said(before), said(after))
    assert [one.kind for one in found] == ([kind] if kind else [])


def test_a_row_and_the_counts() -> None:
    found = moves(said("pass"), said("unknown"))
    row = move_row(found[0], {})
    assert (row["before"], row["after"], row["reason"]) == ("pass", "unknown", "not_recorded")
    assert counts_of(found) == {"unknown": 1}
    assert counts_of([]) == {}
