"""A history of schema 8, with rows of every kind, becomes one of today: the same answers, and the same signed records."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posture.errors import StoreError
from posture.ledger.check import check_database
from posture.ledger.records import Chronicle
from posture.model import Reason
from posture.store import ScoreRow, Store
from posture.store.database import NEWEST
from posture.store.health import check
from posture.store.rejudging import rejudge
from posture.store.scores import put_scores
from posture.store.upkeep import migrate
from tests.ledger.attacking import FINANCE, HEALTH, Sealed, four_days
from tests.store import ADDRESS, HTTPS, SITE, World, policy, silence, tls
from tests.store.keeping import SECOND, tamper, told
from tests.store.narrowed import of_schema_8, told_by

BOTH = (FINANCE, HEALTH)


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Four days; silences as a whole, in part, for another reason, and one that outlasts another; new rules; an asset that
    left and came back; a second vantage; findings judged again."""
    history = four_days(tmp_path_factory.mktemp("today"))
    world = history.world
    sweep, second = (SITE, "ports", ADDRESS), (SITE, "tls", SECOND)
    for first, other, third in (
        (silence(), silence(), silence()),
        (silence(Reason.TEMPORARY, "RST"), silence(), silence()),
        (tls("five"), silence(), tls("second")),
        (silence(), silence(), tls("second")),
    ):
        world.scan(
            {(SITE, "tls", HTTPS): first, sweep: other, second: third, (HEALTH.key, "tls", HTTPS): tls("one")}, BOTH
        )
        history.seal()
    closed = world.scan({(SITE, "tls", HTTPS): tls("six"), (HEALTH.key, "tls", HTTPS): tls("one")}, BOTH)
    with world.open() as store, store.writing() as connection:
        scores = {"": ScoreRow(912, 900, 950, 1000, "A"), "finance": ScoreRow(None, None, None, 0, "")}
        put_scores(connection, store.reader.texts, closed.run.number, scores)
    history.seal()
    world.policy = policy(1)
    for name in ("old", "bad"):
        world.scan({(SITE, "tls", HTTPS): tls(name), (HEALTH.key, "tls", HTTPS): silence()}, BOTH)
        history.seal()
    world.scan({(SITE, "tls", HTTPS): tls("old")}, (FINANCE,))
    history.seal()
    world.scan({(SITE, "tls", HTTPS): tls("bad"), (HEALTH.key, "tls", HTTPS): tls("bad")}, BOTH, state="partial")
    history.seal()
    world.scan({(SITE, "tls", HTTPS): tls("good"), (HEALTH.key, "tls", HTTPS): silence()}, BOTH)
    history.seal()
    world.scan({(SITE, "tls", HTTPS): tls("bad"), (HEALTH.key, "tls", HTTPS): silence()}, BOTH, vantage="abroad")
    history.seal()
    with world.open() as store:
        rejudge(store, policy(0), "local")
    return history


@pytest.fixture
def old(today: Sealed, tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    of_schema_8(today.world.path, path)
    return path


def rows(path: Path, *, but: tuple[str, ...] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlite%'"
        tables = [name for (name,) in connection.execute(query) if name not in but]
        return {table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables}


def test_every_row_is_carried_over(old: Path) -> None:
    before = told_by(old)
    assert all(before.values()), [name for name, found in before.items() if not found]
    assert migrate(old).after == NEWEST
    assert told_by(old) == before
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    assert told(check(old)) == []


def test_its_tables_are_those_that_todays_writer_fills(today: Sealed, old: Path) -> None:
    migrate(old)
    # Numbers of what is kept once are given in the order in which it was first needed.
    numbered = ("text_value", "silence", "packed", "coverage_row", "judged_row", "score_row")
    assert rows(old, but=numbered) == rows(today.world.path, but=numbered)
    query = "SELECT asset_id, from_run, to_run, value, seconds FROM silence JOIN text_value ON text_value.id = said_id"
    found = []
    for path in (old, today.world.path):
        with closing(sqlite3.connect(path)) as connection:
            found.append(sorted(connection.execute(query).fetchall(), key=repr))
    assert found[0] == found[1]
    assert len(found[0]) > 5


def test_what_was_signed_is_what_is_told(today: Sealed, old: Path) -> None:
    with today.world.open(write=False) as store:
        chronicle = Chronicle(store)
        signed = [chronicle.of(run) for run in store.reader.runs()[::-1]]
    migrate(old)
    with Store.open(old, write=False, shipped=today.world.controls) as store:
        assert check_database(store).faults == []
        chronicle = Chronicle(store)
        assert [chronicle.of(run) for run in store.reader.runs()[::-1]] == signed


def test_it_goes_on(today: Sealed, old: Path) -> None:
    migrate(old)
    world = World(old, controls=today.world.controls, policy=today.world.policy, day=40)
    world.scan({(SITE, "tls", HTTPS): tls("bad"), (HEALTH.key, "tls", HTTPS): silence()}, BOTH)
    world.scan({(SITE, "tls", HTTPS): tls("good"), (HEALTH.key, "tls", HTTPS): tls("one")}, BOTH)
    assert told(check(old)) == []


@pytest.mark.parametrize(
    "statement",
    [
        # Said and gone in one run; ended for another cause than the next began; both at once.
        "UPDATE finding SET to_run = from_run, end_cause = 'scope' WHERE to_run IS NULL AND live",
        "UPDATE finding SET end_cause = 'policy' WHERE end_cause = 'target'",
        "UPDATE event_row SET severity = 0, since_run = 1",
        "UPDATE event_row SET kind = 'of another release'",
        "UPDATE miss SET at = '2026-10-01T00:00:00Z' WHERE probe = 'ports'",
        "UPDATE score SET low = NULL",
    ],
)
def test_what_no_release_wrote_is_carried_over_too(old: Path, statement: str) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        assert connection.execute(statement).rowcount != 0
        for _, text in guards:
            connection.execute(text)
    before = told_by(old)
    migrate(old)
    assert told_by(old) == before


def test_it_is_not_read_before(old: Path) -> None:
    with pytest.raises(StoreError, match="posture db migrate"):
        Store.open(old, write=False)
    assert check(old).sound


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TRIGGER asset_kept", "DELETE FROM asset WHERE id = 1"),
        ("DROP TRIGGER finding_frozen", "UPDATE finding SET to_run = to_run + 1 WHERE to_run = 3"),
    ],
)
def test_what_is_not_whole_stays_as_it_is(old: Path, statements: tuple[str, ...]) -> None:
    """A reference into nothing; two intervals of one place at once."""
    tamper(old, *statements)
    with pytest.raises(StoreError, match="damaged"):
        migrate(old)
    assert check(old).schema == NEWEST - 1
