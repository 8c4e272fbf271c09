"""A history that an earlier release wrote is opened, kept and gone on with."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from posture.model import AssetKey
from posture.store import schema
from posture.store.bitmap import Bitmap
from posture.store.database import NEWEST
from posture.store.rejudging import rejudge
from tests.store import HTTPS, SITE, World, policy, tls
from tests.store.keeping import of_schema_1


def test_a_history_of_schema_1_is_brought_to_today(tmp_path: Path) -> None:
    world = World(tmp_path / "posture.db")
    connection = sqlite3.connect(world.path, isolation_level=None)
    with Database(connection).atomic():
        schema.MIGRATIONS.apply(Database(connection), stop_before="0002_safety")
    connection.execute("PRAGMA user_version = 1")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert "run" in tables
    assert "contact" not in tables

    world.scan({(SITE, "tls", HTTPS): tls("good")})

    with world.open(write=False) as store:
        assert store.connection.execute("PRAGMA user_version").fetchone() == (NEWEST,)
        tables = {name for (name,) in store.connection.execute("SELECT name FROM sqlite_master")}
        assert {"contact", "authority", "trail"} <= tables
        assert len(store.reader.runs()) == 1


def test_both_judgements_may_be_open_at_one_place_in_a_history_of_schema_3(tmp_path: Path) -> None:
    """Its index knew of one only: judged again under a judgement that is still open, it would have refused."""
    world = World(tmp_path / "posture.db")
    connection = sqlite3.connect(world.path, isolation_level=None)
    with Database(connection).atomic():
        schema.MIGRATIONS.apply(Database(connection), stop_before="0004_exemptions")
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    world.scan({(SITE, "tls", HTTPS): tls("fine")})
    world.policy = policy(1)
    world.scan({(SITE, "tls", HTTPS): tls("fine")})
    with world.open() as store:
        done = rejudge(store, policy(0), "local")
        assert done.runs == 1
        tables = {name for (name,) in store.connection.execute("SELECT name FROM sqlite_master")}
        assert {"rejudged", "exemption", "dispute", "dispute_step"} <= tables


OLD = """
INSERT INTO text_value VALUES (1, 'local'), (2, ''), (3, '{}');
INSERT INTO ministry VALUES (1, 'LC', 'finance', 'Ministry of Finance');
INSERT INTO asset VALUES (1, 'host', 'www.finance.gov.example', 0);
INSERT INTO control VALUES (1, 't.cert');
INSERT INTO judgement VALUES (1, 't/0', 'aa', '{}', 'bb', '{}');
INSERT INTO run VALUES (1, 'R-1', 'LC', 'UTC', 'local', '2026-11-01T02:00:00Z', '2026-11-01T02:10:00Z', 'complete', '{}', '[]', 1,
  'posture 0', 'cc', 'dd', NULL, 0, 0, x'', 0);
INSERT INTO run VALUES (2, 'R-2', 'LC', 'UTC', 'local', '2026-11-02T02:00:00Z', '2026-11-02T02:10:00Z', 'complete', '{}', '[]', 1,
  'posture 0', 'cc', 'dd', NULL, 0, 0, x'', 0);
INSERT INTO finding VALUES (1, 1, 2, 1, 1, 1, 2, 1, 0, 3, 3, 'first', 'target'), (1, 1, 2, 1, 1, 2, NULL, 1, 2, 3, 3, 'target',
  NULL);
INSERT INTO event VALUES (1, 2, 1, 1, '198.51.100.7:443/tcp', 'new', 0, 'high', 'pass', 'fail', '2026-11-01T02:10:00Z',
  '2026-11-02T02:10:00Z'), (2, 2, 1, 1, '', 'unknown', 0, 'high', 'pass', 'unknown', '2026-11-01T02:10:00Z',
  '2026-11-02T02:10:00Z');
"""


def test_what_an_older_history_holds_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path / "posture.db")
    of_schema_1(world.path)
    packed = Bitmap([0, 3]).pack()
    with closing(sqlite3.connect(world.path, isolation_level=None)) as connection:
        connection.executescript(OLD)
        connection.execute("INSERT INTO coverage VALUES (1, 'tls', ?, ?)", (packed, Bitmap([3]).pack()))
    world.open().close()
    with world.open(write=False) as store:
        assert store.connection.execute("SELECT * FROM event").fetchall() == [
            (
                2,
                1,
                1,
                "198.51.100.7:443/tcp",
                "new",
                0,
                "high",
                "pass",
                "fail",
                "2026-11-01T02:10:00Z",
                "2026-11-02T02:10:00Z",
            )
        ]
        counts = store.connection.execute("SELECT asked, answered, silent FROM coverage_by_run").fetchall()
        assert counts == [(2, 1, 1)]
        moved = store.reader.moves(store.reader.run(1), store.reader.run(2))
        assert list(moved.timelines) == [(AssetKey("www.finance.gov.example", "host"), "t.cert", "")]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store.connection.execute("UPDATE coverage_row SET asked_count = 7")
