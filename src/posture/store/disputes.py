"""Who says that a finding is wrong, and what was decided. Append-only: a decision is a further line, never a correction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from posture.drift import Key
from posture.model import AssetKey
from posture.store.records import moment, stamp

DECISIONS = ("accepted", "rejected", "withdrawn", "reopened")
_FIRST_WITH_DISPUTES = 4  # user_version

_ALL = """SELECT dispute.id, at, run.name, asset.name, kind, code, subject, ministry, dispute.vantage, outcome, by, reason
  FROM dispute JOIN run ON run.id = run_id JOIN asset ON asset.id = asset_id JOIN control ON control.id = control_id
  ORDER BY dispute.id"""


@dataclass(frozen=True, slots=True)
class Step:
    """One decision, by whom and why. accepted: the finding is wrong. rejected: it stands. withdrawn, reopened: the claim."""

    at: datetime
    decision: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """A claim that a finding is wrong. ``outcome``: what the finding said when it was made, as of ``run``."""

    number: int
    at: datetime
    run: str
    asset: AssetKey
    control: str
    subject: str
    ministry: str
    vantage: str
    outcome: str
    by: str
    reason: str
    steps: tuple[Step, ...] = ()

    @property
    def id(self) -> str:
        return f"D-{self.number}"

    @property
    def key(self) -> Key:
        return self.asset, self.control, self.subject

    @property
    def state(self) -> str:
        """open, accepted, rejected or withdrawn."""
        last = self.steps[-1].decision if self.steps else "reopened"
        return "open" if last == "reopened" else last

    @property
    def words(self) -> str:
        """What stands beside the finding: the state, and the words of whoever spoke last."""
        last = self.steps[-1] if self.steps else None
        by, reason = (last.by, last.reason) if last else (self.by, self.reason)
        return f"{self.id} {self.state} ({by}): {reason}"


def disputes_of(connection: sqlite3.Connection, until: datetime | None = None) -> list[Dispute]:
    """All of them, oldest first.

    Args:
        until: as they stood then; times are whole seconds, and what was said in that very second was said after it.
    """
    if int(connection.execute("PRAGMA user_version").fetchone()[0]) < _FIRST_WITH_DISPUTES:
        return []
    steps: dict[int, list[Step]] = {}
    query = "SELECT dispute_id, at, decision, by, reason FROM dispute_step ORDER BY id"
    for number, at, decision, by, reason in connection.execute(query):
        if until is None or moment(at) < until:
            steps.setdefault(number, []).append(Step(moment(at), decision, by, reason))
    found = []
    for number, at, run, asset, kind, control, subject, ministry, vantage, outcome, by, reason in connection.execute(
        _ALL
    ):
        if until is None or moment(at) < until:
            key = AssetKey(asset, kind)
            told = tuple(steps.get(number, ()))
            found.append(
                Dispute(number, moment(at), run, key, control, subject, ministry, vantage, outcome, by, reason, told)
            )
    return found


def put_dispute(connection: sqlite3.Connection, dispute: Dispute) -> int:
    """A new claim; its number (that of ``dispute`` is not looked at). Only within a transaction.

    Raises:
        KeyError: no such run, asset or control.
    """
    name = (dispute.asset.name, dispute.asset.kind)
    numbers = [
        connection.execute(query, values).fetchone()
        for query, values in (
            ("SELECT id FROM run WHERE name = ?", (dispute.run,)),
            ("SELECT id FROM asset WHERE name = ? AND kind = ?", name),
            ("SELECT id FROM control WHERE code = ?", (dispute.control,)),
        )
    ]
    if None in numbers:
        raise KeyError(dispute.key)
    row = connection.execute(
        "INSERT INTO dispute (at, run_id, asset_id, control_id, subject, ministry, vantage, outcome, by, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stamp(dispute.at),
            *(number for (number,) in numbers),
            dispute.subject,
            dispute.ministry,
            dispute.vantage,
            dispute.outcome,
            dispute.by,
            dispute.reason,
        ),
    )
    return int(row.lastrowid or 0)


def put_step(connection: sqlite3.Connection, number: int, step: Step) -> None:
    """A decision about a claim. Only within a transaction."""
    insert = "INSERT INTO dispute_step (dispute_id, at, decision, by, reason) VALUES (?, ?, ?, ?, ?)"
    connection.execute(insert, (number, stamp(step.at), step.decision, step.by, step.reason))
