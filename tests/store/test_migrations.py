"""A history that an earlier release wrote is opened, kept and gone on with."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlite_utils import Database

from posture.store import schema
from posture.store.database import NEWEST
from posture.store.rejudging import rejudge
from tests.store import HTTPS, SITE, World, policy, tls


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
