"""``posture inventory import``: a sheet of assets into the companion sheets of an inventory, all rows or none.

The TOML's text and comments stay as they are: at most ``assets = "..."`` or a new ``[[ministry]]`` is added.
Authorisations are never written.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from posture.errors import InventoryError, PostureError, UsageError
from posture.inventory.assets import read_asset
from posture.inventory.authority import parse_id
from posture.inventory.columns import COLUMNS, IGNORED, Row, read_rows, rows_under_header, values_of
from posture.inventory.load import load_with
from posture.inventory.names import is_address
from posture.inventory.reading import Fault, Problems, SheetSource, Table
from posture.inventory.records import Asset, Inventory
from posture.model import AssetKey

Cells = dict[str, str]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``missing`` are in the inventory's sheet but not in the imported one; ``urls`` are (URL, host).

    ``ministries`` are those that the import brought into the inventory, without an authorisation.
    """

    added: tuple[AssetKey, ...] = ()
    changed: tuple[AssetKey, ...] = ()
    missing: tuple[AssetKey, ...] = ()
    urls: tuple[tuple[str, str], ...] = ()
    removed: bool = False
    ministries: tuple[str, ...] = ()

    def text(self) -> str:
        """The report for a terminal."""
        gone = "removed" if self.removed else "kept; --remove-missing removes them"
        lines = [f"{len(self.added)} added, {len(self.changed)} changed, {len(self.missing)} missing ({gone})"]
        for mark, keys in (("+", self.added), ("~", self.changed), ("-", self.missing)):
            lines += [f"  {mark} {key.name} ({key.kind})" for key in keys]
        lines += [f"  {url!r} became {host}" for url, host in self.urls]
        for code in self.ministries:
            lines.append(
                f"  new ministry {code}: nothing of it is scanned until it has an authorisation. A wrong code?"
            )
        return "\n".join(lines) + "\n"


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """``["Web site=name", "Remarks=-"]`` -> header: column; "-" passes over a column.

    Raises:
        UsageError: not HEADER=FIELD, or no such field.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        header, equals, column = (part.strip() for part in pair.rpartition("="))
        if not equals or not header or column not in (*COLUMNS, IGNORED):
            fields = ", ".join(COLUMNS)
            raise UsageError(f'--map {pair!r}: write "HEADER=FIELD", FIELD one of {fields}, or - to pass over it.')
        mapping[header] = column
    return mapping


def import_sheet(
    sheet: Path,
    into: Path,
    *,
    ministry: str | None = None,
    mapping: Mapping[str, str] | None = None,
    remove_missing: bool = False,
    name: str | None = None,
) -> ImportReport:
    """Adds and updates the assets of a sheet (CSV or XLSX); columns that the sheet does not have keep their values.

    Args:
        name: which sheet of a workbook; when left out the only one, or the one called "assets".
        ministry: the code for rows without one; a ministry that does not exist yet is added without authorisation.
        remove_missing: drop the assets that the ministries' companion sheets have and ``sheet`` has not.

    Raises:
        InventoryError: every bad row of the sheet, or the faults of ``into``; nothing was written.
        UsageError: neither CSV nor XLSX, no such sheet, or an inventory that cannot be edited by a program.
        PostureError: the files cannot be written.
    """
    kind = sheet.suffix.lower()
    if kind in (".xls", ".xlsm", ".xlsb", ".ods"):
        raise UsageError(f"{sheet}: CSV and XLSX can be imported. Save the sheet as one of them and import that.")
    if name is not None and kind != ".xlsx":
        raise UsageError(f"--sheet names a sheet of a workbook, and {sheet} is none. Leave it out.")
    inventory, _, root = load_with(into, Path.read_bytes)
    merge = _Merge(inventory, root, SheetSource(str(sheet)))
    content, fields = _content(sheet), mapping or {}
    if kind == ".xlsx":
        from posture.inventory.workbook import sheet_rows  # only for this

        merge.source, lines = sheet_rows(content, sheet, name, merge.problems)
        rows: Iterable[Row] = tuple(rows_under_header(lines, merge.source, merge.problems, fields))
    else:
        rows = read_rows(content, merge.source, merge.problems, fields)
    merge.read(rows, ministry)
    report = merge.report(remove_missing)
    files = merge.files(remove_missing)
    _check(into, files)
    _replace(files)
    return report


def _content(sheet: Path) -> bytes:
    """What the sheet holds; "-" is standard input."""
    try:
        return sys.stdin.buffer.read() if sheet == Path("-") else sheet.read_bytes()
    except OSError as fault:
        raise UsageError(f"{sheet} cannot be read: {fault.strerror}. Name a CSV or XLSX file.") from None


@dataclass(slots=True)
class _Companion:
    """The sheet of one ministry as it is and as it will be: cells by asset, in order."""

    path: Path
    is_new: bool
    before: dict[AssetKey, Cells] = field(default_factory=dict)
    after: dict[AssetKey, Cells] = field(default_factory=dict)
    seen: set[AssetKey] = field(default_factory=set)

    @property
    def missing(self) -> list[AssetKey]:
        return [key for key in self.before if key not in self.seen]


@dataclass(slots=True)
class _Merge:
    """One import: rows in, files out."""

    inventory: Inventory
    root: Table
    source: SheetSource
    problems: Problems = field(default_factory=Problems)
    companions: dict[str, _Companion] = field(default_factory=dict)
    added: list[AssetKey] = field(default_factory=list)
    changed: list[AssetKey] = field(default_factory=list)
    urls: list[tuple[str, str]] = field(default_factory=list)
    lines: dict[AssetKey, int] = field(default_factory=dict)

    def read(self, rows: Iterable[Row], ministry: str | None) -> None:
        """Raises InventoryError with every bad row."""
        if ministry is not None:
            self._companion(_valid_code(ministry))
        existing = {asset.key: asset for asset in self.inventory.assets}
        for row in rows:
            self._row(row, ministry, existing)
        if self.problems.errors:
            raise InventoryError(self.problems.errors)

    def _row(self, row: Row, ministry: str | None, existing: Mapping[AssetKey, Asset]) -> None:
        cells = self._without_url(row)
        asset = self._asset(row.line, cells, cells.get("ministry") or ministry or "")
        if asset is None:
            return
        cells |= {"ministry": asset.ministry, "name": asset.name, "kind": asset.kind}
        if self._stands_twice(row.line, asset):
            return
        companion = self._companion(asset.ministry)
        companion.seen.add(asset.key)
        old = existing.get(asset.key)
        if old is None:
            self.added.append(asset.key)
            companion.after[asset.key] = cells
        elif old.ministry != asset.ministry:
            message = f"{asset.name} belongs to the ministry {old.ministry} ({old.file}:{old.line})."
            self._error("INV-015", row.line, "name", message, "Correct the ministry, or remove it there first.")
        elif old.file == str(self.inventory.path):
            self._compare_with_toml(row.line, cells, asset, old)
        else:
            self._update(row.line, companion, cells, old)

    def _without_url(self, row: Row) -> Cells:
        cells = dict(row.cells)
        host = _host_of_url(cells.get("name", ""))
        if host:
            self.urls.append((cells["name"][:200], host))
            cells["name"] = host
        return cells

    def _asset(self, line: int, cells: Cells, ministry: str) -> Asset | None:
        """The asset of a row when nothing is wrong with it."""
        errors = len(self.problems.errors)
        if not ministry:
            self._error("INV-004", line, "ministry", "is missing.", "Fill the column, or use --ministry CODE.")
        else:
            try:
                parse_id(ministry)
            except Fault as fault:
                self._error(fault.code, line, "ministry", fault.message, fault.next)
        asset = read_asset(Table(values_of(cells), (line,), self.source, self.problems), ministry)
        return asset if len(self.problems.errors) == errors else None

    def _stands_twice(self, line: int, asset: Asset) -> bool:
        first = self.lines.setdefault(asset.key, line)
        if first == line:
            return False
        message = f"{asset.name} ({asset.kind}) stands here and in line {first}."
        self._error("INV-015", line, "name", message, "Keep one of the two.")
        return True

    def _compare_with_toml(self, line: int, cells: Cells, asset: Asset, old: Asset) -> None:
        """An asset written in the TOML by hand is left alone; a sheet that differs from it is refused."""
        differing = [column for column in cells if getattr(asset, column) != getattr(old, column)]
        if differing:
            message = f"{asset.name} is written in {old.file}:{old.line} with another {', '.join(differing)}."
            self._error("INV-015", line, differing[0], message, "Change it there, or delete it there and import again.")

    def _update(self, line: int, companion: _Companion, cells: Cells, old: Asset) -> None:
        merged = {**companion.before[old.key], **cells}
        asset = self._asset(line, merged, old.ministry)
        if asset is not None and replace(asset, file=old.file, line=old.line) != old:
            self.changed.append(old.key)
            companion.after[old.key] = merged

    def _error(self, code: str, line: int, column: str, message: str, advice: str) -> None:
        self.problems.error(code, self.source, (line, column), message, advice)

    def _companion(self, code: str) -> _Companion:
        if code not in self.companions:
            self.companions[code] = self._open(code)
        return self.companions[code]

    def _open(self, code: str) -> _Companion:
        """The ministry's sheet as it is, or a free name for a new one."""
        folder = self.inventory.path.parent
        index = self._index(code)
        named = "" if index is None else str(self.root.values["ministry"][index].get("assets", "")).strip()
        if not named:
            taken = {companion.path for companion in self.companions.values()}
            return _Companion(next(path for path in _free_names(folder, code) if path not in taken), is_new=True)
        companion = _Companion(folder / named, is_new=False)
        rows = read_rows(companion.path.read_bytes(), SheetSource(str(companion.path)), Problems(), {})
        by_line = {row.line: dict(row.cells) for row in rows}
        companion.before = {
            asset.key: by_line[asset.line] for asset in self.inventory.assets if asset.file == str(companion.path)
        }
        companion.after = dict(companion.before)
        return companion

    def _index(self, code: str) -> int | None:
        codes = [ministry.code for ministry in self.inventory.ministries]
        return codes.index(code) if code in codes else None

    # ---- what comes out

    def report(self, remove_missing: bool) -> ImportReport:
        missing = [key for companion in self.companions.values() for key in companion.missing]
        return ImportReport(
            tuple(self.added),
            tuple(self.changed),
            tuple(missing),
            tuple(self.urls),
            removed=remove_missing,
            ministries=tuple(code for code in self.companions if self._index(code) is None),
        )

    def files(self, remove_missing: bool) -> dict[Path, bytes]:
        """The files to write, the inventory last: until it is replaced nobody looks at new sheets."""
        files: dict[Path, bytes] = {}
        linked: dict[str, str] = {}
        for code, companion in self.companions.items():
            if remove_missing:
                for key in companion.missing:
                    del companion.after[key]
            if companion.after != companion.before:
                files[companion.path] = _csv(companion.after.values())
                if companion.is_new:
                    linked[code] = companion.path.name
        if linked:
            files[self.inventory.path] = self._toml_with(linked).encode()
        return files

    def _toml_with(self, linked: Mapping[str, str]) -> str:
        """The inventory's text with ``assets = "..."`` under the ministries that get a sheet."""
        lines = self.inventory.path.read_bytes().decode().splitlines(keepends=True)
        newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
        insertions: dict[int, str] = {}
        blocks: list[str] = []
        for code, name in linked.items():
            assets = f'assets = "{name}"{newline}'
            index = self._index(code)
            if index is None:
                head = ("", "[[ministry]]", f'code = "{code}"', f'name = "{code}"')
                blocks.append("".join(line + newline for line in head) + assets)
            else:
                insertions[self._line_of_code(index, code, lines)] = assets
        if not lines[-1].endswith("\n"):
            lines[-1] += newline
        text = "".join(line + insertions.get(number, "") for number, line in enumerate(lines, start=1))
        return text + "".join(blocks)

    def _line_of_code(self, index: int, code: str, lines: Sequence[str]) -> int:
        header = self.root.source.line(("ministry", index))
        line = self.root.source.line(("ministry", index, "code"))
        if header is None or line is None or not lines[header - 1].lstrip().startswith("[["):
            raise UsageError(f'the ministry {code} is not written as [[ministry]]. Add assets = "{code}.csv" by hand.')
        return line


def _valid_code(code: str) -> str:
    try:
        return parse_id(code)
    except Fault as fault:
        raise UsageError(f"--ministry {fault.message} {fault.next}") from None


def _host_of_url(text: str) -> str:
    """The host name of ``https://host/path`` or ``host/path``; "" for anything else (a network, a plain name)."""
    before, slash, after = text.partition("/")
    if not slash or (is_address(before) and after.isdigit()):
        return ""
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""


def _free_names(folder: Path, code: str) -> Iterator[Path]:
    """File names for a new companion sheet that nobody uses yet."""
    candidates = [f"{code}.csv", f"{code}-assets.csv", *(f"{code}-assets-{number}.csv" for number in range(2, 1000))]
    return (folder / name for name in candidates if not (folder / name).exists())


def _csv(rows: Iterable[Cells]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _check(into: Path, files: Mapping[Path, bytes]) -> None:
    """Reads the inventory as it will be; raises before anything is written."""

    def read_file(path: Path) -> bytes:
        return files[path] if path in files else path.read_bytes()

    load_with(into, read_file)


def _replace(files: Mapping[Path, bytes]) -> None:
    """Writes all files beside their targets first, then moves them into place."""
    staged = {path: path.with_name(f".{path.name}.new") for path in files}
    try:
        for path, content in files.items():
            staged[path].write_bytes(content)
        for path, new in staged.items():
            new.replace(path)
    except OSError as fault:
        for new in staged.values():
            with suppress(OSError):
                new.unlink()
        raise PostureError(
            f"cannot write beside {path}: {fault.strerror}. Free space or permissions, then repeat."
        ) from None
