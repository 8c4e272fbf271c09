"""Reading a sheet: CSV rows -> tables of the same shape as ``[[ministry.asset]]``. An empty cell is left out, ``none`` is []."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from posture.inventory.reading import Problems, SheetSource, meant

COLUMNS = (
    "ministry",
    "name",
    "kind",
    "roles",
    "criticality",
    "ports",
    "addresses",
    "mail",
    "dkim_selectors",
    "internal",
)
LISTS = frozenset({"roles", "ports", "addresses", "mail", "dkim_selectors"})
IGNORED = "-"  # a header mapped to this is passed over
_SEPARATORS = re.compile("[;,]")
_TRUTH = {"yes": True, "true": True, "1": True, "x": True, "no": False, "false": False, "0": False}


class Row(NamedTuple):
    """The cells of one row by column, as typed and stripped, empty ones too; ``line`` is where the row starts."""

    line: int
    cells: Mapping[str, str]


def read_rows(content: bytes, source: SheetSource, problems: Problems, mapping: Mapping[str, str]) -> tuple[Row, ...]:
    """All rows that are not blank.

    Args:
        mapping: header of the sheet (case ignored) -> column, or "-" to pass over it.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = content[: fault.start].count(b"\n") + 1
        problems.error("INV-030", source, (line,), "is not UTF-8.", 'Save it as "CSV UTF-8".')
        return ()
    try:
        return tuple(rows_under_header(_lines(text), source, problems, mapping))
    except csv.Error as fault:
        problems.error("INV-030", source, (), f"is not a CSV file: {fault}.", 'Save it again as "CSV UTF-8".')
        return ()


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, each with the line where it starts."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    start = 1
    for cells in reader:
        line, start = start, reader.line_num + 1
        yield line, cells


def rows_under_header(
    lines: Iterable[tuple[int, list[str]]], source: SheetSource, problems: Problems, mapping: Mapping[str, str]
) -> Iterator[Row]:
    """Rows under the columns that the first one names; lines are (number, cells as typed)."""
    columns: tuple[str | None, ...] | None = None
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            columns = _columns(cells, line, source, problems, mapping)
            if columns is None:
                return
            continue
        if any(cell.strip() for cell in cells[len(columns) :]):
            message = f"has {len(cells)} cells under {len(columns)} headers."
            problems.error(
                "INV-030", source, (line,), message, 'Separate lists by spaces or ";"; put texts with commas in quotes.'
            )
            continue
        yield Row(line, {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name})
    if columns is None:
        advice = f"Its first row names the columns: {','.join(COLUMNS)}."
        problems.error("INV-030", source, (), "is empty.", advice)


def _delimiter(text: str) -> str:
    """Spreadsheets of some countries write semicolons or tabs."""
    header = text.lstrip().partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in header), ",")


def _columns(
    headers: list[str], line: int, source: SheetSource, problems: Problems, mapping: Mapping[str, str]
) -> tuple[str | None, ...] | None:
    """The column behind each header, None for those passed over; None altogether when the sheet cannot be read."""
    known = len(problems.errors)
    wanted = {header.strip().lower(): column for header, column in mapping.items()}
    columns: list[str | None] = []
    for header in headers:
        plain = header.strip().lower()
        column = wanted.pop(plain, plain)
        if column == IGNORED or (not plain and column == plain):
            columns.append(None)
            continue
        if column not in COLUMNS:
            advice = f'Rename or delete it. On import, --map "{header.strip()[:40]}={IGNORED}" passes over it.'
            message = f"{header.strip()[:80]!r} is not a column.{meant(column, COLUMNS)}"
            problems.error("INV-003", source, (line, header.strip()[:80]), message, advice)
        elif column in columns:
            problems.error("INV-015", source, (line, column), "stands twice.", "Keep one of the columns.")
        columns.append(column)
    for header in wanted:
        problems.error("INV-003", source, (line,), f"has no column {header!r} to map.", "Correct --map.")
    if "name" not in columns and len(problems.errors) == known:
        problems.error("INV-004", source, (line, "name"), "is missing.", "One column must be called name.")
    return tuple(columns) if len(problems.errors) == known else None


def values_of(cells: Mapping[str, str]) -> dict[str, Any]:
    """The cells as the values that the TOML would have; what cannot be turned stays text, for the reader to refuse."""
    return {column: _value(column, cell) for column, cell in cells.items() if cell and column != "ministry"}


def _value(column: str, cell: str) -> Any:
    if column in LISTS:
        items = [] if cell.lower() == "none" else _SEPARATORS.sub(" ", cell).split()
        return [_whole(item) for item in items] if column == "ports" else items
    if column == "criticality":
        cell = _whole(cell)
    if column == "criticality" and cell.isascii() and cell.isdigit() and len(cell) < 4:
        return int(cell)
    if column == "internal":
        return _TRUTH.get(cell.lower(), cell)
    return cell


def _whole(text: str) -> str:
    """443.0, as some spreadsheets write a number, is 443."""
    number, point, rest = text.partition(".")
    return number if point and number.isdigit() and rest and not rest.strip("0") else text
