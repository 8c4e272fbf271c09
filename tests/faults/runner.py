"""A scan with one fault in it, many times over: each in a fork of this warm process, on a database of its own.

``python -m tests.faults.runner INVENTORY FOLDER`` reads a line such as {"kind": "sqlite", "numbers": [16, 17]} from stdin
and answers each number, in this order, with a line {"kind", "number", "code", "said", "counts", "left", "leaves",
"stopped", "after", "state"} where

    code, said   of the scan: its exit code (None: killed after GUARD_SECONDS) and what it wrote to stderr
    counts       calls of each kind that it made
    left         what it left behind of programs it started: processes and their folders
    leaves       what the database holds then: {"health", "runs": [{"state", "said"}]}, null when there is none
    stopped      exit code of a scan under a stop order, which is lifted again
    after        exit code of ``scan --resume`` without faults; ``state``: what is known in the end, as [asset, control,
                 subject, outcome]; ``health``: what 'db check' finds then
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from posture.cli.entry import run
from posture.door import Door
from posture.errors import PostureError
from posture.facts import Facts
from posture.probes.base import Probe
from posture.store import health
from posture.task import Task
from tests.children import beside, changed, nmap
from tests.faults.injection import CHILD_KINDS, Fault, Injection

GUARD_SECONDS = 90
BURIAL_SECONDS = 10.0
# A scan mostly computes, and waits a little for what was lost.
AT_ONCE = 3 * (os.cpu_count() or 1)
# One control for each way to the network: our resolver, name servers by datagram and stream, a mail exchanger, TLS
# hellos, HTTP, the sweep. More of them would meet the same calls again.
CONTROLS = (
    *("mail.spf.present", "mail.mx.valid", "dns.ns.lame", "dns.ns.axfr", "mail.starttls", "tls.cert.hostname"),
    *("tls.hsts.policy", "web.securitytxt", "svc.db.sql"),
)


def answer(inventory: Path, folder: Path, kind: str, number: int) -> dict[str, Any]:
    fault = Fault(kind, number)
    folder = folder / f"{kind}-{number}"
    folder.mkdir()
    database = folder / "scan.db"
    scan = words_of(inventory, database)
    first = forked(lambda: faulty(scan, folder, fault))
    left = left_behind(folder)
    then = forked(lambda: afterwards(scan, database))
    return {"kind": fault.kind, "number": fault.number, "left": left, **first, **then}


def words_of(inventory: Path, database: Path) -> list[str]:
    chosen = [word for control in CONTROLS for word in ("--control", control)]
    return ["scan", str(inventory), "--lab", "-q", "--db", str(database), *chosen]


def forked(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
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
    tempfile.tempdir = str(folder)
    if fault.kind in CHILD_KINDS:
        beside("ports", partial(nmap, services=False))
    injection = Injection(fault, folder)
    injection.install()
    code, said = posture_says(scan)
    return {"code": code, "said": said, "counts": injection.counts}


def left_behind(folder: Path) -> list[str]:
    """Programs in boxes of this folder that still run, and the boxes. Who is killed takes a moment to be gone."""
    end = time.monotonic() + BURIAL_SECONDS
    while (alive := _alive(folder)) and time.monotonic() < end:
        time.sleep(0.01)
    return [*alive, *(path.name for path in folder.glob("posture-box-*"))]


def _alive(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if str(folder).encode() + b"/" in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " "))
            except OSError:
                continue
    return found


def afterwards(scan: list[str], database: Path) -> dict[str, Any]:
    leaves = left(database)
    stop = ["--db", str(database), "stop"]
    ordered, _ = posture_says([*stop, "--reason", "a fault"])
    stopped, _ = posture_says([*scan, "--resume"])
    lifted, _ = posture_says([*stop, "--lift"])
    after, said = posture_says([*scan, "--resume"])
    known = sorted([row["asset"], row["control"], row["subject"], row["outcome"]] for row in findings(database))
    return {
        "leaves": leaves,
        "stopped": [ordered, stopped, lifted],
        "after": after,
        "after_said": said,
        "state": known,
        "health": sick(database),
    }


def left(database: Path) -> dict[str, Any] | None:
    """What a scan left behind, read as any reading command does."""
    if not database.exists() or not database.stat().st_size:
        return None
    code, said = posture_says(["--db", str(database), "runs", "--format", "json"], out=True)
    listed = json.loads(said)["runs"] if code == 0 else []
    return {"health": sick(database), "code": code, "runs": [_run(database, row) for row in listed]}


def sick(database: Path) -> list[str]:
    """What 'db check' finds; a history that was not made to its end is none yet."""
    try:
        found = health.check(database)
    except PostureError:
        return []
    return [f"{fault.check}: {fault.what}" for fault in found.faults]


def _run(database: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A run's state, and what it says something of when it is complete; subjects are left out: answers tell of some."""
    rows = findings(database, "--run", row["id"]) if row["state"] == "complete" else []
    said = {(each["asset"], each["control"]) for each in rows}
    return {"state": row["state"], "said": sorted(said)}


def findings(database: Path, *words: str) -> list[dict[str, Any]]:
    _, said = posture_says(
        ["--db", str(database), "findings", *words, "--outcome", "all", "--format", "json"], out=True
    )
    return list(json.loads(said).get("findings", [])) if said else []


def posture_says(words: list[str], *, out: bool = False) -> tuple[int, str]:
    """Exit code, and what was said on stderr, or on stdout."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = run(words, stdout=stdout, stderr=stderr)
    return code, (stdout if out else stderr).getvalue()


def hurry() -> None:
    """The sweep listens for a greeting no longer than a server next door needs for it (a parameter of its task)."""

    def hurried(probe: Probe) -> Probe:
        async def observe(task: Task, door: Door) -> Facts:
            return await probe.observe(replace(task, params={**task.params, "banner_seconds": 0.2}), door)

        return replace(probe, observe=observe)

    changed("ports", hurried)


def warm_up(inventory: Path, folder: Path) -> None:
    """One scan, and all that comes after it: whatever is loaded or worked out once is there in every fork."""
    folder.mkdir()
    afterwards(words_of(inventory, folder / "scan.db"), folder / "scan.db")


def main(inventory: Path, folder: Path) -> None:
    hurry()
    warm_up(inventory, folder / "warm")
    gc.freeze()  # what all forks share is not touched by their collectors
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("fork")) as pool:
        for line in sys.stdin:
            asked = json.loads(line)
            for found in pool.map(partial(answer, inventory, folder, asked["kind"]), asked["numbers"]):
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
