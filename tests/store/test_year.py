"""A small year: what the large one (benchmarks/) rests on, its size, and how much of it a question touches."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from posture import history, overview
from posture.history import Selectors
from posture.reporters.cells import json_default
from posture.store import Store
from posture.store.health import check
from posture.store.moved import _MOVED
from posture.trend import _SCORES
from tests.store.keeping import told

DAYS, ASSETS, MINISTRIES = 40, 96, 24


def _generator() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "year.py"
    spec = importlib.util.spec_from_file_location("benchmarks_year", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


year = _generator()

# All rows, with texts, blobs and names in the place of their numbers.
_ROWS = {
    "run": "SELECT name, started_at, ended_at, state, controls, judgement_id, hex(inventory), suspect, hex(moved) FROM run",
    "asset": "SELECT id, kind, name, bit FROM asset",
    "declaration": "SELECT asset_id, from_run, to_run, ministry_id, body FROM declaration",
    "facts": "SELECT asset_id, probe, s.value, from_run, to_run, at, hex(sha256), absent, authorisation FROM facts "
    "JOIN text_value s ON s.id = subject_id JOIN blob ON blob.id = blob_id",
    "miss": "SELECT asset_id, probe, subject, from_run, to_run, at, reason, code, detail, authorisation FROM miss",
    "silence": "SELECT asset_id, from_run, to_run, value, seconds FROM silence JOIN text_value ON text_value.id = said_id",
    "verdict": "SELECT asset_id, code, s.value, track_id, from_run, said, b.value, why, event FROM verdict "
    "JOIN text_value s ON s.id = subject_id LEFT JOIN text_value b ON b.id = body_id JOIN control c ON c.id = control_id",
    "finding": "SELECT asset_id, code, s.value, judgement_id, from_run, to_run, live, outcome, severity, b.value, cause, "
    "end_cause FROM finding JOIN text_value s ON s.id = subject_id JOIN text_value b ON b.id = body_id "
    "JOIN control c ON c.id = control_id",
    "coverage": "SELECT run_id, probe, hex(targeted), hex(answered) FROM coverage",
    "judged": "SELECT run_id, code, hex(asked), hex(known), hex(silent) FROM judged JOIN control c ON c.id = control_id",
    "event": "SELECT run_id, asset_id, code, subject, kind, initial, severity, before, after, since, until FROM event "
    "JOIN control c ON c.id = control_id",
    "score": "SELECT * FROM score",
    "blob": "SELECT hex(sha256), hex(data) FROM blob",
    "journal": "SELECT * FROM journal",
    "planned": "SELECT * FROM planned",
}


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.execute(_ROWS[table]).fetchall(), key=repr)


def test_what_is_written_in_bulk_is_what_the_writer_writes(tmp_path: Path) -> None:
    size = year.Size(assets=24, ministries=5, days=25)
    bulk = tmp_path / "bulk.db"
    year.write(bulk, size)
    state = year.State(size)
    slow = tmp_path / "slow.db"
    with Store.open(slow, write=True) as store:
        for day in state.days():
            year.by_the_writer(store, state, day)
    for table in _ROWS:
        assert rows(bulk, table) == rows(slow, table), table
    assert len(rows(bulk, "event")) > 25
    assert len(rows(bulk, "miss")) > 25
    assert told(check(bulk)) == []


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("year") / "posture.db"
    year.write(made, year.Size(assets=ASSETS, ministries=MINISTRIES, days=DAYS))
    return made


def test_the_history_is_a_hundredth_of_a_file_per_run(path: Path) -> None:
    """Facts, texts and indices included; against the compact JSON of what each run alone saw."""
    with Store.open(path, write=False) as store:
        document = history.state(store, run="latest")
    whole = len(json.dumps(document, default=json_default, separators=(",", ":"))) * DAYS
    with closing(sqlite3.connect(path)) as connection:
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    # The first run is the same in both: over a year it is a 365th.
    assert pages * size < whole / 5


# ---- the same answers, whichever way they are found


def plain(document: Any) -> Any:
    return json.loads(json.dumps(document, default=json_default))


CHANGES = ("new", "regressed", "fixed", "changed", "unstable", "out_of_scope", "policy_changed", "tool_changed")


@pytest.mark.parametrize(("earlier", "later"), [(-2, -1), (-9, -1), (0, -1), (3, 17), (0, 1)])
def test_what_changed_is_what_drift_says_without_what_stayed(path: Path, earlier: int, later: int) -> None:
    with Store.open(path, write=False) as store:
        runs = store.reader.runs()[::-1]
        before, after = runs[earlier].id, runs[later].id
        whole = plain(history.compare(store, before, after))
        changed = plain(overview.changes(store, before, after))
    kept = [row for row in whole["events"] if row["kind"] in CHANGES and row["after"] != "unknown"]
    assert changed == {**whole, "events": kept}
    assert len(kept) >= 5


def test_one_ministry_is_a_part_of_the_whole(path: Path) -> None:
    with Store.open(path, write=False) as store:
        at = store.reader.runs()[7].ended_at
        assert at is not None
        moment = at.isoformat()
        whole = plain(history.state(store, at=moment))
        silent = sorted({row["ministry"] for row in whole["findings"] if row["unseen"]})
        names = (silent[0], next(name for name in ("m003", "m004") if name not in silent))
        part = plain(history.state(store, at=moment, select=Selectors(ministries=names)))
        changes = plain(overview.changes(store, ministries=("m003",)))
        everything = plain(overview.changes(store))
    assert part == {**whole, "findings": [row for row in whole["findings"] if row["ministry"] in names]}
    assert changes["events"] == [row for row in everything["events"] if row["ministry"] == "m003"]


def test_how_ministries_stood_is_what_their_findings_say(path: Path) -> None:
    with Store.open(path, write=False) as store:
        at = store.reader.runs()[7].ended_at
        assert at is not None
        stood = overview.standing(store, at=at.isoformat())
        findings = history.state(store, at=at.isoformat())["findings"]
    counted: dict[str, Counter[str]] = {code: Counter() for code in stood["ministries"]}
    for row in (row for row in findings if row["outcome"] != "unknown"):
        counted[row["ministry"]][row["outcome"]] += 1
        if row["outcome"] in ("warn", "fail"):
            counted[row["ministry"]][f"{row['outcome']}.{row['severity']}"] += 1
    assert stood["ministries"] == {code: dict(counts) for code, counts in counted.items()}


# ---- how much of the history a question touches


class Steps:
    """Counts how far SQLite's machine runs; what a question reads of the tables shows in it, the clock does not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, question: Callable[[Store], object]) -> int:
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        with Store.open(self.path, write=False) as store:
            store.connection.set_progress_handler(step, 10)
            question(store)
        return count


def test_a_ministry_costs_its_share_and_not_the_whole(path: Path) -> None:
    steps = Steps(path)
    whole = steps.of(lambda store: history.state(store))
    one = steps.of(lambda store: history.state(store, select=Selectors(ministries=("m003",))))
    assert one < whole / 5  # of 24 ministries


def test_what_changed_costs_what_changed(path: Path) -> None:
    steps = Steps(path)
    whole = steps.of(lambda store: history.compare(store))
    assert steps.of(lambda store: overview.changes(store)) < whole / 5


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (_MOVED.format(among=" AND asset_id IN (1, 2)"), "PRIMARY KEY (asset_id=?"),
        (
            "SELECT * FROM facts WHERE vantage_id = 1 AND from_run <= 1 AND asset_id IN (1, 2)",
            "PRIMARY KEY (asset_id=?",
        ),
        ("SELECT * FROM miss WHERE vantage_id = 1 AND from_run <= 1 AND asset_id IN (1, 2)", "PRIMARY KEY (asset_id=?"),
        (
            "SELECT * FROM verdict WHERE track_id = 1 AND from_run <= 1 AND asset_id IN (1, 2)",
            "PRIMARY KEY (asset_id=?",
        ),
        (
            "SELECT * FROM finding WHERE vantage_id = 1 AND live AND from_run <= 1 AND asset_id IN (1, 2)",
            "PRIMARY KEY (asset_id=?",
        ),
        (_SCORES.format(" AND ministry_id IN (3)"), "PRIMARY KEY (run_id=? AND ministry_id=?)"),
        ("SELECT * FROM event WHERE run_id = 7 AND asset_id IN (1, 2)", "PRIMARY KEY (asset_id=?"),
    ],
)
def test_questions_go_by_an_index(path: Path, query: str, index: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        bound: Any = {"before": 1, "after": 2, "track": 1} if ":after" in query else ()
        bound = (1, 9) if query.count("?") == len((1, 9)) else bound
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", bound)]
    assert any(index in line for line in plan), plan
    assert not any(line.startswith("SCAN verdict") for line in plan)
