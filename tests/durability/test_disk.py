"""Disks: full, damaged, copied while somebody writes; and two who write at once."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from posture.errors import PostureError, StoreError
from posture.model import Answer
from posture.scan.beginning import open_run
from posture.store import OpenRun, Question
from posture.store.database import FAULTS
from posture.store.health import check
from posture.store.upkeep import backup
from tests.durability import loops
from tests.durability.test_kills import ROOT
from tests.lab import need_root
from tests.store import HTTPS, T0, World, site, tls
from tests.store.keeping import told

DAMAGES = loops(8, 30)
FLIPS = loops(150, 600)  # most fall on unused room
COPIES = loops(4, 15)
WRITES = loops(300, 2000)
DISK = 24_000_000  # more than check_space asks for, so that a run begins


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    need_root()
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# ---- a disk that fills


def large(number: int) -> str:
    """An answer that hardly compresses, as certificates do."""
    return random.Random(number).randbytes(3000).hex()


def test_a_disk_that_fills_during_a_run_costs_no_answer_and_the_run_is_gone_on_with(small: Path) -> None:
    world = World(small / "posture.db")
    answers = {(site(n).key, "tls", HTTPS): tls(large(n)) for n in range(200)}
    told_of: set[Question] = set()
    ballast = small / "ballast"
    with world.open() as store:
        start = world.start(answers)
        run = store.begin(start)
        ballast.write_bytes(bytes(shutil.disk_usage(small).free - 1_000_000))
        with pytest.raises(StoreError, match="disk is full") as refused:
            record(run, answers, told_of)
        assert refused.value.exit_code == 5
        assert 0 < len(told_of) < 200
        assert run.done() == told_of
        with pytest.raises(StoreError, match="disk is full"):
            run.close(world.judged(run, start), "partial", T0)
        assert run.done() == told_of, "closing is all or nothing"

    assert told(check(world.path)) == []
    ballast.unlink()
    with world.open() as store:
        leftover = store.leftover("local")
        assert leftover is not None
        assert leftover.done() == told_of
        record(leftover, {q: answer for q, answer in answers.items() if q not in told_of}, told_of)
        assert leftover.close(world.judged(leftover, start), "complete", T0).run.state == "complete"
    assert told_of == set(answers)
    assert told(check(world.path)) == []


def record(run: OpenRun, answers: Mapping[Question, Answer], done: set[Question]) -> None:
    for question, answer in answers.items():
        run.settle(*question, answer)
        done.add(question)


def test_no_run_begins_on_a_disk_that_is_nearly_full(small: Path) -> None:
    world = World(small / "posture.db")
    with world.open() as store:
        (small / "ballast").write_bytes(bytes(shutil.disk_usage(small).free - 15_000_000))
        with pytest.raises(StoreError, match=r"may need 17 MB, 1[45] MB are free"):
            store.begin(world.start({(site().key, "tls", HTTPS): tls("good")}))
        assert store.reader.runs() == []


def test_no_interrupted_run_is_gone_on_with_on_a_disk_that_is_nearly_full(small: Path) -> None:
    """What a full disk stopped is not to fill it again at once."""
    world = World(small / "posture.db")
    ballast = small / "ballast"
    with world.open() as store:
        start = world.start({(site(n).key, "tls", HTTPS): tls("good") for n in range(3)})
        store.begin(start).settle(site(0).key, "tls", HTTPS, tls("good"))
        ballast.write_bytes(bytes(shutil.disk_usage(small).free - 15_000_000))
        with pytest.raises(StoreError, match=r"may need 17 MB, 1[45] MB are free"):
            open_run(store, start, resume=True, seal=lambda _: None)
        ballast.unlink()
        assert len(open_run(store, start, resume=True, seal=lambda _: None).done()) == 1


# ---- damage


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Three runs over 300 assets, in one file without free pages."""
    world = World(tmp_path / "whole.db")
    for day in range(3):
        world.scan({(site(n).key, "tls", HTTPS): tls(f"{n} {(n + day) // 50}" * 40) for n in range(300)})
    with closing(sqlite3.connect(world.path)) as connection:
        connection.execute("VACUUM")
    return world.path


def rows_of(path: Path) -> Counter[str] | None:
    """All rows of all tables; None when they cannot be read."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            return Counter(
                repr((name, *row))
                for (name,) in names
                for row in connection.execute(f'SELECT * FROM "{name}" NOT INDEXED')
            )
    except FAULTS:
        return None


def test_zeroed_pages_are_found_every_one(history: Path) -> None:
    whole, chance, by = history.read_bytes(), random.Random(1), Counter[str]()
    for page in chance.sample(range(len(whole) // 4096), DAMAGES):
        history.write_bytes(whole[: page * 4096] + bytes(4096) + whole[(page + 1) * 4096 :])
        by.update(found_by(history) or {"nobody"})
    print(f"{DAMAGES} zeroed pages, found by: {dict(by)}")
    assert by["nobody"] == 0


def test_flipped_bytes_are_found_or_alter_the_value_of_one_row(history: Path) -> None:
    """What alters no row (unused room within a page) may go unseen. What the checks cannot see, a wrong value in a sound
    row, is left to what is signed."""
    whole, chance, by = history.read_bytes(), random.Random(2), Counter[str]()
    before = rows_of(history)
    assert before is not None
    altered = 0
    for _ in range(FLIPS):
        place = chance.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[place] ^= chance.randrange(1, 256)
        history.write_bytes(damaged)
        found, after = found_by(history), rows_of(history)
        if after != before:
            altered += 1
            by.update(found or {"nobody"})
        if not found:
            assert after is not None
            assert (before - after).total() == (after - before).total() <= 1
    print(f"{FLIPS} flipped bytes, {altered} altered a row, found by: {dict(by)}")
    assert altered
    assert by["nobody"] <= altered // 3


def found_by(path: Path) -> set[str]:
    try:
        return {fault.check for fault in check(path).faults}
    except PostureError:
        return {"opening"}


# ---- copies


WRITING = """
import sys
from pathlib import Path
from tests.store import HTTPS, World, site, tls
world = World(Path(sys.argv[1]))
with world.open() as store:
    answers = {(site(n).key, "tls", HTTPS): tls("good") for n in range(20000)}
    run = store.begin(world.start(answers))
    print("begun", flush=True)
    while True:
        for count, question in enumerate(answers):
            run.settle(*question, tls(f"{count}" * 300))
"""


@pytest.fixture
def written(history: Path) -> Iterator[Path]:
    """A history into which a scan in another process writes all the time."""
    command = [sys.executable, "-c", WRITING, str(history)]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield history
            assert process.poll() is None, "it wrote to the end"
        finally:
            process.kill()


def test_a_backup_is_sound_and_current_while_a_scan_writes_and_a_plain_copy_is_not(
    written: Path, tmp_path: Path
) -> None:
    bad = 0
    for number in range(COPIES):
        before = answers_in(written)
        made = backup(written, tmp_path / f"backup-{number}.db")
        assert told(made.health) == []
        assert answers_in(made.path) >= before
        made.path.unlink()
        copy = tmp_path / f"copy-{number}.db"
        before = answers_in(written)
        shutil.copyfile(written, copy)
        bad += answers_in(copy) < before
    print(f"{COPIES} backups while writing: all sound; of as many plain copies of the file {bad} bad")
    assert bad, "the scan wrote while the copies were made"


def answers_in(path: Path) -> int:
    """How many answers of the run under way a file holds; -1 when it is broken."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
                return -1
            return int(connection.execute("SELECT count(*) FROM journal").fetchone()[0])
    except sqlite3.Error:
        return -1


# ---- two writers

# Reads, then writes, many times: what its transaction begins with is the third argument.
WRITER = """
import sqlite3, sys
from contextlib import contextmanager
from pathlib import Path
from posture.store import database
path, count, begin = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
connection = database.connect_write(path)
print("ready", flush=True)
sys.stdin.readline()
refused = 0
insert = "INSERT INTO text_value (hash, value) VALUES (?, ?)"
for number in range(count):
    try:
        if begin == "ours":
            with database.transaction(path, connection):
                seen = connection.execute("SELECT count(*) FROM text_value").fetchone()[0]
                connection.execute(insert, (number, f"{sys.argv[4]} {number} {seen}"))
        else:
            connection.execute("BEGIN DEFERRED")
            seen = connection.execute("SELECT count(*) FROM text_value").fetchone()[0]
            connection.execute(insert, (number, f"{sys.argv[4]} {number} {seen}"))
            connection.execute("COMMIT")
    except Exception:
        refused += 1
        if connection.in_transaction:
            connection.execute("ROLLBACK")
print(refused, flush=True)
"""


def two_writers(path: Path, begin: str) -> tuple[int, int]:
    """How many of their transactions were refused, and how many rows they left."""
    command = [sys.executable, "-c", WRITER, str(path), str(WRITES), begin]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    refused = sum(int(writer.communicate()[0]) for writer in writers)
    with closing(sqlite3.connect(path)) as connection:
        return refused, connection.execute("SELECT count(*) FROM text_value").fetchone()[0]


def test_two_writers_wait_for_each_other_because_every_transaction_begins_immediate(tmp_path: Path) -> None:
    World(tmp_path / "ours.db").open().close()
    World(tmp_path / "theirs.db").open().close()
    assert two_writers(tmp_path / "ours.db", "ours") == (0, 2 * WRITES)
    refused, _ = two_writers(tmp_path / "theirs.db", "deferred")
    print(f"2 x {WRITES} transactions: none refused; begun deferred {refused} refused")
    assert refused, "they did meet"
