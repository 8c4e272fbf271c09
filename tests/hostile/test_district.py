"""A whole ``posture scan`` of a district: hostile servers cost bounded memory, and nothing of what is seen at the good ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.district import district, without_hostile
from tests.lab.hostile import HOSTILE

pytestmark = pytest.mark.xdist_group("district")

GOOD = 6
GUARD_SECONDS = 300
MEMORY_MB = 300
# Whatever sends much, or announces it; and one of each that keeps a scan waiting.
GREEDY = (
    *(name for name in sorted(HOSTILE) if name.endswith(("_for_ever", "_without_end", "_bomb"))),
    *(
        name
        for name in sorted(HOSTILE)
        if any(word in name for word in ("thousand", "hundred", "megabyte", "kilobyte"))
    ),
    *("dns.text_of_empty_strings", "chain.leaf_fifty_times", "cert.huge_rsa_key", "banner.redis_nested_arrays"),
    *("tls.drip", "http.drip_body", "banner.drip", "tls.silent", "smtp.busy"),
)
# When and by which run something was seen differs from scan to scan; all else must not.
_TIMES = ("observed_at", "first_seen", "last_seen")


@dataclass(frozen=True)
class Scanned:
    """How a scan of both kinds ended, and what it and one of the good servers alone found at those."""

    code: int
    said: str
    peak: float
    together: list[dict[str, Any]]
    alone: list[dict[str, Any]]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    folder = tmp_path_factory.mktemp("district")
    with district(folder, good=GOOD, hostile=GREEDY) as inventory:
        alone, _, _ = _scan(without_hostile(inventory), folder / "alone.db")
        assert alone == 0
        code, said, peak = _scan(inventory, folder / "together.db")
    return Scanned(code, said, peak, _findings(folder / "together.db"), _findings(folder / "alone.db"))


def _posture(*words: str | Path) -> list[str]:
    return [sys.executable, "-c", "from posture.cli import main; main()", *map(str, words)]


def _scan(inventory: Path, database: Path) -> tuple[int, str, float]:
    """Exit code, all it said, and the largest resident set in MB of it and of the children it waited for."""
    command = _posture("scan", inventory, "--lab", "-q", "--db", database)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        assert child.stdout
        said = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, said, used.ru_maxrss / 1024


def _findings(database: Path) -> list[dict[str, Any]]:
    command = _posture("--db", database, "findings", "--outcome", "all", "--format", "json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD_SECONDS, check=True)
    return [dict(row) for row in json.loads(done.stdout)["findings"]]


def test_the_scan_ends_as_any_other(scanned: Scanned) -> None:
    assert scanned.code in (0, 3)
    assert "Traceback" not in scanned.said
    assert "bug" not in {row["reason"] for row in scanned.together}


def test_memory_is_bounded_however_much_is_sent(scanned: Scanned) -> None:
    assert scanned.peak < MEMORY_MB


def test_good_servers_are_seen_as_if_they_were_alone(scanned: Scanned) -> None:
    def at_good(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in row.items() if key not in _TIMES}
            for row in rows
            # Hostile servers and good ones have one key here: of whom it is shared with, the company decides.
            if row["asset"].startswith("good") and row["control"] != "tls.cert.shared_key"
        ]

    alone = at_good(scanned.alone)
    assert at_good(scanned.together) == alone
    assert len({row["asset"] for row in alone}) == GOOD
    assert {row["outcome"] for row in alone} >= {"pass", "fail"}
    # What only deep scans ask is not looked at.
    assert {row["reason"] for row in alone if row["outcome"] == "unknown"} <= {"not_run"}
