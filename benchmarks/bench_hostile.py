"""A scan of every hostile server of the tests' lab at once beside GOOD good ones, against a scan of the good ones alone.

Both are ``posture scan --lab -q`` on a new database, interleaved, medians of ROUNDS; the servers stand in a process of
their own (tests/hostile/district.py) on 127.0.22.0/24. Ends with 1 when the hostile servers cost more than one asset's
deadline. Time-outs are the real ones. Other numbers: ``bench_hostile.py GOOD ROUNDS``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

from measure import Cost, console_script, interleaved, median, run, say

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hostile.district import district, without_hostile
from tests.lab.hostile import HOSTILE

from posture.net.asset import ASSET_SECONDS

GOOD = 40
ROUNDS = 3
CODES = (0, 1, 3)  # done; findings; an asset without an answer


def scan(inventory: Path) -> Callable[[], Cost]:
    """What scans the inventory, each time into a new database."""
    numbers = count()

    def scanned() -> Cost:
        database = str(inventory.with_name(f"{next(numbers)}.db"))
        cost = run([console_script("posture"), "scan", str(inventory), "--lab", "-q", "--db", database])
        if cost.code not in CODES:
            sys.exit(f"the scan ended with {cost.code}: {cost.output}")
        return cost

    return scanned


def main(good: int = GOOD, rounds: int = ROUNDS) -> int:
    print(
        f"bench_hostile: {good} good servers, alone and beside {len(HOSTILE)} hostile ones; medians of {rounds} scans"
    )
    with tempfile.TemporaryDirectory() as made, district(Path(made), good=good, hostile=tuple(HOSTILE)) as inventory:
        alone, together = interleaved([scan(without_hostile(inventory)), scan(inventory)], rounds)
    walls = [median(cost.wall for cost in costs) for costs in (alone, together)]
    most = walls[0] + ASSET_SECONDS
    say("wall, good servers alone", f"{walls[0]:.1f} s")
    say("wall, together with all hostile ones", f"{walls[1]:.1f} s", f"at most {most:.1f} s")
    say("CPU, alone and together", f"{median(c.cpu for c in alone):.1f} / {median(c.cpu for c in together):.1f} s")
    say(
        "peak resident set, alone and together",
        f"{median(c.peak for c in alone):.0f} / {median(c.peak for c in together):.0f} MB",
    )
    return 0 if walls[1] <= most else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
