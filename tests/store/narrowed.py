"""A history of schema 8: what the writer of today wrote, put into yesterday's tables by way of the views."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from posture.store import schema

# Yesterday's tables whose rows stand otherwise today.
_BY_VIEW = {
    "text_value": "SELECT id, value FROM new.text_value",
    "finding": "SELECT asset_id, control_id, subject_id, judgement_id, vantage_id, from_run, to_run, live, outcome, severity, "
    "body_id, cause, end_cause FROM new.finding",
    "miss": "SELECT asset_id, probe, (SELECT id FROM new.text_value WHERE value = subject), vantage_id, from_run, to_run, at, "
    "reason, code, detail, authorisation FROM new.miss",
    "coverage": "SELECT run_id, probe, targeted, answered, asked_count, answered_count FROM new.coverage",
    "judged": "SELECT run_id, control_id, asked, known, silent FROM new.judged",
    "score": "SELECT run_id, ministry, tenths, low, high, coverage, grade FROM new.score",
    "event_row": """SELECT run_id, asset_id, control_id, (SELECT id FROM new.text_value WHERE value = subject), kind, initial,
      CASE severity WHEN 'critical' THEN 4 WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 ELSE 0 END,
      {outcome}, {outcome2}, (SELECT id FROM new.run WHERE ended_at = since), (SELECT id FROM new.run WHERE ended_at = until)
      FROM new.event""".format(
        **{
            name: f"CASE {column} WHEN 'pass' THEN 0 WHEN 'warn' THEN 1 WHEN 'fail' THEN 2 WHEN 'info' THEN 3 "
            "WHEN 'not_applicable' THEN 4 END"
            for name, column in (("outcome", "before"), ("outcome2", "after"))
        }
    ),
}

# What both tell, yesterday's tables and today's views; subjects by their text.
TOLD = {
    "finding": "SELECT asset_id, control_id, subject_id, judgement_id, vantage_id, from_run, to_run, live, outcome, severity, "
    "body_id, cause, end_cause FROM finding",
    "miss": "SELECT asset_id, probe, {subject}, vantage_id, from_run, to_run, at, reason, code, detail, authorisation FROM miss",
    "event": "SELECT * FROM event",
    "coverage": "SELECT run_id, probe, targeted, answered, asked_count, answered_count FROM coverage",
    "judged": "SELECT run_id, control_id, asked, known, silent FROM judged",
    "score": "SELECT run_id, ministry, tenths, low, high, coverage, grade FROM score",
    "text_value": "SELECT id, value FROM text_value WHERE value NOT LIKE '{{\"asked\"%'",
    "current_findings": "SELECT * FROM current_findings",
    "finding_history": "SELECT * FROM finding_history",
    "events": "SELECT * FROM events",
    "not_seen": "SELECT * FROM not_seen",
    "scores": "SELECT * FROM scores",
    "coverage_by_run": "SELECT * FROM coverage_by_run",
    "run": "SELECT name, state, suspect, inventory FROM run",
}


def told_by(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all that both schemas tell, sorted."""
    with closing(sqlite3.connect(path)) as connection:
        old = connection.execute("PRAGMA user_version").fetchone()[0] < 9
        subject = "(SELECT value FROM text_value WHERE id = subject_id)" if old else "subject"
        return {
            name: sorted(connection.execute(query.format(subject=subject)).fetchall(), key=repr)
            for name, query in TOLD.items()
        }


def of_schema_8(today: Path, old: Path) -> None:
    """Writes the history of a file into a new one, as the release before wrote it."""
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        with Database(connection).atomic():
            schema.MIGRATIONS.apply(Database(connection), stop_before="0009_narrow")
        connection.execute("PRAGMA user_version = 8")
        connection.execute("ATTACH ? AS new", (str(today),))
        connection.execute("BEGIN")
        guards = connection.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        tables = connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlite%'"
        )
        for (table,) in tables.fetchall():
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            query = _BY_VIEW.get(table, f"SELECT {columns} FROM new.{table}")
            connection.execute(f"INSERT INTO main.{table} ({columns}) {query}")
        for _, text in guards:
            connection.execute(text)
        connection.execute("COMMIT")
