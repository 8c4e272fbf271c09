"""Whether a history is whole: the file, its schema, and what must hold between its rows. Reads only.

What SQLite itself finds (damaged pages, broken indices, values of a wrong type, references into nothing) comes first,
then the invariants of the store, asked without the indices and triggers that should have kept them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from posture.errors import StoreError
from posture.store.answers import BLOB_LIMIT, text_hash
from posture.store.bitmap import Bitmap
from posture.store.database import FAULTS, NEWEST, connect_read
from posture.store.silences import unpack

SHOWN = 20  # faults of one kind that are named; the rest is counted

# Table -> the columns of its key, without from_run. Findings are no such intervals: one lasts until the next row.
_INTERVALS = {
    "facts": "asset_id, probe, subject_id, vantage_id",
    "silence": "asset_id, vantage_id",
    "declaration": "asset_id",
}
# Where a run's own rows stand once it has been folded.
_FOLDED = {
    "facts": ("from_run", "to_run"),
    "silence": ("from_run", "to_run"),
    "verdict": ("from_run",),
    "coverage_row": ("run_id",),
    "judged_row": ("run_id",),
    "event_row": ("run_id",),
    "score_row": ("run_id",),
}
_COUNTED = {
    "runs": "SELECT count(*) FROM run",
    "assets": "SELECT count(*) FROM asset",
    "findings": "SELECT count(*) FROM verdict WHERE said IS NOT NULL",
    "facts": "SELECT count(*) FROM facts",
    "blobs": "SELECT count(*) FROM blob WHERE length(data) > 0",
    "dropped": "SELECT count(*) FROM blob WHERE length(data) = 0",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. ``check``: which of the checks found it."""

    check: str
    what: str


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at a history found.

    ``schema``: its user_version, 0 where even that cannot be read. ``counts``: rows by kind; ``dropped`` are blobs whose
    content retention has taken. ``more``: by check, faults found and not named.
    """

    schema: int
    counts: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    more: Mapping[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        return not self.faults


def check(path: Path) -> Health:
    """Looks at everything, at one moment; also while a scan writes, and on a medium that cannot be written.

    Raises:
        UsageError: there is no such database, or the file is something else.
        StoreError: it cannot be opened, or a newer release wrote it.
    """
    try:
        connection = connect_read(path)
    except StoreError as refused:
        if not _is_damage(refused.__cause__):
            raise
        return Health(0, faults=(Fault("file", str(refused.__cause__)),))
    with closing(connection):
        connection.execute("BEGIN")
        return _examine(path, connection)


def _is_damage(cause: BaseException | None) -> bool:
    """Of the file's content; OperationalError is of the disk, the lock or the permissions."""
    if isinstance(cause, UnicodeDecodeError):
        return True
    return isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, sqlite3.OperationalError)


def _examine(path: Path, connection: sqlite3.Connection) -> Health:
    found: list[Fault] = [Fault("file", what) for what in _unread_journal(path)]
    more: dict[str, int] = {}
    for name, ask in _CHECKS.items():
        try:
            told = ask(connection)
            found += [Fault(name, what) for what in islice(told, SHOWN)]
            if rest := sum(1 for _ in told):
                more[name] = rest
        except FAULTS as fault:
            found.append(Fault(name, f"cannot be read to the end: {fault}"))
    return Health(_version(connection), _counts(connection), tuple(found), more)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    counts = {}
    for name, query in _COUNTED.items():
        try:
            if name == "findings" and "verdict" not in _tables(connection):
                query = "SELECT count(*) FROM finding"  # noqa: PLW2901 - of an older schema
            counts[name] = int(connection.execute(query).fetchone()[0])
        except FAULTS:  # the checks have said so
            continue
    return counts


def _unread_journal(path: Path) -> Iterator[str]:
    """A write-ahead log that SQLite cannot join to the file, because it may not write beside it."""
    log = path.with_name(path.name + "-wal")
    shared = path.with_name(path.name + "-shm")
    if log.is_file() and log.stat().st_size and not shared.exists() and not os.access(path.parent, os.W_OK):
        yield f"{log.name} lies beside it and cannot be read here: copy both to a disk that can be written"


# ---- what SQLite finds


def _pages(connection: sqlite3.Connection) -> Iterator[str]:
    """Both: the quick one still answers where damage stops the long one."""
    said = set()
    for pragma in ("quick_check", "integrity_check"):
        for (line,) in connection.execute(f"PRAGMA {pragma}(100)"):
            if line != "ok" and line not in said:
                said.add(line)
                yield str(line)


def _values(connection: sqlite3.Connection) -> Iterator[str]:
    """Every row can be read: SQLite takes any bytes for text, and a reader does not."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'blob'").fetchall()
    for (table,) in tables:
        try:
            for _ in connection.execute(f'SELECT * FROM "{table}" NOT INDEXED'):  # noqa: S608 - of the schema
                pass
        except FAULTS as fault:
            yield f"a row of {table} cannot be read: {fault}"


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        place = f"row {row} of {table}" if row is not None else f"a row of {table}"
        yield f"{place} refers to a row of {parent} that is not there"


def _schema(connection: sqlite3.Connection) -> Iterator[str]:
    """Tables, indices and triggers as this release makes them; others may be added, none may lack or differ."""
    if _version(connection) != NEWEST:
        return
    there = _objects(connection)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        from sqlite_utils import Database

        from posture.store.schema import MIGRATIONS

        MIGRATIONS.apply(Database(fresh, execute_plugins=False))
        for (kind, name), text in _objects(fresh).items():
            if name.startswith(("_sqlite_migrations", "idx__sqlite_migrations")):
                continue
            if (kind, name) not in there:
                yield f"the {kind} {name} is missing"
            elif there[kind, name] != text:
                yield f"the {kind} {name} is not as this release makes it"


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(kind, name): sql for kind, name, sql in rows}


# ---- the invariants of the store


def _intervals(connection: sqlite3.Connection) -> Iterator[str]:
    there = _tables(connection)
    for table, key in _INTERVALS.items():
        if table in there:
            yield from _overlaps(connection, table, key)
    if _version(connection) == NEWEST:
        yield from _wrong_verdicts(connection)


def _tables(connection: sqlite3.Connection) -> set[str]:
    """Those of this very file: an older one is looked at as far as it has the same."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _wrong_verdicts(connection: sqlite3.Connection) -> Iterator[str]:
    """An end of nothing; and an event or a verdict of an asset that its run does not name as one that it wrote of."""
    query = """SELECT asset.name, from_run FROM (
          SELECT asset_id, from_run, said, lag(said) OVER (
            PARTITION BY asset_id, control_id, subject_id, track_id ORDER BY from_run) AS last FROM verdict NOT INDEXED
        ) LEFT JOIN asset ON asset.id = asset_id WHERE said IS NULL AND coalesce(last, -1) < 0"""
    for name, run in connection.execute(query):
        yield f"finding of {name}: what ends with run {run} had never begun"
    wrote: dict[int, set[int]] = {}
    for query in (_WROTE, "SELECT DISTINCT run_id, bit FROM event_row JOIN asset ON asset.id = asset_id"):
        for run, bit in connection.execute(query):
            wrote.setdefault(run, set()).add(bit)
    for run, name, packed in connection.execute("SELECT id, name, moved FROM run"):
        try:
            told = set(Bitmap.unpack(packed)) if packed is not None else set()
        except ValueError as fault:
            yield f"assets that run {name} wrote of: {fault}"
            continue
        if told != wrote.get(run, set()):
            yield f"run {name} wrote of other assets than it names, bits {_some(told ^ wrote.get(run, set()))}"


_WROTE = """SELECT DISTINCT from_run, bit FROM verdict NOT INDEXED JOIN track ON track.id = track_id AND judgement_id IS NULL
    JOIN asset ON asset.id = asset_id"""


def _some(bits: set[int]) -> str:
    return ", ".join(map(str, sorted(bits)[:SHOWN]))


def _overlaps(connection: sqlite3.Connection, table: str, key: str) -> Iterator[str]:
    """Intervals of one key that hold at once, two open ones among them, and such as end before they begin."""
    query = f"""
        SELECT asset.name, from_run, to_run, earlier, ended FROM (
          SELECT asset_id, from_run, to_run, lag(from_run) OVER same AS earlier, lag(to_run) OVER same AS ended
          FROM {table} NOT INDEXED WINDOW same AS (PARTITION BY {key} ORDER BY from_run)
        ) LEFT JOIN asset ON asset.id = asset_id
        WHERE to_run < from_run OR (earlier IS NOT NULL AND coalesce(ended > from_run, 1))"""  # noqa: S608 - names of our own
    for name, begun, ended, earlier, before in connection.execute(query):
        if ended is not None and ended < begun:
            yield f"{table} of {name}: an interval from run {begun} ends before it begins, with run {ended}"
        elif before is None and ended is None:
            yield f"{table} of {name}: two open intervals of one key, from runs {earlier} and {begun}"
        else:
            yield f"{table} of {name}: two intervals of one key at once, from runs {earlier} and {begun}"


def _journals(connection: sqlite3.Connection) -> Iterator[str]:
    """One run is open at a vantage, at most. A closed one has left no waiting answers and no plan; an open or a quarantined
    one has no part in the history."""
    query = "SELECT vantage, count(*) FROM run NOT INDEXED WHERE state = 'running' GROUP BY vantage HAVING count(*) > 1"
    for vantage, count in connection.execute(query):
        yield f"{count} runs are open at vantage {vantage}"
    for table in ("journal", "planned"):
        query = f"""SELECT run.name, run.state, count(*) FROM {table} JOIN run ON run.id = run_id
            WHERE run.state <> 'running' GROUP BY run.id"""  # noqa: S608 - names of our own
        for name, state, count in connection.execute(query):
            yield f"{count} rows of {table} are left of run {name}, which is {state}"
    there = _tables(connection)
    for table, columns in _FOLDED.items():
        for column in columns if table in there else ():
            query = f"""SELECT run.name, run.state, count(*) FROM {table} JOIN run ON run.id = {column}
                WHERE run.state IN ('running', 'quarantined') GROUP BY run.id"""  # noqa: S608 - names of our own
            for name, state, count in connection.execute(query):
                yield f"{count} rows of {table} come from run {name}, which is {state}"


def _blobs(connection: sqlite3.Connection) -> Iterator[str]:
    """Every record is what its SHA-256 says; one that retention emptied is needed by nobody."""
    for number, name, data in connection.execute("SELECT id, sha256, data FROM blob"):
        if data and (wrong := _wrong_content(name, data)):
            yield f"blob {number} (sha256:{name.hex()}) {wrong}"
    query = """SELECT id, sha256 FROM blob WHERE length(data) = 0 AND id IN (
        SELECT blob_id FROM facts WHERE to_run IS NULL UNION ALL SELECT blob_id FROM journal
        UNION ALL SELECT roots_blob FROM run)"""
    for number, name in connection.execute(query):
        yield f"blob {number} (sha256:{name.hex()}) is empty and still needed"


def _wrong_content(name: bytes, data: bytes) -> str:
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(data, BLOB_LIMIT)
    except zlib.error as fault:
        return f"cannot be unpacked: {fault}"
    if not unpacker.eof:
        return f"is cut short, or longer than {BLOB_LIMIT} bytes"
    return "" if hashlib.sha256(content).digest() == name else "does not match its SHA-256"


# Place, the whole, the part of it.
_BITMAPS = {
    "inventory": "SELECT name, inventory, inventory FROM run",
    "coverage": "SELECT name || ', ' || probe, targeted, answered FROM coverage JOIN run ON run.id = run_id",
    "judged": """SELECT run.name || ', ' || control.code, asked, known FROM judged
        JOIN run ON run.id = run_id JOIN control ON control.id = control_id""",
}
_SILENT = """SELECT run.name || ', ' || control.code, asked, silent FROM judged
    JOIN run ON run.id = run_id JOIN control ON control.id = control_id"""


def _texts(connection: sqlite3.Connection) -> Iterator[str]:
    """Every text is found by its hash, and is there once; and those that tell silences can be read."""
    if _version(connection) != NEWEST:
        return
    for number, found, text in connection.execute("SELECT id, hash, value FROM text_value"):
        if not isinstance(text, str) or found != text_hash(text):
            yield f"text {number} does not match its hash"
    query = "SELECT min(id), count(*) FROM text_value NOT INDEXED GROUP BY value HAVING count(*) > 1"
    for number, count in connection.execute(query):
        yield f"text {number} is there {count} times"
    for asset, run, text, seconds, start in connection.execute(_TOLD):
        try:
            unpack(text, run, seconds, start)
        except (ValueError, TypeError, LookupError, AttributeError):
            yield f"silence of {asset} since run {run} cannot be read"


_TOLD = """SELECT asset.name, from_run, value, seconds, started_at FROM silence JOIN asset ON asset.id = asset_id
    JOIN run ON run.id = from_run JOIN text_value ON text_value.id = said_id"""


def _bitmaps(connection: sqlite3.Connection) -> Iterator[str]:
    """Bitmaps refer to assets that are there, and nobody answered who was not asked."""
    known = {bit for (bit,) in connection.execute("SELECT bit FROM asset")}
    for table, query in _BITMAPS.items():
        for place, whole, part in connection.execute(query):
            yield from (f"{table} of run {place}: {what}" for what in _wrong_bits(whole, part, known))
    for place, asked, silent in connection.execute(_SILENT):
        yield from (f"judged of run {place}: {what}" for what in _wrong_silence(asked, silent))


def _wrong_bits(whole: bytes, part: bytes, known: set[int]) -> Iterator[str]:
    try:
        asked, answered = Bitmap.unpack(whole), Bitmap.unpack(part)
    except ValueError as fault:
        yield str(fault)
        return
    if strangers := sorted(set(asked) - known):
        yield f"bits of no known asset: {', '.join(map(str, strangers[:SHOWN]))}"
    if unasked := sorted(set(answered) - set(asked)):
        yield f"answers of assets that were not asked, bits {', '.join(map(str, unasked[:SHOWN]))}"


def _wrong_silence(asked: bytes, silent: bytes) -> Iterator[str]:
    try:
        places = {int(bit) for bit in json.loads(zlib.decompress(silent))}
        unasked = sorted(places - set(Bitmap.unpack(asked)))
    except (ValueError, TypeError, zlib.error) as fault:
        yield f"the silent subjects cannot be read: {fault}"
        return
    if unasked:
        yield f"silent subjects of assets that were not asked, bits {', '.join(map(str, unasked[:SHOWN]))}"


_CHECKS: Mapping[str, Callable[[sqlite3.Connection], Iterator[str]]] = {
    "pages": _pages,
    "values": _values,
    "references": _references,
    "schema": _schema,
    "intervals": _intervals,
    "journal": _journals,
    "blobs": _blobs,
    "texts": _texts,
    "bitmaps": _bitmaps,
}
CHECKS = ("file", *_CHECKS)
