"""What a shape of a published document is made of: its columns, and the cells that many have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from posture.reporters.cells import together

Row = Mapping[str, Any]
Cell = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """``grows``: takes the room that the others leave. ``paint``: the row's field that decides the colour."""

    title: str
    cell: Cell
    grows: bool = False
    paint: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """``rows`` is the key of the list; ``fields`` the JSON fields in their order; ``empty`` what to say of none."""

    rows: str
    fields: tuple[str, ...]
    columns: tuple[Column, ...]
    empty: str
    hides: frozenset[str] = field(default_factory=frozenset)  # outcomes that a table counts instead of listing
    drops: tuple[str, ...] = ()  # titles of columns that a narrow table can do without, first to go first


def of(name: str) -> Cell:
    return lambda row: row.get(name)


def date_of(name: str) -> Cell:
    """Of a time of ours."""
    return lambda row: (row.get(name) or "")[:10]


def minute_of(name: str) -> Cell:
    """Of a time of ours."""
    return lambda row: (row.get(name) or "")[:16].replace("T", " ")


def subject_of(row: Row) -> Any:
    """The asset, and the subject when it says more than the asset."""
    return together(row["asset"], " ", row["subject"]) if row.get("subject") else row["asset"]


def change_of(row: Row) -> str:
    """Of outcomes."""
    return f"{row.get('before') or '-'} > {row.get('after') or '-'}"
