"""Drift against known truths: 10,000 changes among 10,000 spots (1,000 hosts x 10 controls) in 110 nightly runs.

Hosts that are silent now and then, two outages of a quarter of them, glitches, unlike backends, flapping targets and a
change of policy half way lie over the truth; everything but the network is the code that scans use. The yardstick is a
scanner that compares statuses and skips errors, given the very same answers. Bounds, for every seed: at least 10,000
changes, recall >= 99.5 %, false events at most a tenth of the yardstick's. Two seeds are played at a time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.store.simulation import Outcomes, Plan, simulate

CHANGES, RECALL, FALSE_SHARE = 10_000, 0.995, 0.1
SEEDS = (20261124, 1, 2, 3, 4, 5)


def main() -> int:
    default = Plan()
    parser = argparse.ArgumentParser()
    parser.add_argument("hosts", nargs="?", type=int, default=default.hosts)
    parser.add_argument("runs", nargs="?", type=int, default=default.runs)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--at-once", type=int, default=2)
    words = parser.parse_args()
    plans = [Plan(hosts=words.hosts, runs=words.runs, seed=seed) for seed in words.seeds]
    whole = (words.hosts, words.runs) == (default.hosts, default.runs)
    held = True
    with ProcessPoolExecutor(words.at_once) as pool:
        for plan, (outcome, seconds, size) in zip(plans, pool.map(played, plans), strict=True):
            report(plan, outcome, seconds, size)
            held &= outcome.recall >= RECALL and outcome.false_ratio <= FALSE_SHARE
            held &= outcome.changes >= CHANGES or not whole
    return 0 if held else 1


def played(plan: Plan) -> tuple[Outcomes, float, int]:
    """What came of a plan, in how many seconds, and the size of its history in bytes."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "posture.db")
        outcome = simulate(path, plan)
        return outcome, time.monotonic() - began, path.stat().st_size


def report(plan: Plan, outcome: Outcomes, seconds: float, size: int) -> None:
    print(
        f"seed {plan.seed}: {plan.hosts} hosts x {plan.controls} controls x {plan.runs} runs, {outcome.changes} true changes "
        f"({seconds:.0f} s, {size / 1e6:.1f} MB)"
    )
    print(
        f"  runs in doubt: {outcome.suspect}; unstable: {outcome.unstable}; policy_changed: {outcome.policy_changed}; "
        f"false events: {outcome.false_ratio:.3f} of the yardstick's"
    )
    for name, tally in (("posture", outcome.posture), ("compare statuses, skip errors", outcome.naive)):
        share = tally.found / outcome.changes
        causes = ", ".join(f"{cause} {count}" for cause, count in sorted(tally.false_by.items()))
        print(f"  {name}: {tally.events} events, {share:.2%} of the changes, {tally.false} false ({causes or 'none'})")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
