from __future__ import annotations

from pathlib import Path
from typing import Any

from posture.export.nights import CAUSES, NOBODY, NOT_ALL, NOT_ASKED, night_rows
from tests.export.country import CLINIC, ENTRIES, NAMES, country, day, span
from tests.store import HTTPS, World, tls


def nights(world: World, *ministries: str, **chosen: str) -> list[dict[str, Any]]:
    with world.open(write=False) as store:
        return list(night_rows(span(store, *ministries, **chosen)))


def test_every_day_has_its_row_and_every_miss_its_cause(tmp_path: Path) -> None:
    found = nights(country(tmp_path))

    # 02:00 UTC is the evening before in Saint Lucia.
    assert [(row["day"], row["planned"], row["outcome"]) for row in found] == [
        ("2026-10-31", "yes", "done"),
        ("2026-11-01", "yes", "done"),
        ("2026-11-02", "yes", "done"),
        ("2026-11-03", "unknown", "missed"),
        ("2026-11-04", "yes", "done"),
        ("2026-11-05", "yes", "partly"),
        ("2026-11-06", "unknown", "missed"),
        ("2026-11-07", "yes", "missed"),
        ("2026-11-08", "yes", "done"),
        ("2026-11-09", "yes", "done"),
    ]
    assert [row["cause"] for row in found if row["outcome"] != "done"] == [
        NOBODY, CAUSES["stopped"], NOBODY, CAUSES["quarantined"],
    ]  # fmt: skip


def test_counts_are_of_the_ministries_exported_alone(tmp_path: Path) -> None:
    world = country(tmp_path)
    whole, finance = nights(world), nights(world, "finance")

    assert [(row["assets"], row["asked"], row["answered"], row["silent"]) for row in whole[:3]] == [
        (3, 3, 3, 0),
        (3, 3, 3, 0),
        (3, 3, 2, 1),
    ]
    assert [(row["assets"], row["asked"], row["answered"], row["silent"]) for row in finance[:3]] == [
        (2, 2, 2, 0),
        (2, 2, 2, 0),
        (2, 2, 1, 1),
    ]
    assert finance[2]["reasons"] == "timeout 1"
    assert nights(world, "health")[2]["reasons"] == ""
    # The stopped run asked nothing of finance.
    assert (finance[5]["asked"], finance[5]["outcome"]) == (0, "missed")


def test_a_run_of_others_is_a_miss_here_and_names_nobody(tmp_path: Path) -> None:
    world = World(tmp_path / "narrow.db")
    world.scan(day("good"), ENTRIES, ministries=NAMES)
    world.scan({(CLINIC.key, "tls", HTTPS): tls("x")}, ENTRIES, ministries=NAMES, selectors={"ministries": ["health"]})

    assert [(row["outcome"], row["cause"]) for row in nights(world, "finance")] == [("done", ""), ("missed", NOT_ASKED)]
    assert [(row["outcome"], row["cause"]) for row in nights(world, "health")] == [("done", ""), ("done", "")]
    assert [(row["outcome"], row["cause"]) for row in nights(world)] == [("done", ""), ("partly", NOT_ALL)]


def test_days_asked_for_are_shown_though_nothing_ran(tmp_path: Path) -> None:
    found = nights(country(tmp_path), since="2026-11-02", until="2026-11-04")

    assert [row["day"] for row in found] == ["2026-11-02", "2026-11-03", "2026-11-04"]
