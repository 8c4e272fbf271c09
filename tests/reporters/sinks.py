"""What clean means, sink by sink: read back by a parser of that sink's own, never by ours."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from html.parser import HTMLParser

from markdown_it import MarkdownIt

MOVES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode's categories of what moves, reorders or hides text
FORMULA = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
FILE = re.compile(r"[a-z0-9._-]+")


def moving(text: str) -> set[str]:
    """The characters, but newlines, that do something to a terminal, or hide what is there."""
    return {char for char in text if char != "\n" and unicodedata.category(char) in MOVES}


Element = tuple[str, tuple[tuple[str, str | None], ...]]


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Element] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", ()))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(("!--", ()))

    def handle_pi(self, data: str) -> None:
        self.found.append(("?", ()))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("![", ()))


def elements(page: str) -> list[Element]:
    """Every start and end of an element with all its attributes, every comment: all of a page that is no text."""
    parsed = _Elements()
    parsed.feed(page)
    parsed.close()
    return parsed.found


def words(page: str) -> str:
    """The text of a page, as a reader sees it."""
    parsed = _Elements()
    parsed.feed(page)
    parsed.close()
    return "".join(parsed.text)


def cells(sheet: str, delimiter: str = ",") -> list[list[str]]:
    """Every cell of a CSV file, by row."""
    return list(csv.reader(io.StringIO(sheet, newline=""), delimiter=delimiter))


def formulas(sheet: str) -> list[str]:
    """Cells that a spreadsheet would calculate, in a country of commas or of semicolons."""
    return [
        cell
        for delimiter in ",;"
        for row in cells(sheet, delimiter)
        for cell in row
        if cell.lstrip().startswith(FORMULA)
    ]


def tokens(markdown: str) -> set[str]:
    """The kinds of everything that Markdown makes of a text: CommonMark, with tables, bare links and strike-through."""
    parsed = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(markdown)
    return {one.type for block in parsed for one in [block, *(block.children or [])]}
