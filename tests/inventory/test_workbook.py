"""Workbooks as people make them, and as somebody makes them who means harm."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from posture.errors import InventoryError, UsageError
from posture.inventory import load_inventory, workbook
from posture.inventory.records import Asset, Port
from posture.inventory.sheet import ImportReport, import_sheet
from tests.inventory.documents import write

HEAD = ("name", "kind", "ports", "criticality", "internal")


def book(folder: Path, sheets: Mapping[str, Sequence[Sequence[Any]]]) -> Path:
    made = openpyxl.Workbook()
    del made["Sheet"]
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    path = folder / "sites.xlsx"
    made.save(path)
    return path


def imported(folder: Path, *rows: Sequence[Any], **options: Any) -> ImportReport:
    return import_sheet(book(folder, {"Hosts": [HEAD, *rows]}), write(folder), ministry="finance", **options)


def assets(folder: Path) -> dict[str, Asset]:
    return {asset.name: asset for asset in load_inventory(folder / "inventory.toml")[0].assets}


def problems(folder: Path, *rows: Sequence[Any]) -> list[tuple[str, int | None, str, str]]:
    with pytest.raises(InventoryError) as caught:
        imported(folder, *rows)
    assert not (folder / "finance.csv").exists()
    return [(one.file.rpartition("/")[2], one.line, one.field, one.message) for one in caught.value.problems]


def test_what_people_type_is_understood(tmp_path: Path) -> None:
    report = imported(
        tmp_path,
        ("www.finance.gov.example", "host", 443, 3, True),
        (None, None, None, None, None),
        ("https://tax.finance.gov.example/login", None, "80; 443.0", 2.0, None),
        (" api.finance.gov.example ", "host", "none", None, "no"),
    )

    assert len(report.added) == 3
    found = assets(tmp_path)
    assert found["www.finance.gov.example"].ports == (Port(443),)
    assert (found["www.finance.gov.example"].criticality, found["www.finance.gov.example"].internal) == (3, True)
    assert found["tax.finance.gov.example"].ports == (Port(80), Port(443))
    assert found["api.finance.gov.example"].ports == ()
    assert report.urls == (("https://tax.finance.gov.example/login", "tax.finance.gov.example"),)


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    row = ("www.finance.gov.example", "host", 443, 3, None)
    imported(tmp_path, row)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")}

    assert import_sheet(tmp_path / "sites.xlsx", tmp_path / "inventory.toml", ministry="finance") == ImportReport()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")} == before


def test_every_fault_is_named_with_sheet_row_and_cell_and_nothing_is_written(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        ("www.finance.gov.example", "host", 443, None, None),
        ("=A2", "host", None, None, None),
        ("tax.finance.gov.example", "server", date(2026, 1, 1), None, None),
        ("b.finance.gov.example", "host", 99999, 7, None),
    )

    where = "sites.xlsx, sheet 'Hosts'"
    assert [(file, line, field) for file, line, field, _ in found[:3]] == [
        (where, 3, "A3"),
        (where, 4, "C4"),
        (where, 3, "name"),
    ]
    assert found[0][3] == "is a formula."
    assert found[1][3] == "is a date or time."
    assert {(line, field.partition("[")[0]) for _, line, field, _ in found[3:]} == {
        (4, "kind"), (5, "ports"), (5, "criticality"),
    }  # fmt: skip


def test_a_fault_value_of_a_formula_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path, ("#REF!", "host", None, None, None))[0][2:] == ("A2", "holds the error #REF!.")


def test_of_several_sheets_one_is_chosen(tmp_path: Path) -> None:
    rows = [HEAD, ("www.finance.gov.example", None, None, None, None)]
    into = write(tmp_path)
    path = book(tmp_path, {"Notes": [("hello",)], "Hosts": rows})

    with pytest.raises(UsageError, match=r"has 2 sheets: 'Notes', 'Hosts'\. Choose one with --sheet"):
        import_sheet(path, into, ministry="finance")
    with pytest.raises(UsageError, match="has no sheet 'Hosts2'"):
        import_sheet(path, into, ministry="finance", name="Hosts2")
    assert len(import_sheet(path, into, ministry="finance", name="Hosts").added) == 1
    named = book(tmp_path, {"Notes": [("hello",)], "assets": rows})
    assert import_sheet(named, into, ministry="finance") == ImportReport()


def test_a_sheet_of_a_csv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sites.csv"
    path.write_text("name\nwww.finance.gov.example\n", "utf-8")
    with pytest.raises(UsageError, match="--sheet names a sheet of a workbook"):
        import_sheet(path, write(tmp_path), ministry="finance", name="Hosts")


def replaced(path: Path, **parts: bytes) -> Path:
    """With other bytes under some parts; ``xl/worksheets/sheet1.xml`` is ``sheet1``."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, parts.get(Path(name).stem, data))
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no XLSX workbook"),
        (b"name,kind\nwww,host\n", "no XLSX workbook"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "or it has a password"),
        (b"PK\x03\x04 and then nothing", "no whole workbook"),
    ],
)
def test_what_is_no_workbook_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "sites.xlsx"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        import_sheet(path, write(tmp_path), ministry="finance")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sites.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(UsageError, match="no workbook that can be read"):
        import_sheet(path, write(tmp_path), ministry="finance")


def test_a_part_that_is_no_xml_is_refused(tmp_path: Path) -> None:
    path = replaced(book(tmp_path, {"Hosts": [HEAD]}), sheet1=b"<worksheet><sheetData><row", workbook=b"<workbook")
    with pytest.raises(UsageError, match="no workbook that can be read"):
        import_sheet(path, write(tmp_path), ministry="finance")


def test_a_zip_bomb_is_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_UNPACKED", 1 << 20)
    path = replaced(book(tmp_path, {"Hosts": [HEAD]}), sheet1=bytes(2 << 20))
    assert path.stat().st_size < 20_000
    with pytest.raises(UsageError, match="unpacks to more than 1 MB"):
        import_sheet(path, write(tmp_path), ministry="finance")


def test_many_entities_are_refused(tmp_path: Path) -> None:
    layers = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<!DOCTYPE x [<!ENTITY e0 "{"x" * 100}">{layers}]>'
    xml = f"{head}<worksheet><sheetData><row><c><v>&e9;</v></c></row></sheetData></worksheet>"
    path = replaced(book(tmp_path, {"Hosts": [HEAD]}), sheet1=xml.encode())
    with pytest.raises((UsageError, InventoryError)):
        import_sheet(path, write(tmp_path), ministry="finance")


def test_a_sheet_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_ROWS", 50)
    far = openpyxl.Workbook()
    assert far.active is not None
    far.active["A1"] = "name"
    far.active["A1048576"] = "www.finance.gov.example"
    far.save(tmp_path / "sites.xlsx")
    with pytest.raises(InventoryError, match="is past row 50"):
        import_sheet(tmp_path / "sites.xlsx", write(tmp_path), ministry="finance")


def test_a_sheet_that_is_too_wide_is_refused(tmp_path: Path) -> None:
    wide = openpyxl.Workbook()
    assert wide.active is not None
    wide.active["A1"] = "name"
    wide.active["XFD2"] = "x"
    stream = io.BytesIO()
    wide.save(stream)
    (tmp_path / "sites.xlsx").write_bytes(stream.getvalue())
    with pytest.raises(InventoryError, match="has cells past column 200"):
        import_sheet(tmp_path / "sites.xlsx", write(tmp_path), ministry="finance")
