"""kill -9, again and again, wherever it hits: the invariants I1 to I6 hold after every one of them."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posture.store.database import connect_read
from posture.store.health import check
from tests.durability import loops
from tests.durability.scanner import ASSETS
from tests.store import World

KILLS = loops(25, 200)
ROOT = Path(__file__).parents[2]

# What a closed run consists of, as it was when it closed: an interval that ended later was open then.
CLOSED = (
    "SELECT * FROM run WHERE id <= :run ORDER BY id",
    "SELECT * FROM coverage WHERE run_id <= :run ORDER BY run_id, probe",
    "SELECT * FROM judged WHERE run_id <= :run ORDER BY run_id, control_id",
    "SELECT * FROM event WHERE run_id <= :run ORDER BY run_id, asset_id, control_id, subject, kind",
    "SELECT * FROM score WHERE run_id <= :run ORDER BY run_id, ministry",
    "SELECT asset_id, control_id, subject_id, from_run, CASE WHEN to_run <= :run THEN to_run END, outcome, severity, body_id "
    "FROM finding WHERE from_run <= :run ORDER BY 1, 2, 3, 4",
    "SELECT asset_id, probe, subject_id, from_run, CASE WHEN to_run <= :run THEN to_run END, blob_id FROM facts "
    "WHERE from_run <= :run ORDER BY 1, 2, 3, 4",
    "SELECT asset_id, probe, subject, from_run, CASE WHEN to_run <= :run THEN to_run END, reason FROM miss "
    "WHERE from_run <= :run ORDER BY 1, 2, 3, 4",
)


@contextmanager
def nursery(path: Path) -> Iterator[subprocess.Popen[str]]:
    """The warm process that forks scanners and kills them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.durability.scanner", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def life(process: subprocess.Popen[str], seconds: float) -> list[list[str]]:
    """What a scanner said from its birth until its death."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    said = [line.split() for line in iter(process.stdout.readline, "dead\n") if line]
    assert ["ended"] not in said, "it was to be killed, and ended by itself"
    return said


@dataclass(slots=True)
class Witness:
    """Remembers what every scanner said, and what the history said of itself, and finds what does not agree."""

    path: Path
    acknowledged: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    closed: set[str] = field(default_factory=set)
    deaths: Counter[str] = field(default_factory=Counter)
    sealed: dict[int, str] = field(default_factory=dict)  # a closed run -> the digest of the history up to it
    hit: Counter[str] = field(default_factory=Counter)  # where the kills fell
    violations: list[str] = field(default_factory=list)

    def heard(self, said: list[list[str]]) -> None:
        for word, run, *question in said:
            if word == "ask" and tuple(question) in self.acknowledged[run]:
                self.violations.append(f"I5: {question} was asked again in {run}")
            elif word == "ack":
                self.acknowledged[run].add((question[0], question[1]))
            elif word == "closed":
                self.closed.add(run)
        last = said[-1] if said else ["nothing"]
        if len(last) > 1:
            self.deaths[last[1]] += 1
        whole = last[0] == "ack" and len(self.acknowledged[last[1]]) == 2 * ASSETS
        self.hit["closing" if whole else last[0]] += 1

    def looks(self) -> None:
        """After a death, before anybody opens the history for writing."""
        health = check(self.path)
        self.violations += [f"I2, I3, I6: {fault.check}: {fault.what}" for fault in health.faults]
        with closing(connect_read(self.path)) as connection:
            connection.execute("BEGIN")
            runs = {
                name: (number, state) for number, name, state in connection.execute("SELECT id, name, state FROM run")
            }
            for run in self.closed:
                if runs.get(run, (0, ""))[1] != "complete":
                    self.violations.append(f"I1: {run} was said to be closed")
            for run, questions in self.acknowledged.items():
                if runs[run][1] == "running":
                    self._open(connection, run, runs[run][0], questions)
            self._unchanged(connection, [number for number, state in runs.values() if state != "running"])

    def _open(self, connection: sqlite3.Connection, run: str, number: int, questions: set[tuple[str, str]]) -> None:
        query = "SELECT name, probe FROM journal JOIN asset ON asset.id = asset_id WHERE run_id = ?"
        recorded = set(connection.execute(query, (number,)))
        if lost := questions - recorded:
            self.violations.append(f"I1: {run} lost {sorted(lost)}")
        if len(recorded - questions) > self.deaths[run]:
            self.violations.append(f"I5: more than one answer in flight at a death: {sorted(recorded - questions)}")
        # On disk though nobody was told: it need not be asked again, and is not.
        questions |= recorded

    def _unchanged(self, connection: sqlite3.Connection, numbers: list[int]) -> None:
        for number in sorted(numbers)[-3:]:
            digest = hashlib.sha256()
            for query in CLOSED:
                for row in connection.execute(query, {"run": number}):
                    digest.update(repr(row).encode())
            if self.sealed.setdefault(number, digest.hexdigest()) != digest.hexdigest():
                self.violations.append(f"I4: run {number} was closed, and the history up to it has changed")


def test_killed_again_and_again_the_history_breaks_no_promise(tmp_path: Path) -> None:
    path = tmp_path / "posture.db"
    World(path).open().close()
    witness, chance = Witness(path), random.Random(4)
    with nursery(path) as process:
        for _ in range(KILLS):
            witness.heard(life(process, chance.uniform(0.01, 0.25)))
            witness.looks()
    print(f"{KILLS} kills, {len(witness.closed)} runs closed; last said before: {dict(witness.hit)}")
    assert witness.violations == []
    assert len(witness.closed) >= KILLS // 100, "runs end all the same"
    assert {"ask", "ack"} & witness.hit.keys(), "kills hit runs under way"


@pytest.mark.parametrize("word", ["journal", "run", "finding"])
def test_the_witness_sees_what_is_lost_or_altered(tmp_path: Path, word: str) -> None:
    """The loop above can fail: done to a sound history, each of these is a violation."""
    path = tmp_path / "posture.db"
    World(path).open().close()
    witness = Witness(path)
    with nursery(path) as process:
        while not (witness.closed and witness.acknowledged and witness.sealed and open_answers(path)):
            witness.heard(life(process, 0.25))
            witness.looks()
    assert witness.violations == []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(
            {
                "journal": "DELETE FROM journal",
                "run": "UPDATE run SET tool = 'another' WHERE id = 1",
                "finding": "UPDATE verdict SET said = said / 8 * 8 WHERE from_run = 1",
            }[word]
        )
    witness.looks()
    assert any(one.startswith("I1" if word == "journal" else "I4") for one in witness.violations)


def open_answers(path: Path) -> int:
    with closing(connect_read(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM journal").fetchone()[0])
