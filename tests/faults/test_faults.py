"""The n-th call to the operating system fails, and a scan ends in order all the same.

A small scan is made over and over (tests/faults/runner.py), each time with one fault in it, then once more without. By
default a sample of all n of each kind; ``POSTURE_FAULTS=40`` takes so many of each, ``POSTURE_FAULTS=all`` every single one
(three quarters of an hour).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from tests.faults.injection import KINDS
from tests.hostile.district import ROOT, district

# Done, findings, incomplete, nothing sent, could not work; and 2 for a key that cannot be read: it is configuration.
CODES = (0, 1, 2, 3, 4, 5)
SAMPLE = os.environ.get("POSTURE_FAULTS", "5")
# No scan of today starts a process unless it is asked to: nothing to let fail.
WITHOUT_CALLS = ("child",)


@dataclass
class Runner:
    """Asks the runner process for one scan with a fault in it; remembers the first one, which had none."""

    asking: IO[str]
    answers: IO[str]
    calm: dict[str, Any]

    def scan(self, kind: str, number: int) -> dict[str, Any]:
        self.asking.write(json.dumps({"kind": kind, "number": number}) + "\n")
        self.asking.flush()
        answer: dict[str, Any] = json.loads(self.answers.readline())
        return answer


@contextmanager
def runner(folder: Path) -> Iterator[Runner]:
    work = folder / "work"
    work.mkdir()
    with district(folder, good=1) as inventory:
        command = [sys.executable, "-m", "tests.faults.runner", str(inventory), str(work)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        with subprocess.Popen(command, **pipes) as child:
            assert child.stdin
            assert child.stdout
            one = Runner(child.stdin, child.stdout, {})
            one.calm = one.scan("none", 0)
            yield one
            child.stdin.close()


def numbers(count: int) -> list[int]:
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
    leaves = answer["leaves"] or {"integrity": "ok", "runs": []}
    if leaves["integrity"] != "ok":
        wrong.append(f"database: {leaves['integrity']}")
    whole = calm["leaves"]["runs"][0]["keys"]
    if any(run["state"] == "complete" and run["keys"] != whole for run in leaves["runs"]):
        wrong.append("a complete run lacks answers")
    if answer["after"] not in (0, 3):
        wrong.append(f"the scan after it ended with {answer['after']}: {answer['after_said']}")
    if answer["state"] != calm["state"]:
        wrong.append("what is known in the end differs from a calm scan's")
    return wrong


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.xdist_group(f"faults {kind}")) for kind in KINDS]
)
def test_whichever_call_fails_the_scan_ends_in_order_and_the_next_one_works(kind: str, tmp_path: Path) -> None:
    with runner(tmp_path) as one:
        calm = one.calm
        assert calm["code"] == 0
        assert [run["state"] for run in calm["leaves"]["runs"]] == ["complete"]
        assert faults_of(calm, calm) == []
        count = calm["counts"].get(kind, 0)
        assert bool(count) != (kind in WITHOUT_CALLS)

        wrong = {number: faults_of(one.scan(kind, number), calm) for number in numbers(count)}

    assert {number: found for number, found in wrong.items() if found} == {}
