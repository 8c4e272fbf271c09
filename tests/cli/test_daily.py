"""plan, scan, runs, findings, drift and scorecard on a practice range that really was scanned."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from posture.model import Severity
from tests.cli.conftest import TWO, Scanned
from tests.cli.line import posture, process, valid

PORTAL, RECORDS = "portal.finance.gov.example", "records.health.gov.example"
RUN_ID = re.compile(r"R-\d{8}T\d{6}Z-[0-9a-f]{4}")


def test_plan_as_json_and_table(scanned: Scanned, tmp_path: Path) -> None:
    told = posture("plan", scanned.inventory, "--lab", *TWO, "--format", "json")
    said = posture("plan", scanned.inventory, "--lab", *TWO)
    tasks = told.document["tasks"]

    assert told.code == said.code == 0
    assert {task["asset"] for task in tasks} == {PORTAL, RECORDS}
    assert {task["authorisation"] for task in tasks} == {"zz-finance-01", "zz-health-01"}
    assert ("127.0.20.11", 443) in {(task["address"], task["port"]) for task in tasks}
    assert all(word in said.out for word in (PORTAL, "127.0.20.24", "zz-health-01"))


def test_plan_refuses_lab_addresses_without_the_flag_and_is_0(scanned: Scanned) -> None:
    said = posture("plan", scanned.inventory, "--asset", PORTAL, "--format", "json")
    refused = said.document["refusals"]

    assert said.code == 0
    assert refused
    assert all(re.fullmatch(r"E-SCOPE-0\d\d", refusal["code"]) and refusal["text"] for refusal in refused)


@pytest.mark.parametrize(
    "selector",
    [("--ministry", "nosuch"), ("--asset", "nosuch.gov.example"), ("--check", "nosuch"), ("--control", "no*")],
)
@pytest.mark.parametrize("command", ["plan", "scan"])
def test_a_selector_that_matches_nothing_is_2(command: str, selector: tuple[str, str], scanned: Scanned) -> None:
    said = posture(command, scanned.inventory, "--lab", *selector, "--db", "unmade.db")

    assert (said.code, said.out) == (2, "")
    assert not Path("unmade.db").exists()


def test_scan_ends_with_what_to_do(scanned: Scanned) -> None:
    assert scanned.first.code == 1  # --fail-on critical, and a data store obeys anybody
    assert scanned.second.code == scanned.finance.code == 0
    assert RUN_ID.match(scanned.second.out)
    assert "2 got worse, 2 fixed" in scanned.second.out
    assert re.search(
        r"^  1\. critical finance: portal\.finance\.gov\.example  svc\.mgmt\.telnet$", scanned.second.out, re.MULTILINE
    )
    # Typed from another folder it finds the same history.
    assert scanned.second.out.splitlines()[-1] == f"Next: posture --config {scanned.config} scorecard --out site"


def test_scan_sends_nothing_without_an_authorisation_in_force(scanned: Scanned, tmp_path: Path) -> None:
    ended = tmp_path / "inventory.toml"
    text = re.sub(r"not_(before|after) = \d{4}", r"not_\1 = 2019", scanned.inventory.read_text("utf-8"))
    ended.write_text(text, "utf-8")
    shutil.copy(scanned.folder / "health.csv", tmp_path)
    said = posture("scan", ended, "--lab", "--config", scanned.config, "--db", "unmade.db")

    assert posture("inventory", "check", ended).code == 0
    assert (said.code, said.out) == (4, "")
    assert "nothing was sent" in said.err


def test_scan_into_an_unwritable_database_is_5(scanned: Scanned, tmp_path: Path) -> None:
    said = posture("scan", scanned.inventory, "--lab", *TWO, "--db", tmp_path / "no" / "such" / "folder.db")

    assert (said.code, said.out) == (5, "")
    assert "folder.db" in said.err
    assert "report it" not in said.err


def test_scan_into_something_else_is_2(scanned: Scanned, tmp_path: Path) -> None:
    other = tmp_path / "letter.db"
    other.write_text("Dear Permanent Secretary, " * 100, "utf-8")

    assert posture("scan", scanned.inventory, "--lab", *TWO, "--db", other).code == 2
    assert other.read_text("utf-8").startswith("Dear")


def test_runs_in_every_format(scanned: Scanned) -> None:
    document = scanned.ask("runs", "--format", "json").document
    ids = [run["id"] for run in document["runs"]]

    assert len(ids) == 3
    assert all(RUN_ID.fullmatch(each) for each in ids)
    assert [run["id"] for run in scanned.ask("runs", "--format", "jsonl").records] == ids
    assert [row["id"] for row in csv.DictReader(io.StringIO(scanned.ask("runs", "--format", "csv").out))] == ids
    assert [line.split()[0] for line in scanned.ask("runs").out.splitlines()[1:]] == ids


def test_findings_in_every_format(scanned: Scanned) -> None:
    rows = scanned.ask("findings", "--format", "json").document["findings"]
    lines = scanned.ask("findings", "--format", "jsonl").records
    sheet = list(csv.DictReader(io.StringIO(scanned.ask("findings", "--format", "csv").out, newline="")))

    assert lines == rows
    assert len(sheet) == len(rows)
    assert list(sheet[0]) == list(rows[0])
    assert [row["control"] for row in sheet] == [row["control"] for row in rows]


def test_the_table_counts_what_it_hides_and_all_lists_everything(scanned: Scanned) -> None:
    rows = scanned.ask("findings", "--asset", PORTAL, "--format", "json").document["findings"]
    shown = scanned.ask("findings", "--asset", PORTAL).out
    everything = scanned.ask("findings", "--asset", PORTAL, "--outcome", "all").out
    passed = sum(row["outcome"] == "pass" for row in rows)

    assert passed
    assert f"{passed} passed" in shown
    assert "--outcome all" in shown
    assert "tls.protocol.legacy" not in shown
    assert "--outcome all" not in everything
    assert all(row["control"] in everything for row in rows)


def test_findings_selectors(scanned: Scanned) -> None:
    def rows(*words: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = scanned.ask("findings", *words, "--format", "json").document["findings"]
        assert found
        return found

    assert {row["ministry"] for row in rows("--ministry", "health")} == {"health"}
    assert {row["asset"] for row in rows("--asset", f"{PORTAL.upper()}.")} == {PORTAL}
    assert all(row["control"].startswith("mail.") for row in rows("--check", "email"))
    assert rows("--check", "mail") == rows("--check", "email")
    assert rows("--check", "svc") == rows("--check", "services")
    assert {row["control"] for row in rows("--control", "tls.cert.*")} >= {"tls.cert.trust", "tls.cert.expiry"}
    assert {row["outcome"] for row in rows("--outcome", "fail,warn")} == {"fail", "warn"}
    assert all(Severity(row["severity"]).rank >= Severity.HIGH.rank for row in rows("--severity", "high"))


def test_findings_of_one_run(scanned: Scanned) -> None:
    newest, middle, oldest = (run["id"] for run in scanned.ask("runs", "--format", "json").document["runs"])
    store = ("findings", "--control", "svc.db.unauth", "--asset", RECORDS, "--format", "json")

    def outcome(run: str) -> set[str]:
        return {row["outcome"] for row in scanned.ask(*store, "--run", run).document["findings"]}

    assert outcome(oldest) == {"fail"}
    assert outcome(middle) == outcome("previous") == {"pass"}
    assert {
        row["ministry"] for row in scanned.ask("findings", "--run", "latest", "--format", "json").document["findings"]
    } == {"finance"}
    assert scanned.ask("findings", "--run", newest).code == 0
    assert scanned.ask("findings", "--run", newest[:4]).code == 2  # not unique


@pytest.mark.parametrize(
    "selector",
    [
        ("--ministry", "nosuch"),
        ("--asset", "nosuch.test"),
        ("--check", "nosuch"),
        ("--control", "nosuch.*"),
        ("--severity", "nosuch"),
        ("--outcome", "nosuch"),
        ("--run", "nosuch"),
        ("--since", "nosuch"),
        ("--until", "2026-13-01"),
        ("--format", "nosuch"),
    ],
    ids=" ".join,
)
def test_a_bad_selector_of_findings_is_2(selector: tuple[str, str], scanned: Scanned) -> None:
    said = scanned.ask("findings", *selector)

    assert (said.code, said.out) == (2, "")
    assert "posture: " in said.err


def test_fail_on(scanned: Scanned) -> None:
    assert scanned.ask("findings", "--fail-on", "critical").code == 1
    assert scanned.ask("findings", "--ministry", "health", "--fail-on", "critical").code == 0  # mended meanwhile
    assert scanned.ask("findings", "--fail-on", "none").code == 0


def test_drift_between_the_first_two_scans(scanned: Scanned) -> None:
    _, middle, oldest = (run["id"] for run in scanned.ask("runs", "--format", "json").document["runs"])
    between = ("drift", "--from", oldest, "--to", middle)
    document = scanned.ask(*between, "--format", "json").document
    worse = {(e["asset"], e["control"]) for e in document["events"] if e["kind"] in ("new", "regressed")}
    fixed = {(e["asset"], e["control"]) for e in document["events"] if e["kind"] == "fixed"}

    assert (document["from"]["id"], document["to"]["id"]) == (oldest, middle)
    assert worse == {(PORTAL, "svc.mgmt.telnet"), (PORTAL, "svc.baseline")}
    assert fixed == {(RECORDS, "svc.db.unauth"), (RECORDS, "svc.baseline")}
    assert scanned.ask(*between, "--format", "jsonl").records == document["events"]
    assert (
        len(list(csv.reader(io.StringIO(scanned.ask(*between, "--format", "csv").out)))) == len(document["events"]) + 1
    )
    assert "svc.mgmt.telnet" in scanned.ask(*between).out
    assert scanned.ask(*between, "--fail-on", "critical").code == 1
    assert scanned.ask(*between, "--ministry", "health", "--fail-on", "low").code == 0
    assert scanned.ask("drift", "--from", middle, "--to", oldest).code == 2


def test_a_table_of_drift_lists_what_changed_and_kind_chooses(scanned: Scanned) -> None:
    _, middle, oldest = (run["id"] for run in scanned.ask("runs", "--format", "json").document["runs"])
    between = ("drift", "--from", oldest, "--to", middle)
    everything = scanned.ask(*between, "--format", "jsonl").records
    kinds = {event["kind"] for event in everything}
    table, whole = scanned.ask(*between).out, scanned.ask(*between, "--kind", "all").out

    assert "persisting" in kinds
    assert "\npersisting " in whole
    assert "\npersisting " not in table
    assert table.endswith("What persists and what could not be seen is not listed: --kind all\n")
    for chosen in ("fixed", "new,fixed", "persisting"):
        told = scanned.ask(*between, "--kind", chosen, "--format", "jsonl").records
        assert told == [event for event in everything if event["kind"] in chosen.split(",")]
    assert scanned.ask(*between, "--kind", "fixed", "--format", "csv").code == 0


@pytest.mark.parametrize(
    "words",
    [("--from", "nosuch"), ("--ministry", "nosuch"), ("--format", "nosuch"), ("--kind", "nosuch")],
    ids=" ".join,
)
def test_a_bad_selector_of_drift_is_2(words: tuple[str, str], scanned: Scanned) -> None:
    assert scanned.ask("drift", *words).code == 2


def test_scorecard_is_a_site_and_says_where(scanned: Scanned, tmp_path: Path) -> None:
    said = scanned.ask("scorecard", "--out", tmp_path / "site")
    page = Path(said.out.rstrip("\n"))
    pages = list((tmp_path / "site").rglob("*.html"))

    assert said.code == 0
    assert page in pages
    assert all("TLP:AMBER+STRICT" in each.read_text("utf-8") for each in pages)


def test_without_an_inventory_the_scorecard_is_of_what_the_history_knows(
    scanned: Scanned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = posture("--db", scanned.db, "scorecard", "--out", tmp_path / "site", "--single-file")
    (page,) = (tmp_path / "site").rglob("*.html")

    assert said.code == 0
    assert {"Ministry of Finance", "Ministry of Health"} <= set(
        re.findall("Ministry of [A-Z][a-z]+", page.read_text("utf-8"))
    )
    assert "portal.finance.gov.example" in page.read_text("utf-8")


def test_scorecard_of_one_ministry_names_no_other(scanned: Scanned, tmp_path: Path) -> None:
    said = scanned.ask("scorecard", "--out", tmp_path, "--ministry", "finance", "--single-file", "--tlp", "green")
    (page,) = tmp_path.rglob("*.html")
    text = page.read_text("utf-8")

    assert said.code == 0
    assert "TLP:GREEN" in text
    assert "TLP:AMBER" not in text
    assert "Ministry of Finance" in text
    assert "health" not in text.lower()


def test_scorecard_as_json_and_markdown(scanned: Scanned, tmp_path: Path) -> None:
    told = scanned.ask("scorecard", "--out", tmp_path, "--format", "json")
    said = scanned.ask("scorecard", "--out", tmp_path, "--format", "md", "--ministry", "health")

    assert told.code == said.code == 0
    valid(json.loads(Path(told.out.rstrip("\n")).read_text("utf-8")))
    assert "Ministry of Health" in Path(said.out.rstrip("\n")).read_text("utf-8")
    assert "finance" not in Path(said.out.rstrip("\n")).read_text("utf-8").lower()


@pytest.mark.parametrize(
    "words", [("--ministry", "nosuch"), ("--tlp", "PINK"), ("--format", "docx"), ("--run", "nosuch")], ids=" ".join
)
def test_a_bad_option_of_scorecard_is_2_and_writes_nothing(
    words: tuple[str, str], scanned: Scanned, tmp_path: Path
) -> None:
    assert scanned.ask("scorecard", "--out", tmp_path / "site", *words).code == 2
    assert not (tmp_path / "site").exists()


def test_the_console_script_reads_the_same(scanned: Scanned, tmp_path: Path) -> None:
    alone = process("findings", "--format", "json", "--db", scanned.db, cwd=tmp_path)

    assert (alone.code, alone.err) == (0, "")
    assert alone.document == scanned.ask("findings", "--format", "json").document


def test_progress_and_remarks_stay_off_standard_output(scanned: Scanned) -> None:
    for said in (scanned.first, scanned.second, scanned.finance):
        assert "questions" not in said.out
        assert "\x1b" not in said.out + said.err
