"""Power cuts, by a model of the disk: with synchronous=FULL nothing that was acknowledged is lost, nothing corrupt."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posture.errors import PostureError
from posture.model import AssetKey
from posture.store.health import check
from tests.durability import loops
from tests.durability.power import Script, cuts, replay
from tests.store import HTTPS, T0, World, silence, site, tls

STATES = loops(60, 800)
ASSETS = 40
RUNS = 3
CHECKPOINTS = 100  # pages of the log: more of them than SQLite's 1000 makes, because they are where it is delicate


@dataclass(slots=True)
class Findings:
    """What the states of the disk were found to be."""

    corrupt: list[str] = field(default_factory=list)
    lost: Counter[int] = field(default_factory=Counter)  # how many acknowledged answers or runs -> in how many states
    states: int = 0

    def __str__(self) -> str:
        lost = sum(self.lost.values())
        return f"{self.states} states: {len(self.corrupt)} corrupt, {lost} lost up to {max(self.lost, default=0)}"


def work(path: Path, script: Script) -> None:
    """Three runs, one answer a transaction as a scan does it, each folded at its end; the last one stays open."""
    world = World(path)
    with world.open() as store:
        for number in range(RUNS):
            answers = {
                (site(n).key, "tls", HTTPS): silence()
                if (n + number) % 9 == 0
                else tls(f"{n} {(n + number) // 5}" * 20)
                for n in range(ASSETS)
            }
            start = world.start(answers)
            run = store.begin(start)
            for question, answer in answers.items():
                run.settle(*question, answer)
                script.acknowledge(("answer", run.run.number, question[0]))
            if number < RUNS - 1:
                run.close(world.judged(run, start), "complete", T0)
                script.acknowledge(("run", run.run.number, None))
            world.day += 1


def examine(folder: Path, files: dict[str, bytes], told: list[object], found: Findings) -> None:
    """Opens what a cut left as the next scan would."""
    folder.mkdir()
    for name, content in files.items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(content)
    path = folder / "posture.db"
    found.states += 1
    try:
        with World(path).open() as store:
            runs = {run.number: run.state for run in store.reader.runs()}
            leftover = store.leftover("local")
            recorded = {question[0] for question in leftover.done()} if leftover else set[AssetKey]()
        health = check(path) if runs else None
    except PostureError as fault:
        found.corrupt.append(str(fault))
        return
    if health and not health.sound:
        found.corrupt.append(str(health.faults[0]))
        return
    closed = {number for number, state in runs.items() if state == "complete"}
    lost = [fact for fact in told if not _is_there(fact, closed, leftover.run.number if leftover else 0, recorded)]
    if lost:
        found.lost[len(lost)] += 1


def _is_there(fact: object, closed: set[int], open_run: int, recorded: set[AssetKey]) -> bool:
    assert isinstance(fact, tuple)
    kind, run, asset = fact
    return run in closed or (kind == "answer" and run == open_run and asset in recorded)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script()
    with made.recording(monkeypatch):
        work(tmp_path / "real.db", made)
    return made


def cut_off(script: Script, folder: Path, synchronous: str, states: int, checkpoint: int = CHECKPOINTS) -> Findings:
    made = folder / f"{synchronous}-{checkpoint}"
    made.mkdir()
    operations = replay(script, made / "posture.db", synchronous, checkpoint)
    found = Findings()
    for number, (files, told) in enumerate(cuts(operations, states, random.Random(7))):
        examine(made / str(number), files, told, found)
    print(f"synchronous={synchronous}, checkpoint at {checkpoint} pages: {found}")
    return found


@pytest.mark.parametrize("checkpoint", [CHECKPOINTS, 1000])
def test_a_power_cut_loses_nothing_that_was_acknowledged(script: Script, tmp_path: Path, checkpoint: int) -> None:
    found = cut_off(script, tmp_path, "FULL", STATES, checkpoint)
    assert (found.states, found.corrupt, found.lost) == (STATES, [], Counter())


def test_the_writer_asks_for_exactly_that(script: Script) -> None:
    asked = [what for kind, what, _ in script.steps if kind == "sql" and "synchronous" in what.lower()]
    assert asked == ["PRAGMA synchronous = FULL"]
    assert any(what == "PRAGMA journal_mode = WAL" for _, what, _ in script.steps)


def test_the_model_can_tell(script: Script, tmp_path: Path) -> None:
    """With fewer syncs the same statements lose what was acknowledged, and with none they leave a broken file."""
    normal = cut_off(script, tmp_path, "NORMAL", loops(30, 400))
    assert sum(normal.lost.values()) > normal.states // 4
    assert normal.corrupt == []
    off = cut_off(script, tmp_path, "OFF", loops(60, 400))
    assert off.corrupt
