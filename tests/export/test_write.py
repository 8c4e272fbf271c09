from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from jsonschema import Draft202012Validator

from posture.errors import StoreError, UsageError
from posture.export import Export, format_of, write_export
from posture.ledger.export import Verified, verify_export
from posture.schemas import schema
from tests.export.country import CLINIC, HOSTILE, country, export, sheet, span
from tests.store import SITE, World
from tests.store.keeping import tamper

MEMBERS = ["README.txt", "history.xlsx", "records.jsonl", "proof.json", "checkpoint.txt", "key.pub"]


def written(world: World, path: Path, *ministries: str, proof: bool = False, **chosen: Any) -> Path:
    with world.open(write=False) as store:
        write_export(export(span(store, *ministries, **chosen), proof=proof), path)
    return path


def verified(path: Path) -> Verified:
    with zipfile.ZipFile(path) as archive:
        return verify_export(*(archive.read(name) for name in MEMBERS[2:]))


def unpacked(path: Path) -> dict[str, bytes]:
    """Every member's bytes, those of a workbook within a bundle too."""
    if not zipfile.is_zipfile(path):
        return {path.name: path.read_bytes()}
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            found[name] = archive.read(name)
            if name.endswith(".xlsx"):
                with zipfile.ZipFile(io.BytesIO(found[name])) as inner:
                    found |= {f"{name}/{part}": inner.read(part) for part in inner.namelist()}
    return found


@pytest.mark.parametrize("name", ["e.csv", "e.xlsx", "e.jsonl", "e.zip"])
def test_the_same_history_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    world = country(tmp_path)

    proof = name.endswith("zip")
    assert written(world, tmp_path / name, proof=proof).read_bytes() == (
        written(world, tmp_path / f"again-{name}", proof=proof).read_bytes()
    )


@pytest.mark.parametrize("name", ["e.csv", "e.xlsx", "e.jsonl", "e.zip"])
def test_nothing_of_another_ministry_is_in_any_member(name: str, tmp_path: Path) -> None:
    world = country(tmp_path, "clinic-says-hello")
    parts = unpacked(written(world, tmp_path / name, "finance", proof=name.endswith("zip")))
    everything = unpacked(written(world, tmp_path / f"all-{name}", proof=name.endswith("zip")))

    for word in (b"health", b"Health", b"clinic", CLINIC.key.name.encode()):
        assert any(word in content for content in everything.values()) or word in (b"clinic", b"Health")
        for part, content in parts.items():
            assert word not in content, (part, word)


def test_no_count_in_a_workbook_speaks_of_another_ministry(tmp_path: Path) -> None:
    """The other ministry could be twice as large, and not a byte of this one's workbook would differ."""
    small, large = country(tmp_path), country(_folder(tmp_path, "large"), "other words")

    with small.open(write=False) as store:
        alone = sheet(written(small, tmp_path / "a.xlsx", "finance"), "summary")
        assert store.reader.runs()
    beside = sheet(written(large, tmp_path / "b.xlsx", "finance"), "summary")
    kept = ("Ledger", "Checkpoint", "Runs")  # names of runs and hashes, which are salted

    assert [row for row in alone if row["Subject"] not in kept and "Score" not in row["Subject"]] == [
        row for row in beside if row["Subject"] not in kept and "Score" not in row["Subject"]
    ]


def _folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def test_scanned_text_stays_text_in_a_workbook(tmp_path: Path) -> None:
    path = written(country(tmp_path, HOSTILE), tmp_path / "e.xlsx")
    book = openpyxl.load_workbook(path)
    cells = [cell for page in book for row in page.iter_rows() for cell in row if cell.value is not None]

    assert {cell.data_type for cell in cells} <= {"s", "n", "d"}
    assert not [cell for cell in cells if cell.hyperlink]
    texts = [cell.value for cell in cells if isinstance(cell.value, str)]
    said = [text for text in texts if "HYPERLINK" in text]
    assert said
    assert all("\\u{1b}" in text and "\\u{202e}" in text and "<b>&" in text for text in said)
    assert not [text for text in texts if text.lstrip().startswith(("=", "+", "@")) or not text.isprintable()]
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if "hyperlink" in name or "externalLink" in name]
        assert b"<f>" not in b"".join(archive.read(name) for name in archive.namelist())


def test_scanned_text_stays_text_in_csv(tmp_path: Path) -> None:
    content = written(country(tmp_path, HOSTILE), tmp_path / "e.csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content, newline="")))

    cells = [cell for row in rows for cell in row.values()]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@")) or not cell.isprintable()]


def test_a_workbook_has_its_sheets_frozen_filtered_and_dated(tmp_path: Path) -> None:
    path = written(country(tmp_path), tmp_path / "e.xlsx")
    book = openpyxl.load_workbook(path)

    assert book.sheetnames == [
        "summary", "nights", "findings", "drift", "authorisations", "exemptions", "rule changes", "method",
    ]  # fmt: skip
    assert {page.freeze_panes for page in book} == {"A3"}
    assert [page.title for page in book if page.auto_filter.ref] == ["nights", "findings", "drift", "rule changes"]
    assert all("TLP:AMBER+STRICT" in str(page.oddHeader and page.oddHeader.right.text) for page in book)
    first = sheet(path, "findings")[0]
    assert isinstance(first["From"], datetime)
    assert first["From"] == datetime(2026, 10, 31, 22, 0)  # 02:00 UTC by the clocks of Saint Lucia
    assert [row["What"] for row in sheet(path, "rule changes")][:2] == ["policy", "threshold t.strict"]
    summary = {row["Subject"]: row["Value"] for row in sheet(path, "summary")}
    assert (summary["Nights planned"], summary["Nights done"], summary["Nights missed"]) == (8, 6, 3)
    assert summary["Marking"] == "TLP:AMBER+STRICT"


def test_each_line_of_the_records_is_true_to_the_schema(tmp_path: Path) -> None:
    world = country(tmp_path, HOSTILE)
    lines = written(world, tmp_path / "e.jsonl").read_text("ascii").splitlines()
    validator = Draft202012Validator(json.loads(schema("export")))

    records = [json.loads(line) for line in lines]
    assert {record["kind"] for record in records} >= {"run", "facts", "miss", "finding", "closed", "event"}
    for record in records:
        assert not [fault.message for fault in validator.iter_errors(record)]
    assert list(validator.iter_errors(records[0] | {"kind": "other"}))


@pytest.mark.parametrize("ministries", [(), ("finance",), ("health",)])
@pytest.mark.parametrize(
    "chosen", [{}, {"since": "2026-11-02"}, {"until": "2026-11-05"}, {"since": "2026-11-02", "until": "2026-11-05"}]
)
def test_a_bundle_verifies(ministries: tuple[str, ...], chosen: dict[str, Any], tmp_path: Path) -> None:
    path = written(country(tmp_path), tmp_path / "e.zip", *ministries, proof=True, **chosen)
    found = verified(path)

    assert found.faults == []
    assert found.ministries == sorted(ministries or ("finance", "health"))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == MEMBERS
        assert archive.testzip() is None


def test_what_held_when_a_range_began_travels_with_it(tmp_path: Path) -> None:
    world = country(tmp_path)
    lines = written(world, tmp_path / "e.jsonl", "finance", since="2026-11-02").read_text("ascii").splitlines()
    records = [json.loads(line) for line in lines]
    runs = list(dict.fromkeys(record["run"] for record in records))
    earlier = [record for record in records if record["run"] in runs[:2]]

    held = [
        (one["asset"], one["outcome"]) for one in earlier if one["kind"] == "finding" and one["control"] == "t.cert"
    ]
    assert (SITE.name, "fail") in held
    assert (SITE.name, "pass") not in held  # it had ended before
    assert {one["kind"] for one in earlier} <= {"run", "facts", "miss", "finding"}


def test_a_changed_line_is_named(tmp_path: Path) -> None:
    path = written(country(tmp_path), tmp_path / "e.zip", "finance", proof=True)
    with zipfile.ZipFile(path) as archive:
        records, *rest = (archive.read(name) for name in MEMBERS[2:])

    faults = verify_export(records.replace(b'"outcome":"fail"', b'"outcome":"pass"', 1), *rest).faults
    assert "t.cert" in faults[0]
    assert SITE.name in faults[0]


def test_a_history_that_was_changed_is_not_proved_and_the_old_file_stays(tmp_path: Path) -> None:
    world = country(tmp_path)
    path = tmp_path / "e.zip"
    path.write_bytes(b"an older export")
    tamper(world.path, "DROP TRIGGER verdict_frozen", "UPDATE verdict SET said = said % 8 WHERE said / 8 = 2")

    with pytest.raises(StoreError, match="is not what the ledger signed"):
        written(world, path, proof=True)
    assert path.read_bytes() == b"an older export"
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix == ".part") == []


def test_a_file_that_is_there_is_replaced_by_a_whole_one(tmp_path: Path) -> None:
    world, path = country(tmp_path), tmp_path / "e.xlsx"
    path.write_bytes(b"an older export")
    path.chmod(0o600)

    written(world, path)

    assert sheet(path, "nights")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "proof", "words"),
    [("e.pdf", False, "ends in .csv, .xlsx, .jsonl or .zip"), ("e", False, "ends in"), ("e.xlsx", True, "--out e.zip")],
)
def test_an_ending_that_says_no_form_is_refused(name: str, proof: bool, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        format_of(Path(name), proof)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"since": "2027-01-01", "until": "2027-02-01"}, "no run began in that range"),
        ({"since": "2026-11-09", "until": "2026-11-01"}, "Exchange --since and --until"),
        ({"since": "yesterday"}, "is no date"),
    ],
)
def test_a_range_without_runs_is_refused(chosen: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        written(country(tmp_path), tmp_path / "e.csv", **chosen)


def test_an_unknown_ministry_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Choose from: finance, health"):
        written(country(tmp_path), tmp_path / "e.csv", "treasury")


def test_evidence_that_was_dropped_is_told(tmp_path: Path) -> None:
    world = country(tmp_path)
    with world.open(write=True) as store, store.writing() as connection:
        connection.execute("UPDATE blob SET data = x'' WHERE id = (SELECT min(blob_id) FROM facts)")
    path = written(world, tmp_path / "e.xlsx", "finance")

    summary = {row["Subject"]: row["Value"] for row in sheet(path, "summary")}
    method = {row["Subject"]: row["What to know"] for row in sheet(path, "method")}
    assert summary["Evidence dropped"] == 2  # the same answer, twice
    assert "The evidence of 2 answers" in method["What is no longer here"]


def test_progress_is_told(tmp_path: Path) -> None:
    heard: list[str] = []
    with country(tmp_path).open(write=False) as store:
        wanted = Export(span(store), None, "TLP:RED", True, lambda part, count: heard.append(part))
        write_export(wanted, tmp_path / "e.zip")

    assert heard == ["proof"]
