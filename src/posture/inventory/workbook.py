"""Reading one sheet of a workbook (XLSX) as rows of text, the way a person typed them; and writing one.

A workbook may come from anybody: it is unpacked only as far as a sheet of assets can be, and a formula is refused, for
its cell may show one thing and say another.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from posture.errors import UsageError
from posture.inventory.reading import Problems, SheetSource

MAX_FILE = 32 << 20  # bytes
MAX_UNPACKED = 256 << 20  # bytes, of all parts together
MAX_PARTS = 2000
MAX_ROWS = 100_000
MAX_COLUMNS = 200
PREFERRED = "assets"  # the sheet that is meant when there are several
_SAVE = "Save it as CSV UTF-8 and import that."
_NO_WORKBOOK = (
    zipfile.BadZipFile,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OSError,
    EOFError,
    ParseError,
)


def sheet_rows(
    content: bytes, path: Path, sheet: str | None, problems: Problems
) -> tuple[SheetSource, list[tuple[int, list[str]]]]:
    """The rows of a sheet, (number, cells), blank ones left out; faults of single cells are noted.

    Args:
        sheet: its name; when left out, the only one, or the one called "assets".

    Raises:
        UsageError: no workbook, too large, or no such sheet.
    """
    import openpyxl  # only for this

    _guard(content, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that it passes over
            with closing(openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=False)) as book:
                name = _chosen(book.sheetnames, path, sheet)
                source = SheetSource(f"{path}, sheet {name!r}")
                worksheet = book[name]
                if not hasattr(worksheet, "iter_rows"):
                    raise UsageError(f"{path}: {name!r} is a chart. Name a sheet of rows with --sheet.")
                worksheet.reset_dimensions()
                return source, list(_rows(worksheet.iter_rows(), source, problems))
    except _NO_WORKBOOK as fault:
        raise UsageError(f"{path} is no workbook that can be read: {str(fault)[:200]}. {_SAVE}") from fault


def _guard(content: bytes, path: Path) -> None:
    """What a part unpacks to is never more than its directory says, so the directory can be believed."""
    if len(content) > MAX_FILE:
        raise UsageError(f"{path} is larger than {MAX_FILE >> 20} MB. {_SAVE}")
    if not content.startswith(b"PK"):
        raise UsageError(f"{path} is no XLSX workbook, or it has a password. {_SAVE}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as fault:
        raise UsageError(f"{path} is no whole workbook: {fault}. {_SAVE}") from fault
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise UsageError(f"{path} unpacks to more than {MAX_UNPACKED >> 20} MB or {MAX_PARTS} parts. {_SAVE}")


def _chosen(names: Sequence[str], path: Path, sheet: str | None) -> str:
    if sheet is not None and sheet in names:
        return sheet
    if sheet is None and (len(names) == 1 or PREFERRED in names):
        return PREFERRED if PREFERRED in names else names[0]
    known = ", ".join(repr(name) for name in names[:20])
    if sheet is not None:
        raise UsageError(f"{path} has no sheet {sheet!r}. It has: {known}.")
    raise UsageError(f"{path} has {len(names)} sheets: {known}. Choose one with --sheet NAME.")


def _rows(rows: Iterable[Sequence[Any]], source: SheetSource, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(rows, 1):
        if number > MAX_ROWS:
            problems.error(
                "INV-030", source, (number,), f"is past row {MAX_ROWS:,}.", "Delete what is below, or split the sheet."
            )
            return
        filled = [cell for cell in cells if cell.value not in (None, "")]
        if not filled:
            continue
        if len(cells) > MAX_COLUMNS and any(cell.column > MAX_COLUMNS for cell in filled):
            problems.error("INV-030", source, (number,), f"has cells past column {MAX_COLUMNS}.", "Delete them.")
            continue
        yield number, [_text(cell, source, problems) for cell in cells[:MAX_COLUMNS]]


def _text(cell: Any, source: SheetSource, problems: Problems) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        return _refused(
            cell, source, problems, "is a formula", "Replace it by its value (copy, paste special: values)."
        )
    if cell.data_type == "e":
        return _refused(cell, source, problems, f"holds the error {str(value)[:20]}", "Type what is meant.")
    if isinstance(value, (datetime, date, time, timedelta)):
        return _refused(cell, source, problems, "is a date or time", "Format the cell as text, and type it again.")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _refused(cell: Any, source: SheetSource, problems: Problems, what: str, advice: str) -> str:
    problems.error("INV-030", source, (cell.row, cell.coordinate), f"{what}.", advice)
    return ""


# ---- writing


def write_sheet(columns: Sequence[str], rows: Iterable[Mapping[str, str]], notes: Sequence[tuple[str, str]]) -> bytes:
    """A workbook with the sheet "assets", every cell a text, and one that tells what the columns mean."""
    import xlsxwriter  # only for this

    made = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(made, options)
    book.set_properties({"created": datetime(1980, 1, 1)})  # noqa: DTZ001 - none of a clock: the same rows, the same bytes
    head, text = book.add_format({"bold": True, "bg_color": "#E6E8EB"}), book.add_format({"num_format": "@"})
    sheet = book.add_worksheet(PREFERRED)
    for place, column in enumerate(columns):
        sheet.set_column(place, place, 34 if column == "name" else 16, text)
        sheet.write_string(0, place, column, head)
    last = 0
    for last, row in enumerate(rows, 1):
        for place, column in enumerate(columns):
            if row.get(column):
                sheet.write_string(last, place, row[column], text)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, last, len(columns) - 1)
    about = book.add_worksheet("columns")
    about.set_column(0, 0, 18)
    about.set_column(1, 1, 100)
    for number, (column, meaning) in enumerate(notes):
        about.write_string(number, 0, column, head)
        about.write_string(number, 1, meaning)
    book.close()
    return made.getvalue()
