"""Reading one table of an input file key by key: every fault becomes a Problem with its place, and reading goes on.

table = Table(values, path, source, problems)
name = table.text("name")
table.finish()                      # keys that nobody asked for are unknown
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, Protocol, TypeVar

from posture.errors import Problem
from posture.inventory.lines import LineIndex, Path, dotted

# C0, DEL and C1 controls; zero-width and bidirectional marks; line and paragraph separators; BOM.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
MAX_TEXT = 2000  # characters; nobody writes a longer name or reference by hand
T = TypeVar("T")


class Fault(Exception):
    """One value that cannot be used: code, what is wrong, and what to do."""

    def __init__(self, code: str, message: str, advice: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.next = advice


class Source(Protocol):
    """The file that a table came from: turns a path into a place."""

    @property
    def file(self) -> str: ...

    def line(self, path: Path) -> int | None: ...

    def field(self, path: Path) -> str: ...


@dataclass(frozen=True, slots=True)
class TomlSource:
    """A TOML file with its index of lines."""

    file: str
    index: LineIndex

    def line(self, path: Path) -> int | None:
        return self.index.line(path)

    def field(self, path: Path) -> str:
        return dotted(path)


@dataclass(frozen=True, slots=True)
class SheetSource:
    """A sheet: a path is the row's line, then the column."""

    file: str

    def line(self, path: Path) -> int | None:
        return path[0] if path and isinstance(path[0], int) else None

    def field(self, path: Path) -> str:
        return dotted(path[1:])


@dataclass(slots=True)
class Problems:
    """Faults and warnings of a whole inventory, in the order found."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, code: str, source: Source, path: Path, message: str, advice: str) -> None:
        self.errors.append(Problem(code, source.file, source.line(path), source.field(path), message, advice))

    def warn(self, code: str, source: Source, path: Path, message: str, advice: str) -> None:
        self.warnings.append(Problem(code, source.file, source.line(path), source.field(path), message, advice, True))


class Table:
    """One table being read. A fault is noted once and the default is returned in its place."""

    def __init__(self, values: Mapping[str, Any], path: Path, source: Source, problems: Problems) -> None:
        self.values = values
        self.path = path
        self.source = source
        self.problems = problems
        self._known: set[str] = set()

    # ---- problems

    def error(self, code: str, key: str | Sequence[str | int], message: str, advice: str) -> None:
        self.problems.error(code, self.source, self._at(key), message, advice)

    def warn(self, code: str, key: str | Sequence[str | int], message: str, advice: str) -> None:
        self.problems.warn(code, self.source, self._at(key), message, advice)

    def line(self, key: str) -> int | None:
        return self.source.line(self._at(key))

    def _at(self, key: str | Sequence[str | int]) -> Path:
        return (*self.path, key) if isinstance(key, str) else (*self.path, *key)

    def _wrong_type(self, key: str | Sequence[str | int], wanted: str, value: object) -> None:
        self.error("INV-005", key, f"must be {wanted}, not {describe(value)}.", f"Write {wanted}.")

    # ---- values

    def has(self, key: str) -> bool:
        return key in self.values

    def _get(self, key: str, *, required: bool) -> Any:
        self._known.add(key)
        value = self.values.get(key)
        if value is None and required:
            self.error("INV-004", key, "is missing.", f"Add a line: {key} = ...")
        return value

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        """One line of text without control characters, stripped."""
        value = self._get(key, required=required)
        if value is None:
            return default
        checked = self._line_of_text(key, value)
        if checked is None:
            return default
        if required and not checked:
            self.error("INV-004", key, "is empty.", "Fill it in.")
        return checked

    def _line_of_text(self, key: str | Sequence[str | int], value: object) -> str | None:
        if not isinstance(value, str):
            self._wrong_type(key, "a text in quotes", value)
            return None
        if found := CONTROL.search(value):
            self.error(
                "INV-007",
                key,
                f"contains the control or invisible character U+{ord(found[0]):04X}.",
                "Delete it; typing the text again is easiest.",
            )
            return None
        if len(value) > MAX_TEXT:
            self.error("INV-006", key, f"is longer than {MAX_TEXT} characters.", "Shorten it.")
            return None
        return value.strip()

    def integer(self, key: str, default: int, *, low: int, high: int) -> int:
        value = self._get(key, required=False)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong_type(key, f"a whole number from {low} to {high}", value)
            return default
        if not low <= value <= high:
            self.error("INV-006", key, f"is {value}; it must be from {low} to {high}.", "Change the number.")
            return default
        return value

    def boolean(self, key: str, default: bool = False) -> bool:
        value = self._get(key, required=False)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._wrong_type(key, "true or false", value)
            return default
        return value

    def day(self, key: str) -> date | None:
        """A required TOML date."""
        value = self._get(key, required=True)
        if value is None:
            return None
        if not isinstance(value, date) or isinstance(value, datetime):
            self.error(
                "INV-022",
                key,
                f"must be a date, not {describe(value)}.",
                f"Write it without quotes and without a time: {key} = 2026-01-31",
            )
            return None
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        value = self.text(key, default)
        if value not in allowed:
            self.error("INV-006", key, f"is {value!r}.{meant(value, allowed)}", f"Choose among {', '.join(allowed)}.")
            return default
        return value

    def parsed(self, key: str, parse: Callable[[str], T], *, required: bool = False) -> T | None:
        """A text through a parser that raises Fault; None when left out or faulty."""
        value = self._get(key, required=required)
        if value is None:
            return None
        return self._parse(key, value, parse)

    def _parse(self, key: str | Sequence[str | int], value: object, parse: Callable[[str], T]) -> T | None:
        text = self._line_of_text(key, value)
        if text is None:
            return None
        try:
            return parse(text)
        except Fault as fault:
            self.error(fault.code, key, fault.message, fault.next)
            return None

    def items(
        self,
        key: str,
        parse: Callable[[str], T],
        *,
        required: bool = False,
        numbers: bool = False,
        single: bool = False,
    ) -> tuple[T, ...] | None:
        """A list of texts, each through a parser; None when left out. Repeated items are kept once.

        Args:
            numbers: whole numbers may stand for their text.
            single: one text may stand for a list of one.
        """
        value = self._get(key, required=required)
        if value is None:
            return None
        if single and isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            self._wrong_type(key, 'a list such as ["a", "b"]', value)
            return None
        found: dict[T, None] = {}
        for index, item in enumerate(value):
            plain = str(item) if numbers and isinstance(item, int) and not isinstance(item, bool) else item
            parsed = self._parse((key, index), plain, parse)
            if parsed is not None:
                found[parsed] = None
        return tuple(found)

    def choices(self, key: str, allowed: Sequence[str], *, required: bool = False) -> tuple[str, ...] | None:
        return self.items(key, one_of(allowed), required=required)

    def table(self, key: str) -> Table:
        """A sub-table; an empty one when left out."""
        value = self._get(key, required=False)
        if value is not None and not isinstance(value, dict):
            self._wrong_type(key, f"a table [{key}]", value)
            value = None
        return Table(value or {}, self._at(key), self.source, self.problems)

    def tables(self, key: str) -> Iterator[Table]:
        """The elements of an array of tables."""
        value = self._get(key, required=False)
        if value is None:
            return
        if not isinstance(value, list):
            self._wrong_type(key, f"a list of tables [[{key}]]", value)
            return
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield Table(item, self._at((key, index)), self.source, self.problems)
            else:
                self._wrong_type((key, index), f"a table [[{key}]]", item)

    def finish(self) -> None:
        """Refuses every key that was not asked for."""
        for key in self.values:
            if key not in self._known:
                known = ", ".join(sorted(self._known))
                self.error(
                    "INV-003",
                    key,
                    f"is not a key of this table.{meant(key, self._known)}",
                    f"Correct or delete it. Known: {known}.",
                )


def read_toml(content: bytes, file: str, problems: Problems) -> Table | None:
    """The top table of a TOML file; None (and a problem, INV-001) when it is not one."""
    source = TomlSource(file, LineIndex(""))
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as fault:
        line = content[: fault.start].count(b"\n") + 1
        problems.errors.append(Problem("INV-001", file, line, "", "is not UTF-8.", "Save it as UTF-8."))
        return None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        problems.errors.append(_syntax_problem(file, text, str(fault)))
        return None
    except RecursionError:
        problems.error("INV-001", source, (), "is nested too deeply.", "Write lists and tables flat.")
        return None
    return Table(values, (), TomlSource(file, LineIndex(text)), problems)


def _syntax_problem(file: str, text: str, message: str) -> Problem:
    """tomllib says where in words: "... (at line 3, column 5)" or "... (at end of document)"."""
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    what = message[: place.start()] if place else message
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    column = f" in column {place[2]}" if place and place[2] else ""
    return Problem("INV-001", file, line, "", f"is not TOML: {what}{column}.", "Correct the line; texts need quotes.")


def one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    """A parser of one word among ``allowed``."""

    def parse(text: str) -> str:
        if text in allowed:
            return text
        raise Fault("INV-006", f"has {text!r}.{meant(text, allowed)}", f"Choose among {', '.join(allowed)}.")

    return parse


def meant(word: str, known: Iterable[str]) -> str:
    """`` Did you mean 'name'?`` or nothing."""
    close = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def describe(value: object) -> str:
    """A value of a wrong type in words, capped."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    kind = kinds.get(type(value), "a date or time")
    return kind if isinstance(value, (list, dict)) else f"{kind} ({str(value)[:40]!r})"
