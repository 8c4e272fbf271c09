"""CPU time of ``posture --help`` against ``sslyze --help``: what a person waits for who only asks how.

Both console scripts of this environment run in turns, 9 times each after one warm-up; user + system time of the process
(wait4), medians and their ratio. The goal is a ratio of at most 0.4.
"""

from __future__ import annotations

import sys
from functools import partial

from measure import console_script, interleaved, median, run, say

ROUNDS = 9
GOAL = 0.4


def main() -> int:
    commands = [[console_script(name), "--help"] for name in ("posture", "sslyze")]
    measured = [partial(run, command) for command in commands]
    interleaved(measured, 1)
    medians = []
    print(f"bench_help: CPU of --help, medians of {ROUNDS} interleaved runs")
    for command, costs in zip(commands, interleaved(measured, ROUNDS), strict=True):
        if any(cost.code for cost in costs):
            sys.exit(f"{command} failed: {costs[0].output}")
        medians.append(median(cost.cpu for cost in costs))
        say(f"{command[0].rpartition('/')[2]} --help", f"{medians[-1] * 1000:.0f} ms")
    ratio = medians[0] / medians[1]
    say("ratio posture : sslyze", f"{ratio:.2f}", f"<= {GOAL}")
    return int(ratio > GOAL)


if __name__ == "__main__":
    sys.exit(main())
