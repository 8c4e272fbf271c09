"""The audit trail of a million records: writing it, opening it for a scan, ``posture verify``, ``posture audit show``.

The trail is written by the real writer: a decision and a closing for each of 500,000 connections to 5,000 assets, with a
checkpoint every 1000 records. Writing is measured once, in this process; the commands run as processes of their own, in
turns, 3 times: wall seconds and peak resident set, medians. Another number of records: ``bench_audit.py N``.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from measure import console_script, cost_of_call, interleaved, median, run, say

from posture.audit import AuditTrail, Letter, Start, trail_path
from posture.inventory.records import Limits
from posture.keys import key_path, load_or_make_key
from posture.model import ProbeClass
from posture.net.decisions import Closing, Decision
from posture.net.governor import Traffic
from posture.scope import Grant
from posture.task import Task

RECORDS = 1_000_000
ASSETS = 5000
ROUNDS = 3
SECONDS = 10.0
BEGIN = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
GRANT = Grant("lc-2026-001", ProbeClass.CLIENT, "networks", Limits())
LETTER = Letter("lc-2026-001", "00" * 32, 1, (), "Ministry of Finance", "Letter MF/ICT/2026/41")


def decision(number: int, at: datetime) -> Decision:
    asset = number % ASSETS
    name = f"www{asset}.finance.gov.example"
    address = f"198.51.{asset // 250}.{asset % 250 + 1}"
    task = Task(
        ministry="finance",
        asset=name,
        kind="host",
        probe="tls",
        check="tls",
        probe_class=ProbeClass.CLIENT,
        subject="",
        name=name,
        authorisation=GRANT.authorisation,
        addresses=(address,),
        port=443,
    )
    return Decision(at, task, Traffic.CONNECTION, name, address, 443, "tcp", GRANT)


def write(database: Path, records: int) -> None:
    now = BEGIN
    key, _ = load_or_make_key(key_path(database))
    trail = AuditTrail.open(trail_path(database), key, clock=lambda: now)
    trail.start(Start("R-20261101T020000Z-0000", "posture bench", "CERT-LC", "bench", 0, str(database), (LETTER,)))
    for number in range(records // 2):
        now += timedelta(milliseconds=20)
        trail.closed(trail.decided(decision(number, now)), Closing(now, "closed", 517, 3021))
    trail.end("complete")
    trail.close()


def opened(database: Path) -> None:
    AuditTrail.open(trail_path(database), load_or_make_key(key_path(database))[0], clock=lambda: BEGIN).close()


def main(records: int = RECORDS) -> int:
    print(f"bench_audit: a trail of {records} records; medians of {ROUNDS} interleaved runs of each command")
    missed = False
    with tempfile.TemporaryDirectory() as made:
        database = Path(made) / "posture.db"
        written = cost_of_call(lambda: write(database, records))
        trail = trail_path(database)
        say("size of the trail", f"{trail.stat().st_size / 1e6:.0f} MB")
        say("writing one record, wall", f"{written.wall / records * 1e6:.0f} us")
        say("opening it for a scan, wall", f"{cost_of_call(lambda: opened(database)).wall:.1f} s")
        show = [console_script("posture"), "audit", "show", "--db", str(database), "--address", "198.51.3.7"]
        commands = {
            "verify --audit": [console_script("posture"), "verify", "--audit", str(trail)],
            "audit show --address --at": [*show, "--at", "2026-11-01T02:30Z"],
            "audit show --address": show,
        }
        costs = interleaved([partial(run, one) for one in commands.values()], ROUNDS)
        for name, each in zip(commands, costs, strict=True):
            for cost in each:
                if cost.code:
                    sys.exit(f"posture {name} ended with {cost.code}: {cost.output[-1000:]}")
            wall = median(cost.wall for cost in each)
            missed |= wall > SECONDS
            say(f"posture {name}, wall", f"{wall:.1f} s", f"at most {SECONDS:.0f} s")
            say(f"posture {name}, peak resident set", f"{median(cost.peak for cost in each):.0f} MB")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS))
