"""posture stop: needs nothing but a folder; says what it did, and what it doubts."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from posture.store import Store
from tests.cli.conftest import Scanned
from tests.cli.line import posture, process

BECAUSE = ("--reason", "complaint 12")


def orders(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "posture.db.stop").read_bytes())["orders"]
    return rows


def test_stop_needs_neither_database_nor_inventory_and_says_who_and_when(elsewhere: Path) -> None:
    said = posture("stop", *BECAUSE)
    (order,) = orders(elsewhere)

    assert said.code == 0
    assert order["by"] == pwd.getpwuid(os.getuid()).pw_name
    assert (order["reason"], order["authorisation"], order["address"]) == ("complaint 12", None, None)
    assert order["at"].endswith("Z")
    assert 'stopped: everything ("complaint 12", by ' in said.out
    assert "posture stop --lift" in said.out
    assert "warning: there is no database" in said.err
    assert [path.name for path in elsewhere.iterdir()] == ["posture.db.stop"]


def test_the_account_is_not_what_the_environment_says(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody-else")
    posture("stop", *BECAUSE)

    assert orders(elsewhere)[0]["by"] != "somebody-else"


def test_the_file_is_beside_the_database_that_other_commands_find(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "posture.toml").write_text('db = "state/lc.db"\n')
    (elsewhere / "state").mkdir()
    assert posture("stop", *BECAUSE).code == 0
    assert (elsewhere / "state" / "lc.db.stop").exists()

    assert posture("stop", *BECAUSE, "--db", tmp_path / "flag.db").code == 0
    assert (tmp_path / "flag.db.stop").exists()
    monkeypatch.setenv("POSTURE_DB", str(tmp_path / "environment.db"))
    assert posture("stop", *BECAUSE).code == 0
    assert (tmp_path / "environment.db.stop").exists()


def test_a_scan_that_holds_the_database_is_no_obstacle(elsewhere: Path) -> None:
    with Store.open(elsewhere / "posture.db", write=True):
        assert process("stop", *BECAUSE, cwd=elsewhere).code == 0
        assert process("stop", "--status", cwd=elsewhere).code == 0
        assert process("stop", "--lift", cwd=elsewhere).code == 0


def test_a_broken_configuration_is_no_obstacle_when_the_database_is_named(elsewhere: Path) -> None:
    (elsewhere / "posture.toml").write_text("db = [broken")
    said = posture("stop", *BECAUSE)
    named = posture("stop", *BECAUSE, "--db", "posture.db")

    assert said.code == 2
    assert "posture stop --db PATH" in said.err
    assert named.code == 0
    assert len(orders(elsewhere)) == 1


def test_orders_add_up_and_are_lifted_one_by_one(elsewhere: Path) -> None:
    (elsewhere / "posture.db").touch()
    posture("stop", "--address", "2001:DB8:0::7", *BECAUSE)
    both = posture("stop", "--authorisation", "lc-1", "--address", "::ffff:198.51.100.7", *BECAUSE)
    assert both.code == 0
    assert [(each["authorisation"], each["address"]) for each in orders(elsewhere)] == [
        (None, "2001:db8::7"),
        ("lc-1", None),
        (None, "198.51.100.7"),
    ]

    lifted = posture("stop", "--lift", "--address", "[2001:DB8::0007]")
    assert lifted.code == 0
    assert lifted.out.startswith('lifted: 2001:db8::7 (was: "complaint 12", by ')
    assert "still stopped: lc-1 " in lifted.out
    rest = posture("stop", "--lift")
    assert rest.out.count("lifted: ") == 2
    assert not (elsewhere / "posture.db.stop").exists()


def test_nothing_to_lift_is_said_and_is_no_fault(elsewhere: Path) -> None:
    posture("stop", "--address", "198.51.100.7", *BECAUSE)
    other = posture("stop", "--lift", "--address", "198.51.100.8")
    posture("stop", "--lift")
    said = posture("stop", "--lift")

    assert (other.code, said.code) == (0, 0)
    assert "nothing to lift: 198.51.100.8 is not stopped by an order of its own" in other.out
    assert "still stopped: 198.51.100.7" in other.out
    assert said.out.startswith("nothing to lift: ")


def test_status_lists_what_is_in_force(elsewhere: Path) -> None:
    assert posture("stop", "--status").out == "Nothing is stopped.\n"
    posture("stop", "--authorisation", "lc-1", *BECAUSE)
    table, document = posture("stop", "--status"), posture("stop", "--status", "--format", "json").document

    assert table.code == 0
    assert "lc-1" in table.out
    assert "complaint 12" in table.out
    assert document["orders"] == orders(elsewhere)


def test_status_in_the_wrong_folder_is_doubted(elsewhere: Path) -> None:
    assert "warning: there is no database" in posture("stop", "--status").err
    (elsewhere / "posture.db").touch()
    assert posture("stop", "--status").err == ""


def test_status_of_a_file_scribbled_by_hand_is_inert(elsewhere: Path) -> None:
    (elsewhere / "posture.db.stop").write_bytes(b"\x1b]0;owned\x07 now! \xff")
    said = posture("stop", "--status")
    document = posture("stop", "--status", "--format", "json").document

    assert said.code == 0
    assert "everything" in said.out
    assert "now!" in said.out
    assert "\x1b" not in said.out
    assert [(each["authorisation"], each["address"], each["at"]) for each in document["orders"]] == [(None, None, None)]
    assert posture("stop", "--lift").code == 0
    assert not (elsewhere / "posture.db.stop").exists()


def test_status_and_lift_of_a_folder_in_its_place(elsewhere: Path) -> None:
    (elsewhere / "posture.db.stop").mkdir()

    assert "cannot be read" in posture("stop", "--status").out
    said = posture("stop", "--lift")
    assert said.code == 5
    assert "Remove it by hand" in said.err


def test_as_json_stopping_and_lifting_give_what_is_in_force(elsewhere: Path) -> None:
    stopped = posture("stop", "--authorisation", "lc-1", *BECAUSE, "--format", "json").document
    lifted = posture("stop", "--lift", "--format", "json").document

    assert [each["authorisation"] for each in stopped["orders"]] == ["lc-1"]
    assert lifted["orders"] == []
    assert list(elsewhere.iterdir()) == []


def test_an_authorisation_that_the_inventory_does_not_know_is_doubted_and_stopped_all_the_same(
    scanned: Scanned, tmp_path: Path
) -> None:
    db = tmp_path / "other.db"
    db.touch()
    known = scanned.ask("stop", "--authorisation", "zz-finance-01", *BECAUSE, "--db", db)
    typo = scanned.ask("stop", "--authorisation", "zz-finanse-01", *BECAUSE, "--db", db)

    assert (known.code, known.err) == (0, "")
    assert typo.code == 0
    assert "knows no authorisation 'zz-finanse-01'; the order was given all the same" in typo.err
    assert "zz-finance-01, zz-health-01" in typo.err
    assert "stopped: zz-finanse-01 " in typo.out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "--reason"),
        (["--reason", " "], "--reason"),
        (["--address", "www.finance.gov.example", *BECAUSE], "Give one address"),
        (["--address", "198.51.100.0/24", *BECAUSE], "Give one address"),
        (["--authorisation", "", *BECAUSE], "needs an id"),
        (["--lift", "--status"], "Choose one"),
        (["--lift", *BECAUSE], "Leave it out"),
        (["--status", "--address", "198.51.100.7"], "Leave --authorisation and --address out"),
        ([*BECAUSE, "--format", "csv"], "Choose table or json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_say_the_next_step_and_stop_nothing(words: list[str], hint: str, elsewhere: Path) -> None:
    said = posture("stop", *words)

    assert (said.code, said.out) == (2, "")
    assert hint in said.err
    assert list(elsewhere.iterdir()) == []


def test_plan_shows_what_is_stopped(scanned: Scanned, tmp_path: Path) -> None:
    db = tmp_path / "other.db"
    assert posture("stop", "--authorisation", "zz-finance-01", *BECAUSE, "--db", db).code == 0
    plan = posture("plan", scanned.inventory, "--lab", "--db", db, "--format", "json").document

    assert {row["authorisation"] for row in plan["tasks"]} == {"zz-health-01"}
    refused = {row["asset"] for row in plan["refusals"] if row["code"] == "E-SCOPE-040"}
    assert "portal.finance.gov.example" in refused
    assert not refused & {row["asset"] for row in plan["tasks"]}


def test_the_history_is_not_opened_to_stop(elsewhere: Path) -> None:
    """Not even a database that no release of posture can read keeps anybody from stopping."""
    (elsewhere / "posture.db").write_text("Dear Permanent Secretary, " * 100)

    assert posture("stop", *BECAUSE).code == 0
    assert posture("stop", "--lift").code == 0
