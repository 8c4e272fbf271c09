"""Where the audit trail stood: the heads of its checkpoints, so that a trail that was cut or replaced is found out."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from posture.store.records import stamp

_FIRST_WITH_TRAIL = 2  # user_version


def put_head(connection: sqlite3.Connection, seq: int, head: str, at: datetime) -> None:
    """Keeps a head, under the newest run; before there is any, nothing."""
    connection.execute(
        "INSERT OR IGNORE INTO trail (run_id, seq, head, at) SELECT id, ?, ?, ? FROM run ORDER BY id DESC LIMIT 1",
        (seq, head, stamp(at)),
    )


def last_head(connection: sqlite3.Connection) -> tuple[int, str] | None:
    """The newest head: number and hash of a record. Numbers never start again, also when a new file is begun."""
    if int(connection.execute("PRAGMA user_version").fetchone()[0]) < _FIRST_WITH_TRAIL:
        return None
    row = connection.execute("SELECT seq, head FROM trail ORDER BY seq DESC LIMIT 1").fetchone()
    return (int(row[0]), str(row[1])) if row else None
