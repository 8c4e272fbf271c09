"""``posture export`` and ``posture inventory export|import`` on a real history."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from posture.schemas import schema
from tests.cli.conftest import Scanned
from tests.cli.line import posture, process


@pytest.mark.parametrize("name", ["e.csv", "e.xlsx", "e.jsonl", "e.zip"])
def test_a_file_of_each_form(name: str, scanned: Scanned, tmp_path: Path) -> None:
    said = scanned.ask("export", "--ministry", "finance", "--out", tmp_path / name)

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{tmp_path / name}: 3 runs of finance, ")
    assert (tmp_path / name).stat().st_size > 1000
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_an_export_with_proof_verifies_elsewhere(scanned: Scanned, elsewhere: Path) -> None:
    said = scanned.ask("export", "--ministry", "finance", "--out", "finance.zip", "--proof")
    checked = posture("verify", "finance.zip")

    assert (said.code, said.err) == (0, "Next: posture verify finance.zip\n")
    assert checked.code == 0, checked.out + checked.err
    assert "ministries   finance" in checked.out
    assert [one.name for one in elsewhere.iterdir()] == ["finance.zip"]


def test_a_line_that_was_changed_is_found_elsewhere(scanned: Scanned, elsewhere: Path) -> None:
    scanned.ask("export", "--ministry", "health", "--out", "health.zip", "--proof")
    with zipfile.ZipFile("health.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["records.jsonl"] = members["records.jsonl"].replace(b'"outcome":"fail"', b'"outcome":"pass"', 1)
    with zipfile.ZipFile("health.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)

    checked = posture("verify", "health.zip")
    assert checked.code == 1
    assert "is not what was signed" in checked.out


def test_the_letters_say_what_the_inventory_says_of_them(scanned: Scanned, tmp_path: Path) -> None:
    from tests.export.country import sheet

    scanned.ask("export", "--ministry", "finance", "--out", tmp_path / "e.xlsx")

    (letter,) = sheet(tmp_path / "e.xlsx", "authorisations")
    assert letter["Authorisation"] == "zz-finance-01"
    assert letter["Reference"] == "Letter MOF/ICT/41"
    assert letter["Given by"] == "Ministry of Finance"


def test_stdout_carries_data_only(scanned: Scanned, elsewhere: Path) -> None:
    rows = scanned.ask("export", "--out", "-", "--format", "csv")
    records = scanned.ask("export", "--out", "-", "--format", "jsonl")

    assert (rows.code, rows.err, records.code, records.err) == (0, "", 0, "")
    assert len(list(csv.DictReader(io.StringIO(rows.out, newline="")))) > 20
    validator = Draft202012Validator(json.loads(schema("export")))
    assert all(validator.is_valid(record) for record in records.records)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "e.xlsx", "--proof"), "Write --out e.zip"),
        (("--out", "-", "--proof", "--format", "csv"), "Write --out FILE.zip"),
        (("--out", "-"), "--format csv or --format jsonl"),
        (("--out", "-", "--format", "zip"), "--format csv or --format jsonl"),
        (("--out", "e.pdf"), "ends in .csv, .xlsx, .jsonl or .zip"),
        (("--out", "e.csv", "--format", "jsonl"), "Leave --format out"),
        (("--out", "e.csv", "--ministry", "nosuch"), "Choose from: finance, health"),
        (("--out", "e.csv", "--since", "2000-01-01", "--until", "2000-02-01"), "no run began in that range"),
        (("--out", "e.csv", "--since", "soon"), "is no date"),
        (("--out", "e.csv", "--tlp", "PINK"), "no TLP level"),
        (("--out", "gone/e.csv"), "no folder gone"),
        (("--out", ".csv"), "ends in"),
    ],
    ids=str,
)
def test_a_bad_option_is_2_and_leaves_nothing(
    words: tuple[str, ...], said: str, scanned: Scanned, elsewhere: Path
) -> None:
    answer = scanned.ask("export", *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert list(elsewhere.iterdir()) == []


def test_without_a_history_it_is_2(elsewhere: Path) -> None:
    assert posture("export", "--out", "e.csv").code == 2
    assert list(elsewhere.iterdir()) == []


def test_in_a_process_of_its_own(scanned: Scanned, elsewhere: Path) -> None:
    """Its standard output is bytes of a real pipe: no newline is turned into another."""
    said = process("--config", scanned.config, "export", "--out", "-", "--format", "jsonl", cwd=elsewhere)

    assert (said.code, said.err) == (0, "")
    assert all(isinstance(record, dict) for record in said.records)


def test_an_inventory_goes_out_and_in(scanned: Scanned, elsewhere: Path) -> None:
    out = posture("inventory", "export", scanned.inventory, "--out", "assets.xlsx")
    again = posture("inventory", "export", scanned.inventory, "--out", "assets.xlsx")
    back = posture("inventory", "import", "assets.xlsx", "--into", scanned.inventory)

    assert (out.code, out.out) == (0, "wrote assets.xlsx\n")
    assert again.code == 2
    assert "add --force" in again.err
    assert (back.code, back.out.splitlines()[0][:35]) == (0, "0 added, 0 changed, 0 missing (kept")
    assert posture("inventory", "export", scanned.inventory, "--out", "assets.xlsx", "--force").code == 0


def test_an_inventory_as_one_file_is_the_same_inventory(scanned: Scanned, elsewhere: Path) -> None:
    said = posture("inventory", "export", scanned.inventory, "--out", "whole.toml")

    assert (said.code, "beside the inventory" in said.err) == (0, True)
    first, second = posture("inventory", "check", scanned.inventory), posture("inventory", "check", "whole.toml")
    assert first.out.partition(": ")[2] == second.out.partition(": ")[2]


def test_an_inventory_is_never_its_own_export(scanned: Scanned) -> None:
    before = scanned.inventory.read_bytes()
    said = posture("inventory", "export", scanned.inventory, "--out", scanned.inventory, "--force")

    assert said.code == 2
    assert scanned.inventory.read_bytes() == before


def test_an_inventory_on_stdout(scanned: Scanned) -> None:
    said = posture("inventory", "export", scanned.inventory, "--ministry", "health")
    rows = list(csv.DictReader(io.StringIO(said.out, newline="")))

    assert {row["ministry"] for row in rows} == {"health"}
