"""The published JSON, and one record per line. ASCII only: no character of a scanned host reaches the terminal raw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

_compact = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


def write_json(document: Mapping[str, Any], stream: TextIO) -> None:
    """The whole document, indented, with a newline at its end; a list of records has one record per line.

    So large documents are written by Python's fast encoder, which knows no indentation, and in little memory.
    """
    stream.write("{")
    for place, (name, value) in enumerate(document.items()):
        stream.write(f"{',' if place else ''}\n  {_compact(name)}: ")
        if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
            stream.write("[")
            stream.writelines(f"{',' if number else ''}\n    {_compact(row)}" for number, row in enumerate(value))
            stream.write("\n  ]")
        else:
            stream.write(_compact(value))
    stream.write("\n}\n")


def write_jsonl(rows: list[Mapping[str, Any]], stream: TextIO) -> None:
    """One record per line, fields in the order of the document."""
    stream.writelines(json.dumps(row, ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n" for row in rows)
