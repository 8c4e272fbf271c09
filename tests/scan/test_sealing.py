"""Whenever somebody looks, also in the middle of a scan, every closed run is in the ledger and the trail has seen it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from posture.audit import trail_path
from posture.ledger.check import Checked, check_database
from posture.plan import Selection
from posture.scan import Terms
from posture.store import Store
from tests.scan.wiring import PHARMACY, PORTAL, Watch, runs_of, scanned, terms_of

pytestmark = pytest.mark.xdist_group("scans of the range")


def checked(terms: Terms) -> Checked:
    with Store.open(terms.config.db, write=False) as store:
        return check_database(store)


def sizes_on_trail(terms: Terms) -> list[int]:
    lines = trail_path(terms.config.db).read_text("utf-8").splitlines()
    return [record["size"] for record in map(json.loads, lines) if record["kind"] == "ledger"]


def test_an_interrupted_run_is_sealed_before_the_next_one_asks(inventory: Path) -> None:
    terms = terms_of(inventory, Selection(assets=(PORTAL, PHARMACY)))
    scanned(terms)
    scanned(terms, Watch(lambda count: os.kill(os.getpid(), signal.SIGINT) if count == 2 else None))
    assert [run["state"] for run in runs_of(terms)] == ["running", "complete"]

    seen: list[Checked] = []
    trail: list[int] = []

    def look(count: int) -> None:
        if count == 1:
            seen.append(checked(terms))
            trail.extend(sizes_on_trail(terms))

    scanned(terms, Watch(look))

    assert [(found.faults, found.unsigned, found.entries) for found in seen] == [([], [], 2)]
    assert trail == [1, 2]
    assert (checked(terms).faults, sizes_on_trail(terms)) == ([], [1, 2, 3])
