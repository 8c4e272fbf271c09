"""Text that a scanned system may have written: a type of its own, which only the encoders of each sink can print.

    row["message"] = Scanned("the server calls itself \\x1b]0;owned\\x07")
    print(row["message"])                 TypeError: a forgotten encoder fails loudly instead of injecting
    terminal(row["message"])              'the server calls itself \\u{1b}]0;owned\\u{7}'   (posture.reporters.cells)

A :class:`Scanned` may be compared, sorted, hashed and joined to other text (the result is scanned too); none of that
prints. What is inside comes out through :func:`unwrap` alone, which posture.reporters.cells alone calls, and, made
visible and escaped, through ``__html__``, so that a template's autoescape does the right thing by itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import total_ordering
from html import escape
from typing import Any, NoReturn, final

ENCODERS = "posture.reporters.cells (terminal, html, csv_cell, markdown, json_default)"
LONGEST = 2000  # characters of one text that a reader is shown
_REPR = 80


def visible(text: str, longest: int | None = LONGEST) -> str:
    """One line in which nothing moves, colours, reorders or hides: such characters are written out as ``\\u{1b}``.

    What is written out: controls (C0, DEL, C1), format characters (bidi controls, zero widths, tags), line and
    paragraph separators, surrogates, private and unassigned code points (Unicode TR 36; Unicode chapter 4.5).

    Args:
        longest: characters that are kept; None keeps all.
    """
    if longest is not None and len(text) > longest:
        text = text[:longest] + "…"
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(char: str) -> str:
    harmless = char.isprintable() or unicodedata.category(char) == "Zs"  # to Python no no-break space is printable
    return char if harmless else f"\\u{{{ord(char):x}}}"


def inert(text: str) -> str:
    """Text of ours that may quote anything, line by line: its line breaks stay, every other control is written out."""
    return "\n".join(visible(line, None) for line in text.split("\n"))


@final
@total_ordering
class Scanned:
    """See the module. Immutable; equal to the same text, wrapped or not, and hashed alike."""

    __slots__ = ("__text",)
    __text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_Scanned__text", text)

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("Scanned is final: a subclass could print")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("scanned text does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("scanned text does not change")

    # ---- what would print: refused, or encoded

    def __str__(self) -> str:
        raise TypeError(f"text of a scanned system is printed through an encoder only: {ENCODERS}")

    def __format__(self, spec: str) -> str:
        return str(self)

    def __repr__(self) -> str:
        """For a person who debugs: ASCII, escaped, short."""
        return f"Scanned({self.__text[:_REPR]!a}{'...' if len(self) > _REPR else ''})"

    def __html__(self) -> str:
        """For a template's autoescape (markupsafe's protocol): visible and escaped, also within a quoted attribute."""
        return escape(visible(self.__text), quote=True)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("scanned text is stored by the history, as facts; it is not pickled")

    def __copy__(self) -> Scanned:
        return self

    def __deepcopy__(self, memo: object) -> Scanned:
        return self

    # ---- what prints nothing

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Scanned):
            return self.__text == other.__text
        return self.__text == other if isinstance(other, str) else NotImplemented

    def __lt__(self, other: Scanned | str) -> bool:
        if isinstance(other, Scanned):
            return self.__text < other.__text
        return self.__text < other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.__text)

    def __len__(self) -> int:
        return len(self.__text)

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __add__(self, other: Scanned | str) -> Scanned:
        if isinstance(other, Scanned):
            return Scanned(self.__text + other.__text)
        return Scanned(self.__text + other) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> Scanned:
        return Scanned(other + self.__text) if isinstance(other, str) else NotImplemented


def unwrap(text: Scanned) -> str:
    """The text as it came. For the encoders of posture.reporters.cells alone; a house test watches over it."""
    inside: str = text._Scanned__text  # type: ignore[attr-defined] # noqa: SLF001 (its only reader)
    return inside


def scanned(value: Any) -> Any:
    """A JSON value with every text in it wrapped. The keys of mappings are names of ours and stay as they are."""
    if isinstance(value, str):
        return Scanned(value)
    if isinstance(value, Mapping):
        return {key: scanned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scanned(item) for item in value]
    return value
