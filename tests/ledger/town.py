"""A small State with two ministries and some signed runs, and what is done to its history that no code of ours does."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from posture.keys import OperatorKey, make_key
from posture.ledger.canonical import canonical
from posture.ledger.check import Checked, check_database
from posture.ledger.proof import make_proof, records_for
from posture.store import AssetEntry, RunRecord
from tests.store import HTTPS, SITE, World, asset, silence, site, tls

CLINIC = asset("www.health.gov.example", "health")
ENTRIES: tuple[AssetEntry, ...] = (site(), CLINIC)


def day(ours: str, theirs: str = "clinic") -> dict[Any, Any]:
    return {(SITE, "tls", HTTPS): tls(ours), (CLINIC.key, "tls", HTTPS): tls(theirs)}


def town(folder: Path) -> World:
    """Five days: a fault comes and goes, one look is silent, the other ministry's site never changes."""
    world = World(folder / "town.db", key=make_key(folder / "town.db.key"))
    for name in ("good", "bad", "bad", "good"):
        world.scan(day(name), ENTRIES)
    world.scan({**day("good"), (SITE, "tls", HTTPS): silence()}, ENTRIES)
    return world


def key_of(world: World) -> OperatorKey:
    assert world.key is not None
    return world.key


def checked(world: World, **options: Any) -> Checked:
    with world.open(write=False) as store:
        return check_database(store, **options)


def runs_of(world: World) -> list[RunRecord]:
    """Oldest first."""
    with world.open(write=False) as store:
        return store.reader.runs()[::-1]


def tampered(world: World, *statements: str) -> None:
    """As somebody with root and the sqlite3 shell would."""
    with closing(sqlite3.connect(world.path, isolation_level=None)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in names:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement


class Parcel:
    """An export as bytes: records, proof, checkpoint, key. ``until`` is how many runs it reaches to, all when left out."""

    def __init__(
        self, world: World, ministries: tuple[str, ...] = ("finance",), since: int = 0, until: int | None = None
    ):
        with world.open(write=False) as store:
            runs = store.reader.runs()[::-1]
            earlier, wanted = runs[:since], runs[since:until]
            proof = make_proof(store, ministries, wanted, earlier, open_end=until is None)
            told = list(records_for(store, ministries, runs[:until]))
        self.lines = [
            canonical(record)
            for run, records in told
            for record in records
            if run in wanted or record["kind"] == "finding"
        ]
        self.document = proof.document
        self.note = proof.note.encode()
        self.key = proof.key.encode()

    def files(self) -> tuple[bytes, bytes, bytes, bytes]:
        return b"\n".join(self.lines) + b"\n", json.dumps(self.document).encode(), self.note, self.key
