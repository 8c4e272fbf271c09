"""A history of five days for the tests of its upkeep, and what is done to it that no code of ours does."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from posture.model import Observed
from posture.store import Question, schema
from posture.store.answers import answer_bytes
from posture.store.health import Health
from tests.store import HTTPS, SITE, World, silence, site, tls

OTHER = site(1).key
SECOND = "198.51.100.8:443"


def day(first: str, other: str = "other") -> dict[Question, Any]:
    return {(SITE, "tls", HTTPS): tls(first), (OTHER, "tls", HTTPS): tls(other)}


def year(world: World) -> None:
    """Five runs, a day apart: the site's answer differs each day, the other's never does; one look in part."""
    for name in ("one", "bad", "three", "four"):
        world.scan({**day(name), (SITE, "tls", SECOND): silence() if name == "bad" else tls("second")})
    world.scan({**day("five"), (SITE, "tls", SECOND): tls("second")})


def holding(name: str) -> str:
    """The SHA-256 of the record that says so."""
    answer = tls(name)
    assert isinstance(answer, Observed)
    return hashlib.sha256(answer_bytes(answer)).hexdigest()


def empty(path: Path) -> set[str]:
    """The digests of dropped records."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT hex(sha256) FROM blob WHERE length(data) = 0").fetchall()
    return {name.lower() for (name,) in rows}


def tamper(path: Path, *statements: str) -> None:
    """What no code of ours does: without foreign keys, and without the triggers and indices that forbid it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def told(health: Health) -> list[tuple[str, str]]:
    return [(fault.check, fault.what) for fault in health.faults]


def of_schema_1(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with Database(connection).atomic():
            schema.MIGRATIONS.apply(Database(connection), stop_before="0002_safety")
        connection.execute("PRAGMA user_version = 1")
