"""posture rejudge on a practice range that really was scanned."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posture.policy import DEFAULT, load_policy
from posture.store import Store
from tests.cli.conftest import Scanned

PORTAL = "portal.finance.gov.example"
SHIPPED = DEFAULT


@pytest.fixture
def copy(scanned: Scanned, tmp_path: Path) -> Scanned:
    """The same history in a folder of its own, to be written into."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("inventory.toml", "posture.toml", "health.csv"):
        shutil.copy(scanned.folder / name, folder)
    with closing(sqlite3.connect(scanned.db)) as source, closing(sqlite3.connect(folder / "posture.db")) as target:
        source.backup(target)
    return replace(scanned, folder=folder)


@pytest.fixture
def strict(tmp_path: Path) -> Path:
    """The shipped baseline, with larger keys."""
    body = json.loads(load_policy().body)
    body["thresholds"]["tls.cert.ec_bits_fail_below"][0]["value"] = 384
    rows = [f'"{name}" = {json.dumps(rows).replace(":", " =")}' for name, rows in body["thresholds"].items()]
    head = [
        'name = "oecs-baseline"',
        'version = "strict"',
        f"controls = {json.dumps(body['controls'])}",
        "[thresholds]",
    ]
    path = tmp_path / "strict.toml"
    path.write_text("\n".join([*head, *rows]) + "\n")
    return path


def live(db: Path) -> list[Any]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute("SELECT * FROM finding WHERE live").fetchall()


def test_scores_and_verdicts_before_and_after(copy: Scanned, strict: Path) -> None:
    before = live(copy.db)
    said = copy.ask("rejudge", "--policy", strict, "--format", "json")
    assert said.code == 0, said.err
    document = said.document
    assert document["policy"] == "oecs-baseline/strict"
    assert document["judged"] == 3
    (run,) = document["runs"]
    assert run["changes"] == {"worse": len(document["findings"])}
    assert {(row["control"], row["before"], row["after"]) for row in document["findings"]} == {
        ("tls.cert.key", "pass", "fail")
    }
    scores = {row["ministry"]: row for row in run["scores"]}
    assert set(scores) == {"finance", "health", ""}
    assert scores["finance"]["after"]["score"] <= scores["finance"]["before"]["score"]
    assert live(copy.db) == before
    with Store.open(copy.db, write=False) as store:
        kept = store.connection.execute("SELECT ministry, tenths FROM rescore").fetchall()
    assert sorted(kept) == sorted((name, round(row["after"]["score"] * 10)) for name, row in scores.items())


def test_a_second_time_adds_nothing_and_says_the_same(copy: Scanned, strict: Path) -> None:
    first = copy.ask("rejudge", "--policy", strict, "--format", "json").document
    second = copy.ask("rejudge", "--policy", strict, "--format", "json").document
    assert (second["judged"], second["added"]) == (0, 0)
    assert second["findings"] == first["findings"]
    assert second["runs"] == first["runs"]
    assert copy.ask("db", "check").code == 0


def test_all_lists_every_complete_run(copy: Scanned, strict: Path) -> None:
    said = copy.ask("rejudge", "--policy", strict, "--all")
    assert said.code == 0, said.err
    runs = copy.ask("runs", "--format", "json").document["runs"]
    assert all(run["id"] in said.out for run in runs)
    assert "differ" in said.out
    assert "3 runs judged anew" in said.out


def test_one_ministry_alone(copy: Scanned, strict: Path) -> None:
    document = copy.ask("rejudge", "--policy", strict, "--ministry", "finance", "--format", "json").document
    assert {row["ministry"] for row in document["findings"]} == {"finance"}
    assert [row["ministry"] for row in document["runs"][0]["scores"]] == ["finance"]
    assert "no ministry 'treasury'" in copy.ask("rejudge", "--ministry", "treasury").err


def test_by_the_same_policy_nothing_differs(copy: Scanned) -> None:
    said = copy.ask("rejudge")
    assert (said.code, said.err) == (0, "")
    assert "No verdict differs." in said.out
    assert "0 findings added" in said.out


def test_a_scan_that_holds_the_database_refuses(copy: Scanned) -> None:
    with Store.open(copy.db, write=True):
        said = copy.ask("rejudge")
    assert said.code == 4
    assert "another scan holds" in said.err


def test_nothing_to_judge(copy: Scanned, tmp_path: Path) -> None:
    assert copy.ask("rejudge", "--db", tmp_path / "none.db").code == 2
    assert not (tmp_path / "none.db").exists()
    assert copy.ask("rejudge", "--policy", "none/1").code == 2
    assert copy.ask("rejudge", "--run", "R-1999").code == 2


def test_dropped_evidence_is_said(copy: Scanned, strict: Path) -> None:
    with closing(sqlite3.connect(copy.db)) as connection:
        key = "SELECT blob_id FROM facts WHERE probe = 'tls' AND to_run IS NULL"
        connection.execute(f"UPDATE blob SET data = x'' WHERE id IN ({key})")
        connection.commit()
    said = copy.ask("rejudge", "--policy", strict)
    assert "answers are no longer kept" in said.out
    rows = copy.ask("rejudge", "--policy", strict, "--format", "json").document["findings"]
    assert {(row["change"], row["after"], row["reason"]) for row in rows if row["control"] == "tls.cert.key"} == {
        ("unknown", "unknown", "not_recorded")
    }


def test_compare_what_was_told_with_a_policy(copy: Scanned, strict: Path) -> None:
    before = copy.db.read_bytes()
    document = copy.ask("rejudge", "--compare", "recorded", strict, "--format", "json").document
    assert document["counts"] == {"worse": len(document["findings"])}
    assert document["old"]["policy"] is None
    assert document["new"]["policy"] == "oecs-baseline/strict"
    assert copy.db.read_bytes() == before, "nothing is written"


def test_compare_over_everything(copy: Scanned, strict: Path) -> None:
    document = copy.ask("rejudge", "--compare", SHIPPED, strict, "--all", "--format", "json").document
    assert document["over"]["kind"] == "all"
    assert {row["control"] for row in document["findings"]} == {"tls.cert.key"}
    assert all(row["runs"] >= 1 for row in document["findings"])
    said = copy.ask("rejudge", "--compare", "recorded", strict, "--all")
    assert said.code == 2
    assert "--run R" in said.err


def test_compare_two_recorded_judgements(copy: Scanned, strict: Path) -> None:
    said = copy.ask("rejudge", "--compare", "recorded", "recorded:oecs-baseline/strict")
    assert said.code == 2
    assert f"Recorded are: {DEFAULT}" in said.err
    copy.ask("rejudge", "--policy", strict)
    document = copy.ask(
        "rejudge", "--compare", "recorded", "recorded:oecs-baseline/strict", "--format", "json"
    ).document
    assert {(row["control"], row["change"]) for row in document["findings"]} == {("tls.cert.key", "worse")}
    rows = copy.ask("rejudge", "--compare", "recorded", "recorded:oecs-baseline/strict", "--format", "csv").out
    assert rows.startswith("change,ministry,asset,kind,subject,control,severity,before,after,reason,message\r\n")


def test_the_table_of_a_comparison(copy: Scanned, strict: Path) -> None:
    said = copy.ask("rejudge", "--compare", SHIPPED, strict)
    assert said.out.startswith(f"From {SHIPPED} to {strict} over run R-")
    assert "pass > fail" in said.out
    assert PORTAL in said.out.replace("\n", "") or "worse" in said.out
