"""Migrations that are killed, at any instruction of SQLite's: the schema is the old or the new, never between (I7)."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from posture.store.database import NEWEST
from posture.store.health import check
from tests.durability import loops
from tests.durability.test_kills import ROOT
from tests.store import HTTPS, SITE, World, tls
from tests.store.keeping import of_schema_1, told, year
from tests.store.narrowed import of_schema_8

KILLS = loops(12, 60)

# Migrates in forks of one warm process, each on a copy of the old file, and dies in it where a line of stdin says so: after
# so many steps of SQLite's machine, before the commit ("commit"), or after it ("done").
MIGRATOR = """
import json, os, shutil, signal, sqlite3, sys
from pathlib import Path
import posture.store.database as database
import posture.store.schema  # noqa: F401 - warm
from sqlite_utils import Database  # noqa: F401

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def counted(connection, migrate, limit):
    steps = 0
    def step():
        nonlocal steps
        steps += 1
        if steps == limit:
            die()
        return 0
    connection.set_progress_handler(step, 1)
    if limit == "commit":
        connection.set_trace_callback(lambda text: die() if text.upper().startswith(("COMMIT", "RELEASE")) else None)
    migrate(connection)
    if limit == "done":
        die()
    return steps

migrate = database._migrate
for line in sys.stdin:
    path, limit = json.loads(line)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        taken = []
        database._migrate = lambda connection: taken.append(counted(connection, migrate, limit))
        database.connect_write(Path(path)).close()
        os.write(writing, str(taken[0]).encode())
        os._exit(0)
    os.close(writing)
    told = os.read(reading, 100).decode()
    _, status = os.waitpid(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), told]), flush=True)
"""


@pytest.fixture(params=["schema 1", "schema 8"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A history of schema 1, which is empty; one of schema 8, whose rows are all written anew."""
    path = tmp_path / "old.db"
    if request.param == "schema 1":
        of_schema_1(path)
    else:
        year(World(tmp_path / "today.db"))
        of_schema_8(tmp_path / "today.db", path)
    return path


def shape(path: Path) -> tuple[int, tuple[str, ...]]:
    """The schema's number, all that is in it, and every row of every table, after recovery."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = connection.execute("SELECT coalesce(sql, name) FROM sqlite_master ORDER BY type, name").fetchall()
        done = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY name").fetchall()
        number = connection.execute("PRAGMA user_version").fetchone()[0]
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlite%' ORDER BY name"
        tables = [name for (name,) in connection.execute(query)]
        rows = [repr(row) for table in tables for row in connection.execute(f"SELECT * FROM {table}")]
    return number, (*(text for (text,) in [*names, *done]), *rows)


def test_killed_at_any_point_the_schema_is_the_old_or_the_new(old: Path, tmp_path: Path) -> None:
    before, whole = shape(old), old.read_bytes()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    left = Counter[str]()
    with subprocess.Popen(
        [sys.executable, "-c", MIGRATOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:

        def migrate(number: int, limit: int | str | None) -> tuple[Path, int, str]:
            assert process.stdin is not None
            assert process.stdout is not None
            path = tmp_path / f"{number}.db"
            path.write_bytes(whole)
            process.stdin.write(json.dumps([str(path), limit]) + "\n")
            process.stdin.flush()
            code, said = json.loads(process.stdout.readline())
            return path, code, said

        path, code, said = migrate(0, None)
        steps, after = int(said), shape(path)
        assert (code, after[0]) == (0, NEWEST)
        assert after != before
        places = [1 + place * steps // (KILLS - 3) for place in range(KILLS - 4)]
        limits: list[int | str] = [*places, steps, "commit", "commit", "done"]
        for number, limit in enumerate(limits, start=1):
            path, code, _ = migrate(number, limit)
            assert code == -signal.SIGKILL, limit
            assert shape(path) in (before, after), f"killed at {limit}: something between"
            left["new" if shape(path) == after else "old"] += 1
            world = World(path)
            world.scan({(SITE, "tls", HTTPS): tls("good")})
            assert told(check(path)) == [], limit
        assert process.stdin is not None
        process.stdin.close()
    print(f"{KILLS} kills during a migration of {steps} steps: {dict(left)}, nothing between")
    assert left["old"] >= KILLS - 4
    assert left["new"] >= 1
