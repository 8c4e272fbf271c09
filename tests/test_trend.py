"""Scores over time: every change taken apart, and the parts add up."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from posture.errors import UsageError
from posture.model import Answer
from posture.reporters import render
from posture.scorecard import ScoredAsset
from posture.store import AssetEntry, Question
from posture.trend import scores_of, trend
from tests.store import HTTPS, World, policy, silence, site, tls

OTHER = site(1)
THIRD = site(2, "health")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def scan(
    world: World, answers: Mapping[Question, Answer], entries: Sequence[AssetEntry] = (), state: str = "complete"
) -> None:
    """A run that is scored as scans are."""
    with world.open() as store:
        start = world.start(answers, entries)
        run = store.begin(start)
        at = start.started_at + timedelta(minutes=10)
        run.settle_all((question, replace(answer, at=at), None) for question, answer in answers.items())
        assets = [ScoredAsset(one.key, one.ministry, one.declared.criticality) for one in start.assets]
        run.close(
            world.judged(run, start),
            state,
            at,
            scores=lambda closing: scores_of(store, closing, assets, start.policy, at),
        )
        world.day += 1


def said(*names: str) -> dict[Question, Answer]:
    hosts = (site(), OTHER, THIRD)
    return {
        (host.key, "tls", HTTPS): silence() if name == "?" else tls(name)
        for host, name in zip(hosts, names, strict=False)
    }


def points(world: World, ministry: str = "finance", **choice: Any) -> list[dict[str, Any]]:
    with world.open(write=False) as store:
        return [row for row in trend(store, **choice)["points"] if row["ministry"] == ministry]


def last(world: World, ministry: str = "finance") -> dict[str, Any]:
    return points(world, ministry)[-1]


def test_the_first_point_has_no_change(world: World) -> None:
    scan(world, said("good"))
    assert (last(world)["change"], last(world)["because"]) == (None, None)


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        (("good", "good"), ("bad", "good"), "newly_failed"),
        (("bad", "good"), ("good", "good"), "fixed"),
        (("bad", "good"), ("bad", "?"), "newly_unknown"),
        (("bad", "?"), ("bad", "good"), "newly_known"),
    ],
)
def test_each_change_has_its_part(world: World, before: Sequence[str], after: Sequence[str], part: str) -> None:
    scan(world, said(*before))
    scan(world, said(*after))
    row = last(world)
    assert row["because"] == {part: row["change"]}
    assert row["change"] != 0
    assert row[part] >= 1


def test_an_asset_that_comes_or_leaves_is_of_the_inventory(world: World) -> None:
    scan(world, said("good"))
    scan(world, said("good", "bad"))
    came = last(world)
    assert (set(came["because"]), came["inventory"], came["newly_failed"]) == ({"inventory"}, 1, 0)
    scan(world, said("good"))
    assert (set(last(world)["because"]), last(world)["inventory"]) == ({"inventory"}, 1)


def test_a_stricter_policy_is_of_the_catalogue_and_marked(world: World) -> None:
    scan(world, said("old", "good"))
    world.policy = policy(strict=1)
    scan(world, said("old", "bad"))
    row = last(world)
    assert set(row["because"]) == {"catalogue", "newly_failed"}
    assert sum(row["because"].values()) == pytest.approx(row["change"])
    assert (row["rules_changed"], row["catalogue"], row["newly_failed"]) == (True, 1, 1)


def test_nothing_of_another_ministry_moves_a_score(world: World) -> None:
    scan(world, said("good", "good", "good"), (site(), OTHER, THIRD))
    scan(world, said("good", "good", "bad"), (site(), OTHER, THIRD))
    assert (last(world)["change"], last(world)["because"], last(world)["newly_failed"]) == (0.0, {}, 0)
    assert last(world, "health")["because"] == {"newly_failed": last(world, "health")["change"]}
    assert last(world, "")["newly_failed"] == 1
    assert not points(world, "health", ministries=["finance"])


def test_a_run_without_a_score_is_a_gap_and_not_a_zero(world: World) -> None:
    scan(world, said("bad"))
    scan(world, said("good"), state="partial")
    scan(world, said("good"))
    scores = [row["score"] for row in points(world)]
    assert scores[1] is None
    assert points(world)[2]["change"] == scores[2] - scores[0]
    assert points(world)[2]["because"] == {"fixed": points(world)[2]["change"]}


def test_what_nobody_could_see_is_no_zero(world: World) -> None:
    scan(world, said("?"))
    scan(world, said("good"))
    assert [row["score"] for row in points(world)] == [None, 100.0]
    assert last(world)["because"] is None


def test_dates_choose_runs(world: World) -> None:
    for name in ("good", "bad", "good"):
        scan(world, said(name))
    # The second run begins at 02:00 UTC on 2 November, which in Saint Lucia is the evening of the first.
    chosen = points(world, since="2026-11-01", until="2026-11-01")
    assert [row["score"] for row in chosen] == [points(world)[1]["score"]]
    assert chosen[0]["change"] is not None  # what was before is known, though it is not shown
    with world.open(write=False) as store:
        with pytest.raises(UsageError, match="Exchange them"):
            trend(store, since="2026-11-03", until="2026-11-01")
        with pytest.raises(UsageError, match="no ministry 'defence' was ever scored"):
            trend(store, ministries=["defence"])


def text(document: dict[str, Any], encoding: str = "utf-8", width: int = 80) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    render(document, "table", stream, width=width)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_a_line_for_each_ministry_with_its_gaps(world: World) -> None:
    scan(world, said("good", "good"))
    world.day += 1  # a night without a run
    scan(world, said("bad", "good"), state="partial")
    scan(world, said("bad", "good"))
    with world.open(write=False) as store:
        document = trend(store)
    shown = text(document)
    assert "no score, blank no run" in shown
    line = next(line for line in shown.splitlines() if line.startswith("finance"))
    assert "  █ ·▂  " in line
    assert "newly failed -" in shown
    plain = text(document, "ascii")
    assert "  # ?.  " in next(line for line in plain.splitlines() if line.startswith("finance"))


def test_a_year_fits_the_width(world: World) -> None:
    row = {"ministry": "finance", "grade": "C", "coverage": 99.0, "change": None, "because": None}
    days = [world.start({}).started_at + timedelta(days=day) for day in range(365)]
    document = {
        "schema": "posture-trend/1",
        "points": [
            {**row, "run": f"R{place}", "at": f"{day:%Y-%m-%dT%H:%M:%SZ}", "score": 60.0 + place % 30}
            for place, day in enumerate(days)
        ],
    }
    for width in (60, 100):
        assert all(
            len(line) <= width for line in text(document, width=width).splitlines() if line.startswith("finance")
        )
