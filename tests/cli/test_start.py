"""init, inventory check and import, range up, and the ways in which a demo refuses."""

from __future__ import annotations

import signal
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.cli.line import PATIENCE, posture, script, valid

OWN = ("--name", "finance.gov.example", "--contact", "soc@cert.lc", "--basis", "own")
BROKEN = """\
format = "posture-inventory/1"

[state]
code = "Saint Lucia"
name = "Saint Lucia"
timezone = "America/Nowhere"

[operator]
name = "CERT-LC"
contact = "soc@cert.lc"
colour = "blue"
"""
SHEET = (
    "ministry,name,kind\nfinance,https://www.finance.gov.example/pay?x=1,host\nfinance,tax.finance.gov.example,host\n"
)


def started(folder: Path) -> Path:
    assert posture("init", folder, *OWN, "--owner", "Ministry of Finance").code == 0
    return folder / "inventory.toml"


def test_init_own_is_ready_to_scan(tmp_path: Path) -> None:
    said = posture("init", tmp_path / "own", *OWN, "--name", "tax.gov.example", "--state", "lc")
    inventory = tmp_path / "own" / "inventory.toml"
    written = tomllib.loads(inventory.read_text("utf-8"))
    (own,) = written["authorisation"]

    assert said.code == 0
    assert {path.name for path in (tmp_path / "own").iterdir()} == {
        "inventory.toml",
        "posture.toml",
        "consent-letter.md",
    }
    assert own["zones"] == ["finance.gov.example", "tax.gov.example"]
    assert (own["classes"], own["networks"], own["hosted_classes"]) == (["passive", "client"], [], ["client"])
    assert all((entry["kind"], entry["roles"]) == ("zone", ["web"]) for entry in written["ministry"][0]["asset"])
    assert (written["state"]["code"], written["state"]["timezone"]) == ("LC", "America/St_Lucia")
    checked = posture("inventory", "check", inventory)
    assert (checked.code, checked.err) == (0, "")
    assert "2 assets (2 zone), 1 authorisation" in checked.out


@pytest.mark.parametrize("missing", [OWN[:2], OWN[2:4], ()], ids=["contact", "name", "both"])
def test_init_own_needs_a_name_and_a_contact(missing: tuple[str, ...], elsewhere: Path) -> None:
    said = posture("init", "own", "--basis", "own", *missing)

    assert (said.code, said.out) == (2, "")
    assert list(elsewhere.iterdir()) == []


def test_init_for_others_writes_the_letter_and_checks(tmp_path: Path) -> None:
    said = posture("init", tmp_path / "lc", "--name", "finance.gov.example", "--owner", "Ministry of Finance")

    assert said.code == 0
    assert "letter signed" in said.out
    assert "Ministry of Finance" in (tmp_path / "lc" / "consent-letter.md").read_text("utf-8")
    checked = posture("inventory", "check", tmp_path / "lc" / "inventory.toml")
    assert checked.code == 0
    assert "warning: " in checked.err


def test_init_never_overwrites(tmp_path: Path) -> None:
    before = started(tmp_path / "own").read_bytes()

    assert posture("init", tmp_path / "own", *OWN).code == 2
    assert (tmp_path / "own" / "inventory.toml").read_bytes() == before


def test_inventory_check_lists_all_errors_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(BROKEN, "utf-8")
    said = posture("inventory", "check", path)
    told = posture("inventory", "check", path, "--format", "json")

    assert (said.code, said.out) == (told.code, told.err) == (2, "")
    assert all(f"{path}:{line}: " in said.err for line in (4, 6, 11))
    errors = told.document["errors"]
    assert {("state.code", 4), ("state.timezone", 6), ("operator.colour", 11)} <= {
        (error["field"], error["line"]) for error in errors
    }
    assert all(error["file"] == str(path) and error["next"] for error in errors)


def test_inventory_check_as_json_without_errors(tmp_path: Path) -> None:
    said = posture("inventory", "check", started(tmp_path), "--format", "json")

    assert said.code == 0
    assert said.document["errors"] == []


def test_inventory_check_takes_no_other_format(tmp_path: Path) -> None:
    assert posture("inventory", "check", started(tmp_path), "--format", "csv").code == 2


def test_inventory_check_looks_where_the_configuration_says(elsewhere: Path) -> None:
    started(elsewhere / "own")
    (elsewhere / "posture.toml").write_text('inventory = "own/inventory.toml"\n', "utf-8")

    assert posture("inventory", "check").code == 0


def test_inventory_import_adds_then_updates(tmp_path: Path) -> None:
    inventory, sheet = started(tmp_path / "own"), tmp_path / "sites.csv"
    sheet.write_text(SHEET, "utf-8")
    first = posture("inventory", "import", sheet, "--into", inventory)
    again = posture("inventory", "import", sheet, "--into", inventory)

    assert (first.code, again.code) == (0, 0)
    assert "www.finance.gov.example" in first.out
    assert "3 assets (2 host, 1 zone)" in posture("inventory", "check", inventory).out
    assert "2 added" in first.out
    assert "0 added" in again.out


def test_inventory_import_is_all_rows_or_none(tmp_path: Path) -> None:
    inventory, sheet = started(tmp_path / "own"), tmp_path / "sites.csv"
    before = {path.name: path.read_bytes() for path in inventory.parent.iterdir()}
    sheet.write_text(f"{SHEET}finance,-oN x,host\nfinance,a\x1b[31mb,host\nfinance,ok.gov.example,moon\n", "utf-8")
    said = posture("inventory", "import", sheet, "--into", inventory)

    assert (said.code, said.out) == (2, "")
    assert all(f"{sheet}:{line}: " in said.err for line in (4, 5, 6))
    assert "\x1b" not in said.err
    assert {path.name: path.read_bytes() for path in inventory.parent.iterdir()} == before


def test_inventory_import_reads_standard_input_and_names_a_ministry_that_it_made(tmp_path: Path) -> None:
    inventory = started(tmp_path / "own")
    done = subprocess.run(
        [script(), "inventory", "import", "-", "--into", str(inventory)],
        input="ministry,name\nnewone,www.newone.gov.example\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "new ministry newone" in done.stdout
    assert "www.newone.gov.example" in (inventory.parent / "newone.csv").read_text("utf-8")


@pytest.mark.parametrize("words", [["nosuch.csv"], ["sites.csv", "--map", "nonsense"]], ids=" ".join)
def test_inventory_import_refuses(words: list[str], elsewhere: Path) -> None:
    (elsewhere / "sites.csv").write_text(SHEET, "utf-8")

    assert posture("inventory", "import", *words, "--into", started(elsewhere / "own")).code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_range_up_says_ready_and_ends_when_told(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [script(), "range", "up", "--lesson", "1", "--out", "range"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        ready, _, path = child.stdout.readline().rstrip("\n").partition(" ")
        checked = posture("inventory", "check", path)
        child.send_signal(number)
        out, err = child.communicate(timeout=PATIENCE)

    assert (ready, path) == ("READY", str(tmp_path / "range" / "inventory.toml"))
    assert checked.code == 0
    assert child.returncode == 0
    assert out == ""
    assert "posture scan" in err
    assert "Traceback" not in err
    assert {"posture.toml", "ca.pem", "root-anchor.txt", "LESSON.md"} <= {
        path.name for path in (tmp_path / "range").iterdir()
    }


def test_demo_leaves_a_foreign_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "budget.xls").write_text("ours", "utf-8")
    said = posture("demo", "--out", tmp_path)

    assert (said.code, said.out) == (2, "")
    assert "--out" in said.err
    assert (tmp_path / "budget.xls").read_text("utf-8") == "ours"


def test_demo_into_a_file_is_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("ours", "utf-8")

    assert posture("demo", "--out", tmp_path / "file").code == 2


def test_demo_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("ours", "utf-8")
    said = posture("demo", "--out", tmp_path / "file" / "below")

    assert (said.code, said.out) == (5, "")
    assert "cannot be written" in said.err


def test_errors_of_an_inventory_are_a_valid_document(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("format = \n", "utf-8")

    for command in (["inventory", "check"], ["plan"]):
        said = posture(*command, path, "--format", "json")
        assert said.code == 2
        valid(said.document)
