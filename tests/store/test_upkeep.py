"""Copying a history, bringing it to today's schema, and dropping evidence past its time."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from posture import history
from posture.checks import Reference
from posture.errors import NothingToScan, StoreError, UsageError
from posture.model import Observed, Outcome, Reason, Unobserved
from posture.store import schema
from posture.store.database import NEWEST, WriterLock
from posture.store.health import check
from posture.store.judging import judge_again
from posture.store.upkeep import backup, migrate, prune, schema_of
from tests.store import CONTROLS, DAY, HTTPS, SITE, T0, World, policy, site, tls
from tests.store.keeping import OTHER, day, empty, holding, of_schema_1, tamper, told, year


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def test_no_history_is_said_to_be_none(world: World, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not a database, but long enough to be one" * 100)
    for path, says in ((world.path, "no such database"), (notes, "no posture database")):
        with pytest.raises(UsageError, match=says):
            check(path)
        with pytest.raises(UsageError, match=says):
            backup(path, tmp_path / "copy.db")
        with pytest.raises(UsageError, match=says):
            migrate(path)
        with pytest.raises(UsageError, match=says):
            prune(path, DAY, T0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]


def test_a_read_only_medium_is_read(world: World, readonly: Path) -> None:
    year(world)
    disc = readonly / "posture.db"
    disc.write_bytes(world.path.read_bytes())  # in WAL mode, as it lies
    backup(world.path, readonly / "backup.db")
    subprocess.run(["mount", "-o", "remount,ro", str(readonly)], check=True)
    for path in (disc, readonly / "backup.db"):
        assert told(check(path)) == []
        assert prune(path, DAY, T0 + 9 * DAY, dry_run=True).records == 3
    assert backup(readonly / "backup.db", world.path.with_name("copy.db")).health.sound
    with pytest.raises(StoreError, match=r"backup .* cannot be written: Read-only"):
        backup(world.path, readonly / "more.db")
    with pytest.raises(StoreError, match="cannot be written"):
        prune(disc, DAY, T0 + 9 * DAY)


# ---- backup


def test_a_backup_is_the_history_in_one_file(world: World, tmp_path: Path) -> None:
    year(world)
    world.path.chmod(0o640)
    made = backup(world.path, tmp_path / "copy.db")
    assert made.health.sound
    assert made.size == made.path.stat().st_size
    mask = os.umask(0o022)
    os.umask(mask)
    assert made.path.stat().st_mode & 0o777 == 0o640 & ~mask
    assert made.path.read_bytes()[18:20] == b"\x01\x01"  # no write-ahead log: sqlite.org/fileformat.html, 1.3.3
    assert sorted(path.name for path in tmp_path.glob("*copy.db*")) == ["copy.db"]
    copy = World(made.path, day=world.day)
    with world.open(write=False) as one, copy.open(write=False) as two:
        assert history.state(one) == history.state(two)
        assert history.runs(one) == history.runs(two)
    copy.scan(day("six"))
    assert check(copy.path).sound


def test_a_backup_never_overwrites(world: World, tmp_path: Path) -> None:
    year(world)
    (tmp_path / "there").write_text("mine")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in ("there", "empty", "link", "posture.db", "."):
        with pytest.raises(UsageError, match="never overwrites"):
            backup(world.path, tmp_path / target)
    with pytest.raises(UsageError, match="no folder"):
        backup(world.path, tmp_path / "none" / "copy.db")
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert check(world.path).sound


def test_a_backup_works_while_a_scan_writes(world: World, tmp_path: Path) -> None:
    """The scan is a thread with a connection of its own; it goes on until the copies are made."""
    year(world)
    done, begun = threading.Event(), threading.Event()
    wrote: list[int] = []

    def scan() -> None:
        with world.open() as store:
            answers = {(site(n).key, "tls", HTTPS): tls("good") for n in range(2000)}
            run = store.begin(world.start(answers))
            for count, question in enumerate(answers):
                if done.is_set():
                    break
                run.settle(*question, tls(f"{count}" * 50))
                wrote.append(count)
                if count == 5:
                    begun.set()
        begun.set()

    scanner = threading.Thread(target=scan)
    scanner.start()
    try:
        assert begun.wait(60)
        copies = [backup(world.path, tmp_path / f"{n}.db") for n in range(3)]
        assert told(check(world.path)) == []
    finally:
        done.set()
        scanner.join()
    assert len(wrote) > 5
    assert [told(copy.health) for copy in copies] == [[], [], []]


def test_a_damaged_database_leaves_no_copy_or_one_that_is_known_for_it(world: World, tmp_path: Path) -> None:
    world.scan({(site(n).key, "tls", HTTPS): tls(f"{n}" * 90) for n in range(100)})
    whole = world.path.read_bytes()
    tamper(world.path, "UPDATE blob SET data = x'00000000' WHERE id = 1")
    made = backup(world.path, tmp_path / "copy.db")
    assert [kind for kind, _ in told(made.health)] == ["blobs"]
    world.path.write_bytes(whole[: 4096 * 2] + bytes(len(whole) - 4096 * 2))
    with pytest.raises(StoreError, match="is damaged"):
        backup(world.path, tmp_path / "second.db")
    assert sorted(path.name for path in tmp_path.glob("*second.db*")) == []


def test_a_backup_onto_a_full_disk_leaves_nothing(world: World, readonly: Path) -> None:
    world.scan({(site(n).key, "tls", HTTPS): Observed(_noise(n), T0) for n in range(60)})
    (readonly / "ballast").write_bytes(bytes(3_900_000))
    with pytest.raises(StoreError, match=r"cannot be written: .*full.* Free some space"):
        backup(world.path, readonly / "copy.db")
    assert [path.name for path in readonly.iterdir()] == ["ballast"]


def _noise(seed: int) -> Any:
    """Facts that do not compress."""
    blocks = (hashlib.sha256(b"%d,%d" % (seed, n)).hexdigest() for n in range(200))
    answer = tls("".join(blocks))
    assert isinstance(answer, Observed)
    return answer.facts


# ---- migrate


def test_an_old_history_is_said_to_be_old_and_brought_to_today(world: World, tmp_path: Path) -> None:
    of_schema_1(world.path)
    assert check(world.path).schema == schema_of(world.path) == 1
    assert check(world.path).sound
    assert backup(world.path, tmp_path / "copy.db").health.schema == 1
    done = migrate(world.path)
    assert (done.before, done.after) == (1, NEWEST)
    assert told(check(world.path)) == []
    world.scan(day("one"))


def test_a_new_history_is_not_touched_also_while_a_scan_writes(world: World) -> None:
    year(world)
    with world.open():
        before = world.path.stat().st_mtime_ns
        assert migrate(world.path).before == NEWEST
        assert world.path.stat().st_mtime_ns == before


def test_a_migration_needs_the_lock_and_leaves_it_free(world: World) -> None:
    of_schema_1(world.path)
    lock = WriterLock(world.path)
    with pytest.raises(NothingToScan, match=f"process {os.getpid()}"):
        migrate(world.path)
    lock.release()
    assert schema_of(world.path) == 1
    migrate(world.path)
    WriterLock(world.path).release()


def test_a_migration_that_fails_leaves_the_old_schema(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    of_schema_1(world.path)
    monkeypatch.setattr(schema, "_LEDGER", schema._LEDGER + "CREATE TABLE run (id);\n")
    with pytest.raises(StoreError, match="already exists"):
        migrate(world.path)
    assert schema_of(world.path) == 1
    with closing(sqlite3.connect(world.path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert not {"contact", "log_entry"} & tables


def test_a_newer_history_is_refused_by_all(world: World, tmp_path: Path) -> None:
    year(world)
    tamper(world.path, "PRAGMA user_version = 99")
    for ask in (check, migrate, lambda path: backup(path, tmp_path / "c"), lambda path: prune(path, DAY, T0)):
        with pytest.raises(StoreError, match="newer release"):
            ask(world.path)


# ---- prune

LONG_AFTER = T0 + 400 * DAY


def test_evidence_past_its_time_is_dropped_and_nothing_else(world: World) -> None:
    year(world)
    before = _rows(world.path)
    pruned = prune(world.path, 100 * DAY, LONG_AFTER)
    # "three" holds at the last complete run but one, "four" at the last but one's end; both are judged again by new rules.
    assert empty(world.path) == {holding("one"), holding("bad"), holding("three")}
    assert pruned.records == 3
    assert pruned.answers == 3
    assert pruned.since == T0 + timedelta(minutes=5)
    assert pruned.until == T0 + 3 * DAY + timedelta(minutes=10)
    assert (pruned.kept, pruned.size > 0, pruned.kept_size > 0) == (4, True, True)
    assert _rows(world.path) == before
    health = check(world.path)
    assert told(health) == []
    assert health.counts["dropped"] == 3
    assert prune(world.path, 100 * DAY, LONG_AFTER).records == 0


def _rows(path: Path) -> dict[str, list[Any]]:
    """Every row of every table but the content of blobs."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name != "blob"}
        return {**rows, "blob": connection.execute("SELECT id, sha256 FROM blob").fetchall()}


def test_a_rehearsal_says_the_same_and_changes_nothing(world: World) -> None:
    year(world)
    with world.open():  # it needs no lock
        said = prune(world.path, 100 * DAY, LONG_AFTER, dry_run=True)
    assert empty(world.path) == set()
    assert prune(world.path, 100 * DAY, LONG_AFTER) == said


@pytest.mark.parametrize(
    ("days", "gone"), [(0, 3), (1, 3), (2, 2), (3, 1), (4, 0), (300, 0)], ids=lambda value: str(value)
)
def test_what_was_current_within_the_days_is_kept(world: World, days: int, gone: int) -> None:
    """Record n was replaced at the end of run n + 1, n days after the first."""
    year(world)
    at = T0 + 4 * DAY + timedelta(hours=1)
    assert prune(world.path, days * DAY, at).records == gone


def test_the_same_record_elsewhere_keeps_it(world: World) -> None:
    world.scan(day("one", "shared"))
    for name in ("shared", "three", "four", "five"):
        world.scan(day(name, "shared"))
    prune(world.path, DAY, LONG_AFTER)
    assert empty(world.path) == {holding("one"), holding("three")}


def test_waiting_answers_and_the_roots_of_a_run_are_kept(world: World) -> None:
    for name in ("one", "two", "three", "four"):
        world.scan(day(name), reference=Reference(b"roots"))
    with world.open() as store:
        store.begin(world.start(day("one"))).settle(SITE, "tls", HTTPS, tls("one"))
    prune(world.path, DAY, LONG_AFTER)
    assert empty(world.path) == {holding("two")}
    with world.open() as store:
        leftover = store.leftover("local")
        assert leftover is not None
        assert [stored.answer.facts.name for _, stored in leftover.answers()] == ["one"]  # type: ignore[union-attr]
        assert store.reader.reference(store.reader.run(1)).roots == b"roots"


def test_what_no_run_shows_goes_whatever_its_age(world: World) -> None:
    """The answers of a quarantined run: nobody can be shown them."""
    world.scan(day("one"))
    world.scan(day("strange", "stranger"), state="quarantined")
    pruned = prune(world.path, 100 * DAY, T0 + 2 * DAY)
    assert (pruned.records, pruned.answers, pruned.since) == (2, 0, None)
    assert empty(world.path) == {holding("strange"), holding("stranger")}


def test_dropped_evidence_reads_as_not_recorded(world: World) -> None:
    year(world)
    prune(world.path, 100 * DAY, LONG_AFTER)
    with world.open(write=False) as store:
        first, last = store.reader.run(1), store.reader.run(5)
        answers = store.reader.answers(first)
        answer = answers[SITE]["tls", HTTPS].answer
        assert isinstance(answer, Unobserved)
        assert answer.reason is Reason.NOT_RECORDED
        assert isinstance(answers[OTHER]["tls", HTTPS].answer, Observed)
        assert store.reader.traces(first)[SITE]["tls", HTTPS].digest == f"sha256:{holding('one')}"
        judged = judge_again(store.reader, first, policy(1), CONTROLS, controls=CONTROLS)
        assert {key[0] for key in judged if key[1] == "t.cert" and key[2] == HTTPS} == {OTHER}
        assert all(isinstance(one.answer, Observed) for one in store.reader.answers(last)[SITE].values())


def test_no_finding_of_any_day_changes_and_no_silence_is_made_up(world: World) -> None:
    """Neither a run alone nor the state of a day, seen in part that day or in full, nor any drift."""
    year(world)
    runs = range(1, 6)

    def told_by() -> list[Any]:
        with world.open(write=False) as store:
            records = [store.reader.run(number) for number in runs]
            alone = [history.state(store, run=run.id)["findings"] for run in records]
            then = [history.state(store, at=run.end.isoformat())["findings"] for run in records]
            drifts = [history.compare(store, records[0].id, run.id)["events"] for run in records[1:]]
            return [alone, then, drifts]

    before = told_by()
    assert any(row["unseen"] == "timeout" for row in before[1][1])
    assert prune(world.path, DAY, LONG_AFTER).records == 3
    after = told_by()
    for old, new in zip(before[0] + before[1], after[0] + after[1], strict=True):
        known = [row for row in old if row["outcome"] != Outcome.UNKNOWN]
        assert [row for row in new if row["outcome"] != Outcome.UNKNOWN] == known
    assert after[2] == before[2]


def test_what_is_seen_again_is_kept_again(world: World) -> None:
    year(world)
    prune(world.path, DAY, LONG_AFTER)
    assert holding("one") in empty(world.path)
    world.scan(day("one"))
    assert holding("one") not in empty(world.path)
    assert told(check(world.path)) == []
    with world.open(write=False) as store:
        for number in (1, 6):
            answer = store.reader.answers(store.reader.run(number))[SITE]["tls", HTTPS].answer
            assert isinstance(answer, Observed)
            assert answer.facts.name == "one"


def test_what_is_dropped_is_overwritten(world: World) -> None:
    """Records of more than a page, which SQLite would otherwise leave on pages that it merely calls free."""
    for seed in range(4):
        world.scan({(SITE, "tls", HTTPS): Observed(_noise(seed), T0)})
    with closing(sqlite3.connect(world.path)) as connection:
        packed = connection.execute("SELECT data FROM blob ORDER BY id LIMIT 1").fetchone()[0]
    pieces = [packed[place : place + 100] for place in range(0, len(packed) - 100, 1000)]
    assert all(piece in world.path.read_bytes() for piece in pieces)
    prune(world.path, DAY, LONG_AFTER)
    for path in world.path.parent.glob("posture.db*"):
        assert not any(piece in path.read_bytes() for piece in pieces)


def test_pruning_needs_the_lock_and_leaves_it_free(world: World) -> None:
    year(world)
    with world.open(), pytest.raises(NothingToScan, match="process"):
        prune(world.path, DAY, LONG_AFTER)
    assert empty(world.path) == set()
    prune(world.path, DAY, LONG_AFTER)
    world.open().close()


PRUNER = """
import os, sys
from pathlib import Path
import posture.store.upkeep as upkeep
from tests.store import DAY
from tests.store.test_upkeep import LONG_AFTER
found = upkeep._past
def past(connection, limit):
    found(connection, limit)
    connection.execute("UPDATE blob SET data = x'' WHERE id IN (SELECT id FROM past LIMIT 2)")
    os.kill(os.getpid(), 9)
upkeep._past = past
upkeep.prune(Path(sys.argv[1]), DAY, LONG_AFTER)
"""


def test_killed_in_the_middle_nothing_was_dropped(world: World) -> None:
    year(world)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    done = subprocess.run([sys.executable, "-c", PRUNER, str(world.path)], env=environment, check=False)
    assert done.returncode == -9
    assert empty(world.path) == set()
    assert told(check(world.path)) == []
