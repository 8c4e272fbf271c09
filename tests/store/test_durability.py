"""Processes that die, disks that fill, writers that meet: invariants I1, I2, I5, I6 and I7."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from posture.errors import NothingToScan, StoreError, UsageError
from posture.model import Answer, AssetKey, Outcome
from posture.store import OpenRun, Question, Store
from posture.store.database import WriterLock, check_space, store_error
from tests.store import CONTROLS, HTTPS, SITE, T0, World, policy, silence, site, tls

KILLS = 20
ASSETS = 400

# A scanner that says what it has recorded, and would go on for long.
SCANNER = """
import sys
import tempfile
from pathlib import Path
from tests.store import World, HTTPS, site, tls
world = World(Path(sys.argv[1]))
answers = {(site(n).key, "tls", HTTPS): tls("good") for n in range(int(sys.argv[2]))}
with world.open() as store:
    run = store.leftover("local") or store.begin(world.start(answers))
    done = run.done()
    for question in answers:
        if question not in done:
            run.settle(*question, tls("good"))
            print(question[0].name, flush=True)
    print("all", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def scanner(path: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    return subprocess.Popen(
        [sys.executable, "-c", SCANNER, str(path), str(ASSETS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def one(answer: Answer) -> dict[Question, Answer]:
    return {(SITE, "tls", HTTPS): answer}


def test_killed_again_and_again_a_run_loses_nothing_it_acknowledged(world: World) -> None:
    with world.open() as store:
        store.begin(world.start({(site(n).key, "tls", HTTPS): tls("good") for n in range(ASSETS)}))
    acknowledged: set[str] = set()
    for kill in range(KILLS):
        with scanner(world.path) as process:
            assert process.stdout is not None
            for _ in range(1 + kill % 7):
                acknowledged.add(process.stdout.readline().strip())
            process.kill()
            # What was said before the kill arrived was on disk before it was said.
            acknowledged.update(line.strip() for line in process.stdout if line.endswith("\n"))
        acknowledged -= {"all", ""}
        with world.open() as store:
            assert store.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            run = store.leftover("local")
            assert run is not None
            recorded = {question[0].name for question in run.done()}
            assert acknowledged <= recorded
            assert len(recorded) <= len(acknowledged) + kill + 1, "a question in flight at each death at most"
            assert not store.reader.timelines(run.run), "an open run feeds nothing"
            acknowledged = recorded


def test_a_run_that_died_is_continued_and_nothing_is_asked_twice(world: World) -> None:
    with scanner(world.path) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.kill()
    with world.open() as store:
        run = store.leftover("local")
        assert run is not None
        assert len(run.done()) >= 5
        open_questions = run.planned() - run.done()
        assert len(open_questions) + len(run.done()) == ASSETS
        start = world.start(dict.fromkeys(run.planned(), tls("good")))
        assert run.differs_from(start) == ()
        assert run.differs_from(replace(start, inventory_digest="zz", policy=policy(strict=1))) == (
            "inventory",
            "policy",
        )
        assert run.differs_from(replace(start, selectors={"asset": ["x"]}, authorisation_digest="zz")) == (
            "authorisation",
            "selectors",
        )
        run.settle_all((question, tls("good"), None) for question in open_questions)
        assert run.close(world.judged(run, start), "complete", T0).run.state == "complete"


def test_a_leftover_is_folded_as_partial_when_the_next_scan_starts(world: World) -> None:
    world.scan(one(tls("good")))
    with world.open() as store:
        run = store.begin(world.start(one(tls("bad")) | {(SITE, "tls", "198.51.100.8:443/tcp"): silence()}))
        run.settle(SITE, "tls", HTTPS, tls("bad"))
    with world.open() as store:
        store.begin(world.start(one(tls("bad"))))
        states = [run.state for run in store.reader.runs()]
        assert states == ["running", "partial", "complete"]
        spans = store.reader.timelines(store.reader.runs()[1])
        assert spans[SITE, "t.cert", HTTPS][-1].finding.outcome is Outcome.FAIL


def test_a_leftover_of_another_vantage_is_not_ours(world: World) -> None:
    with world.open() as store:
        store.begin(world.start(one(tls("good"))))
        assert store.leftover("outside") is None
        store.begin(world.start(one(tls("good")), vantage="outside"))
        assert [run.state for run in store.reader.runs()] == ["running", "running"]


def test_a_second_scanner_is_told_who_runs(world: World) -> None:
    with scanner(world.path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(NothingToScan, match=rf"process {process.pid}, run R-") as refused:
            world.open()
        assert refused.value.exit_code == 4
        with world.open(write=False) as reader:
            assert reader.reader.runs()[0].state == "running"
        process.kill()
    world.open().close()


def test_a_lock_whose_note_is_garbage_still_holds(world: World) -> None:
    lock = WriterLock(world.path)
    lock.path.write_text("{")
    with pytest.raises(NothingToScan, match="another scan holds"):
        WriterLock(world.path)
    lock.release()
    WriterLock(world.path).release()


def test_reading_never_creates_and_says_what_to_do(world: World) -> None:
    with pytest.raises(UsageError, match="no such database") as refused:
        world.open(write=False)
    assert refused.value.exit_code == 2
    assert list(world.path.parent.glob("*.db*")) == []


def test_reading_never_writes(world: World) -> None:
    world.scan(one(tls("good")))
    with world.open(write=False) as store:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store.connection.execute("DELETE FROM text_value")
        with pytest.raises(StoreError, match="opened for reading"):
            store.begin(world.start(one(tls("good"))))


READER = """
import os, sys
from pathlib import Path
from posture.checks import catalogue
from posture.store import Store
catalogue()  # imports all that another account may be unable to
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
with Store.open(Path(sys.argv[1]), write=False) as store:
    print(len(store.reader.runs()))
"""


def test_who_may_not_write_may_read() -> None:
    # A folder of its own: pytest's are closed to other accounts.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(folder / "posture.db")
        world.scan(one(tls("good")))
        folder.chmod(0o555)
        try:
            command = [sys.executable, "-c", READER, str(world.path)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            folder.chmod(0o755)

    assert (ran.stdout, ran.returncode) == ("1\n", 0), ran.stderr


def test_another_file_is_not_taken_for_a_history(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no database at all, but long enough to have been one" * 100)
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE other (id INTEGER)")
    connection.close()
    for path in (text, foreign):
        for write in (False, True):
            with pytest.raises(UsageError, match="no posture database"):
                Store.open(path, write=write, shipped=CONTROLS)


def test_a_newer_schema_is_refused(world: World) -> None:
    world.scan(one(tls("good")))
    connection = sqlite3.connect(world.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for write in (False, True):
        with pytest.raises(StoreError, match="newer release"):
            world.open(write=write)


def test_a_full_disk_keeps_finished_results(world: World) -> None:
    with world.open() as store:
        run = store.begin(world.start({(site(n).key, "tls", HTTPS): tls("good") for n in range(500)}))
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(StoreError, match="disk is full") as refused:
            _record_until_refused(run)
        recorded = len(run.done())
        assert refused.value.exit_code == 5
        assert 0 < recorded < 500
        assert {question[0] for question in run.done()} == {site(n).key for n in range(recorded)}
    with world.open() as store:
        leftover = store.leftover("local")
        assert leftover is not None
        assert len(leftover.done()) == recorded
        leftover.settle(site(499).key, "tls", HTTPS, tls("there is room again"))
        assert store.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _record_until_refused(run: OpenRun) -> None:
    for number in range(500):
        run.settle(site(number).key, "tls", HTTPS, tls(f"{number}" * 900))


def test_closing_on_a_full_disk_changes_nothing(world: World) -> None:
    answers = {(site(n).key, "tls", HTTPS): tls(f"{n}" * 50) for n in range(200)}
    with world.open() as store:
        start = world.start(answers)
        run = store.begin(start)
        run.settle_all((question, answer, None) for question, answer in answers.items())
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages}")
        findings = world.judged(run, start)
        with pytest.raises(StoreError, match="disk is full"):
            run.close(findings, "complete", T0)
        assert len(run.done()) == 200
        store.connection.execute("PRAGMA max_page_count = 1000000")
        assert run.close(findings, "complete", T0).run.state == "complete"


def test_too_little_space_is_said_before_the_run(world: World) -> None:
    with pytest.raises(StoreError, match=r"may need 16\d* MB, \d+ MB are free"):
        check_space(world.path, 10_000_000_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("database or disk is full", "disk is full"),
        ("attempt to write a readonly database", "read-only"),
        ("unable to open database file", "folder exists"),
        ("database disk image is malformed", "backup"),
        ("database is locked", "another program"),
        ("disk I/O error", "--resume"),
    ],
)
def test_every_fault_ends_with_the_next_step(text: str, says: str) -> None:
    error = store_error(Path("posture.db"), sqlite3.OperationalError(text))
    assert says in str(error)
    assert str(error).startswith(("posture.db", "the disk"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder exists"):
        Store.open(tmp_path / "none" / "posture.db", write=True, shipped=CONTROLS)


def test_a_damaged_file_is_said_to_be_damaged(world: World) -> None:
    world.scan(one(tls("good")))
    data = bytearray(world.path.read_bytes())
    data[4096 * 2 :] = bytes(len(data) - 4096 * 2)
    world.path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"), world.open() as store:
        store.begin(world.start(one(tls("good"))))
    with pytest.raises(StoreError, match="damaged"), world.open(write=False) as store:
        store.reader.timelines(store.reader.runs()[0])


def test_a_migration_that_fails_leaves_the_old_schema(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import posture.store.schema as schema

    whole = schema._VIEWS
    monkeypatch.setattr(schema, "_VIEWS", "CREATE VIEW broken AS SELECT 1;\nCREATE TABLE run (id);\n")
    with pytest.raises(StoreError, match="already exists"):
        world.open()
    connection = sqlite3.connect(world.path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    monkeypatch.setattr(schema, "_VIEWS", whole)
    world.scan(one(tls("good")))


MIGRATOR = """
import os, sys
from pathlib import Path
import posture.store.schema as schema
from tests.store import World
lines = schema._statements(schema._TABLES + schema._TRIGGERS + schema._VIEWS)
stop = int(sys.argv[2])
def dying(script):
    for place, line in enumerate(lines):
        if place == stop:
            os.kill(os.getpid(), 9)
        yield line
schema._statements = dying
World(Path(sys.argv[1])).open()
"""


@pytest.mark.parametrize("place", [0, 7, 30])
def test_a_migration_killed_in_the_middle_leaves_the_old_schema(world: World, place: int) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    command = [sys.executable, "-c", MIGRATOR, str(world.path), str(place)]
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    connection = sqlite3.connect(world.path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    world.scan(one(tls("good")))


def test_every_acknowledged_answer_is_synced(world: World) -> None:
    with world.open() as store:
        assert store.connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store.connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_the_lock_says_who_and_since(world: World) -> None:
    with world.open() as store:
        run = store.begin(world.start(one(tls("good"))))
        note = json.loads(Path(str(world.path) + ".lock").read_text())
        assert note["pid"] == os.getpid()
        assert note["run"] == run.run.id
        assert AssetKey(SITE.name, "host") in store.reader.entries(run.run.number)
