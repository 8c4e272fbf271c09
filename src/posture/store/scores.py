"""Scores in the history: what a run gave each ministry, and what moved it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from posture.store.answers import Texts
from posture.store.records import ScoreRow


def put_scores(connection: sqlite3.Connection, texts: Texts, run: int, scores: Mapping[str, ScoreRow]) -> None:
    """Scores by ministry ("" is the State). Only within a transaction."""
    connection.executemany(
        "INSERT INTO score_row (run_id, ministry_id, tenths, low, high, coverage, grade) VALUES (?, ?, ?, ?, ?, ?, ?)",
        sorted(
            (run, texts.number(name), row.tenths, row.low, row.high, row.coverage, row.grade)
            for name, row in scores.items()
        ),
    )
    connection.executemany(
        "INSERT INTO score_part (run_id, ministry, part, tenths, count) VALUES (?, ?, ?, ?, ?)",
        [(run, name, part, *moved) for name, row in scores.items() for part, moved in row.parts.items() if any(moved)],
    )
