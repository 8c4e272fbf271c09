"""Upkeep of a history: a copy that can be trusted, today's schema, and the end of evidence past its time."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from posture.disk import sync_file, sync_folder
from posture.errors import StoreError, UsageError
from posture.store.database import (
    NEWEST,
    WriterLock,
    connect_read,
    connect_write,
    store_error,
    transaction,
)
from posture.store.health import Health, check
from posture.store.records import moment, stamp

# ---- backup


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made. ``size`` in bytes; ``health``: what a check of the copy found."""

    path: Path
    size: int
    health: Health


def backup(path: Path, target: Path) -> Backup:
    """A copy of the history as it is at one moment, in one file, checked. Works while a scan writes.

    The copy is in rollback mode, so that it opens from a medium that cannot be written. Its name appears in full or
    not at all: under it stands an empty file until the copy is on disk.

    Raises:
        UsageError: there is no such database, something stands under the target's name already, or its folder is not there.
        StoreError: the database is damaged, or the target cannot be written; nothing of it is left.
    """
    with closing(connect_read(path)) as connection:
        _reserve(target, path)
        try:
            part = _beside(target)
            try:
                _copy(path, connection, target, part)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
                part.with_name(f"{part.name}-journal").unlink(missing_ok=True)  # of a copy that failed
        except BaseException:
            target.unlink(missing_ok=True)  # ours, and empty
            raise
    sync_folder(target.absolute().parent)
    return Backup(target, target.stat().st_size, check(target))


def _reserve(target: Path, path: Path) -> None:
    """Takes the name, or finds that it is taken: never over what is there."""
    mode = path.stat().st_mode & 0o666
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode))
    except FileExistsError:
        raise UsageError(f"{target} is there already, and a backup never overwrites. Name another file.") from None
    except OSError as fault:
        if not target.parent.is_dir():
            raise UsageError(f"no folder {target.parent} for the backup. Make it, or name another file.") from None
        raise _unwritable(target, fault) from fault


def _beside(target: Path) -> Path:
    try:
        handle, name = tempfile.mkstemp(dir=target.absolute().parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
    except OSError as fault:
        raise _unwritable(target, fault) from fault
    return Path(name)


def _copy(path: Path, connection: sqlite3.Connection, target: Path, part: Path) -> None:
    """VACUUM INTO reads at one moment and writes no free pages, so that dropped evidence is not in the copy either."""
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
    except sqlite3.Error as fault:
        if "full" in str(fault) or "unable to open" in str(fault) or "disk I/O" in str(fault):
            raise StoreError(
                f"the backup {target} cannot be written: {fault}. Free some space, or name a file on another disk."
            ) from fault
        raise store_error(path, fault) from fault
    try:
        shutil.copymode(target, part)
        sync_file(part)
    except OSError as fault:
        raise _unwritable(target, fault) from fault


def _unwritable(target: Path, fault: OSError) -> StoreError:
    return StoreError(f"the backup {target} cannot be written: {fault.strerror}. Name a file on another disk.")


# ---- schema


@dataclass(frozen=True, slots=True)
class Migrated:
    """``before`` and ``after``: numbers of the schema; equal when there was nothing to do."""

    before: int
    after: int


def schema_of(path: Path) -> int:
    """The number of the schema that a history has. Raises UsageError, StoreError."""
    with closing(connect_read(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(path: Path) -> Migrated:
    """Brings a history to this release's schema, in one transaction; one that is there already is not touched.

    Then the file gives back the room that the older tables took, where the disk has enough to write it anew.

    Raises:
        UsageError: there is no such database, or the file is something else.
        NothingToScan: it is old, and somebody else holds it; says who.
        StoreError: it cannot be written, or a newer release wrote it. The old schema is still there.
    """
    if schema_of(path) == NEWEST:
        return Migrated(NEWEST, NEWEST)
    lock = WriterLock(path)
    try:
        before = schema_of(path)  # another may have done it meanwhile
        with closing(connect_write(path)) as connection, suppress(sqlite3.OperationalError):
            connection.execute("VACUUM")
    finally:
        lock.release()
    return Migrated(before, schema_of(path))


# ---- retention


@dataclass(frozen=True, slots=True)
class Pruned:
    """Evidence past its time.

    Args:
        limit: what was current after this is kept.
        records: how many records were, or would be, dropped; ``size`` their bytes in the file.
        answers: intervals of facts that no longer show their evidence; the first was seen at ``since``, the last was
            current until ``until``.
        kept: records that stay; ``kept_size`` their bytes.
    """

    limit: datetime
    records: int
    size: int
    answers: int
    since: datetime | None
    until: datetime | None
    kept: int
    kept_size: int


# A blob stays while an interval of facts needs it that is open, was open after the limit, or holds at one of the last
# two complete runs of a vantage, which a new policy or new rules judge again; and while any other table points at it.
_PAST = """
CREATE TEMP TABLE past AS
SELECT id, length(data) AS size FROM blob WHERE length(data) > 0
AND id NOT IN (SELECT blob_id FROM facts LEFT JOIN run ON run.id = to_run WHERE to_run IS NULL OR run.ended_at >= :limit)
AND id NOT IN (
  SELECT blob_id FROM facts JOIN text_value AS place ON place.id = vantage_id JOIN (
    SELECT id, vantage, row_number() OVER (PARTITION BY vantage ORDER BY id DESC) AS age FROM run WHERE state = 'complete'
  ) AS base ON base.vantage = place.value AND age <= 2
  WHERE from_run <= base.id AND to_run > base.id)
"""
_ELSEWHERE = """SELECT tables.name, "from" FROM sqlite_master AS tables
JOIN pragma_foreign_key_list(tables.name) AS keys ON keys."table" = 'blob'
WHERE tables.type = 'table' AND tables.name <> 'facts'"""


def prune(path: Path, keep: timedelta, now: datetime, *, dry_run: bool = False) -> Pruned:
    """Drops the content of evidence that has not been current for ``keep``; its SHA-256 stays where it stood.

    No row goes: an emptied blob reads as "not recorded". Seen on the wire once more, it is filled again. What is
    dropped is overwritten in the file; its room is used by the next scans.

    Args:
        dry_run: says what would go, without the lock and without writing.

    Raises:
        UsageError: there is no such database, or the file is something else.
        NothingToScan: somebody else holds it; says who.
        StoreError: it cannot be written, or a newer release wrote it; nothing was dropped.
    """
    limit = now - keep
    if dry_run:
        with closing(connect_read(path)) as connection, _reading(path):
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("BEGIN")
            return _past(connection, limit)
    connect_read(path).close()  # never creates
    lock = WriterLock(path)
    try:
        with closing(connect_write(path)) as connection:
            # What is freed is zeroed, here and in what SQLite keeps aside.
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            with transaction(path, connection):
                found = _past(connection, limit)
                connection.execute("UPDATE blob SET data = x'' WHERE id IN (SELECT id FROM past)")
            with suppress(sqlite3.OperationalError):  # a reader is in the way: the next scan does it
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return found
    finally:
        lock.release()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Faults of the file as sentences. Raises StoreError."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # a bug of ours
    except sqlite3.Error as fault:
        raise store_error(path, fault) from fault


def _past(connection: sqlite3.Connection, limit: datetime) -> Pruned:
    """What is past its time, in the temporary table ``past``. Only within a transaction."""
    connection.execute(_PAST, {"limit": stamp(limit)})
    for table, column in connection.execute(_ELSEWHERE).fetchall():
        connection.execute(f'DELETE FROM past WHERE id IN (SELECT "{column}" FROM "{table}")')  # noqa: S608 - of the schema
    records, size = connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM past").fetchone()
    answers, since, until = connection.execute(
        "SELECT count(*), min(at), max(run.ended_at) FROM facts JOIN run ON run.id = to_run "
        "WHERE blob_id IN (SELECT id FROM past)"
    ).fetchone()
    all_records, all_size = connection.execute(
        "SELECT count(*), coalesce(sum(length(data)), 0) FROM blob WHERE length(data) > 0"
    ).fetchone()
    return Pruned(
        limit=limit,
        records=records,
        size=size,
        answers=answers,
        since=moment(since) if since else None,
        until=moment(until) if until else None,
        kept=all_records - records,
        kept_size=all_size - size,
    )
