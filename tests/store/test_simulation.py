"""Drift against a known truth, through the real store: nearly all that changes is told, and little that did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.simulation import Plan, simulate


@pytest.mark.parametrize("seed", [20261124, 1])
def test_what_truly_changes_is_told_and_little_else(seed: int, tmp_path: Path) -> None:
    """The bounds of the whole simulation (benchmarks/bench_drift.py) hold in a small one."""
    outcome = simulate(tmp_path / "posture.db", Plan(hosts=120, controls=6, runs=40, seed=seed))
    assert outcome.changes > 200
    assert outcome.recall >= 0.995
    assert outcome.naive.false > 100  # the yardstick: so much would have been told wrongly
    assert outcome.false_ratio <= 0.1
    assert outcome.suspect == 2  # the first night of each outage
    assert outcome.unstable > 0
    assert outcome.policy_changed > 10
