"""RFC 4180: a header, CRLF, quotes where needed. Lists are joined by ``;``, formulas are defused."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from posture.reporters.cells import csv_cell


def write_csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """``fields`` is the header and the order; a field that a row lacks is an empty cell.

    ``stream`` must not translate newlines (``open(..., newline="")``).
    """
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(fields)
    writer.writerows([csv_cell(row.get(name)) for name in fields] for row in rows)
