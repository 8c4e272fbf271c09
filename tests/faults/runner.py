"""A scan with one fault in it, many times over: each in a fork of this warm process, on a database of its own.

``python -m tests.faults.runner INVENTORY FOLDER`` reads faults from stdin, {"kind": "sqlite", "number": 17} a line, and
answers each with a line of its own: {"kind", "number", "code", "said", "counts", "leaves", "after", "state"} where

    code, said   of the scan: its exit code (None: killed after GUARD_SECONDS) and what it wrote to stderr
    counts       calls of each kind that it made
    leaves       what the database holds then: {"integrity", "runs": [{"state", "keys"}]}, null when there is none
    after        exit code of ``scan --resume`` without faults; ``state``: what is known in the end, as [asset, control,
                 subject, outcome]
"""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import sys
import traceback
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from posture.cli.entry import run
from tests.faults.injection import Fault, Injection

GUARD_SECONDS = 90


def answer(inventory: Path, folder: Path, fault: Fault) -> dict[str, Any]:
    folder.mkdir()
    database = folder / "scan.db"
    scan = ["scan", str(inventory), "--lab", "-q", "--db", str(database)]
    first = forked(lambda: faulty(scan, folder, fault))
    then = forked(lambda: afterwards(scan, database))
    return {"kind": fault.kind, "number": fault.number, **first, **then}


def forked(work: Any) -> dict[str, Any]:
    """What ``work`` returns, in a child process; {"code": None} when it does not end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(GUARD_SECONDS)
        try:
            result = json.dumps(work())
        except BaseException:
            result = json.dumps({"code": "traceback", "said": traceback.format_exc(), "counts": {}})
        with os.fdopen(writing, "w") as pipe:
            pipe.write(result)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return dict(json.loads(said)) if said else {"code": None, "said": "", "counts": {}}


def faulty(scan: list[str], folder: Path, fault: Fault) -> dict[str, Any]:
    injection = Injection(fault, folder)
    injection.install()
    code, said = posture(scan)
    return {"code": code, "said": said, "counts": dict(injection.counts)}


def afterwards(scan: list[str], database: Path) -> dict[str, Any]:
    leaves = left(database)
    after, said = posture([*scan, "--resume"])
    rows = findings(database)
    known = sorted([row["asset"], row["control"], row["subject"], row["outcome"]] for row in rows)
    return {"leaves": leaves, "after": after, "after_said": said, "state": known}


def left(database: Path) -> dict[str, Any] | None:
    """What a scan left behind, read as any reading command does."""
    if not database.exists() or not database.stat().st_size:
        return None
    with closing(sqlite3.connect(database)) as connection:
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return {"integrity": integrity, "runs": []}
    code, runs = posture(["--db", str(database), "runs", "--format", "json"], out=True)
    listed = json.loads(runs)["runs"] if code == 0 else []
    return {"integrity": integrity, "code": code, "runs": [_run(database, row) for row in listed]}


def _run(database: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A run's state, and what it says something of."""
    keys = sorted([each["asset"], each["control"], each["subject"]] for each in findings(database, "--run", row["id"]))
    return {"state": row["state"], "keys": keys}


def findings(database: Path, *words: str) -> list[dict[str, Any]]:
    _, said = posture(["--db", str(database), "findings", *words, "--outcome", "all", "--format", "json"], out=True)
    return list(json.loads(said).get("findings", [])) if said else []


def posture(words: list[str], *, out: bool = False) -> tuple[int, str]:
    """Exit code, and what was said on stderr, or on stdout."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = run(words, stdout=stdout, stderr=stderr)
    return code, (stdout if out else stderr).getvalue()


def main(inventory: Path, folder: Path) -> None:
    for place, line in enumerate(sys.stdin):
        asked = json.loads(line)
        print(json.dumps(answer(inventory, folder / str(place), Fault(asked["kind"], asked["number"]))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
