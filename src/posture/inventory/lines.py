"""Where in a TOML file each key stands. ``tomllib`` gives values without places; this index gives the places back.

A path is what leads to a value in the parsed document: ``("ministry", 0, "asset", 2, "name")``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Path = tuple[str | int, ...]

# One ordinary line: `key = value  # comment`, the value a plain scalar or a flat array that ends on the same line.
_SIMPLE = re.compile(
    r"""[ \t]*([A-Za-z0-9_-]+)[ \t]*=[ \t]*
        (?:"[^"\\\r\n]*" | '[^'\r\n]*' | [A-Za-z0-9+_.:-]+ | \[(?:"[^"\\\r\n]*"|[^\[\]{}"'\#\r\n])*\])
        [ \t]*(?:\#[^\r\n]*)?(?:\r?\n|\Z)""",
    re.VERBOSE,
)
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+ | \#[^\n]*)
      | (?P<newline>\n)
      | (?P<string>\"{3}(?:\\.|[^\\])*?\"{3}\"{0,2} | '{3}.*?'{3}'{0,2} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
      | (?P<mark>[\[\]{},=.])
      | (?P<bare>[^\s\[\]{},=.\#"']+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


class LineIndex:
    """Lines (from 1) of every table, key and array element of a valid TOML document.

    Args:
        source: a text that ``tomllib`` accepts; of any other text the index is a best effort.
    """

    def __init__(self, source: str) -> None:
        self._lines: dict[Path, int] = {}
        self._scanner = _Scanner(source)
        self._array_sizes: dict[Path, int] = {}
        self._read()

    def line(self, path: Path) -> int | None:
        """The line of the key at ``path``, or of the nearest thing around it; None when nothing of it is there."""
        for end in range(len(path), 0, -1):
            found = self._lines.get(path[:end])
            if found is not None:
                return found
        return None

    def exact(self, path: Path) -> int | None:
        """The line of exactly this key."""
        return self._lines.get(path)

    def _read(self) -> None:
        table: Path = ()
        scanner = self._scanner
        while True:
            simple = scanner.simple_line()
            if simple is not None:
                self._record((*table, simple[0]), simple[1])
                continue
            token = scanner.peek(across_lines=True)
            if token is None:
                return
            if token.text == "[" and token.kind == "mark":
                table = self._header()
            elif token.kind in ("bare", "string"):
                self._pair(table)
            else:
                scanner.take()

    def _record(self, path: Path, line: int) -> None:
        self._lines.setdefault(path, line)

    def _header(self) -> Path:
        """``[a.b]`` or ``[[a.b]]``: the path of the table that the following keys belong to."""
        opening = self._scanner.take()
        second = self._scanner.peek()
        is_array = second is not None and second.text == "[" and second.kind == "mark"
        if is_array:
            self._scanner.take()
        keys = [text for text, _ in self._keys("]")]
        if is_array:
            self._scanner.take()
        table: Path = ()
        for key in keys[:-1]:
            table = self._inside((*table, key))
            self._record(table, opening.line)
        table = (*table, *keys[-1:])
        if is_array:
            index = self._array_sizes.get(table, 0)
            self._array_sizes[table] = index + 1
            self._record(table, opening.line)
            table = (*table, index)
        self._record(table, opening.line)
        return table

    def _inside(self, path: Path) -> Path:
        """A name on the way to a table means the latest element when it is an array of tables."""
        size = self._array_sizes.get(path)
        return path if size is None else (*path, size - 1)

    def _keys(self, end: str) -> Iterator[tuple[str, int]]:
        """The parts of a dotted key up to and including the mark ``end``, each with its line."""
        while (token := self._scanner.peek()) is not None and token.kind != "newline":
            self._scanner.take()
            if token.kind == "mark" and token.text == end:
                return
            if token.kind in ("bare", "string"):
                yield _unquoted(token), token.line

    def _pair(self, table: Path) -> None:
        path = table
        for key, line in self._keys("="):
            path = (*path, key)
            self._record(path, line)
        self._value(path)

    def _value(self, path: Path) -> None:
        token = self._scanner.peek()
        if token is None:
            return
        if token.kind == "mark" and token.text == "[":
            self._array(path)
        elif token.kind == "mark" and token.text == "{":
            self._inline_table(path)
        else:
            self._scalar()

    def _scalar(self) -> None:
        """A value may be several tokens (1.5, a date with a space): all up to what ends it."""
        while (token := self._scanner.peek()) is not None:
            if token.kind == "newline" or (token.kind == "mark" and token.text in ",]}"):
                return
            self._scanner.take()

    def _array(self, path: Path) -> None:
        self._scanner.take()
        index = 0
        while (token := self._scanner.peek(across_lines=True)) is not None:
            if token.kind == "mark" and token.text in "],":
                self._scanner.take()
                if token.text == "]":
                    return
                continue
            before = self._scanner.position
            self._record((*path, index), token.line)
            self._value((*path, index))
            index += 1
            if self._scanner.position == before:
                self._scanner.take()

    def _inline_table(self, path: Path) -> None:
        self._scanner.take()
        while (token := self._scanner.peek(across_lines=True)) is not None:
            if token.kind in ("bare", "string"):
                self._pair(path)
                continue
            self._scanner.take()
            if token.kind == "mark" and token.text == "}":
                return


class _Scanner:
    """Tokens of a text, one ahead, with their lines; blanks and comments are passed over."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._line = 1
        self.position = 0

    def simple_line(self) -> tuple[str, int] | None:
        """Key and line of an ordinary line that starts here, consumed; most lines are of this kind."""
        if self.position and self._source[self.position - 1] != "\n":
            return None
        match = _SIMPLE.match(self._source, self.position)
        if match is None:
            return None
        line = self._line
        self.position = match.end()
        self._line += 1
        return match[1], line

    def peek(self, *, across_lines: bool = False) -> _Token | None:
        while (match := _TOKEN.match(self._source, self.position)) is not None:
            kind = match.lastgroup or "other"
            if kind != "space" and not (kind == "newline" and across_lines):
                return _Token(kind, match[0], self._line)
            self._pass(match[0])
        return None

    def take(self) -> _Token:
        """The next token, consumed; an empty one at the end."""
        token = self.peek()
        if token is None:
            return _Token("end", "", self._line)
        self._pass(token.text)
        return token

    def _pass(self, text: str) -> None:
        self._line += text.count("\n")
        self.position += len(text)


def _unquoted(token: _Token) -> str:
    if token.kind == "bare":
        return token.text
    try:
        return str(tomllib.loads(f"k = {token.text}")["k"])
    except tomllib.TOMLDecodeError:
        return token.text[1:-1]


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it: ``ministry[0].asset[2].name``."""
    words = ""
    for part in path:
        words += f"[{part}]" if isinstance(part, int) else f".{part}" if words else part
    return words
