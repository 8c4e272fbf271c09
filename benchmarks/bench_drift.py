"""Drift against a known truth: 10,000 changes among 10,000 spots (1,000 hosts x 10 controls) in 110 nightly runs.

Hosts that are silent now and then, two outages of a quarter of them, glitches, unlike backends, flapping targets and a
change of policy half way lie over the truth; everything but the network is the code that scans use. The yardstick is a
scanner that compares statuses and skips errors, given the very same answers. Bounds: recall >= 99.5 %, false events at
most a tenth of the yardstick's. Other sizes: ``bench_drift.py HOSTS RUNS``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.store.simulation import Plan, simulate

RECALL, FALSE_SHARE = 0.995, 0.1


def main() -> int:
    sizes = [int(word) for word in sys.argv[1:3]]
    plan = Plan(*sizes[:1]) if len(sizes) < 2 else Plan(hosts=sizes[0], runs=sizes[1])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "posture.db")
        outcome = simulate(path, plan)
        size = path.stat().st_size
    took = time.monotonic() - began
    print(f"{plan.hosts} hosts x {plan.controls} controls x {plan.runs} runs: {took:.0f} s, {size / 1e6:.1f} MB")
    print(
        f"true changes: {outcome.changes}; runs in doubt: {outcome.suspect}; unstable: {outcome.unstable}; "
        f"policy_changed: {outcome.policy_changed}"
    )
    for name, tally in (("posture", outcome.posture), ("compare statuses, skip errors", outcome.naive)):
        share = tally.found / outcome.changes
        causes = ", ".join(f"{cause} {count}" for cause, count in sorted(tally.false_by.items()))
        print(f"{name}: {tally.events} events, {share:.2%} of the changes, {tally.false} false ({causes or 'none'})")
    print(f"false events: {outcome.false_ratio:.3f} of the yardstick's")
    return 0 if outcome.recall >= RECALL and outcome.false_ratio <= FALSE_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
