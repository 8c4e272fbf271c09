"""Judging a year again: 5,000 assets, 365 daily runs, in each of which 600 answers change.

The first two runs are those of bench_store.py; the others are written straight into the tables (their answers, coverage and
times), because judging again reads nothing else. Then ``rejudge`` judges all of it under another policy, in this process:
CPU, wall, findings added, peak resident set; and a second time, which adds nothing. ``bench_rejudge.py ASSETS RUNS``.
"""

from __future__ import annotations

import json
import random
import resource
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from bench_store import ASSETS, AUTHORITY, NAME, POLICY, START, build, chain_of
from measure import say

from posture.policy import Policy, parse_policy
from posture.store import Store, stamp
from posture.store.rejudging import rejudge

RUNS = 365
CHANGES = 0.024  # of the answers of one probe, a run: 600 of 25,000 TLS answers and verdicts in all


def lengthen(path: Path, runs: int, changes: int) -> None:
    """More days, in each of which some assets accept TLS 1.0 that did not, or the other way round."""
    choose = random.Random(4)
    with closing(sqlite3.connect(path)) as db:
        columns = [
            row[1]
            for row in db.execute("PRAGMA table_info(run)")
            if row[1] not in ("id", "name", "started_at", "ended_at")
        ]
        same = ", ".join(columns)
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")  # closed runs are written here
        blobs = [row[0] for row in db.execute("SELECT DISTINCT blob_id FROM facts WHERE probe = 'tls'")]
        slots = db.execute(
            "SELECT asset_id, subject_id, vantage_id FROM facts WHERE probe = 'tls' AND to_run IS NULL"
        ).fetchall()
        for number in range(3, runs + 1):
            at = START + timedelta(days=number - 1)
            name, end = f"R-{at:%Y%m%dT%H%M%SZ}-{number:04x}", at + timedelta(minutes=30)
            db.execute(
                f"INSERT INTO run (id, name, started_at, ended_at, {same}) SELECT ?, ?, ?, ?, {same} FROM run WHERE id = 2",
                (number, name, stamp(at), stamp(end)),
            )
            db.execute(
                "INSERT INTO coverage_row SELECT ?, probe_id, targeted, answered, asked_count, answered_count "
                "FROM coverage_row WHERE run_id = 2",
                (number,),
            )
            for asset, subject, vantage in choose.sample(slots, min(changes, len(slots))):
                key = (asset, subject, vantage)
                where = "asset_id = ? AND probe = 'tls' AND subject_id = ? AND vantage_id = ? AND to_run IS NULL"
                (old,) = db.execute(f"SELECT blob_id FROM facts WHERE {where}", key).fetchone()
                db.execute(f"UPDATE facts SET to_run = ? WHERE {where}", (number, *key))
                new = choose.choice([blob for blob in blobs if blob != old])
                db.execute(
                    "INSERT INTO facts VALUES (?, 'tls', ?, ?, ?, NULL, ?, ?, 0, 'lc-2026-001')",
                    (*key, number, stamp(at), new),
                )
        db.commit()


def stricter() -> Policy:
    body = json.loads(POLICY.body)
    body["version"] = "strict"
    body["thresholds"]["tls.cert.ec_bits_fail_below"][0]["value"] = 384
    return parse_policy(json.dumps(body))


def main(assets: int = ASSETS, runs: int = RUNS) -> int:
    changes = 600 * assets // ASSETS
    print(f"bench_rejudge: {assets} assets, {runs} runs, {changes} changed answers a run")
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "posture.db"
        build(path, assets, chain_of(AUTHORITY.issue(NAME).chain))
        lengthen(path, runs, changes)
        say("size of the database", f"{path.stat().st_size / 1e6:.1f} MB")
        for name in ("first time", "second time"):
            before, wall = time.process_time(), time.monotonic()
            with Store.open(path, write=True) as store:
                done = rejudge(store, stricter(), "local")
            say(f"{name}, CPU", f"{time.process_time() - before:.1f} s")
            say(f"{name}, wall", f"{time.monotonic() - wall:.1f} s")
            say(f"{name}, findings added", f"{done.added}")
        say("peak resident set", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")
        say("size of the database", f"{path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
