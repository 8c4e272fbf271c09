"""Tables for people: as wide as the terminal, coloured by meaning, inert whatever a scanned host wrote."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from posture.reporters import trend
from posture.reporters.cells import terminal
from posture.reporters.documents import SHAPES, hidden_line, shape_of, split_hidden
from posture.reporters.judged import compare_heading, rejudge_heading, rejudge_scores
from posture.reporters.shapes import Column, Row, Shape

_RED, _YELLOW, _GREEN, _BLUE, _DIM, _BOLD = "31", "33", "32", "36", "2", "1"
_PAINT: Mapping[str, str] = {
    "critical": f"{_BOLD};{_RED}",
    "high": _RED,
    "medium": _YELLOW,
    "low": _BLUE,
    "fail": _RED,
    "warn": _YELLOW,
    "pass": _GREEN,
    "unknown": "35",
    "not_applicable": _DIM,
    "new": _RED,
    "regressed": _RED,
    "fixed": _GREEN,
    "complete": _GREEN,
    "partial": _YELLOW,
    "stopped": _YELLOW,
    "quarantined": _RED,
    "worse": _RED,
    "better": _GREEN,
    "ending": _YELLOW,
    "expired": _RED,
    "open": _YELLOW,
}
_GAP = "  "
_LEAST = 12  # columns that a growing column keeps
NARROWEST = 40


def write_table(
    document: Row,
    stream: TextIO,
    *,
    colour: bool,
    width: int,
    everything: bool = False,
    left_out: Mapping[str, int] | None = None,
) -> None:
    """A document as a table, or several; counts what it does not list, ``left_out`` included."""
    shape = shape_of(document)
    if shape is None:
        raise ValueError(f"no table for {document['schema']}")
    if document["schema"].startswith("posture-audit/"):
        _write_audit(document, shape, stream, colour=colour, width=width)
        return
    if document["schema"].startswith("posture-rejudge/"):
        _write_rejudge(document, shape, stream, colour=colour, width=width)
        return
    if document["schema"].startswith("posture-trend/"):
        _write_trend(document["points"], shape, stream, colour=colour, width=width)
        return
    rows, hidden = split_hidden(document[shape.rows], shape, everything=everything)
    hidden = hidden or dict(left_out or {})
    if document["schema"].startswith("posture-drift/"):
        stream.write(_drift_heading(document))
        rows.sort(key=lambda row: str(row["kind"]) == "persisting")  # what changed is what was asked for
    if document["schema"].startswith("posture-explain/"):
        stream.write(_score_heading(document))
    if document["schema"].startswith("posture-compare/"):
        stream.write(compare_heading(document) + "\n")
    if rows or not hidden:
        _write_rows(shape, rows, stream, colour=colour, width=width)
    if line := hidden_line(hidden):
        stream.write(line + "\n")
    for name, more in _further(document):
        stream.write("\n")
        _write_rows(SHAPES[name], more, stream, colour=colour, width=width)
    stream.writelines(f"\n{terminal(one['message'])}\n" for one in document.get("silent_controls") or ())
    if document["schema"].startswith("posture-plan/"):
        stream.write(_plan_ending(document))


def _further(document: Row) -> Iterator[tuple[str, Sequence[Row]]]:
    """The tables below the first one, by the name of their shape."""
    for name, key in (("refusals", "refusals"), ("age groups", "ages")):
        if document.get(key):
            yield name, document[key]


def _write_audit(document: Row, shape: Shape, stream: TextIO, *, colour: bool, width: int) -> None:
    """The answer in words, then what was sent, and apart from it what was refused."""
    words = textwrap.wrap(terminal(document["answer"]), max(width, NARROWEST), break_on_hyphens=False)
    stream.writelines(line + "\n" for line in words)
    parts = ((True, "", shape), (False, "Refused, and not sent:\n", SHAPES["unsent"]))
    for allowed, heading, columns in parts:
        if rows := [row for row in document["contacts"] if row["allowed"] is allowed]:
            stream.write("\n" + heading)
            _write_rows(columns, rows, stream, colour=colour, width=width)


def _write_rejudge(document: Row, shape: Shape, stream: TextIO, *, colour: bool, width: int) -> None:
    """What was done; the scores before and after; the runs, when there are several; the verdicts that differ."""
    for line in rejudge_heading(document):
        stream.writelines(part + "\n" for part in textwrap.wrap(line, max(width, NARROWEST), break_on_hyphens=False))
    parts = [("rejudged scores", rejudge_scores(document))]
    if len(document["runs"]) > 1:
        parts.insert(0, ("rejudged runs", document["runs"]))
    for name, rows in parts:
        stream.write("\n")
        _write_rows(SHAPES[name], rows, stream, colour=colour, width=width)
    stream.write("\n")
    _write_rows(shape, document[shape.rows], stream, colour=colour, width=width)


def _write_trend(points: Sequence[Row], shape: Shape, stream: TextIO, *, colour: bool, width: int) -> None:
    """A line for each ministry, then what moved their scores."""
    stream.writelines(terminal(line) + "\n" for line in trend.lines(points, max(width, NARROWEST), stream))
    rows, earlier = trend.moves(points)
    if rows or not points:
        stream.write("\n" if points else "")
        _write_rows(shape, rows, stream, colour=colour, width=width)
    stream.write(trend.ending(earlier))


def _plan_ending(document: Row) -> str:
    """Totals, and the plan's own remarks."""
    tasks, refused = document["tasks"], document["refusals"]
    assets = len({row["asset"] for row in tasks})
    addresses = len({row["address"] for row in tasks if row["address"]})
    totals = f"{len(tasks)} questions about {assets} assets at {addresses} addresses; {len(refused)} refusals."
    return "\n".join(["", totals, *map(terminal, document.get("notes") or ())]) + "\n"


def _drift_heading(document: Row) -> str:
    """The runs; and when the later one is in doubt, why."""
    doubt = "; too much changed at once to be believed yet (suspect)" if document["suspect"] else ""
    runs = [terminal((document[end] or {}).get("id")) or "nothing" for end in ("from", "to")]
    why = "".join(f"  {terminal(one)}\n" for one in document.get("doubts") or ())
    return f"From {runs[0]} to {runs[1]}{doubt}\n{why}"


def _score_heading(document: Row) -> str:
    """``Ministry of Finance: 59.0 points, D; coverage 98.7 %; with everything seen 57.1 to 59.0.``"""
    name = terminal(document["name"])
    if document["score"] is None:
        return f"{name}: {document['label']}.\n"
    low, high = document["interval"]
    return (
        f"{name}: {document['score']:.1f} points, {document['label']}; coverage {document['coverage']:.1f} %; "
        f"with everything seen {low:.1f} to {high:.1f}. The lines add up to {document['score']:.1f}.\n"
    )


def _write_rows(shape: Shape, rows: Sequence[Row], stream: TextIO, *, colour: bool, width: int) -> None:
    if not rows:
        stream.write(shape.empty + "\n")
        return
    columns = _columns_that_fit(shape, rows, max(width, NARROWEST))
    texts = [[terminal(column.cell(row)) for column in columns] for row in rows]
    widths = _widths(columns, texts, max(width, NARROWEST))
    heading = _line([column.title for column in columns], widths)
    stream.write(_painted(heading, _BOLD if colour else "") + "\n")
    for row, cells in zip(rows, texts, strict=True):
        paints = [_PAINT.get(str(row.get(c.paint)), "") if colour and c.paint else "" for c in columns]
        stream.write(_wrapped(cells, widths, paints))


def _columns_that_fit(shape: Shape, rows: Sequence[Row], width: int) -> list[Column]:
    """All columns, less those that a narrow terminal can do without."""
    columns = list(shape.columns)
    for title in shape.drops:
        texts = [[terminal(column.cell(row)) for column in columns] for row in rows]
        growing = sum(column.grows for column in columns)
        if _fixed_width(columns, texts) + growing * 2 * _LEAST <= width:
            break
        columns = [column for column in columns if column.title != title]
    return columns


def _fixed_width(columns: Sequence[Column], texts: Sequence[Sequence[str]]) -> int:
    return sum(_longest(column, index, texts) for index, column in enumerate(columns) if not column.grows) + len(
        _GAP
    ) * (len(columns) - 1)


def _longest(column: Column, index: int, texts: Sequence[Sequence[str]]) -> int:
    return max([_cells(column.title), *(_cells(text[index]) for text in texts)])


def _widths(columns: Sequence[Column], texts: Sequence[Sequence[str]], width: int) -> list[int]:
    """Fixed columns as long as their longest cell; the growing ones share the rest, shorter ones leaving more."""
    widths = [_longest(column, index, texts) for index, column in enumerate(columns)]
    room = max(width - _fixed_width(columns, texts), _LEAST)
    growing = sorted((index for index, column in enumerate(columns) if column.grows), key=lambda index: widths[index])
    for left, index in zip(range(len(growing), 0, -1), growing, strict=True):
        widths[index] = min(widths[index], max(room // left, _LEAST))
        room -= widths[index]
    return widths


def _wrapped(cells: Sequence[str], widths: Sequence[int], paints: Sequence[str]) -> str:
    """One row, its long cells wrapped onto further lines."""
    blocks = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(len(block) for block in blocks)
    lines = []
    for number in range(height):
        parts = [block[number] if number < len(block) else "" for block in blocks]
        lines.append(_line(parts, widths, paints) + "\n")
    return "".join(lines)


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _line(parts: Sequence[str], widths: Sequence[int], paints: Sequence[str] = ()) -> str:
    padded = [part + " " * (width - _cells(part)) for part, width in zip(parts, widths, strict=True)]
    if paints:
        padded = [_painted(text, paint) for text, paint in zip(padded, paints, strict=True)]
    return _GAP.join(padded).rstrip()


def _painted(text: str, paint: str) -> str:
    return f"\x1b[{paint}m{text}\x1b[0m" if paint else text


def _cells(text: str) -> int:
    """How many columns of a terminal the text takes: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
