"""One SQLite file: opening it, the lock of its only writer, transactions, and faults as sentences.

Writers: WAL, synchronous=FULL, foreign keys, BEGIN IMMEDIATE. Readers never create, lock or change anything.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from posture.errors import NothingToScan, StoreError, UsageError

APPLICATION_ID = 0x504F5354  # "POST"
NEWEST = 9  # user_version of this release's schema
BUSY_MS = 10_000
MEGABYTE = 1_000_000
# Of the file. The second: what SQLite quotes of a damaged schema is no text, and Python fails to say it.
FAULTS = (sqlite3.Error, UnicodeDecodeError)


def connect_read(path: Path) -> sqlite3.Connection:
    """A read-only connection.

    Raises:
        UsageError: there is no such database, or the file is not one of ours.
        StoreError: it cannot be read, or a newer release wrote it.
    """
    if not is_there(path):
        raise UsageError(f"no such database: {path}. Run 'posture scan' first, or name one with --db.")
    try:
        connection = _read_only(path)
        if not _is_made(connection):
            connection.close()
            raise UsageError(
                f"no such database: {path} is still empty. Run 'posture scan' first, or name one with --db."
            )
        _check_identity(path, connection)
    except FAULTS as fault:
        raise store_error(path, fault) from fault
    return connection


def is_there(path: Path) -> bool:
    """Whether there is such a file. Raises StoreError: nobody can tell."""
    try:
        return path.is_file()
    except OSError as fault:
        raise hidden(path, fault) from fault


def is_empty(path: Path) -> bool:
    """Whether a file holds nothing yet: the first scan is about to make it, or died doing so. Raises StoreError, UsageError."""
    try:
        with closing(_read_only(path)) as connection:
            return not _is_made(connection)
    except FAULTS as fault:
        raise store_error(path, fault) from fault


def _is_made(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _read_only(path: Path) -> sqlite3.Connection:
    """A medium that cannot be written has no room for WAL's shared memory: then the file is taken as it lies."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as fault:
        connection.close()
        # SQLite says "readonly" when it is the folder that this account may not write.
        if not re.search("unable to open|readonly", str(fault)) or os.access(path.parent, os.W_OK):
            raise
        connection = sqlite3.connect(address + "&immutable=1", uri=True, isolation_level=None)
    return connection


def connect_write(path: Path) -> sqlite3.Connection:
    """A read-write connection with today's schema; creates the file and migrates an older one, in one transaction.

    Raises:
        StoreError: the database cannot be written, or a newer release wrote it.
        UsageError: the file is something else.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            if _is_made(connection):
                _check_identity(path, connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 16000000")
            _migrate(connection)
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
    except FAULTS as fault:
        raise store_error(path, fault) from fault
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    from sqlite_utils import Database

    from posture.store.schema import MIGRATIONS

    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    if MIGRATIONS.pending(database):
        # Tables are rebuilt: what refers to them is looked at when all are there.
        with database.atomic():
            try:
                MIGRATIONS.apply(database)
            except sqlite3.IntegrityError as fault:
                raise sqlite3.DatabaseError(f"corrupt: {fault}") from fault
            lost = connection.execute("PRAGMA foreign_key_check").fetchone()
            if lost is not None:
                raise sqlite3.DatabaseError(
                    f"corrupt: a row of {lost[0]} refers to a row of {lost[2]} that is not there"
                )


def _check_identity(path: Path, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise UsageError(f"{path} is no posture database. Name another file with --db.")
    if connection.execute("PRAGMA user_version").fetchone()[0] > NEWEST:
        raise StoreError(f"{path} was written by a newer release of posture. Install that release or a later one.")


def of_today(path: Path, connection: sqlite3.Connection) -> None:
    """Refuses to read what stands otherwise than in this release's tables. Raises StoreError."""
    if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'verdict'").fetchone()[0]:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        raise StoreError(
            f"{path} was written by an older release of posture (schema {found}; this one reads {NEWEST}). "
            "Bring it to today's with 'posture db migrate'; 'posture db backup' first keeps the old one."
        )


@contextmanager
def transaction(path: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, on disk when the block ends.

    Raises:
        StoreError: the disk is full, or the database cannot be written.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # a bug of ours, not a fault of the disk
    except sqlite3.Error as fault:
        raise store_error(path, fault) from fault


def store_error(path: Path, fault: sqlite3.Error | UnicodeDecodeError) -> StoreError | UsageError:
    """What happened to the file, and what to do."""
    text = "malformed schema" if isinstance(fault, UnicodeDecodeError) else str(fault)
    if "file is not a database" in text:
        return UsageError(f"{path} is no posture database. Name another file with --db.")
    if "full" in text:
        return StoreError(
            f"the disk is full: {path} cannot grow. Finished results are kept; free some space, then 'posture scan --resume'."
        )
    if "readonly" in text or "read-only" in text:
        return StoreError(
            f"{path} cannot be written: it is read-only. Mend its permissions, or name another with --db."
        )
    if "unable to open" in text:
        return StoreError(f"{path} cannot be opened. Check that its folder exists and that you may write there.")
    if "malformed" in text or "corrupt" in text:
        return StoreError(f"{path} is damaged ({text}). Restore it from a backup.")
    if "locked" in text or "busy" in text:
        return StoreError(f"{path} is in use by another program. Close it and run again.")
    return StoreError(f"{path}: {text}. Finished results are kept; mend the cause, then 'posture scan --resume'.")


def hidden(path: Path, fault: OSError) -> StoreError:
    """Nobody can tell whether there is a database."""
    return StoreError(
        f"{path} cannot be looked at: {fault.strerror}. Mend the cause (the disk, permissions of the folder) and run again."
    )


class WriterLock:
    """NAME.db.lock: the kernel frees it when its holder dies, so a lock never outlives its process."""

    def __init__(self, path: Path) -> None:
        """Takes the lock.

        Raises:
            NothingToScan: somebody else holds it; says who.
            StoreError: the folder cannot be written.
        """
        self.path = path.with_name(path.name + ".lock")
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise StoreError(
                f"{self.path} cannot be written: {fault.strerror}. Check that its folder exists and that you may write there."
            ) from fault
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(os.read(self._file, 500))
            os.close(self._file)
            raise NothingToScan(
                f"another scan holds {path}{holder}. Wait for it to end, or interrupt it (Ctrl-C)."
            ) from None
        self.say("")

    def say(self, run: str) -> None:
        """Who holds the lock, for the one who is refused."""
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        note = json.dumps({"pid": os.getpid(), "run": run, "since": since}).encode()
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, note, 0)
        except OSError:  # a full disk: the lock itself holds
            return

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _holder(note: bytes) -> str:
    try:
        said = json.loads(note)
        run = f", run {said['run']}" if said["run"] else ""
        return f" (process {int(said['pid'])}{run}, since {said['since']})"
    except (ValueError, KeyError, TypeError):
        return ""


def check_space(path: Path, subjects: int) -> None:
    """Refuses to begin a run that is likely to fill the disk.

    Args:
        subjects: how many answers will be recorded; at worst 8 kB each, in the database and in its journal.

    Raises:
        StoreError: saying how much is needed and how much there is.
    """
    needed = 16 * MEGABYTE + subjects * 16_000
    free = shutil.disk_usage(path.absolute().parent).free
    if free < needed:
        raise StoreError(
            f"not enough space for {path}: this scan may need {-(-needed // MEGABYTE)} MB, "
            f"{free // MEGABYTE} MB are free. Free some space, or name a database elsewhere with --db."
        )
