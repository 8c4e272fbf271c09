"""Not having seen something never makes a ministry, or the State, look better: over random findings of the shipped catalogue."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from posture.checks import catalogue
from posture.model import AssetKey, Confidence, Outcome, Reason, Severity
from posture.policy import load_policy
from posture.scorecard import Score, ScoredAsset, Standing, scorecard

AT = datetime(2026, 11, 23, 21, tzinfo=UTC)
POLICY = load_policy()
CATALOGUE = catalogue()
ASSETS = tuple(
    ScoredAsset(AssetKey(f"h{number}.{ministry}.gov.example", kind), ministry, criticality)
    for ministry in ("finance", "health")
    for number, (kind, criticality) in enumerate([("host", 1), ("host", 3), ("zone", 2)])
)
DECIDED = tuple(outcome for outcome in Outcome if outcome is not Outcome.UNKNOWN)
# Best first; a grade may be withheld (None), which is no better than the worst.
GRADES = ("A", "B", "C", "D", "E", None)


@st.composite
def standings(draw: st.DrawFn) -> tuple[Standing, ...]:
    """Rows of several subjects and controls, decided and unknown; the first one is decided."""
    first = draw(_rows(st.sampled_from(DECIDED)))
    rest = draw(st.lists(_rows(st.sampled_from(list(Outcome))), max_size=25))
    unique = {(row.asset, row.control, row.subject): row for row in (*rest, first)}
    return (first, *(row for row in unique.values() if row is not first))


def _rows(outcomes: st.SearchStrategy[Outcome]) -> st.SearchStrategy[Standing]:
    return st.builds(
        _row,
        asset=st.sampled_from(ASSETS),
        control=st.sampled_from(POLICY.controls),
        subject=st.sampled_from(["", "198.51.100.7:443/tcp", "198.51.100.8:443/tcp"]),
        outcome=outcomes,
        severity=st.sampled_from(list(Severity)),
        confidence=st.sampled_from(list(Confidence)),
        stale=st.booleans(),
        mends=st.sampled_from(["ministry", "provider"]),
        days=st.integers(0, 400),
    )


def _row(
    asset: ScoredAsset,
    control: str,
    subject: str,
    outcome: Outcome,
    severity: Severity,
    confidence: Confidence,
    stale: bool,
    mends: str,
    days: int,
) -> Standing:
    reason = Reason.TIMEOUT if outcome is Outcome.UNKNOWN else None
    seen = AT - timedelta(days=days)
    return Standing(
        asset.ministry, asset.key, control, subject, outcome, severity, confidence, stale, reason, mends, AT, seen
    )


def _scores(rows: tuple[Standing, ...]) -> tuple[Score, ...]:
    card = scorecard(rows, ASSETS, POLICY, CATALOGUE, at=AT)
    return (*card.ministries, card.state)


def unseen(row: Standing, reason: Reason) -> Standing:
    """What the current state holds after a scan that could not see: something open stays open, a pass is unknown."""
    if row.outcome.is_open:
        return replace(row, stale=True)
    return replace(row, outcome=Outcome.UNKNOWN, reason=reason)


@settings(max_examples=150, deadline=None)
@given(rows=standings(), reason=st.sampled_from(list(Reason)))
def test_an_unknown_in_the_place_of_an_answer_raises_no_score(rows: tuple[Standing, ...], reason: Reason) -> None:
    first, *rest = rows
    assume(first.outcome not in (Outcome.NOT_APPLICABLE, Outcome.INFO))  # neither was ever counted
    assume(not first.stale)
    blind = unseen(first, reason)

    for before, after in zip(_scores(rows), _scores((blind, *rest)), strict=True):
        assert before.ministry == after.ministry
        if after.tenths is not None:
            assert before.tenths is not None
            assert after.tenths <= before.tenths
        assert _rank(after.grade) >= _rank(before.grade)
        assert after.coverage <= before.coverage


@settings(max_examples=80, deadline=None)
@given(rows=standings())
def test_what_is_known_is_within_what_is_said_to_be_possible(rows: tuple[Standing, ...]) -> None:
    """The score of what was seen lies between the lowest and the highest that the unseen could make of it."""
    for score in _scores(rows):
        if score.tenths is not None:
            assert score.low <= score.tenths <= score.high


def _rank(grade: str | None) -> int:
    return GRADES.index(grade)
