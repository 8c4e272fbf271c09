"""The ledger over a year: what signing a run adds, ``posture verify --db``, and ``posture verify`` of one ministry's year.

The history is that of bench_store.py with one web server for each of 240 ministries, scanned and signed daily for a year;
one in ten changes from day to day. Signing is timed in this process, within the transaction that it is part of. Then the
commands run as processes of their own, the verifying ones in turns, 3 times: CPU (user + system), wall and peak resident
set, medians. ``posture export --proof`` is that of one ministry and of all; verifying it needs neither the database nor
the network. Fewer days: ``bench_ledger.py DAYS``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from bench_store import AUTHORITY, NAME, START, chain_of, judged, kind_of, server, silent, start
from measure import Cost, console_script, interleaved, median, run, say

from posture.checks import Declared
from posture.keys import OperatorKey, make_key
from posture.ledger.log import seal
from posture.store import AssetEntry, Store

MINISTRIES, DAYS, ROUNDS = 240, 365, 3
ENTRIES = tuple(
    AssetEntry(f"m{number:03}", Declared(f"www.m{number:03}.gov.example", "host", roles=("web",)))
    for number in range(MINISTRIES)
)


def build(path: Path, days: int, key: OperatorKey) -> list[float]:
    """A year; how many milliseconds each signing took."""
    chain, took = chain_of(AUTHORITY.issue(NAME).chain), list[float]()
    good, old = server(START, chain, old=False), server(START, chain, old=True)
    kinds = [(answers, judged(answers, START)) for answers in (good, old, silent(good, START))]
    letters = {entry.ministry: ("lc-2026-001",) for entry in ENTRIES}
    ministries = {entry.ministry: entry.ministry for entry in ENTRIES}
    with Store.open(path, write=True) as store:
        for day in range(days):
            at = START + timedelta(days=day)
            chosen = [(entry.key, *kinds[kind_of(number, day)]) for number, entry in enumerate(ENTRIES)]
            planned = [(asset, *question) for asset, answers, _ in chosen for question in answers]
            terms = replace(start(at, ENTRIES, planned), ministries=ministries, named=letters)
            opened = store.begin(terms)
            opened.settle_all(
                ((asset, *question), answer, "lc-2026-001")
                for asset, answers, _ in chosen
                for question, answer in answers.items()
            )
            findings = [replace(finding, asset=asset) for asset, _, those in chosen for finding in those]
            opened.close(findings, "complete", at + timedelta(minutes=30), seal=_timed(key, took))
    return took


def _timed(key: OperatorKey, took: list[float]) -> Callable[[Store], None]:
    def sign(store: Store) -> None:
        began = time.process_time()
        seal(store, key, START)
        took.append((time.process_time() - began) * 1000)

    return sign


def size_of(path: Path) -> int:
    with Store.open(path, write=False) as store:
        query = (
            "SELECT (SELECT sum(length(body) + length(salt)) FROM leaf) + (SELECT sum(length(body) + 32) FROM log_entry) "
            "+ (SELECT sum(length(note)) FROM checkpoint)"
        )
        return int(store.connection.execute(query).fetchone()[0])


def main() -> None:
    days = int(sys.argv[1]) if len(sys.argv) > 1 else DAYS
    posture = console_script("posture")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "year.db"
        archives = {name: Path(folder) / f"{name}.zip" for name in ("m007", "nation")}
        key = make_key(path.with_name(path.name + ".key"))
        took = build(path, days, key)
        signing = f"signing a run of {MINISTRIES} ministries, CPU, median and slowest"
        say(signing, f"{median(took):.0f} and {max(took):.0f} ms")
        say(f"the ledger in the database after {days} runs", f"{size_of(path) / 1e6:.1f} MB")
        signer = key.public.fingerprint
        of = [posture, "--db", str(path)]
        exports = {
            "export of a ministry, with its proof": [*of, "export", "--ministry", "m007", "--proof"],
            "export of the State, with its proof": [*of, "export", "--proof"],
        }
        for (name, command), archive in zip(exports.items(), archives.values(), strict=True):
            _told(name, [_good([*command, "--out", str(archive)])])
            say("", f"{archive.stat().st_size / 1000:.0f} kB")
        commands = {
            "posture verify --db": [*of, "verify", "--db", "--key", signer],
            "posture verify of the ministry's zip": [posture, "verify", str(archives["m007"]), "--key", signer],
            "posture verify of the State's zip": [posture, "verify", str(archives["nation"]), "--key", signer],
        }
        costs = interleaved([partial(_good, command) for command in commands.values()], ROUNDS)
        for name, each in zip(commands, costs, strict=True):
            _told(name, each)


def _told(name: str, costs: Sequence[Cost]) -> None:
    cpu, wall = median(one.cpu for one in costs), median(one.wall for one in costs)
    say(name, f"{cpu:.2f} s CPU, {wall:.2f} s wall, {max(one.peak for one in costs):.0f} MB")


def _good(command: list[str]) -> Cost:
    cost = run(command)
    if cost.code:
        sys.exit(cost.output)
    return cost


if __name__ == "__main__":
    main()
