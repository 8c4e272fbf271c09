"""Findings age like tickets: days open, reopenings, the median and the oldest."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from posture.ages import ages_of, days
from posture.errors import UsageError
from posture.history import Selectors
from posture.model import Answer, AssetKey
from posture.reporters import render
from posture.store import Interval, Question, stamp
from posture.store.timeline import open_spells, reopened
from tests.store import ADDRESS, DAY, HTTPS, SITE, T0, World, policy, silence, site, tls

OTHER = site(1).key


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def says(name: str | Answer, asset: AssetKey = SITE) -> dict[Question, Answer]:
    return {(asset, "tls", HTTPS): tls(name) if isinstance(name, str) else name}


def played(world: World, *names: str | Answer) -> World:
    """A run a day, in each of which one endpoint says this."""
    for name in names:
        world.scan(says(name))
    return world


def aged(world: World, day: float = 0, **choice: Any) -> dict[str, Any]:
    """The document, its days counted to ``day`` days after the first run."""
    with world.open(write=False) as store:
        return ages_of(store, now=T0 + day * DAY, **choice)


def age(world: World, day: float = 0, **choice: Any) -> tuple[int, int]:
    """Days open and reopenings of the only finding."""
    (row,) = aged(world, day, **choice)["findings"]
    return row["days_open"], row["reopened"]


def test_days_are_counted_from_the_run_that_first_saw_it_to_now(world: World) -> None:
    played(world, "good", "bad", "bad")

    assert age(world, 10) == (9, 0)
    assert age(world, 10.9) == (9, 0), "whole days"
    (row,) = aged(world, 10)["findings"]
    assert (row["first_seen"], row["last_seen"]) == (stamp(T0 + DAY), stamp(T0 + 2 * DAY + timedelta(minutes=10)))


def test_other_words_for_the_same_weakness_do_not_make_it_young(world: World) -> None:
    world.policy = policy(strict=1)
    assert age(played(world, "bad", "old", "bad"), 10) == (10, 0)


def test_silence_mends_nothing_and_the_days_go_on(world: World) -> None:
    assert age(played(world, "bad", silence(), silence()), 10) == (10, 0)


def test_mended_days_are_left_out_and_every_return_is_counted(world: World) -> None:
    played(world, "bad", "bad", "good", "bad", "good", "good", "bad")

    assert age(world, 10) == (2 + 1 + 4, 2)


def test_a_departure_is_no_mending(world: World) -> None:
    world.scan(says("bad"))
    world.scan(says("good", OTHER))  # the site has left the inventory
    world.scan(says("bad"))

    assert age(world, 10) == (1 + 8, 0)


def test_a_new_policy_is_no_mending(world: World) -> None:
    world.policy = policy(strict=1)
    played(world, "old")
    world.policy = policy(strict=0)
    played(world, "old")
    world.policy = policy(strict=1)
    played(world, "old")

    assert age(world, 10) == (1 + 8, 0)


def test_what_is_not_open_has_no_age(world: World) -> None:
    played(world, "bad", "good")

    assert aged(world, 10)["findings"] == aged(world, 10)["ages"] == []


def test_ages_of_a_past_time_count_to_it_and_know_nothing_later(world: World) -> None:
    played(world, "bad", "good", "bad")

    then = stamp(T0 + timedelta(hours=12))
    assert age(world, 10, at=then) == (0, 0)
    assert aged(world, 10, at=then)["at"] == then
    assert age(world, 10, at=stamp(T0 + 3.5 * DAY)) == (1 + 1, 1)
    assert aged(world, 10, at="2099-01-01")["at"] == stamp(T0 + 10 * DAY), "nothing has aged into the future"


def test_ages_of_a_run_count_to_its_end(world: World) -> None:
    played(world, "bad", "bad", "bad")

    assert age(world, 10, run="latest") == (2, 0)
    with pytest.raises(UsageError, match="--run and --at"):
        aged(world, run="latest", at="2026-11-01")


def test_median_and_oldest_by_ministry_and_severity(world: World) -> None:
    finance, health = [site(n) for n in range(3)], site(9, "health")
    names = {"finance": "Ministry of Finance", "health": "Ministry of Health"}
    for day in range(3):
        answers: dict[Question, Answer] = {}
        for number, entry in enumerate([*finance, health]):
            answers |= says("bad" if day >= number % 3 else "good", entry.key)
        # A second address that never answers: t.site warns.
        answers |= {(health.key, "tls", f"{ADDRESS}:8443/tcp"): silence()}
        world.scan(answers, [*finance, health], ministries=names)

    found = aged(world, 5)
    assert found["ages"] == [
        {"ministry": "finance", "severity": "high", "open": 3, "median_days": 4, "oldest_days": 5, "reopened": 0},
        {"ministry": "health", "severity": "high", "open": 2, "median_days": 5, "oldest_days": 5, "reopened": 0},
    ]
    assert {row["outcome"] for row in found["findings"]} == {"fail", "warn"}
    only = aged(world, 5, select=Selectors(ministries=["health"], outcomes=["fail", "pass"]))
    assert [(row["ministry"], row["open"]) for row in only["ages"]] == [("health", 1)]
    assert aged(world, 5, select=Selectors(assets=[s.key.name for s in finance[:2]]))["ages"][0]["median_days"] == 4.5


def test_without_a_run_there_is_nothing_that_ages(world: World) -> None:
    with world.open():
        pass
    found = aged(world)

    assert (found["run"], found["ages"], found["findings"]) == (None, [], [])


def test_the_table_ends_with_the_ages_of_the_ministries(world: World) -> None:
    stream = io.StringIO()
    render(aged(played(world, "bad", "good", "bad"), 10), "table", stream)
    first, second = stream.getvalue().split("\n\n")

    assert first.splitlines()[0].split()[:3] == ["DAYS", "OPEN", "SEVERITY"]
    assert first.splitlines()[1].split()[:2] == ["9", "high"]
    assert second.splitlines()[1].split() == ["finance", "high", "1", "9", "9", "1"]
    stream = io.StringIO()
    render(aged(world, 10), "md", stream)
    assert "| finance | high | 1 | 9 | 9 | 1 |" in stream.getvalue()


def told(world: World) -> list[Interval]:
    """The intervals of the endpoint's finding."""
    with world.open(write=False) as store:
        return store.reader.timelines(store.reader.runs()[0])[SITE, "t.cert", HTTPS]


def test_spells_join_where_they_touch(world: World) -> None:
    world.policy = policy(strict=1)
    played(world, "bad", "old", "good", "bad", "good")

    assert len(told(world)) == 5
    assert open_spells(told(world)) == [(1, 3), (4, 5)]


def test_a_mending_without_a_return_is_no_reopening(world: World) -> None:
    assert reopened(told(played(world, "bad", "good"))) == 0
    assert reopened(told(played(world, "bad", "good"))) == 1


def test_spells_of_nothing() -> None:
    assert days([(T0, T0 + 0.6 * DAY), (T0 + DAY, T0 + 1.6 * DAY)]) == 1, "halves of days count together"
    assert days([]) == 0
    assert open_spells([]) == []
    assert reopened([]) == 0
