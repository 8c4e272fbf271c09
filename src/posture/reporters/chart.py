"""The trend of a score as a drawing: where each mark stands. The template draws it; nothing here is text of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from posture.report import Row
from posture.scorecard import instant
from posture.scorecard.formula import GRADES

WIDTH, HEIGHT = 400, 170
LEFT, RIGHT, TOP, BOTTOM = 30, 390, 16, 146
ENOUGH_SEEN = 80.0  # percent of coverage; below, the grade is tentative and the line dimmed
LISTED = 12  # points in the table below the drawing
DOTS = 40  # more points than these, and only the line is drawn


@dataclass(frozen=True, slots=True)
class Dot:
    """A scored run; ``dim``: too little was seen."""

    x: float
    y: float
    dim: bool
    row: Row


@dataclass(frozen=True, slots=True)
class Chart:
    """All coordinates within 0 0 WIDTH HEIGHT. ``paths``: ("x,y x,y ...", dimmed); between two, no run had a score.

    ``bands``: polygons from the lowest to the highest that the score could be. ``marks``: where rules changed.
    ``levels``: where each grade begins, as (letter, y). ``gaps``: runs without a score. ``listed``: the latest, newest first.
    """

    dots: tuple[Dot, ...]
    paths: tuple[tuple[str, bool], ...]
    bands: tuple[str, ...]
    marks: tuple[float, ...]
    gaps: tuple[float, ...]
    levels: tuple[tuple[str, float], ...]
    first: str
    last: str
    listed: tuple[Row, ...]

    @property
    def with_dots(self) -> bool:
        return len(self.dots) <= DOTS


def chart(points: Sequence[Row]) -> Chart | None:
    """The drawing of one ministry's points, oldest first; None until two runs have a score."""
    scored = [row for row in points if row["score"] is not None]
    if len(scored) < 2:
        return None
    places = _places([_at(row) for row in points])
    dots = [
        Dot(place, _height(row["score"]), row["coverage"] < ENOUGH_SEEN, row)
        for place, row in zip(places, points, strict=True)
        if row["score"] is not None
    ]
    stretches = list(_stretches(points, {id(dot.row): dot for dot in dots}))
    return Chart(
        dots=tuple(dots),
        paths=tuple(path for stretch in stretches for path in _paths(stretch)),
        bands=tuple(_band(stretch) for stretch in stretches if len(stretch) > 1),
        marks=tuple(dot.x for dot in dots if dot.row["rules_changed"]),
        gaps=tuple(place for place, row in zip(places, points, strict=True) if row["score"] is None),
        levels=tuple((letter, _height(floor / 10)) for letter, floor in GRADES),
        first=scored[0]["at"],
        last=scored[-1]["at"],
        listed=tuple(reversed(points[-LISTED:])),
    )


def _at(row: Row) -> datetime:
    at = instant(row["at"])
    assert at is not None
    return at


def _places(times: Sequence[datetime]) -> list[float]:
    """By time; evenly where all runs are of one moment."""
    whole = (times[-1] - times[0]).total_seconds()
    if not whole:
        return [LEFT + (RIGHT - LEFT) * place / max(1, len(times) - 1) for place in range(len(times))]
    return [round(LEFT + (RIGHT - LEFT) * (at - times[0]).total_seconds() / whole, 1) for at in times]


def _height(points: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * points / 100, 1)


def _stretches(points: Sequence[Row], dots: dict[int, Dot]) -> Iterator[list[Dot]]:
    """Runs of scored points that follow each other; a run without a score, or a long silence, ends one."""
    longest = _usual_step(points) * 3
    stretch: list[Dot] = []
    for row in points:
        dot = dots.get(id(row))
        late = bool(stretch and dot) and (_at(row) - _at(stretch[-1].row)).total_seconds() > longest
        if stretch and (dot is None or late):
            yield stretch
            stretch = []
        if dot is not None:
            stretch.append(dot)
    if stretch:
        yield stretch


def _usual_step(points: Sequence[Row]) -> float:
    """Median seconds from run to run."""
    times = [_at(row) for row in points]
    steps = sorted((later - earlier).total_seconds() for earlier, later in pairwise(times))
    return steps[len(steps) // 2] if len(steps) > 2 else float("inf")


def _paths(stretch: Sequence[Dot]) -> Iterator[tuple[str, bool]]:
    """The line in pieces of one kind; a piece begins where the one before ended."""
    piece: list[Dot] = list(stretch[:1])
    for earlier, later in pairwise(stretch):
        dim = earlier.dim or later.dim
        was = len(piece) > 1 and (piece[-2].dim or piece[-1].dim)
        if len(piece) > 1 and dim is not was:
            yield _line(piece), was
            piece = [earlier]
        piece.append(later)
    if len(piece) > 1:
        yield _line(piece), piece[-2].dim or piece[-1].dim


def _line(dots: Sequence[Dot]) -> str:
    return " ".join(f"{dot.x},{dot.y}" for dot in dots)


def _band(stretch: Sequence[Dot]) -> str:
    """Up along the highest, back along the lowest."""
    ends = [(dot.x, dot.row["interval"] or (dot.row["score"], dot.row["score"])) for dot in stretch]
    above = [f"{x},{_height(interval[1])}" for x, interval in ends]
    below = [f"{x},{_height(interval[0])}" for x, interval in reversed(ends)]
    return " ".join([*above, *below])
