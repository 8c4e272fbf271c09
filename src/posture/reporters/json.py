"""The published JSON, and one record per line. ASCII only: no character of a scanned host reaches the terminal raw."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, TextIO

from posture.reporters.cells import json_default

_value = json.JSONEncoder(ensure_ascii=True, allow_nan=False, default=json_default).encode
_record = json.JSONEncoder(ensure_ascii=True, allow_nan=False, default=json_default, separators=(",", ":")).encode


def write_json(document: Mapping[str, Any], stream: TextIO) -> None:
    """The whole document, indented, with a newline at its end; a list of records has one record per line.

    So large documents are written by Python's fast encoder, which knows no indentation, and in little memory: an
    iterator of records is gone through as they are written.
    """
    stream.write("{")
    for place, (name, value) in enumerate(document.items()):
        stream.write(f"{',' if place else ''}\n  {_value(name)}: ")
        if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
            _write_rows(value, stream)
        elif isinstance(value, Iterator):
            first = list(islice(value, 1))
            _write_rows(chain(first, value), stream) if first else stream.write("[]")
        else:
            stream.write(_value(value))
    stream.write("\n}\n")


def _write_rows(rows: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    stream.write("[")
    stream.writelines(f"{',' if number else ''}\n    {_value(row)}" for number, row in enumerate(rows))
    stream.write("\n  ]")


def write_jsonl(rows: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """One record per line, fields in the order of the document."""
    stream.writelines(_record(row) + "\n" for row in rows)
