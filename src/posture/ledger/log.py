"""The log in the database: entries, leaves and checkpoints, written when a run closes, in its transaction."""

from __future__ import annotations

import secrets
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from posture.errors import ConfigurationError
from posture.keys import PublicKey
from posture.ledger.entry import LONGEST, Entry, EntryError, rotation_entry, run_entry
from posture.ledger.leaf import SALT_BYTES, hash_of_leaf, hashes_of, marks_of
from posture.ledger.merkle import leaf_hash, root_of
from posture.ledger.note import Checkpoint, Signer, sign_note
from posture.ledger.records import Chronicle
from posture.store import RunRecord, Store, stamp
from posture.store.trail import last_head

FIRST_WITH_LEDGER = 3  # user_version of the database


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint as the database keeps it."""

    size: int
    root: bytes
    note: str
    at: str


def seal(store: Store, signer: Signer, at: datetime) -> Checkpoint | None:
    """Enters every closed run that is not in the log yet, the newest one last, and signs where the log stands.

    Call it inside :meth:`Store.writing`. None: there is nothing to sign yet.

    Raises:
        StoreError: the log was kept with another key.
    """
    connection = store.connection
    missing = _not_entered(store)
    if missing:
        trail, chronicle = last_head(connection), Chronicle(store)
        for run in missing:
            late = run is not missing[-1]
            _enter(connection, chronicle, run, signer.public, trail=None if late else trail, late=late)
    return _sign(connection, [signer], at) if missing or not last_checkpoint(connection) else None


def must_go_on_with(store: Store, key: Signer) -> None:
    """Refuses a key that the log was not kept with.

    Raises:
        ConfigurationError: the ledger goes by another key.
    """
    kept = key_of(store.connection)
    if kept is not None and kept != key.public:
        raise ConfigurationError(
            f"the ledger of {store.path} is signed by {kept.fingerprint}, not by the operator's key ({key.public.fingerprint}); "
            "nothing was sent. If a change of the key was interrupted, 'posture keys rotate' finishes it; else put the "
            "former key back, or move the database away: the next scan begins a new history."
        )


def rotate(store: Store, old: Signer, new: Signer, at: datetime) -> Checkpoint:
    """The key changes: an entry signed by both, under a checkpoint signed by both. Call it inside :meth:`Store.writing`."""
    place = _size(store.connection)
    _put_entry(store.connection, place, "rotation", None, rotation_entry(old, new, stamp(at)))
    signed = _sign(store.connection, [old, new], at)
    assert signed is not None
    return signed


def _not_entered(store: Store) -> list[RunRecord]:
    """Closed runs without an entry, oldest first by when they closed."""
    entered = {row[0] for row in store.connection.execute("SELECT run_id FROM log_entry WHERE run_id IS NOT NULL")}
    found = [run for run in store.reader.runs() if run.closed and run.number not in entered]
    return sorted(found, key=lambda run: (run.end, run.number))


def _enter(
    connection: sqlite3.Connection,
    chronicle: Chronicle,
    run: RunRecord,
    key: PublicKey,
    *,
    trail: tuple[int, str] | None,
    late: bool,
) -> None:
    leaves: list[bytes] = []
    rows: list[tuple[str, int, bytes, bytes]] = []
    found = chronicle.of(run)
    for ministry, records in found.items():
        salt, hashes = secrets.token_bytes(SALT_BYTES), hashes_of(records)
        leaf = hash_of_leaf(salt, run.id, ministry, hashes)
        leaves.append(leaf)
        rows.append((ministry, run.number, salt, marks_of(leaf, hashes)))
    connection.executemany("INSERT INTO leaf (ministry, run_id, salt, body) VALUES (?, ?, ?, ?)", rows)
    body = run_entry(run, root_of(leaves), found, key, trail=trail, late=late)
    _put_entry(connection, _size(connection), "run", run.number, body)


def _put_entry(connection: sqlite3.Connection, place: int, kind: str, run: int | None, data: bytes) -> None:
    connection.execute(
        "INSERT INTO log_entry (place, kind, run_id, body, hash) VALUES (?, ?, ?, ?, ?)",
        (place, kind, run, zlib.compress(data, 9), leaf_hash(data)),
    )


def _sign(connection: sqlite3.Connection, signers: Sequence[Signer], at: datetime) -> Checkpoint | None:
    hashes = [row[0] for row in connection.execute("SELECT hash FROM log_entry ORDER BY place")]
    if not hashes:
        return None
    checkpoint = Checkpoint(origin_of(connection), len(hashes), root_of(hashes))
    connection.execute(
        "INSERT OR IGNORE INTO checkpoint (size, root, note, at) VALUES (?, ?, ?, ?)",
        (checkpoint.size, checkpoint.root, sign_note(checkpoint, signers), stamp(at)),
    )
    return checkpoint


def origin_of(connection: sqlite3.Connection) -> str:
    """Names this log, and no other: the State of its first run, and the beginning of its first entry's hash."""
    first = connection.execute("SELECT hash FROM log_entry WHERE place = 0").fetchone()
    state = connection.execute("SELECT state_code FROM run ORDER BY id LIMIT 1").fetchone()
    return f"posture/{state[0].lower() if state else 'zz'}/{first[0][:4].hex()}"


def _size(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(place), -1) + 1 FROM log_entry").fetchone()[0])


# ---- reading


def has_ledger(connection: sqlite3.Connection) -> bool:
    """Whether the database is of a release that keeps one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0]) >= FIRST_WITH_LEDGER


def last_checkpoint(connection: sqlite3.Connection) -> Kept | None:
    """The newest checkpoint, or None."""
    found = checkpoints(connection, "ORDER BY size DESC LIMIT 1")
    return found[0] if found else None


def checkpoint_of(connection: sqlite3.Connection, run: RunRecord) -> Kept | None:
    """The first checkpoint that covers a run."""
    if not has_ledger(connection):
        return None
    row = connection.execute("SELECT place FROM log_entry WHERE run_id = ?", (run.number,)).fetchone()
    found = checkpoints(connection, f"WHERE size > {int(row[0])} ORDER BY size LIMIT 1") if row else []
    return found[0] if found else None


def checkpoints(connection: sqlite3.Connection, which: str = "ORDER BY size") -> list[Kept]:
    """Oldest first; none where there is no ledger."""
    if not has_ledger(connection):
        return []
    query = f"SELECT size, root, note, at FROM checkpoint {which}"  # noqa: S608 - words of our own
    return [Kept(*row) for row in connection.execute(query)]


def key_of(connection: sqlite3.Connection) -> PublicKey | None:
    """Whose signature the log's next checkpoint must bear; None before there is an entry, or when one cannot be read."""
    found = keys_of(connection)
    return found[-1] if found else None


def keys_of(connection: sqlite3.Connection) -> list[PublicKey]:
    """The keys that the log went by, in their order; none before there is an entry, or when one cannot be read."""
    keys: list[PublicKey] = []
    if not has_ledger(connection):
        return keys
    for place, body in connection.execute("SELECT place, body FROM log_entry ORDER BY place"):
        try:
            entry = Entry.read(place, unpacked(body))
            before = entry.key_before
            after = entry.key_after(keys[-1] if keys else None)
        except EntryError:
            return []
        keys += [key for key in dict.fromkeys((before, after)) if key not in keys]
    return keys


def unpacked(body: bytes) -> bytes:
    """An entry's bytes as stored. Raises EntryError: no compressed bytes, or too many."""
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(body, LONGEST)
    except zlib.error:
        raise EntryError("cannot be read") from None
    if not stream.eof:
        raise EntryError("cannot be read")
    return data
