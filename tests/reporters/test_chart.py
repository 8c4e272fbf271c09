"""The drawing of a trend: gaps stay gaps, what is doubtful is dimmed, nothing of another ministry is in it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from posture.report import narrow
from posture.reporters.chart import BOTTOM, LEFT, RIGHT, TOP, chart
from posture.reporters.html import pages
from tests.reporters import sample


def point(day: int, score: float | None, coverage: float = 99.0, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "run": f"R-{day}", "at": f"2026-11-{day:02}T02:00:00Z", "ministry": "finance", "score": score,
        "grade": None if score is None else "C", "coverage": coverage,
        "interval": None if score is None else [score - 5, score], "state": "complete", "suspect": False,
        "rules_changed": False, "change": 0.0, "because": {},
    }  # fmt: skip
    return {**made, **more}


def test_one_score_is_no_trend() -> None:
    assert chart([point(1, 70.0)]) is None
    assert chart([]) is None
    assert chart([point(1, 70.0), point(2, None)]) is None


def test_time_runs_to_the_right_and_points_upwards() -> None:
    drawn = chart([point(1, 0.0), point(2, 100.0)])
    assert drawn is not None
    assert [(dot.x, dot.y) for dot in drawn.dots] == [(LEFT, BOTTOM), (RIGHT, TOP)]
    assert drawn.paths == (
        (f"{LEFT},{BOTTOM} {RIGHT},{TOP}".replace("30,146", "30.0,146.0").replace("390,16", "390.0,16.0"), False),
    )


def test_a_run_without_a_score_and_a_long_silence_break_the_line() -> None:
    days = [point(1, 70.0), point(2, 71.0), point(3, None), point(4, 72.0), point(5, 73.0), point(20, 74.0)]
    drawn = chart(days)
    assert drawn is not None
    assert [path.count(",") for path, _ in drawn.paths] == [2, 2]
    assert len(drawn.gaps) == 1


def test_where_little_was_seen_the_line_is_dimmed() -> None:
    drawn = chart([point(1, 70.0), point(2, 71.0), point(3, 72.0, 60.0), point(4, 73.0), point(5, 74.0)])
    assert drawn is not None
    assert [dim for _, dim in drawn.paths] == [False, True, False]
    assert [dot.dim for dot in drawn.dots] == [False, False, True, False, False]


def test_a_change_of_rules_is_marked() -> None:
    drawn = chart([point(1, 70.0), point(2, 60.0, rules_changed=True)])
    assert drawn is not None
    assert drawn.marks == (float(RIGHT),)


def test_the_page_tells_it_in_words_too() -> None:
    days = (point(1, 70.0), point(2, 60.0, change=-10.0, because={"newly_failed": -10.0}), point(3, None))
    report = replace(sample.report(), trends={"finance": days, "health": (point(1, 11.1), point(2, 12.2))})
    narrowed = narrow(report, ["finance"])
    assert set(narrowed.trends) == {"finance"}
    (page,) = [html for html in pages(narrowed).values() if 'class="trend"' in html]
    drawing = page[page.index('<svg class="trend"') : page.index("</svg>", page.index('<svg class="trend"'))]
    assert "<title>" in drawing
    assert "<desc>" in drawing
    assert re.search(r"<script|href|style=", drawing) is None
    assert "newly failed -10.0" in page
    assert "11.1" not in page
    assert "12.2" not in page
