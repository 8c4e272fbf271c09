"""What a year of a State with 5,000 assets and 40 findings each costs to take out: exports and scorecards, as commands.

The history is that of benchmarks/year.py (or a database that is there already: ``bench_export.py DATABASE``; a smaller one:
``bench_export.py - DAYS ASSETS``). Each command runs once as a process of its own: CPU (user + system), wall and peak
resident set. It writes to a folder of its own, which goes at the end. Proofs are measured by bench_ledger.py.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import year
from measure import console_script, run, say

MINISTRY = "m017"
AT = "2027-06-10"


def main(path: Path, at: str) -> None:
    posture = [console_script("posture"), "-q", "--db", str(path)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for whose, only in (("a ministry", ["--ministry", MINISTRY]), ("the State", [])):
            for form in ("csv", "jsonl", "xlsx"):
                _measure(f"export of {whose}, {form}", [*posture, "export", *only], out / f"export.{form}")
            for form in ("json", "csv", "table"):
                told = [*posture, "findings", *only, "--at", at, "--format", form]
                _measure(f"findings of {whose} as of a date, {form}", told)
            _measure(f"drift of {whose}, table", [*posture, "drift", *only])
            _measure(f"drift of {whose}, json", [*posture, "drift", *only, "--format", "json"])
        for form in ("html", "pdf"):
            site = out / f"site-{form}"
            words = [*posture, "scorecard", "--ministry", MINISTRY, "--at", at, "--format", form]
            _measure(f"scorecard of a ministry, {form}", words, site)


def _measure(what: str, words: list[str], out: Path | None = None) -> None:
    cost = run([*words, "--out", str(out)] if out else words)
    if cost.code:
        sys.exit(cost.output)
    written = out.stat().st_size if out and out.is_file() else len(cost.output)
    size = f", {written / 1e6:.1f} MB written" if written > 1000 else ""
    say(what, f"{cost.cpu:.1f} s CPU, {cost.wall:.1f} s wall, {cost.peak:.0f} MB peak{size}")


if __name__ == "__main__":
    given = sys.argv[1:]
    wanted = year.Size(days=int(given[1]), assets=int(given[2])) if given[2:] else year.Size()
    if given and given[0] != "-":
        main(Path(given[0]), AT)
    else:
        with tempfile.TemporaryDirectory() as made:
            database = Path(made) / "posture.db"
            year.write(database, wanted)
            main(database, year.ended_at(wanted.days // 2).isoformat())
