from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from openpyxl.cell import Cell

from posture.reporters import xlsx
from posture.reporters.xlsx import Column, Layout, Workbook
from posture.scanned import Scanned

LAYOUT = Layout(
    "rows",
    "About & more.",
    (Column("Text", "text"), Column("Time", "time", kind="time"), Column("Day", "day", kind="day"), Column("N", "n")),
)


def made(path: Path, *rows: Mapping[str, object]) -> openpyxl.Workbook:
    at = datetime(2026, 11, 24, 3, tzinfo=UTC)
    with Workbook(path, [LAYOUT], title="A & B", at=at, zone=ZoneInfo("America/St_Lucia"), label="TLP:RED") as book:
        book.fill("rows", rows)
    return openpyxl.load_workbook(path)


def test_times_are_dates_of_the_states_clocks(tmp_path: Path) -> None:
    row = {"text": "a", "time": "2026-11-24T02:30:00Z", "day": "2026-11-24", "n": 3}
    sheet = made(tmp_path / "b.xlsx", row)["rows"]

    assert [cell.value for cell in sheet[3]] == ["a", datetime(2026, 11, 23, 22, 30), datetime(2026, 11, 24), 3]
    assert [isinstance(cell, Cell) and cell.is_date for cell in sheet[3]] == [False, True, True, False]


@pytest.mark.parametrize(
    "text", ["=1+1", " =cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "http://evil.test/", "0012", "\t=1"]
)
def test_a_text_is_never_a_formula_a_link_or_a_number(text: str, tmp_path: Path) -> None:
    cell = made(tmp_path / "b.xlsx", {"text": Scanned(text)})["rows"]["A3"]

    assert (cell.data_type, cell.hyperlink) == ("s", None)
    assert not str(cell.value).lstrip().startswith(("=", "+", "-", "@"))


def test_a_text_that_is_too_long_is_cut_and_the_book_opens(tmp_path: Path) -> None:
    cell = made(tmp_path / "b.xlsx", {"text": Scanned("\x1b" * 40_000)})["rows"]["A3"]

    assert len(cell.value) == xlsx.LONGEST


def test_no_row_is_said(tmp_path: Path) -> None:
    sheet = made(tmp_path / "b.xlsx")["rows"]

    assert sheet["A3"].value == "None in this range."
    assert sheet.auto_filter.ref is None


def test_rows_past_a_sheets_end_go_on_in_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "LAST_ROW", 3)
    book = made(tmp_path / "b.xlsx", *[{"text": str(number)} for number in range(5)])

    assert book.sheetnames == ["rows", "rows 2", "rows 3"]
    assert [row[0].value for page in book for row in page.iter_rows(min_row=3)] == ["0", "1", "2", "3", "4"]
    assert [page.freeze_panes for page in book] == ["A3"] * 3


def test_a_folder_that_is_gone_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        made(tmp_path / "gone" / "b.xlsx", {"text": "a"})
