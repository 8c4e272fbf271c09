"""What the benchmarks share: a child process's CPU time, and one line per figure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median

__all__ = ["Cost", "console_script", "cost_of_call", "interleaved", "lab_inventory", "median", "run", "say"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process or call took; ``peak`` is its largest resident set in MB (0: not measured)."""

    cpu: float
    wall: float
    peak: float = 0.0
    code: int = 0
    output: str = ""


def console_script(name: str) -> str:
    """The script of this very environment, whatever PATH says."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        sys.exit(f"{name} is not installed beside {sys.executable}: run 'nox -s bench'.")
    return str(path)


def run(command: Sequence[str]) -> Cost:
    """Runs a command to its end. CPU is user + system of it and of the children it waited for (wait4)."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) as child:
        assert child.stdout
        output = child.stdout.read().decode(errors="replace")
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024, child.returncode, output)


def cost_of_call(call: Callable[[], object]) -> Cost:
    """CPU and wall seconds of a call in this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def interleaved(measured: Sequence[Callable[[], Cost]], rounds: int) -> list[list[Cost]]:
    """The costs of each, taken in turns, so that a busy moment of the machine hits all of them alike."""
    costs: list[list[Cost]] = [[] for _ in measured]
    for _ in range(rounds):
        for place, one in enumerate(measured):
            costs[place].append(one())
    return costs


def say(what: str, figure: str, goal: str = "") -> None:
    """One line of the report."""
    print(f"  {what:<48} {figure:>14}{f'   (goal {goal})' if goal else ''}", flush=True)


def lab_inventory(network: str, ports: Sequence[int], limits: Mapping[str, int] | None = None) -> str:
    """The head of a lab's inventory: a State, an operator, one letter that holds today, and the ministry "bench"."""
    today = date.today()
    raised = (
        "\n".join(["[authorisation.limits]", *(f"{key} = {value}" for key, value in limits.items())]) if limits else ""
    )
    return f"""\
format = "posture-inventory/1"
[state]
code = "ZZ"
name = "Example Islands"
timezone = "UTC"
[operator]
name = "Bench"
contact = "soc@bench.gov.example"
[[authorisation]]
id = "bench"
owner = "Bench"
officer = "Bench"
basis = "own"
reference = "loopback"
not_before = {today - timedelta(days=30)}
not_after = {today + timedelta(days=300)}
classes = ["passive", "client", "active"]
zones = ["bench.gov.example"]
networks = ["{network}"]
ports = {[str(port) for port in ports]}
lab = true
{raised}
[[ministry]]
code = "bench"
name = "Bench"
authorisation = ["bench"]
"""
