"""Which exemptions stood in the operator's file when each run began: an auditor sees what was in force when."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from posture.exemptions import Exemption, exemption_body, exemption_from
from posture.store.answers import Texts

_FIRST_WITH_EXEMPTIONS = 4  # user_version


def put_exemptions(connection: sqlite3.Connection, texts: Texts, run: int, exemptions: Iterable[Exemption]) -> None:
    """Part of the transaction that begins a run."""
    connection.executemany(
        "INSERT INTO exemption (run_id, name, body_id) VALUES (?, ?, ?)",
        [(run, one.id, texts.number(exemption_body(one))) for one in exemptions],
    )


def exemptions_of(connection: sqlite3.Connection, run: int) -> tuple[Exemption, ...]:
    """All entries of the file that a run began with, those past their time included; by id."""
    if int(connection.execute("PRAGMA user_version").fetchone()[0]) < _FIRST_WITH_EXEMPTIONS:
        return ()
    query = "SELECT value FROM exemption JOIN text_value ON text_value.id = body_id WHERE run_id = ? ORDER BY name"
    return tuple(exemption_from(body) for (body,) in connection.execute(query, (run,)))
