from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from posture.export.findings import FIELDS, finding_rows
from posture.reporters.cells import terminal
from tests.export.country import ENTRIES, NAMES, OTHER, country, day, span
from tests.store import CONTROLS, HTTPS, SITE, World, site, tls


def rows(world: World, *ministries: str, **chosen: str) -> list[dict[str, Any]]:
    with world.open(write=False) as store:
        return list(finding_rows(span(store, *ministries, **chosen)))


def told(found: list[dict[str, Any]], control: str = "t.cert", asset: str = SITE.name) -> list[tuple[Any, ...]]:
    """(outcome, from, last seen, until, why it ended) by day of the month."""
    return [
        (row["outcome"], row["from"][8:10], row["last_seen"][8:10], (row["until"] or "")[8:10], row["end_cause"])
        for row in found
        if (row["control"], row["asset"]) == (control, asset)
    ]


def test_each_state_of_a_finding_is_a_row_and_says_between_which_looks_it_changed(tmp_path: Path) -> None:
    found = rows(country(tmp_path))

    assert told(found) == [
        ("pass", "01", "01", "02", "target"),
        ("fail", "02", "02", "05", "target"),  # the third was silent: nobody saw it mended before the fifth
        ("pass", "05", "05", "09", "target"),  # the stopped run did not ask, the quarantined one is not believed
        ("fail", "09", "09", "10", "target"),
        ("fail", "10", "10", "", None),
    ]
    assert all(list(row) == list(FIELDS) for row in found)
    assert [row["days_open"] for row in found if row["asset"] == SITE.name and row["outcome"] == "fail"][:1] == [3]


def test_a_range_shows_what_held_in_it_as_it_was_known_at_its_end(tmp_path: Path) -> None:
    world = country(tmp_path)

    assert told(rows(world, since="2026-11-02T00:00:00Z", until="2026-11-03T12:00:00Z")) == [
        ("pass", "01", "01", "02", "target"),  # its first run ended it
        ("fail", "02", "02", "", None),
    ]
    assert told(rows(world, since="2026-11-03T00:00:00Z", until="2026-11-03T12:00:00Z")) == [
        ("fail", "02", "02", "", None)
    ]


def test_an_asset_that_moves_is_shown_to_each_ministry_while_it_was_its_own(tmp_path: Path) -> None:
    world = World(tmp_path / "moves.db")
    moved = (site(0, "health"), *ENTRIES[1:])
    for name, entries in (("bad", ENTRIES), ("bad", ENTRIES), ("bad", moved), ("good", moved)):
        world.scan(day(name), entries, ministries=NAMES)

    assert told(rows(world, "finance")) == [("fail", "01", "02", "03", "scope")]
    assert told(rows(world, "health")) == [("fail", "03", "03", "04", "target"), ("pass", "04", "04", "", None)]


def test_rows_are_of_the_chosen_ministry_alone(tmp_path: Path) -> None:
    world = country(tmp_path)

    assert {row["ministry"] for row in rows(world, "finance")} == {"finance"}
    assert {row["ministry"] for row in rows(world)} == {"finance", "health"}


def test_vantages_do_not_mix(tmp_path: Path) -> None:
    world = World(tmp_path / "two.db")
    world.scan(day("bad"), ENTRIES, ministries=NAMES)
    world.scan(day("good"), ENTRIES, ministries=NAMES, vantage="abroad")
    found = [row for row in rows(world) if row["asset"] == SITE.name and row["control"] == "t.cert"]

    assert [(row["vantage"], row["outcome"], row["until"]) for row in found] == [
        ("abroad", "pass", None),
        ("local", "fail", None),
    ]


def test_a_partial_look_confirms_only_what_it_asked(tmp_path: Path) -> None:
    world = World(tmp_path / "part.db")
    world.scan(day("good"), ENTRIES, ministries=NAMES)
    world.scan({(OTHER, "tls", HTTPS): tls("other")}, ENTRIES, ministries=NAMES, selectors={"assets": [OTHER.name]})

    assert told(rows(world)) == [("pass", "01", "01", "", None)]
    assert told(rows(world), asset=OTHER.name) == [("pass", "01", "02", "", None)]


def test_what_an_older_release_told_in_other_words_is_exported_by_its_tag(tmp_path: Path) -> None:
    """Its rule did not tell yet what this release's text names."""
    world = country(tmp_path)
    control = CONTROLS["t.cert"]
    tags = {name: replace(tag, text="{name}, {chain}.") for name, tag in control.tags.items()}
    world.controls = {**CONTROLS, "t.cert": replace(control, tags=tags)}

    assert {terminal(row["message"]) for row in rows(world) if row["control"] == "t.cert"} == {
        "GOOD (this release has no words for it).",
        "BAD (this release has no words for it).",
    }
