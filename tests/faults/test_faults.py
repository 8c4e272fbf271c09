"""The n-th call to the operating system fails, and a scan ends in order all the same.

A small scan is made over and over (tests/faults/runner.py), each time with one fault in it; then a stop order is given
and lifted, and the scan is resumed without a fault. By default a sample of all n of each kind; ``POSTURE_FAULTS=40``
takes so many of each, ``POSTURE_FAULTS=all`` every single one (``nox -s faults``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from tests.faults.injection import CHILD_KINDS, KINDS
from tests.faults.town import ROOT, town
from tests.lab import need

# Done, findings, incomplete, nothing sent, could not work; and 2 for a key that cannot be read: it is configuration.
CODES = (0, 1, 2, 3, 4, 5)
SAMPLE = os.environ.get("POSTURE_FAULTS", "5")
STOPPED = [0, 4, 0]  # the order, the scan under it, its lifting


@dataclass
class Runner:
    """Asks the runner process for scans with a fault in them; 0 is none."""

    asking: IO[str]
    answers: IO[str]

    def scans(self, kind: str, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        self.asking.write(json.dumps({"kind": kind, "numbers": list(numbers)}) + "\n")
        self.asking.flush()
        for _ in numbers:
            yield json.loads(self.answers.readline())


@contextmanager
def runner(folder: Path) -> Iterator[Runner]:
    work = folder / "work"
    work.mkdir()
    with town(folder) as inventory:
        command = [sys.executable, "-m", "tests.faults.runner", str(inventory), str(work)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        with subprocess.Popen(command, **pipes) as child:
            assert child.stdin
            assert child.stdout
            yield Runner(child.stdin, child.stdout)
            child.stdin.close()


def sample(count: int) -> list[int]:
    """Which of ``count`` calls to let fail: the first, the last, and some evenly between."""
    if SAMPLE == "all" or int(SAMPLE) >= count:
        return list(range(1, count + 1))
    wanted = max(2, int(SAMPLE))
    return sorted({1 + place * (count - 1) // (wanted - 1) for place in range(wanted)})


def faults_of(answer: dict[str, Any], calm: dict[str, Any]) -> list[str]:
    """What is not in order about a scan with a fault in it."""
    wrong = []
    if answer["code"] not in CODES:
        wrong.append(f"exit code {answer['code']}")
    if "Traceback" in answer["said"] or "fault of posture" in answer["said"]:
        wrong.append(f"said {answer['said'][-2000:]}")
    if answer["left"]:
        wrong.append(f"left behind {answer['left']}")
    leaves = answer["leaves"] or {"health": [], "runs": []}
    wrong += [f"database: {fault}" for fault in (*leaves["health"], *answer["health"])]
    whole = calm["leaves"]["runs"][0]["said"]
    if any(run["state"] == "complete" and run["said"] != whole for run in leaves["runs"]):
        wrong.append("a complete run lacks answers")
    if answer["stopped"] != STOPPED:
        wrong.append(f"a stop order, the scan under it and its lifting ended with {answer['stopped']}")
    if answer["after"] != 0:
        wrong.append(f"the scan after it ended with {answer['after']}: {answer['after_said']}")
    if answer["state"] != calm["state"]:
        wrong.append("what is known in the end differs from a calm scan's")
    return wrong


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with runner(tmp_path_factory.mktemp("faults")) as ready:
        yield ready


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.xdist_group(f"faults {kind}")) for kind in KINDS]
)
def test_whichever_call_fails_the_scan_ends_in_order_and_the_next_one_works(kind: str, one: Runner) -> None:
    if kind in CHILD_KINDS:
        need("nmap", "nmap")
    (calm,) = one.scans(kind, [0])
    assert calm["code"] == 0
    assert [run["state"] for run in calm["leaves"]["runs"]] == ["complete"]
    assert faults_of(calm, calm) == []
    numbers = sample(calm["counts"][kind])
    assert numbers

    wrong = {answer["number"]: faults_of(answer, calm) for answer in one.scans(kind, numbers)}

    assert {number: found for number, found in wrong.items() if found} == {}
