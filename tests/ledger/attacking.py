"""A signed history, and the proof of a part of it, for those who try to bend them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posture.keys import OperatorKey, make_key
from posture.ledger import canonical
from posture.ledger.check import Checked, check_database
from posture.ledger.export import Verified, verify_export
from posture.ledger.log import seal
from posture.ledger.proof import make_proof, records_for
from posture.model import Answer
from posture.signatures import Authority
from posture.store import AssetEntry, Closed, Question
from tests.store import HTTPS, T0, World, site, tls

FINANCE, HEALTH = site(0), site(1, "health")
LETTER = Authority("lc-2026-001", 1, "a" * 64, ())


@dataclass
class Sealed:
    """A world that signs each run as it closes: three ministries' worth of days in a line."""

    world: World
    key: OperatorKey

    def scan(
        self, finance: str, health: str = "one", assets: Sequence[AssetEntry] = (FINANCE, HEALTH), **terms: Any
    ) -> Closed:
        answers: dict[Question, Answer] = {
            (FINANCE.key, "tls", HTTPS): tls(finance),
            (HEALTH.key, "tls", HTTPS): tls(health),
        }
        closed = self.world.scan(answers, assets, **{"authorities": (LETTER,), **terms})
        self.seal()
        return closed

    def seal(self) -> None:
        with self.world.open() as store, store.writing():
            seal(store, self.key, T0)

    def check(self, **expected: Any) -> Checked:
        with self.world.open(write=False) as store:
            return check_database(store, **expected)

    def tamper(self, *statements: str) -> None:
        """What no code of ours does; says so when it did nothing."""
        with closing(sqlite3.connect(self.world.path, isolation_level=None)) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                assert connection.execute(statement).rowcount != 0, statement

    def export(self, *, first: int = 0, earlier: bool = False) -> Export:
        """Of finance, from the run of that number on."""
        with self.world.open(write=False) as store:
            runs = store.reader.runs()[::-1]
            before = runs[:first] if earlier else []
            proof = make_proof(store, ["finance"], runs[first:], before)
            lines = [canonical(each) for _, found in records_for(store, ["finance"], runs[first:]) for each in found]
            older = [each for _, found in records_for(store, ["finance"], before) for each in found]
            lines = [canonical(each) for each in older if each["kind"] == "finding"] + lines
        return Export(lines, proof.document, proof.note, proof.key)


@dataclass
class Export:
    """The members of a zip, which a stranger may change before they arrive."""

    lines: list[bytes]
    proof: dict[str, Any]
    note: str
    key: str
    raw: bytes = field(default=b"")  # instead of the proof

    def verified(self, signer: str | None = None) -> Verified:
        records = b"".join(line + b"\n" for line in self.lines)
        proof = self.raw or json.dumps(self.proof).encode()
        return verify_export(records, proof, self.note.encode(), self.key.encode(), signer=signer)

    def without(self, run: str) -> Export:
        """As if there never had been such a run."""
        name = json.dumps(run).encode()
        return replace(
            self,
            lines=[line for line in self.lines if name not in line],
            proof={
                **self.proof,
                "entries": [each for each in self.proof["entries"] if name.decode() not in each["body"]],
                "leaves": [each for each in self.proof["leaves"] if each["run"] != run],
            },
        )


def sealed(folder: Path) -> Sealed:
    return Sealed(World(folder / "posture.db"), make_key(folder / "posture.db.key"))


def four_days(folder: Path) -> Sealed:
    """Finance changes day by day, health never does."""
    history = sealed(folder)
    for name in ("one", "bad", "three", "four"):
        history.scan(name)
    return history
