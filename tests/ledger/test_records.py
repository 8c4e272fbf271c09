"""Records are the same whenever they are made: run by run as each closes, or all of a history years later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from posture.ledger.records import Chronicle, records_of
from tests.ledger.attacking import FINANCE, HEALTH, Sealed, four_days, sealed


@pytest.fixture
def history(tmp_path: Path) -> Sealed:
    return four_days(tmp_path)


@pytest.mark.parametrize("code", ["finance", "works"])
def test_an_asset_that_moves_takes_no_letter_along_and_leaves_none_behind(tmp_path: Path, code: str) -> None:
    history = sealed(tmp_path)
    history.scan("one")
    for finance in ("bad", "bad", "one"):
        history.scan(finance, assets=(FINANCE, replace(HEALTH, ministry=code)), ministries={code: code})
    assert not history.check().faults


def test_in_whatever_order_they_are_asked_for(history: Sealed) -> None:
    with history.world.open(write=False) as store:
        runs, chronicle = store.reader.runs(), Chronicle(store)
        assert [chronicle.of(run) for run in runs] == [Chronicle(store).of(run) for run in runs]


def test_a_ministry_that_a_run_did_not_know_has_no_records(history: Sealed) -> None:
    with history.world.open(write=False) as store:
        assert records_of(store, store.reader.runs()[0], "works") == []
