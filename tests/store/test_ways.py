"""There is a quick way and a long way to the same answer: over a history of outages, doubts, flapping and new rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from posture import asof, history, overview
from posture.drift import CHANGES, KINDS, SEEN
from posture.errors import UsageError
from posture.history import Selectors
from posture.model import AssetKey
from posture.reporters.cells import json_default
from posture.store import RunRecord, Store
from posture.store.judging import can_be_compared_by_moves, compare_runs
from posture.store.lookback import undecided
from tests.store import CONTROLS, HTTPS, World, silence, site, tls
from tests.store.simulation import Plan, controls_of, simulate

PLAN = Plan(hosts=60, controls=5, runs=36, change_rate=0.02, flapping_share=0.05, seed=7)
SHIPPED = controls_of(PLAN.controls)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ways") / "posture.db"
    assert simulate(made, PLAN).suspect == 2
    return made


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, write=False, shipped=SHIPPED) as opened:
        yield opened


def plain(document: Any) -> Any:
    return json.loads(json.dumps(document, default=json_default))


def pairs(store: Store) -> list[tuple[RunRecord, RunRecord]]:
    every = list(combinations(store.reader.runs()[::-1], 2))
    doubted = [pair for pair in every if any(run.suspect for run in pair)]
    return [*Random(4).sample(every, 60), *Random(5).sample(doubted, 20)]


def test_changes_are_those_of_the_whole_drift_and_as_doubtful(store: Store) -> None:
    quick = doubtful = 0
    for before, after in pairs(store):
        whole = plain(history.compare(store, before.id, after.id))
        told = [row for row in whole["events"] if row["kind"] != "persisting" and row["after"] != "unknown"]
        assert plain(overview.changes(store, before.id, after.id)) == {**whole, "events": told}
        quick += can_be_compared_by_moves(store.reader, before, after)
        doubtful += bool(whole["doubts"])
    assert quick > 20
    assert doubtful > 10


def test_kinds_choose_among_the_whole_drift(store: Store) -> None:
    whole = plain(history.compare(store))
    assert plain(overview.drift_of(store, kinds=None)) == whole
    assert plain(overview.drift_of(store)) == plain(overview.changes(store))
    for kinds in (CHANGES, SEEN, ("persisting", "new"), ("out_of_scope",), KINDS):
        told = plain(overview.drift_of(store, kinds=kinds))
        assert told == {**whole, "events": [row for row in whole["events"] if row["kind"] in kinds]}
    with pytest.raises(UsageError, match="no kind of change 'nosuch'"):
        overview.drift_of(store, kinds=("nosuch",))


def test_a_change_that_only_a_doubted_run_has_seen_is_looked_for_everywhere(tmp_path: Path) -> None:
    """Before the later run its asset was silent: what moved between the two does not tell."""
    world = World(tmp_path / "posture.db")
    everyone = [site(number) for number in range(30)]
    said = {(entry.key, "tls", HTTPS): tls("good") for entry in everyone}
    silent = (everyone[0].key, "tls", HTTPS)
    world.scan(said)
    assert world.scan(dict.fromkeys(said, tls("bad"))).suspect
    calm = world.scan({**said, silent: silence()}).run
    last = world.scan({**said, silent: tls("bad")}).run
    with world.open(write=False) as store:
        assert not can_be_compared_by_moves(store.reader, calm, last)
        events, _ = compare_runs(store.reader, calm, last, CONTROLS)
        changed = [event for event in events if event.key[:2] == (silent[0], "t.cert") and event.kind == "new"]
        assert len(changed) == 1
        told = overview.changes(store, calm.id, last.id)["events"]
    assert [row["kind"] for row in told if row["asset"] == silent[0].name and row["control"] == "t.cert"] == ["new"]


def test_a_ministry_or_a_network_that_falls_silent_is_doubted_either_way(tmp_path: Path) -> None:
    world = World(tmp_path / "posture.db")
    entries = [site(number, "health" if number < 12 else "finance") for number in range(72)]
    inside = {entry.key: f"203.0.113.{place}:443/tcp" for place, entry in enumerate(entries) if place % 5 == 0}
    said = {(entry.key, "tls", inside.get(entry.key, HTTPS)): tls("good") for entry in entries}
    world.scan(said, entries)
    world.scan({**said, (entries[40].key, "tls", inside[entries[40].key]): tls("bad")}, entries)
    world.scan({key: silence() if key[0] in {one.key for one in entries[:12]} else said[key] for key in said}, entries)
    world.scan({key: silence() if key[0] in inside else said[key] for key in said}, entries)
    with world.open(write=False) as store:
        runs = store.reader.runs()[::-1]
        doubts = []
        for before, after in combinations(runs, 2):
            whole = history.compare(store, before.id, after.id)["doubts"]
            assert overview.changes(store, before.id, after.id)["doubts"] == whole
            doubts.extend(whole)
    assert "tls lost its answer on 12 of 12 assets of ministry health at once" in doubts
    assert any("assets of network 203.0.113.0/24" in line for line in doubts)


@pytest.mark.parametrize("choice", [{}, {"run": "latest"}, {"run": "previous"}])
def test_assets_by_the_handful_are_the_whole(
    choice: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in (*store.reader.runs()[::5], *(run for run in store.reader.runs() if run.suspect)):
        which: dict[str, Any] = choice or {"at": run.end.isoformat()}
        monkeypatch.setattr(asof, "AT_ONCE", 10_000)
        whole = plain(history.state(store, **which))
        monkeypatch.setattr(asof, "AT_ONCE", 7)
        assert plain(history.state(store, **which)) == whole
        names = sorted({row["asset"] for row in whole["findings"]})[3:5]
        few = history.state(store, **which, select=Selectors(assets=names))
        assert plain(few) == {**whole, "findings": [row for row in whole["findings"] if row["asset"] in names]}
        ids = {row["control"] for row in whole["findings"] if row["control"].endswith("1")}
        some = history.state(store, **which, select=Selectors(controls=("*1",)))
        assert plain(some) == {**whole, "findings": [row for row in whole["findings"] if row["control"] in ids]}


def test_who_is_undecided_is_so_for_each_alone(store: Store) -> None:
    assets = set(store.reader.assets().values())
    for run in store.reader.runs()[::4]:
        together = undecided(store.reader, run)
        assert together == {one for one in assets if undecided(store.reader, run, [one])}
        assert undecided(store.reader, run, [AssetKey("nobody.gov.example", "host")]) == set()


def _reads_findings(query: str) -> bool:
    return "FROM verdict WHERE track_id" in query and "ORDER BY" in query


def test_rows_are_read_as_they_are_gone_through(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asof, "AT_ONCE", 5)
    asked: list[str] = []
    store.connection.set_trace_callback(asked.append)
    rows = history.state_as_read(store)["findings"]
    assert not any(_reads_findings(query) for query in asked)
    next(rows)
    assert sum(_reads_findings(query) for query in asked) == 1
