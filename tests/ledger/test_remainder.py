"""What is in no ministry's records is signed too: nothing that a closed run wrote can be changed unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from posture.ledger.proof import records_for
from posture.ledger.records import Chronicle
from posture.ledger.remainder import STATE, judgements_changed
from tests.ledger.attacking import FINANCE, HEALTH, Sealed, four_days
from tests.store import HTTPS, SITE, silence


@pytest.fixture
def history(tmp_path: Path) -> Sealed:
    """Four days; then one site is silent, and on the last day the other has left the inventory."""
    history = four_days(tmp_path)
    both = (FINANCE, HEALTH)
    history.world.scan({(SITE, "tls", HTTPS): silence(), (HEALTH.key, "tls", HTTPS): silence()}, both)
    history.seal()
    history.world.scan({(SITE, "tls", HTTPS): silence()}, (FINANCE,))
    history.seal()
    return history


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE judged_row SET silent = known WHERE run_id = 3", "(judged t.cert)"),
        ("UPDATE judged_row SET known = asked, asked = silent WHERE run_id = 3", "(judged t.cert)"),
        ("UPDATE coverage_row SET answered = (SELECT max(id) FROM packed) WHERE run_id = 3", "(coverage tls)"),
        ("UPDATE declaration SET body = replace(body, 'criticality\":2', 'criticality\":3')", "(declared "),
        ("UPDATE declaration SET to_run = 4 WHERE to_run IS NOT NULL", "(closed declaration "),
        ("INSERT INTO score_row SELECT 3, id, 1000, 1000, 1000, 1000, 'A' FROM text_value WHERE value = ''", "(score)"),
        ("UPDATE run SET lab = 1 - lab WHERE id = 2", "(terms)"),
        ("UPDATE run SET controls = '[]' WHERE id = 2", "(terms)"),
        (
            "UPDATE text_value SET value = replace(value, 'no answer', 'no line') WHERE value LIKE '{%asked%'",
            "(detail ",
        ),
        ("UPDATE authority SET signers = 'somebody' WHERE run_id = 2", "(authority)"),
    ],
)
def test_whatever_is_changed_is_named(history: Sealed, change: str, words: str) -> None:
    assert not history.check().faults
    history.tamper(change)
    assert any("the State as a whole" in fault and words in fault for fault in history.check().faults)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE verdict SET control_id = 999 WHERE from_run = 2",
        "UPDATE verdict SET body_id = 99999 WHERE from_run = 2",
        "UPDATE verdict SET asset_id = 99999 WHERE from_run = 2",
        "UPDATE text_value SET value = '{' WHERE value LIKE '%bad%'",
        "UPDATE run SET inventory = x'00' WHERE id = 2",
        "UPDATE packed SET data = x'00' WHERE id IN (SELECT answered FROM coverage_row WHERE run_id = 2)",
        "UPDATE silence SET said_id = 1",
        "UPDATE silence SET seconds = 'soon'",
    ],
)
def test_what_cannot_be_read_any_more_is_named_too(history: Sealed, change: str) -> None:
    history.tamper(change)
    assert any("cannot be read any more" in fault for fault in history.check().faults)


@pytest.mark.parametrize(("column", "words"), [("body", "the policy of"), ("rules", "the rules of")])
def test_a_policy_is_that_of_its_digest(history: Sealed, column: str, words: str) -> None:
    with history.world.open(write=False) as store:
        assert not list(judgements_changed(store))
    history.tamper(f"UPDATE judgement SET {column} = '{{}}'")
    with history.world.open(write=False) as store:
        assert [what.startswith(words) for what in judgements_changed(store)] == [True]


def test_it_is_asked_for_by_name_and_never_travels(history: Sealed) -> None:
    with history.world.open(write=False) as store:
        runs = store.reader.runs()
        assert all(Chronicle(store).of(run)[STATE] for run in runs)
        for _, records in records_for(store, ["finance", "health"], runs):
            assert {record["ministry"] for record in records} <= {"finance", "health"}
