"""How the rows of an older history become narrow ones: every one is carried over, and none is told otherwise.

Runs inside the transaction of the migrations, with foreign keys not yet enforced: they are checked at its end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlite_utils import Database

from posture.store.answers import Texts, text_hash
from posture.store.bitmap import Bitmap
from posture.store.eventful import put_told
from posture.store.packed import Packed
from posture.store.silences import Miss, pack
from posture.store.verdicts import Spell, put_rows, put_track, rows_of, track_of

_OLD = ("finding", "miss", "coverage", "judged", "score")
_REPLACED = ("event", "events", "not_seen", "current_findings")


def narrow_rows(db: Database, statements: Iterable[str], guards: Iterable[str], views: Iterable[str]) -> None:
    """From schema 8 on.

    Args:
        statements, guards, views: of :mod:`posture.store.narrow`, one by one.
    """
    connection = db.conn
    connection.create_function("text_hash", 1, text_hash, deterministic=True)
    shown = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'").fetchall()
    for name, _ in shown:
        connection.execute(f'DROP VIEW "{name}"')
    for statement in statements:
        connection.execute(statement)
    _texts(connection)
    texts = Texts(connection)
    _verdicts(connection)
    _silences(connection, texts)
    _sets(connection, texts)
    _scores(connection, texts)
    for table in _OLD:
        connection.execute(f"DROP TABLE {table}")
    _events(connection)
    _moved(connection)
    for statement in (*guards, *views):
        connection.execute(statement)
    for name, text in shown:
        if name not in _REPLACED:
            connection.execute(text)


def _texts(connection: sqlite3.Connection) -> None:
    """Under the same numbers."""
    connection.execute("INSERT INTO text_once SELECT id, text_hash(value), value FROM text_value ORDER BY id")
    connection.execute("DROP TABLE text_value")
    connection.execute("ALTER TABLE text_once RENAME TO text_value")
    connection.execute("CREATE INDEX text_by_hash ON text_value (hash)")


def _verdicts(connection: sqlite3.Connection) -> None:
    """Track after track, in the order of the key."""
    tracks = connection.execute(
        "SELECT DISTINCT vantage_id, CASE WHEN live THEN 0 ELSE judgement_id END FROM finding ORDER BY 2, 1"
    ).fetchall()
    for vantage, judgement in tracks:
        rows = connection.execute(
            "SELECT asset_id, control_id, subject_id, from_run, to_run, outcome, severity, body_id, cause, end_cause "
            "FROM finding WHERE vantage_id = ? AND CASE WHEN live THEN 0 ELSE judgement_id END = ? "
            "ORDER BY asset_id, control_id, subject_id, from_run",
            (vantage, judgement),
        )
        track = put_track(connection, vantage, judgement or None)
        for _, told in groupby(rows, key=itemgetter(0)):  # an asset at a time
            put_rows(connection, track, _turned(told))


def _turned(rows: Iterable[tuple[int, ...]]) -> Iterator[tuple[int, int, int, int, int | None, int | None, int]]:
    for place, told in groupby(rows, key=itemgetter(0, 1, 2)):
        yield from rows_of(
            Spell(place, since, until, (outcome, severity, body), str(cause), None if end is None else str(end))
            for *_, since, until, outcome, severity, body, cause, end in told
        )


def _silences(connection: sqlite3.Connection, texts: Texts) -> None:
    """At each run that changed what an asset did not tell."""
    starts = dict(connection.execute("SELECT id, started_at FROM run").fetchall())
    query = (
        "SELECT miss.vantage_id, probe, value, from_run, to_run, reason, code, detail, authorisation, at FROM miss "
        "JOIN text_value ON text_value.id = subject_id WHERE asset_id = ? ORDER BY miss.vantage_id"
    )
    for (asset,) in connection.execute("SELECT id FROM asset").fetchall():
        told = connection.execute(query, (asset,)).fetchall()
        for vantage, rows in groupby(told, key=itemgetter(0)):
            connection.executemany(
                "INSERT INTO silence (asset_id, vantage_id, from_run, to_run, said_id, seconds) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (asset, vantage, run, following, texts.number(text), seconds)
                    for run, following, text, seconds in _silent(rows, starts)
                ],
            )


def _silent(rows: Iterable[tuple[Any, ...]], starts: Mapping[int, str]) -> Iterator[tuple[int, int | None, str, str]]:
    """From which run to which, text and seconds, of what an asset did not tell."""
    begins: dict[int, dict[tuple[str, str], Miss]] = {}
    ends: dict[int, list[tuple[str, str]]] = {}
    for _, probe, subject, since, until, reason, code, detail, letter, at in rows:
        if until == since:
            continue
        begins.setdefault(since, {})[probe, subject] = Miss(reason, code, detail, letter, since, at)
        if until is not None:
            ends.setdefault(until, []).append((probe, subject))
    missing: dict[tuple[str, str], Miss] = {}
    turns = sorted({*begins, *ends})
    for run, following in zip(turns, [*turns[1:], None], strict=True):
        for question in ends.get(run, ()):
            del missing[question]
        missing.update(begins.get(run, {}))
        if missing:
            yield run, following, *pack(missing, run, starts[run])


def _sets(connection: sqlite3.Connection, texts: Texts) -> None:
    packed = Packed(connection)
    for run, probe, targeted, answered, *counts in connection.execute(
        "SELECT run_id, probe, targeted, answered, asked_count, answered_count FROM coverage ORDER BY run_id, probe"
    ).fetchall():
        row = (run, texts.number(probe), packed.number(targeted), packed.number(answered), *counts)
        connection.execute("INSERT INTO coverage_row VALUES (?, ?, ?, ?, ?, ?)", row)
    for run, control, *sets in connection.execute(
        "SELECT run_id, control_id, asked, known, silent FROM judged ORDER BY run_id, control_id"
    ).fetchall():
        row = (run, control, *(packed.number(one) for one in sets))
        connection.execute("INSERT INTO judged_row VALUES (?, ?, ?, ?, ?)", row)


def _scores(connection: sqlite3.Connection, texts: Texts) -> None:
    rows = connection.execute("SELECT run_id, ministry, tenths, low, high, coverage, grade FROM score ORDER BY 1, 2")
    connection.executemany(
        "INSERT INTO score_row VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(run, texts.number(ministry), *row) for run, ministry, *row in rows.fetchall()],
    )


def _events(connection: sqlite3.Connection) -> None:
    """Those that their verdict tells go to it; the others stay."""
    query = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'event_row' AND type = 'trigger'"
    frozen = connection.execute(query).fetchall()
    for name, _ in frozen:
        connection.execute(f"DROP TRIGGER {name}")
    columns = "run_id, asset_id, control_id, subject_id, kind, initial, severity, before, after, since_run, until_run"
    texts = Texts(connection)
    for run, vantage in connection.execute("SELECT id, vantage FROM run ORDER BY id").fetchall():
        track = track_of(connection, texts.known(vantage))
        rows = connection.execute(f"SELECT {columns} FROM event_row WHERE run_id = ?", (run,)).fetchall()  # noqa: S608 - names of our own
        connection.executemany(
            "DELETE FROM event_row WHERE run_id = ? AND asset_id = ? AND control_id = ? AND subject_id = ? AND kind = ?",
            [row[:5] for row in rows if put_told(connection, track, row)],
        )
    for _, text in frozen:
        connection.execute(text)


def _moved(connection: sqlite3.Connection) -> None:
    """Which assets each run wrote of."""
    moved: dict[int, set[int]] = {}
    for query in (
        "SELECT DISTINCT from_run, bit FROM verdict JOIN track ON track.id = track_id JOIN asset ON asset.id = asset_id "
        "WHERE judgement_id IS NULL",
        "SELECT DISTINCT run_id, bit FROM event_row JOIN asset ON asset.id = asset_id",
    ):
        for run, bit in connection.execute(query):
            moved.setdefault(run, set()).add(bit)
    frozen = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'run_frozen'").fetchone()[0]
    connection.execute("DROP TRIGGER run_frozen")
    connection.execute("ALTER TABLE run ADD COLUMN moved BLOB")
    connection.executemany(
        "UPDATE run SET moved = ? WHERE id = ?", [(Bitmap(some).pack(), run) for run, some in moved.items()]
    )
    connection.execute(frozen)
