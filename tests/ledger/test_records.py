"""Records are the same whenever they are made: run by run as each closes, or all of a history years later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from posture.ledger.records import Chronicle, records_of
from posture.signatures import Authority
from tests.ledger.attacking import FINANCE, HEALTH, LETTER, Sealed, four_days, sealed


@pytest.fixture
def history(tmp_path: Path) -> Sealed:
    return four_days(tmp_path)


def letters(history: Sealed, ministry: str) -> list[list[str]]:
    """Of each run, oldest first, the letters that its records name."""
    with history.world.open(write=False) as store:
        found = [records_of(store, run, ministry) for run in store.reader.runs()[::-1]]
    return [[each["authorisation"] for each in records if each["kind"] == "authority"] for records in found]


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


def test_a_letter_that_was_renewed_is_in_force_though_nothing_changed(tmp_path: Path) -> None:
    """Facts name the letter under which they were first seen; the run goes under the one of today."""
    history, old, new = sealed(tmp_path), "lc-2026-001", "lc-2027-001"
    other = Authority("lc-2026-002", 1, "c" * 64, ())
    named = {"health": ("lc-2026-002",)}
    history.scan("one", authorities=(Authority(old, 1, "a" * 64, ()), other), named={"finance": (old,), **named})
    for _ in range(2):
        history.scan("one", authorities=(Authority(new, 1, "b" * 64, ()), other), named={"finance": (new,), **named})

    assert letters(history, "finance") == [[old], [new], [new]]
    assert letters(history, "health") == [["lc-2026-002"]] * 3
    assert not history.check().faults


def test_a_letter_that_does_not_stand_for_the_run_is_not_told_of(tmp_path: Path) -> None:
    """The inventory may name a letter that has ended, or of which a signature is missing."""
    history = sealed(tmp_path)
    history.scan("one", named={"finance": (LETTER.authorisation, "lc-2025-009"), "health": ()})
    assert (letters(history, "finance"), letters(history, "health")) == ([[LETTER.authorisation]], [[]])


def test_of_a_history_that_did_not_write_it_down_those_count_under_which_it_was_asked(history: Sealed) -> None:
    assert letters(history, "finance") == [[LETTER.authorisation]] * 4


def test_a_ministry_read_alone_has_the_records_that_it_has_among_all(tmp_path: Path) -> None:
    """Also of what moves from one to the other, and of letters that nobody wrote down."""
    history = sealed(tmp_path)
    history.scan("one")
    for ministry in ("finance", "health", "finance"):
        history.scan("bad", assets=(FINANCE, replace(HEALTH, ministry=ministry)))
    with history.world.open(write=False) as store:
        runs = store.reader.runs()[::-1]
        for names in ({"finance"}, {"health"}, {"finance", "health"}):
            whole, alone = Chronicle(store), Chronicle(store, frozenset(names))
            for run in runs:
                records = whole.of(run)
                assert {name: alone.of(run).get(name, []) for name in names} == {
                    name: records.get(name, []) for name in names
                }
                assert not any(told for name, told in alone.of(run).items() if name not in names)
