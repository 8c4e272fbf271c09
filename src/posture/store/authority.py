"""Under which letters each run went: id, sequence, digest of the text, who signed. Sequences never go back."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from posture.signatures import Authority, Seen
from posture.store.database import connect_read, hidden, is_empty, store_error
from posture.store.records import moment

SEPARATOR = "\n"  # between the names of signers, which hold none
_FIRST_WITH_AUTHORITY = 2  # user_version
_FIRST_WITH_NAMED = 7


def put_authority(connection: sqlite3.Connection, run: int, authorities: Iterable[Authority]) -> None:
    """Part of the transaction that begins a run."""
    connection.executemany(
        "INSERT INTO authority (run_id, authorisation, sequence, sha256, signers) VALUES (?, ?, ?, ?, ?)",
        [(run, one.authorisation, one.sequence, one.sha256, SEPARATOR.join(one.signers)) for one in authorities],
    )


def put_named(connection: sqlite3.Connection, run: int, named: Mapping[str, Collection[str]]) -> None:
    """The letters that the inventory names for each ministry, written when they change; part of the same transaction."""
    before = named_of(connection, run)
    connection.executemany(
        "INSERT INTO named (ministry, from_run, authorisations) VALUES (?, ?, ?)",
        [
            (ministry, run, SEPARATOR.join(sorted(names)))
            for ministry, names in named.items()
            if before.get(ministry) != frozenset(names)
        ],
    )


def named_of(connection: sqlite3.Connection, run: int, since: int = 0) -> dict[str, frozenset[str]]:
    """The letters of each ministry as of a run; only what was written after the run ``since``. {} of older releases."""
    if int(connection.execute("PRAGMA user_version").fetchone()[0]) < _FIRST_WITH_NAMED:
        return {}
    query = "SELECT ministry, authorisations FROM named WHERE from_run > ? AND from_run <= ? ORDER BY from_run"
    return {ministry: frozenset(_names(names)) for ministry, names in connection.execute(query, (since, run))}


def authority_of(connection: sqlite3.Connection, run: int) -> dict[str, Authority]:
    """What a run went under, by id; {} for a run of a release that did not write it down."""
    if not _is_kept(connection):
        return {}
    query = "SELECT authorisation, sequence, sha256, signers FROM authority WHERE run_id = ? ORDER BY authorisation"
    return {
        name: Authority(name, sequence, sha256, _names(signers))
        for name, sequence, sha256, signers in connection.execute(query, (run,))
    }


def seen_before(path: Path) -> dict[str, Seen]:
    """The highest sequence that any run of a database saw, by id; {} when there is no such database yet.

    Raises:
        UsageError: the file is something else.
        StoreError: it cannot be read.
    """
    try:
        connection = _reading(path) if path.exists() else None
    except OSError as fault:
        raise hidden(path, fault) from fault
    if connection is None:
        return {}
    try:
        return _seen(connection)
    except sqlite3.Error as fault:
        raise store_error(path, fault) from fault
    finally:
        connection.close()


def _reading(path: Path) -> sqlite3.Connection | None:
    """None for a file that is still empty: the first scan is about to make it, or died doing so."""
    return None if path.is_file() and is_empty(path) else connect_read(path)


def _seen(connection: sqlite3.Connection) -> dict[str, Seen]:
    if not _is_kept(connection):
        return {}
    query = (
        "SELECT authorisation, sequence, sha256, signers, started_at FROM authority JOIN run ON run.id = run_id "
        "ORDER BY run_id"
    )
    found: dict[str, Seen] = {}
    for name, sequence, sha256, signers, at in connection.execute(query):
        before = found.get(name)
        if before is None or sequence > before.sequence:
            before = Seen(sequence, moment(at))
        if sequence == before.sequence and signers:
            before = Seen(sequence, before.at, before.signed | {sha256})
        found[name] = before
    return found


def _is_kept(connection: sqlite3.Connection) -> bool:
    return int(connection.execute("PRAGMA user_version").fetchone()[0]) >= _FIRST_WITH_AUTHORITY


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(SEPARATOR)) if text else ()
