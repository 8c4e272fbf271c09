"""findings --at and --ages, scorecard --at, explain score, on a practice range that really was scanned."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from posture.store import stamp
from tests.cli.conftest import Scanned
from tests.cli.line import Said, valid

PORTAL, RECORDS = "portal.finance.gov.example", "records.health.gov.example"


@pytest.fixture(scope="session")
def past(scanned: Scanned, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """The same history, as if its three runs had been made on three days of last week."""
    folder = tmp_path_factory.mktemp("past")
    for name in ("inventory.toml", "posture.toml", "health.csv"):
        shutil.copy(scanned.folder / name, folder)
    with closing(sqlite3.connect(scanned.db)) as source, closing(sqlite3.connect(folder / "posture.db")) as copy:
        source.backup(copy)
        for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            copy.execute(f"DROP TRIGGER {name}")
        first = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)
        runs = copy.execute("SELECT id FROM run ORDER BY id").fetchall()
        for day, (number,) in enumerate(runs):
            begun = first + timedelta(days=day)
            times = (stamp(begun), stamp(begun + timedelta(minutes=1)), number)
            copy.execute("UPDATE run SET started_at = ?, ended_at = ? WHERE id = ?", times)
        copy.commit()
    return replace(scanned, folder=folder)


@pytest.fixture
def ends(past: Scanned) -> list[str]:
    """When the three runs ended, oldest first."""
    return [run["ended_at"] for run in reversed(past.ask("runs", "--format", "json").document["runs"])]


def test_findings_as_they_were_known_then(past: Scanned, ends: list[str]) -> None:
    def outcomes(*words: str) -> set[str]:
        said = past.ask("findings", "--control", "svc.db.unauth", "--asset", RECORDS, "--format", "json", *words)
        return {row["outcome"] for row in said.document["findings"]}

    assert outcomes("--at", ends[0]) == {"fail"}
    assert outcomes("--at", ends[1]) == outcomes("--at", ends[2]) == outcomes() == {"pass"}
    assert past.ask("findings", "--ministry", "health", "--at", ends[0], "--fail-on", "critical").code == 1
    assert past.ask("findings", "--ministry", "health", "--at", ends[1], "--fail-on", "critical").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--at", "nosuch"), "is no date"),
        (("--at", "2019-01-01"), "no run had ended by 2019-01-01"),
        (("--at", "2199-01-01", "--run", "latest"), "Give one of them"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize(
    "command", [("findings",), ("findings", "--ages"), ("scorecard",), ("explain", "score")], ids=" ".join
)
def test_a_time_that_cannot_be_shown_is_2(
    command: tuple[str, ...], words: tuple[str, ...], said: str, past: Scanned, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "site") if command == ("scorecard",) else ()
    told = past.ask(*command, *out, *words)

    assert (told.code, told.out) == (2, "")
    assert said in told.err
    assert not (tmp_path / "site").exists()


def test_the_scorecard_as_it_was_known_then(past: Scanned, ends: list[str], tmp_path: Path) -> None:
    def card(name: str, *words: str) -> dict[str, Any]:
        told = past.ask("scorecard", "--out", tmp_path / name, "--format", "json", *words)
        assert told.code == 0
        found: dict[str, Any] = json.loads(Path(told.out.rstrip("\n")).read_text("utf-8"))
        valid(found)
        return found

    first, second, today = card("a", "--at", ends[0]), card("b", "--at", ends[1]), card("c")
    assert (first["as_of"], second["as_of"], today["as_of"]) == (ends[0], ends[1], None)
    assert first["events"] == []
    assert {event["control"] for event in second["events"] if event["kind"] == "fixed"} >= {"svc.db.unauth"}
    health = [next(m for m in one["ministries"] if m["ministry"] == "health") for one in (first, second)]
    assert health[1]["before"]["score"] == health[0]["score"]["score"] < health[1]["score"]["score"]


def test_the_ages_of_open_findings(past: Scanned) -> None:
    found = past.ask("findings", "--ages", "--format", "json").document
    table = past.ask("findings", "--ages", "--ministry", "finance").out
    sheet = list(csv.DictReader(io.StringIO(past.ask("findings", "--ages", "--format", "csv").out, newline="")))
    open_rows = past.ask("findings", "--outcome", "fail,warn", "--format", "json").document["findings"]

    assert {row["ministry"] for row in found["ages"]} == {"finance", "health"}
    assert sum(row["open"] for row in found["ages"]) == len(found["findings"]) == len(open_rows) == len(sheet)
    ages = {(row["asset"], row["control"]): row["days_open"] for row in found["findings"]}
    assert ages[PORTAL, "svc.mgmt.telnet"] == 6
    assert max(ages.values()) == 7
    assert all(word in table for word in ("DAYS OPEN", "MEDIAN DAYS", "OLDEST", "REOPENED"))
    assert RECORDS not in table
    assert past.ask("findings", "--ages", "--fail-on", "critical").code == 1


def test_the_lines_of_a_score_add_up_to_the_scorecards(past: Scanned, tmp_path: Path) -> None:
    told = past.ask("scorecard", "--out", tmp_path, "--format", "json")
    card = json.loads(Path(told.out.rstrip("\n")).read_text("utf-8"))

    def points(*words: str) -> tuple[float, float]:
        found = past.ask("explain", "score", *words, "--format", "json").document
        return round(sum(line["points"] for line in found["lines"]), 3), found["score"]

    for one in card["ministries"]:
        assert points("--ministry", one["ministry"]) == (one["score"]["score"],) * 2
    assert points() == (card["score"]["score"],) * 2


def test_a_score_explained_as_it_was_known_then_and_as_a_run_saw_it(past: Scanned, ends: list[str]) -> None:
    def score(*words: str) -> float:
        found: float = past.ask("explain", "score", "--ministry", "health", "--format", "json", *words).document[
            "score"
        ]
        return found

    first = past.ask("runs", "--format", "json").document["runs"][-1]["id"]
    assert score("--at", ends[0]) == score("--run", first) < score("--at", ends[1]) == score()


def test_a_score_explained_to_a_reader(past: Scanned) -> None:
    said = past.ask("explain", "score", "--ministry", "finance")

    assert said.code == 0
    assert said.out.startswith("Ministry of Finance: ")
    assert " critical" in said.out
    assert "svc.mgmt.telnet on portal.finance.gov.example" in " ".join(said.out.split())


def refused(said: Said) -> str:
    assert (said.code, said.out) == (2, "")
    return said.err


def test_what_is_open_of_a_control_on_an_asset_and_how_to_see_it(past: Scanned) -> None:
    said = past.ask("explain", "tls.protocol.legacy", "--asset", "tax.finance.gov.example")
    first, line, shows = said.out.splitlines()[:3]
    assert "fail: The server accepts TLS 1.0" in first
    assert line.startswith("  openssl s_client -connect 127.0.")
    assert " -servername tax.finance.gov.example -tls1 " in line
    assert shows == "  It shows: New, TLSv1"
    nothing = past.ask("explain", "tls.protocol.legacy", "--asset", "portal.finance.gov.example")
    assert nothing.out == "Nothing is open of tls.protocol.legacy on portal.finance.gov.example.\n"
    assert "Choose from" in refused(past.ask("explain", "tls.protocol.legacy", "--asset", "nosuch"))
    assert "about a control" in refused(past.ask("explain", "score", "--asset", "tax.finance.gov.example"))


def test_what_explain_does_not_explain(past: Scanned) -> None:
    assert "Choose from: finance, health" in refused(past.ask("explain", "score", "--ministry", "nosuch"))
    assert "no format" in refused(past.ask("explain", "score", "--format", "nosuch"))
    wrong = refused(past.ask("explain", "tls.cert.trust", "--ministry", "finance"))
    assert "posture explain score --ministry" in wrong
    assert "Leave --format out" in refused(past.ask("explain", "tls.cert.trust", "--format", "csv"))
