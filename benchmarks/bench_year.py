"""A year of a State with 5,000 assets and 40 findings each, a run a day: how large it is, and how long questions take.

The history is that of benchmarks/year.py, written in bulk by the functions of the real writer. Questions are asked by the
functions that the commands use, each on a connection of its own, in turns, and the medians of their CPU time are compared
with the goals: they only compute. "JSON diff" loads two compact JSON files of the same two runs and compares them in Python,
in turns with what ``posture drift`` asks.
Ends with 1 when a goal is missed. It takes five minutes. A database that is there already: ``bench_year.py DATABASE``;
a shorter year, which cannot meet the goals of size: ``bench_year.py - DAYS ASSETS``.
"""

from __future__ import annotations

import json
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import year
from measure import Cost, console_script, cost_of_call, interleaved, run, say

from posture import history, overview
from posture.checks import catalogue
from posture.history import Selectors
from posture.policy import Policy, parse_policy
from posture.store import Store
from posture.store.rejudging import rejudge
from posture.trend import trend

ROUNDS = 7
MINISTRY = "m017"
MB = 1e6

# What a group of tables holds; their indices count with them.
GROUPS = {
    "findings and events": ("verdict", "event_row", "track"),
    "texts": ("text_value",),
    "scores": ("score_row", "score_part"),
    "coverage, inventory, runs": (
        "judged_row", "coverage_row", "packed", "run", "declaration", "asset", "ministry", "control", "judgement",
    ),
    "what could not be seen": ("silence",),
    "facts": ("facts", "blob"),
}  # fmt: skip


class Goals:
    """Says every figure; remembers what missed its goal."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def at_most(self, what: str, value: float, goal: float, unit: str) -> None:
        say(what, f"{value:.1f} {unit}", f"{goal:g} {unit}")
        if value > goal:
            self.missed.append(what)


def sizes(path: Path) -> dict[str, float]:
    """MB by group of tables."""
    with closing(sqlite3.connect(path)) as connection:
        tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master"))
        pages = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
    by_table: dict[str, float] = {}
    for name, size in pages:
        table = tables.get(name, name)
        by_table[table] = by_table.get(table, 0) + size / MB
    return {group: sum(by_table.pop(table, 0) for table in names) for group, names in GROUPS.items()}


def asked(path: Path, question: Callable[[Store], Any]) -> Any:
    with Store.open(path, write=False) as store:
        return question(store)


def run_files(path: Path, folder: Path, *runs: str) -> list[Path]:
    """Runs as JSON files, one compact row a finding: what a scanner that keeps files would have."""
    made = []
    for name in runs:
        findings = asked(path, lambda store, name=name: list(plain_rows(store, name)))
        file = folder / f"{name}.json"
        file.write_text(json.dumps({"run": name, "findings": findings}, separators=(",", ":")))
        made.append(file)
    return made


def plain_rows(store: Store, name: str) -> Any:
    run = history.resolve_run(store, name)
    whose = store.reader.inventory(run.number)
    for key, spans in store.reader.timelines(run).items():
        if spans[-1].until is None:
            one = spans[-1].finding
            yield {
                "ministry": whose[key[0]],
                "asset": key[0].name,
                "control": key[1],
                "subject": key[2],
                "outcome": str(one.outcome),
                "severity": str(one.severity),
                "confidence": str(one.confidence),
                "tag": one.tag,
                "args": one.args,
                "authorisation": one.authorisation,
                "observed_at": run.end.isoformat(),
            }


def json_diff(before: Path, after: Path) -> int:
    """How many findings differ between two files."""
    sides = []
    for path in (before, after):
        rows = json.loads(path.read_bytes())["findings"]
        sides.append({(row["asset"], row["control"], row["subject"]): row for row in rows})
    old, new = sides
    changed = 0
    for key in old.keys() | new.keys():
        one, other = old.get(key), new.get(key)
        if (
            one is None
            or other is None
            or any(one[name] != other[name] for name in ("outcome", "severity", "tag", "args"))
        ):
            changed += 1
    return changed


def measured(call: Callable[[], object]) -> Cost:
    start = time.perf_counter()
    call()
    return Cost(0.0, time.perf_counter() - start)


def main(path: Path) -> int:
    goals = Goals()
    catalogue()
    days = asked(path, lambda store: len(store.reader.runs()))
    at = (year.START.date().replace(year=2027)).isoformat() if days > 200 else year.ended_at(days // 2).isoformat()
    at = "2027-06-10" if days > 250 else at
    by_group = sizes(path)
    for group, mb in by_group.items():
        say(group, f"{mb:.1f} MB")
    # First of all: what a process holds is counted with what it starts.
    document = run([console_script("posture"), "--db", str(path), "findings", "--at", at, "--format", "jsonl"])
    say("every finding of the State as of a date, jsonl", f"{document.cpu:.1f} s CPU")
    goals.at_most("peak resident set of that command", document.peak, 250, "MB")
    with tempfile.TemporaryDirectory() as made:
        early = asked(path, lambda store: store.reader.runs()[-days // 12].id)
        before, after, far = run_files(path, Path(made), "previous", "latest", early)
        file = after.stat().st_size / MB
        say("JSON file of one run", f"{file:.1f} MB")
        whole = path.stat().st_size / MB
        goals.at_most(f"database, of {days} JSON files", whole / (file * days) * 100, 1, "%")
        goals.at_most("database without facts", whole - by_group["facts"], 25, "MB")
        _drifts(goals, path, (before, after, far), early)
    one = Selectors(ministries=(MINISTRY,))
    questions: dict[str, tuple[Callable[[Store], Any], float]] = {
        "state of a ministry as of a date": (lambda store: history.state(store, at=at, select=one), 20),
        "state of a ministry now": (lambda store: history.state(store, select=one), 20),
        "trend of a ministry": (lambda store: trend(store, ministries=(MINISTRY,)), 20),
        "how every ministry stood at a date": (lambda store: overview.standing(store, at=at), 500),
    }
    calls = [partial(cost_of_call, partial(asked, path, question)) for question, _ in questions.values()]
    for (what, (_, goal)), took in zip(questions.items(), interleaved(calls, ROUNDS), strict=True):
        goals.at_most(what, median(cost.cpu for cost in took) * 1000, goal, "ms")
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "posture.db"
        shutil.copyfile(path, copy)
        goals.at_most("a whole year judged again", measured(lambda: judged_again(copy)).wall, 30, "s")
    say("peak resident set so far", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    for what in goals.missed:
        print(f"  MISSED: {what}")
    return int(bool(goals.missed))


def _drifts(goals: Goals, path: Path, files: tuple[Path, Path, Path], early: str) -> None:
    """What ``posture drift`` asks, against a JSON diff of the same runs: CPU, because both only compute."""
    before, after, far = files
    drift = partial(asked, path)
    calls = {
        "drift of two runs": lambda: drift(overview.drift_of),
        "drift of two runs, one ministry": lambda: drift(
            lambda store: overview.drift_of(store, ministries=(MINISTRY,))
        ),
        "JSON diff of these two": lambda: json_diff(before, after),
        "drift of runs eleven months apart": lambda: drift(lambda store: overview.drift_of(store, early)),
        "JSON diff of these": lambda: json_diff(far, after),
    }
    costs = interleaved([partial(cost_of_call, call) for call in calls.values()], ROUNDS)
    took = dict(zip(calls, (median(cost.cpu for cost in one) for one in costs), strict=True))
    for what, seconds in took.items():
        say(what, f"{seconds * 1000:.1f} ms CPU")
    goals.at_most("drift, of a JSON diff", took["drift of two runs"] / took["JSON diff of these two"] * 100, 2, "%")
    share = took["drift of runs eleven months apart"] / took["JSON diff of these"] * 100
    say("drift of runs far apart, of a JSON diff", f"{share:.0f} %")


def another_policy() -> Policy:
    """The baseline under another name, so that every run has to be judged again."""
    body = json.loads(year.POLICY.body)
    body["version"] = "bench"
    return parse_policy(json.dumps(body, sort_keys=True, separators=(",", ":")))


def judged_again(path: Path) -> None:
    """Every run judged by another policy, on a copy."""
    with Store.open(path, write=True) as store:
        rejudge(store, another_policy(), "local")


if __name__ == "__main__":
    given = sys.argv[1:]
    wanted = year.Size(days=int(given[1]), assets=int(given[2])) if given[2:] else year.Size()
    print(f"bench_year: {wanted.assets} assets, {wanted.days} runs; medians of {ROUNDS} interleaved runs")
    if given and given[0] != "-":
        sys.exit(main(Path(given[0])))
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "posture.db"
        built = cost_of_call(lambda: year.write(database, wanted))
        say("writing the year in bulk, CPU", f"{built.cpu:.0f} s")
        sys.exit(main(database))
