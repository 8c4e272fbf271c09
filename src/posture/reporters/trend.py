"""Scores over time on a terminal: a line of blocks for each ministry, then what moved it and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TextIO

from posture.reporters.shapes import Column, Row, Shape, date_of, of

BLOCKS, NO_SCORE = "▁▂▃▄▅▆▇█", "·"  # lowest to highest; a run without a score. No run at all is a blank
ASCII_BLOCKS, ASCII_NO_SCORE = "_.-~=+*#", "?"
STATE = "the State"
MOVES = 20  # of the latest that the second table lists
_LEAST = 8  # columns of a line
_WORDS = {
    "catalogue": "rules",
    "inventory": "inventory",
    "newly_unknown": "newly unknown",
    "newly_known": "newly known",
    "newly_failed": "newly failed",
    "fixed": "fixed",
    "deadlines": "deadlines",
}


def name_of(row: Row) -> str:
    return str(row["ministry"]) or STATE


def because(row: Row) -> str:
    """``newly failed -15.0, fixed +4.2``; what moved nothing is left out."""
    parts = row.get("because")
    if parts is None:
        return "" if row.get("change") is None else "not recorded"
    return ", ".join(f"{_WORDS.get(name, name)} {points:+.1f}" for name, points in parts.items())


def signed(row: Row) -> str:
    change = row.get("change")
    return "" if change is None else f"{change:+.1f}"


def _score(row: Row) -> str:
    return "none" if row.get("score") is None else f"{row['score']:.1f}"


TREND: Mapping[str, Shape] = {
    "trend": Shape(
        "points",
        (
            "run", "at", "ministry", "score", "grade", "coverage", "fixed", "newly_failed", "newly_known",
            "newly_unknown", "inventory", "catalogue", "change", "because", "interval", "state", "suspect", "policy",
            "rules_changed", "vantage",
        ),
        (
            Column("DATE", date_of("at")),
            Column("MINISTRY", name_of),
            Column("SCORE", _score),
            Column("GRADE", lambda row: row.get("grade") or "none"),
            Column("CHANGE", signed),
            Column("COVERAGE %", of("coverage")),
            Column("WHAT MOVED IT", because, grows=True),
        ),
        "No run to show.",
        drops=("COVERAGE %",),
    ),
}  # fmt: skip


def spoken(stream: TextIO) -> tuple[str, str]:
    """Blocks, and the sign of a run without a score, that a stream can carry."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        (BLOCKS + NO_SCORE).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII_BLOCKS, ASCII_NO_SCORE
    return BLOCKS, NO_SCORE


def lines(points: Sequence[Row], width: int, stream: TextIO) -> Iterator[str]:
    """One line a ministry: name, blocks, first and last score. Gaps stay gaps."""
    if not points:
        return
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in points:
        by_name[name_of(row)].append(row)
    blocks, no_score = spoken(stream)
    low, high = scale(points)
    longest = max(map(len, by_name))
    tail = "100.0 > 100.0  +100.0"
    room = max(_LEAST, width - longest - len(tail) - 4)
    slots = _slots(points, room)
    first, last = points[0]["at"][:10], points[-1]["at"][:10]
    span = f"{first} to {last}" if first != last else first
    yield f"{span}; {blocks[0]} is {low}, {blocks[-1]} is {high} points{_legend(points, slots, no_score)}"
    for name, rows in by_name.items():
        drawn = spark(_values(rows, slots), low, high, blocks, no_score)
        yield f"{name:<{longest}}  {drawn}  {_ends(rows)}".rstrip()


def scale(points: Sequence[Row]) -> tuple[int, int]:
    """Whole tens below and above every score, so that all lines have one scale."""
    scores = [row["score"] for row in points if row["score"] is not None]
    low = int(min(scores, default=0) // 10 * 10)
    high = int(-(-max(scores, default=100) // 10) * 10)
    return (low, high) if high > low else (max(0, high - 10), max(high, 10))


def spark(values: Sequence[float | str | None], low: int, high: int, blocks: str, no_score: str) -> str:
    """One character each: a block; ``no_score`` for "" (a run without a score); a blank for None (no run)."""
    drawn = []
    for value in values:
        if value is None:
            drawn.append(" ")
        elif isinstance(value, str):
            drawn.append(no_score)
        else:
            place = int((value - low) / (high - low) * len(blocks))
            drawn.append(blocks[min(max(place, 0), len(blocks) - 1)])
    return "".join(drawn)


def _slots(points: Sequence[Row], room: int) -> dict[str, int]:
    """Run -> column. One for each day, so that a night without a run shows; for each run, when a day has several."""
    runs = {row["run"]: date.fromisoformat(row["at"][:10]) for row in points}
    days = sorted(set(runs.values()))
    if len(days) < len(runs):
        places = {run: place for place, run in enumerate(runs)}
    else:
        places = {run: (day - days[0]) // timedelta(days=1) for run, day in runs.items()}
    whole = max(places.values()) + 1
    return {run: place if whole <= room else place * room // whole for run, place in places.items()}


def _values(rows: Sequence[Row], slots: Mapping[str, int]) -> list[float | str | None]:
    """The last score in each column."""
    values: list[float | str | None] = [None] * (max(slots.values()) + 1)
    for row in rows:
        place = slots[row["run"]]
        if row["score"] is not None:
            values[place] = row["score"]
        elif values[place] is None:
            values[place] = ""
    return values


def _legend(points: Sequence[Row], slots: Mapping[str, int], no_score: str) -> str:
    said = []
    if any(row["score"] is None for row in points):
        said.append(f"{no_score} no score")
    if len(set(slots.values())) <= max(slots.values()):
        said.append("blank no run")
    return "; " + ", ".join(said) if said else ""


def _ends(rows: Sequence[Row]) -> str:
    """``74.0 > 59.0  -15.0``"""
    scores = [row["score"] for row in rows if row["score"] is not None]
    if not scores:
        return "no score"
    if len(scores) == 1:
        return f"{scores[0]:.1f}"
    return f"{scores[0]:.1f} > {scores[-1]:.1f}  {scores[-1] - scores[0]:+.1f}"


def moves(points: Sequence[Row]) -> tuple[list[Row], int]:
    """The latest points in which a score moved, oldest first, and how many earlier ones there are."""
    moved = [row for row in points if row.get("change")]
    return moved[-MOVES:], max(0, len(moved) - MOVES)


def ending(earlier: int) -> str:
    return f"and {earlier} earlier changes: --since, --until or --format csv\n" if earlier else ""
