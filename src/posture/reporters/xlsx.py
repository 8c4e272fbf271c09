"""A workbook to read: real dates, frozen header, filters, and text that stays text whatever a scanned system wrote.

Written row by row, so that memory does not grow with the history; the same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import xlsxwriter

from posture.reporters.cells import csv_cell

LAST_ROW = 1_048_575  # of a sheet, counted from 0; what does not fit goes on in a sheet of its own
LONGEST = 32_767  # characters of a cell
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "default_date_format": "yyyy-mm-dd hh:mm",
}


@dataclass(frozen=True, slots=True)
class Column:
    """``kind``: text, time (an RFC 3339 time becomes a date of the State's clocks), day or number. ``width`` in characters."""

    title: str
    name: str
    width: int = 14
    kind: str = "text"
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """A sheet before its rows. ``about``: a line above the header; ``empty``: what to say when there is no row."""

    name: str
    about: str
    columns: tuple[Column, ...]
    empty: str = "None in this range."
    filters: bool = True


class Workbook:
    """Sheets in their order; rows in any order of sheets, each sheet's from the top down.

    Args:
        at: when the history was last written (its time goes into the file, so that no clock does).
        label: the TLP level, on every printed page.
    """

    def __init__(
        self, path: Path, layouts: Sequence[Layout], *, title: str, at: datetime, zone: ZoneInfo, label: str
    ) -> None:
        self._book = xlsxwriter.Workbook(str(path), {**_OPTIONS, "tmpdir": str(path.parent)})
        self._book.set_properties(
            {"title": title, "comments": label, "created": at.astimezone(zone).replace(tzinfo=None)}
        )
        self._title, self._label, self._zone = title, label, zone
        self._formats = _Formats(
            head=self._book.add_format(
                {"bold": True, "bg_color": "#1C232B", "font_color": "#FFFFFF", "valign": "top", "text_wrap": True}
            ),
            about=self._book.add_format({"italic": True, "font_color": "#4D5965"}),
            text=self._book.add_format({"valign": "top"}),
            wrapped=self._book.add_format({"valign": "top", "text_wrap": True}),
            time=self._book.add_format({"valign": "top", "num_format": "yyyy-mm-dd hh:mm", "align": "left"}),
            day=self._book.add_format({"valign": "top", "num_format": "yyyy-mm-dd", "align": "left"}),
            number=self._book.add_format({"valign": "top", "num_format": "#,##0"}),
        )
        self._sheets = {layout.name: self._sheet(layout, layout.name) for layout in layouts}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def close(self) -> None:
        """Raises OSError: it cannot be written."""
        for sheet in self._sheets.values():
            sheet.finish(self._formats)
        try:
            self._book.close()
        except xlsxwriter.exceptions.FileCreateError as fault:
            raise fault.args[0] if isinstance(fault.args[0], OSError) else OSError(str(fault)) from fault

    def _sheet(self, layout: Layout, name: str) -> _Sheet:
        sheet = self._book.add_worksheet(name)
        sheet.hide_gridlines(0)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.4, right=0.4)
        sheet.set_header(f"&L{_printed(self._title)}&R{self._label}")
        sheet.set_footer(f"&L{self._label}&C&A&RPage &P of &N")
        for place, column in enumerate(layout.columns):
            sheet.set_column(place, place, column.width)
        sheet.write_string(0, 0, csv_cell(layout.about), self._formats.about)
        for place, column in enumerate(layout.columns):
            sheet.write_string(1, place, column.title, self._formats.head)
        sheet.freeze_panes(2, 0)
        sheet.repeat_rows(1)
        return _Sheet(layout, sheet)

    def fill(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows to a sheet."""
        for row in rows:
            self.add(name, row)

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Adds one row; a field that it lacks is an empty cell."""
        sheet = self._sheets[name]
        if sheet.row == LAST_ROW:
            sheet.finish(self._formats)
            sheet.part += 1
            fresh = self._sheet(sheet.layout, f"{sheet.layout.name} {sheet.part}")
            sheet.sheet, sheet.row = fresh.sheet, fresh.row
        sheet.row += 1
        for place, column in enumerate(sheet.layout.columns):
            self._cell(sheet, place, column, row.get(column.name))

    def _cell(self, sheet: _Sheet, place: int, column: Column, value: Any) -> None:
        at, formats = (sheet.row, place), self._formats
        if value is None or value == "":
            return
        if column.kind == "time":
            local = datetime.fromisoformat(value).astimezone(self._zone).replace(tzinfo=None)
            sheet.sheet.write_datetime(*at, local, formats.time)
        elif column.kind == "day":
            sheet.sheet.write_datetime(*at, date.fromisoformat(value), formats.day)
        elif column.kind == "number" or (isinstance(value, int) and not isinstance(value, bool)):
            sheet.sheet.write_number(*at, value, formats.number)
        else:
            words = ("yes" if value else "no") if isinstance(value, bool) else csv_cell(value)
            sheet.sheet.write_string(*at, words[:LONGEST], formats.wrapped if column.wraps else formats.text)


@dataclass(frozen=True, slots=True)
class _Formats:
    head: Any
    about: Any
    text: Any
    wrapped: Any
    time: Any
    day: Any
    number: Any


@dataclass(slots=True)
class _Sheet:
    layout: Layout
    sheet: Any
    row: int = 1
    part: int = field(default=1)

    def finish(self, formats: _Formats) -> None:
        if self.row == 1:
            self.sheet.write_string(2, 0, self.layout.empty, formats.text)
        if self.layout.filters and self.row > 1:
            self.sheet.autofilter(1, 0, self.row, len(self.layout.columns) - 1)


def _printed(text: str) -> str:
    """For the head of a printed page, where & begins a command."""
    return csv_cell(text).replace("&", "&&")[:120]
