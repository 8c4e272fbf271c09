"""posture db: what each command says, its exit codes, and that none of them makes a history."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from posture.store.database import NEWEST
from tests.cli.conftest import Scanned
from tests.cli.line import posture, process
from tests.store import HTTPS, SITE, World, tls
from tests.store.keeping import of_schema_1

NAMES = ("one", "two", "three", "four", "five")


@pytest.fixture
def world(elsewhere: Path) -> World:
    """A history of five runs, a day apart, the last one an hour old, in the working folder."""
    world = World(elsewhere / "posture.db")
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=4, hours=1)
    for count, name in enumerate(NAMES):
        started_at = start + timedelta(days=count)
        with world.open() as store:
            terms = world.start({(SITE, "tls", HTTPS): tls(name)}, started_at=started_at)
            run = store.begin(terms)
            run.settle(SITE, "tls", HTTPS, tls(name))
            run.close(world.judged(run, terms), "complete", started_at)
    return world


def test_a_sound_history_is_0_and_says_what_was_looked_at(world: World) -> None:
    said = posture("db", "check")

    assert (said.code, said.err) == (0, "")
    assert said.out == (
        f"{world.path} is sound: file, pages, values, references, schema, intervals, journal, blobs, texts, bitmaps. "
        f"Schema {NEWEST}, 5 runs, 1 asset, 6 findings, 5 records of evidence.\n"
    )


def test_a_damaged_history_is_1_and_every_fault_has_a_line(world: World) -> None:
    with closing(sqlite3.connect(world.path, isolation_level=None)) as connection:
        connection.execute("UPDATE blob SET data = x'00000000' WHERE id = 2")
        connection.execute("DROP TRIGGER verdict_kept")
    said = posture("db", "check")
    lines = said.out.splitlines()

    assert said.code == 1
    assert lines[0] == "schema      the trigger verdict_kept is missing"
    assert lines[1].startswith("blobs       blob 2 (sha256:")
    assert lines[2] == f"{world.path} is damaged: 2 faults."
    assert lines[3].startswith("Restore it from a backup")


def test_what_a_damaged_history_quotes_moves_no_cursor(world: World) -> None:
    with closing(sqlite3.connect(world.path, isolation_level=None)) as connection:
        connection.execute("UPDATE asset SET name = 'www' || char(27) || '[2J' || char(10) || 'forged line'")
        connection.execute("DROP TRIGGER facts_frozen")
        connection.execute("UPDATE facts SET to_run = 0 WHERE from_run = 2")
    said = posture("db", "check")

    assert said.code == 1
    assert "\x1b" not in said.out
    assert not any(line.startswith("forged") for line in said.out.splitlines())


def test_more_faults_than_are_named_are_counted(world: World) -> None:
    with closing(sqlite3.connect(world.path, isolation_level=None)) as connection:
        connection.executemany("INSERT INTO planned VALUES (1, 1, 'tls', ?)", [(str(n),) for n in range(3)])
        connection.executemany("INSERT INTO blob (sha256, data) VALUES (?, x'00')", [(bytes([n]),) for n in range(23)])
    said = posture("db", "check")

    assert said.code == 1
    assert "journal     3 rows of planned are left of run R-" in said.out
    assert "blobs       and 3 more faults\n" in said.out
    assert "24 faults." in said.out


def test_a_backup_is_checked_and_never_written_over(world: World, elsewhere: Path) -> None:
    said = posture("db", "backup", "copy.db")
    again = posture("db", "backup", "copy.db")

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("copy.db: ")
    assert "copy.db is sound: " in said.out
    assert posture("db", "check", "--db", "copy.db").code == 0
    assert (again.code, again.out) == (2, "")
    assert again.err == "posture: copy.db is there already, and a backup never overwrites. Name another file.\n"
    assert posture("db", "backup", elsewhere / "none" / "copy.db").code == 2


def test_a_copy_of_a_damaged_history_is_1_and_kept(world: World, elsewhere: Path) -> None:
    with closing(sqlite3.connect(world.path, isolation_level=None)) as connection:
        connection.execute("UPDATE blob SET data = x'00000000' WHERE id = 2")
    said = posture("db", "backup", "copy.db")

    assert said.code == 1
    assert "copy.db is damaged: 1 fault." in said.out
    assert "The copy was kept" in said.out
    assert (elsewhere / "copy.db").exists()


def test_migrate_says_from_where_to_where_and_then_that_there_is_nothing_to_do(elsewhere: Path) -> None:
    path = elsewhere / "posture.db"
    of_schema_1(path)
    old = posture("db", "check")
    first, second = posture("db", "migrate"), posture("db", "migrate")

    assert (old.code, "Schema 1 ('posture db migrate' brings it to" in old.out) == (0, True)
    assert (first.code, first.out) == (0, f"{path}: schema 1 is now schema {NEWEST}, this release's.\n")
    assert (second.code, second.out) == (0, f"{path}: schema {NEWEST}, this release's. Nothing to do.\n")


def test_prune_says_how_many_how_much_and_what_can_no_longer_be_shown(world: World) -> None:
    dry = posture("db", "prune", "--keep-evidence", 2, "--dry-run")
    done = posture("db", "prune", "--keep-evidence=2")
    again = posture("db", "prune", "--keep-evidence", "2")

    assert [dry.code, done.code, again.code] == [0, 0, 0]
    assert "2 records of evidence (" in dry.out
    assert "would be dropped; 3 records (" in dry.out
    assert "dropped; 3 records (" in done.out
    assert "2 answers from " in done.out
    assert "now read as not_recorded" in done.out
    assert "no evidence to drop" in again.out
    assert ", 3 records of evidence (2 dropped).\n" in posture("db", "check").out


@pytest.mark.parametrize("days", ["-1", "36501", "many", ""])
def test_days_that_are_none_are_usage(world: World, days: str) -> None:
    assert posture("db", "prune", f"--keep-evidence={days}").code == 2
    assert posture("db", "prune").code == 2


def test_who_writes_is_named_and_reading_goes_on(world: World) -> None:
    with world.open():
        for words in (("check",), ("backup", "copy.db"), ("migrate",), ("prune", "--keep-evidence", 0, "--dry-run")):
            assert posture("db", *words).code == 0
        said = posture("db", "prune", "--keep-evidence", 0)

    assert said.code == 4
    assert "another scan holds" in said.err


@pytest.mark.parametrize(
    "words", [("check",), ("backup", "copy.db"), ("migrate",), ("prune", "--keep-evidence", "9")], ids=lambda w: w[0]
)
def test_no_history_is_2_and_none_is_made(words: tuple[str, ...], elsewhere: Path) -> None:
    said = posture("db", *words)

    assert (said.code, said.out) == (2, "")
    assert "no such database" in said.err
    assert list(elsewhere.iterdir()) == []


def test_a_disk_that_cannot_be_written_is_5(world: World) -> None:
    said = posture("db", "backup", "/proc/copy.db")

    assert said.code == 5
    assert "the backup /proc/copy.db cannot be written: No such file or directory." in said.err


def test_what_a_real_scan_knows_outlives_its_evidence(scanned: Scanned, elsewhere: Path) -> None:
    """Of the range: the same findings, of now and of every run, and the same scores, before and after its evidence went."""
    copy = elsewhere / "copy.db"
    assert posture("db", "backup", copy, "--db", scanned.db).code == 0
    runs = [run["id"] for run in scanned.ask("runs", "--format", "json").document["runs"]]

    def told(name: str) -> list[Any]:
        words = ("--db", copy, "--format", "json")
        findings = [
            scanned.ask("findings", *words, *chosen).document for chosen in ((), *(("--run", run) for run in runs))
        ]
        page = Path(scanned.ask("scorecard", *words, "--out", elsewhere / name).out.strip())
        return [*findings, {**json.loads(page.read_text()), "generated_at": "", "as_of": ""}]

    before = told("before")
    dropped = posture("db", "prune", "--keep-evidence", 0, "--db", copy)

    assert dropped.code == 0
    assert " of evidence (" in dropped.out
    assert told("after") == before
    assert posture("db", "check", "--db", copy).code == 0


def test_the_console_script_does_the_same(world: World, elsewhere: Path) -> None:
    said = process("db", "check", cwd=elsewhere)

    assert (said.code, said.out.startswith(f"{world.path} is sound")) == (0, True)
