"""The published JSON, and one record per line. ASCII only: no character of a scanned host reaches the terminal raw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO


def write_json(document: Mapping[str, Any], stream: TextIO) -> None:
    """The whole document, indented, with a newline at its end."""
    json.dump(document, stream, ensure_ascii=True, allow_nan=False, indent=2)
    stream.write("\n")


def write_jsonl(rows: list[Mapping[str, Any]], stream: TextIO) -> None:
    """One record per line, fields in the order of the document."""
    stream.writelines(json.dumps(row, ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n" for row in rows)
