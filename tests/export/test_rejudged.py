"""What a rejudging found stands in the workbook beside what was told, and is no ministry's failure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from posture.keys import make_key
from posture.store.rejudging import rejudge
from tests.export.country import ENTRIES, NAMES, day, sheet
from tests.export.test_write import written
from tests.store import HTTPS, SITE, World, policy, site, tls


def judged_again(world: World, *, strict: int, path: Path, ministries: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The rows about what a rejudging found."""
    with world.open() as store:
        rejudge(store, policy(strict=strict), "local")
    rows = sheet(written(world, path, *ministries), "rule changes")
    start = next(place for place, row in enumerate(rows) if str(row["What"]).startswith("judged again"))
    return rows[start:]


def two_ministries(folder: Path) -> World:
    """Five sites say what only a stricter policy dislikes: three of finance, two of health; one more is bad anyway."""
    world = World(folder / "again.db", key=make_key(folder / "again.db.key"))
    entries = (*(site(n) for n in range(3)), site(3, "health"), site(4, "health"), site(5))
    for _ in range(2):
        world.scan(
            {(one.key, "tls", HTTPS): tls("bad" if one is entries[5] else "old") for one in entries},
            entries,
            ministries=NAMES,
        )
    return world


def test_what_was_judged_again_is_told_by_ministry_and_control_with_both_versions(tmp_path: Path) -> None:
    whole, finance, health = judged_again(two_ministries(tmp_path), strict=1, path=tmp_path / "e.xlsx")
    told = [
        (row["Ministry"], row["Control"], row["Findings judged otherwise for it"]) for row in (whole, finance, health)
    ]

    assert told == [(None, None, 5), ("finance", "t.cert", 3), ("health", "t.cert", 2)]
    assert [(row["of them worse"], row["of them better"]) for row in (whole, finance, health)] == [
        (5, 0),
        (3, 0),
        (2, 0),
    ]
    assert re.fullmatch(r"t/0 [0-9a-f]{12}, rules [0-9a-f]{12}", whole["Before"])
    assert re.fullmatch(r"t/1 [0-9a-f]{12}, rules [0-9a-f]{12}", whole["After"])
    assert (finance["Before"], finance["After"]) == ("t/0, rule version 1", "t/1, rule version 1")
    with World(tmp_path / "again.db").open(write=False) as store:
        newest = store.reader.runs()[0]
    assert {row["Run"] for row in (whole, finance, health)} == {newest.id}
    summary = {row["Subject"]: row["Value"] for row in sheet(tmp_path / "e.xlsx", "summary")}
    assert (summary["Judged again"], summary["Rule changes"]) == (1, 0)


def test_a_rejudging_that_moves_nothing_is_told_too(tmp_path: Path) -> None:
    world = World(tmp_path / "calm.db")
    world.scan(day("good"), ENTRIES, ministries=NAMES)
    (only,) = judged_again(world, strict=1, path=tmp_path / "e.xlsx")

    assert only["Findings judged otherwise for it"] == 0


def test_another_ministry_is_neither_named_nor_counted_in_what_was_judged_again(tmp_path: Path) -> None:
    rows = judged_again(two_ministries(tmp_path), strict=1, path=tmp_path / "e.xlsx", ministries=("finance",))

    assert [(row["Ministry"], row["Findings judged otherwise for it"]) for row in rows] == [(None, 3), ("finance", 3)]


def test_what_was_told_under_either_policy_is_held_against_the_other_and_better_is_no_worse(tmp_path: Path) -> None:
    """The range has runs of a lenient and of a strict policy; judged again by the lenient one, only the strict ones differ."""
    world = two_ministries(tmp_path)
    world.policy = policy(strict=1)
    world.scan({(SITE, "tls", HTTPS): tls("old")}, (site(),), ministries=NAMES)
    rows = judged_again(world, strict=0, path=tmp_path / "e.xlsx")

    assert [(row["Before"][:3], row["After"][:3]) for row in rows] == [("t/1", "t/0")] * 2
    assert [(row["of them worse"], row["of them better"]) for row in rows] == [(0, 1)] * 2


def test_a_control_of_one_policy_alone_is_neither_worse_nor_better(tmp_path: Path) -> None:
    world = two_ministries(tmp_path)
    with world.open() as store:
        rejudge(store, policy(controls=("t.cert",)), "local")
    rows = [row for row in sheet(written(world, tmp_path / "e.xlsx"), "rule changes") if row["Control"] == "t.site"]

    assert [(row["Ministry"], row["Findings judged otherwise for it"], row["of them better"]) for row in rows] == [
        ("finance", 4, 0),
        ("health", 2, 0),
    ]
    assert {row["After"] for row in rows} == {"t/0, not scored"}
