"""Views with plain names: whoever opens the history with another program finds words, and needs no program of ours."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posture.store import ScoreRow
from posture.store.scores import put_scores
from tests.store import ADDRESS, HTTPS, SITE, World, silence, tls

VIEWS = (
    "coverage", "coverage_by_run", "current_findings", "event", "events", "finding", "finding_history", "judged", "miss",
    "not_seen", "runs", "score", "scores",
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two runs: the certificate turns bad, the sweep is never answered."""
    world = World(tmp_path / "posture.db")
    for name in ("good", "bad"):
        closed = world.scan({(SITE, "tls", HTTPS): tls(name), (SITE, "ports", ADDRESS): silence()})
        with world.open() as store, store.writing() as connection:
            row = ScoreRow(912, 900, 950, 1000, "A")
            put_scores(connection, store.reader.texts, closed.run.number, {"finance": row})
    return world.path


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Read as any program reads it: nothing of ours."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def test_there_is_a_view_for_every_question(path: Path) -> None:
    names = rows(path, "SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name")
    assert tuple(name for (name,) in names) == VIEWS


def test_what_is_so_now(path: Path) -> None:
    found = rows(
        path, "SELECT ministry, asset, control, outcome, severity, tag FROM current_findings WHERE control = 't.cert'"
    )
    assert found == [("finance", SITE.name, "t.cert", "fail", "high", "BAD")]


def test_what_was_so_and_until_when(path: Path) -> None:
    found = rows(
        path,
        "SELECT ministry, subject, outcome, severity, tag, cause, end_cause, substr(since, 1, 10), substr(until, 1, 10) "
        "FROM finding_history WHERE control = 't.cert' ORDER BY since",
    )
    assert found == [
        ("finance", HTTPS, "pass", "high", "GOOD", "first", "target", "2026-11-01", "2026-11-02"),
        ("finance", HTTPS, "fail", "high", "BAD", "target", None, "2026-11-02", None),
    ]


def test_what_changed_when(path: Path) -> None:
    found = rows(
        path, "SELECT ministry, asset, control, subject, kind, severity, before, after, since, until FROM events"
    )
    seen = ("2026-11-01T02:10:00Z", "2026-11-02T02:10:00Z")
    assert found == [("finance", SITE.name, "t.cert", HTTPS, "new", "high", "pass", "fail", *seen)]


def test_runs_scores_coverage_and_what_was_not_seen(path: Path) -> None:
    assert (
        rows(path, "SELECT state, vantage, policy, tool FROM runs")
        == [("complete", "local", "t/0", "posture test")] * 2
    )
    assert (
        rows(path, "SELECT ministry, score, low, high, coverage_percent, grade FROM scores")
        == [("finance", 91.2, 90.0, 95.0, 100.0, "A")] * 2
    )
    counts = rows(path, "SELECT probe, asked, answered, silent FROM coverage_by_run ORDER BY run, probe")
    assert counts == [("ports", 1, 0, 1), ("tls", 1, 1, 0)] * 2
    unseen = rows(path, "SELECT ministry, asset, probe, subject, reason, to_run FROM not_seen")
    assert unseen == [("finance", SITE.name, "ports", ADDRESS, "timeout", None)]
