"""Is the history what was signed? Every leaf, entry and checkpoint of a database, and an older checkpoint kept elsewhere."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from posture.keys import PublicKey
from posture.ledger.entry import Entry, EntryError
from posture.ledger.leaf import alias, first_difference, hash_of_leaf, hashes_of
from posture.ledger.log import Kept, checkpoints, has_ledger, unpacked
from posture.ledger.merkle import root_of, roots_of
from posture.ledger.note import Note, NoteError, open_note
from posture.ledger.records import Chronicle, Record
from posture.store import RunRecord, Store

MOST_FAULTS = 20
STATED = {
    "state": "state",
    "state_code": "state_code",
    "vantage": "vantage",
    "tool": "tool",
    "policy": "policy",
    "policy_sha256": "policy_digest",
    "rules_sha256": "rules_digest",
    "inventory_sha256": "inventory_digest",
    "authorisation_sha256": "authorisation_digest",
}


@dataclass(slots=True)
class Checked:
    """What was found. ``faults`` are sentences, each of which names what fails; empty when everything holds.

    ``keys`` signed, oldest first; ``unsigned`` are closed runs that no entry speaks of because none was ever written.
    """

    faults: list[str] = field(default_factory=list)
    entries: int = 0
    runs: int = 0
    records: int = 0
    checkpoints: int = 0
    root: bytes = b""
    origin: str = ""
    keys: list[PublicKey] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)

    def add(self, fault: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)
        elif len(self.faults) == MOST_FAULTS:
            self.faults.append("and more")


def check_database(
    store: Store,
    *,
    signer: str | None = None,
    kept: Note | None = None,
    reached: tuple[int, str] | None = None,
    heard: Callable[[int, int], None] = lambda _done, _all: None,
) -> Checked:
    """Reads a whole history and believes nothing.

    Args:
        signer: a fingerprint that must be among the keys of the log, which vouch for one another.
        kept: a checkpoint of this log from elsewhere (a printed scorecard, a neighbour).
        reached: size and root (hex) that the audit trail last recorded.
        heard: is told after each run how many of how many are done.
    """
    found = Checked()
    # A history that says of itself that it is older than any ledger is still held to what others saw of it.
    kept_here = has_ledger(store.connection)
    entries = list(_entries(store.connection, found)) if kept_here else []
    hashes = [entry.hash for entry in entries]
    roots = list(roots_of(hashes))
    found.entries, found.root = len(entries), roots[-1] if roots else b""
    keys = _keys(entries, found)
    _checkpoints(store, roots, keys, found)
    if kept_here:
        _runs(store, entries, found, heard)
    else:
        found.unsigned = [run.id for run in reversed(store.reader.runs()) if run.closed]
    if kept is not None:
        _kept(kept, roots, keys, found)
    if reached is not None:
        _reached(reached, roots, found)
    if signer is not None and signer not in {key.fingerprint for key in found.keys}:
        signers = ", ".join(key.fingerprint for key in found.keys) or "nobody"
        found.add(f"the ledger is signed by {signers}, not by {signer}")
    return found


def _entries(connection: sqlite3.Connection, found: Checked) -> Iterator[Entry]:
    """The log in its order; stops where it cannot be read on."""
    rows = connection.execute("SELECT place, body, hash FROM log_entry ORDER BY place")
    for expected, (place, body, kept) in enumerate(rows):
        if place != expected:
            found.add(f"entry {expected} is missing from the ledger: a run was dropped")
            return
        try:
            entry = Entry.read(place, unpacked(body))
        except EntryError as fault:
            found.add(f"entry {place} {fault}")
            return
        if entry.hash != kept:
            found.add(f"entry {place} ({entry.words}) was changed after it was written")
        yield entry


def _keys(entries: list[Entry], found: Checked) -> list[PublicKey | None]:
    """Whose signature holds after each entry."""
    key: PublicKey | None = None
    after: list[PublicKey | None] = []
    for entry in entries:
        try:
            key = entry.key_after(key)
        except EntryError as fault:
            found.add(f"entry {entry.place} ({entry.words}) {fault}")
            continue
        finally:
            after.append(key)
        found.keys += [each for each in dict.fromkeys((entry.key_before, key)) if each not in found.keys]
    return after


def _checkpoints(store: Store, roots: list[bytes], keys: list[PublicKey | None], found: Checked) -> None:
    last = 0
    for each in checkpoints(store.connection):
        found.checkpoints += 1
        last = max(last, each.size)
        if (fault := _checkpoint(each, roots, keys)) is not None:
            found.add(fault)
            continue
        found.origin = open_note(each.note).checkpoint.origin
    if roots and last < len(roots):
        found.add(
            f"no checkpoint signs the ledger beyond entry {last - 1}" if last else "no checkpoint signs the ledger"
        )


def _checkpoint(each: Kept, roots: list[bytes], keys: list[PublicKey | None]) -> str | None:
    try:
        note = open_note(each.note)
    except NoteError as fault:
        return f"the checkpoint over {each.size} entries cannot be read: {fault}"
    said = note.checkpoint
    if (said.size, said.root) != (each.size, each.root):
        return f"the checkpoint over {each.size} entries was changed: its note says something else"
    if not 0 < each.size <= len(roots):
        return f"a checkpoint signs {each.size} entries, but the ledger has {len(roots)}: its end was cut off"
    if roots[each.size - 1] != each.root:
        return f"the checkpoint over {each.size} entries does not fit: the entries before it were changed, swapped or dropped"
    key = keys[each.size - 1]
    if key is None or not note.signed_by(key):
        return f"the checkpoint over {each.size} entries is not signed by the ledger's key"
    return None


def _runs(store: Store, entries: list[Entry], found: Checked, heard: Callable[[int, int], None]) -> None:
    """What each entry says of its run against what the history says now."""
    runs = {run.id: run for run in store.reader.runs()}
    numbers: dict[int, int | None] = dict(store.connection.execute("SELECT place, run_id FROM log_entry"))
    chronicle, entered = Chronicle(store), set[str]()
    told = [entry for entry in entries if entry.is_run]
    for place, entry in enumerate(told):
        entered.add(entry.run)
        run = runs.get(entry.run)
        if run is None:
            found.add(f"run {entry.run} is in the ledger (entry {entry.place}), but not in the history: it was dropped")
            continue
        if numbers.get(entry.place) != run.number:
            found.add(f"entry {entry.place} speaks of run {entry.run}, but stands under another: runs were swapped")
        for stated, attribute in STATED.items():
            if entry.body.get(stated) != getattr(run, attribute):
                found.add(f"run {run.id}: its {stated.replace('_', ' ')} was changed")
        try:
            records = chronicle.of(run)
        except (LookupError, ValueError, TypeError, zlib.error):
            found.add(f"run {run.id}: its records cannot be read any more: what they are made of was changed")
            continue
        _leaves(store, entry, run, records, found)
        found.runs += 1
        heard(place + 1, len(told))
    found.unsigned = [run.id for run in reversed(runs.values()) if run.closed and run.id not in entered]
    if entered:
        for name in found.unsigned:
            found.add(
                f"run {name} is in the history, but the ledger has no entry of it: it was added or its entry dropped"
            )


def _leaves(store: Store, entry: Entry, run: RunRecord, records: Mapping[str, list[Record]], found: Checked) -> None:
    query = "SELECT ministry, salt, body FROM leaf WHERE run_id = ?"
    kept = {ministry: (salt, marks) for ministry, salt, marks in store.connection.execute(query, (run.number,))}
    members = set(map(str, entry.body["members"])) if isinstance(entry.body["members"], list) else set()
    leaves, suspects = [], []
    for ministry in sorted(kept.keys() | records.keys()):
        if ministry not in kept or ministry not in records or alias(run.id, ministry) not in members:
            suspects.append(f"run {run.id}, {_whose(ministry)}: its leaf is missing, or one too many")
            continue
        salt, marks = kept[ministry]
        hashes = hashes_of(records[ministry])
        found.records += len(hashes)
        leaf = hash_of_leaf(salt, run.id, ministry, hashes)
        leaves.append(leaf)
        if (changed := first_difference(marks, hashes)) is not None:
            suspects.append(f"run {run.id}, {_whose(ministry)}: {_named(records[ministry], changed)}")
        elif not marks.startswith(leaf[:8]):
            suspects.append(f"run {run.id}, {_whose(ministry)}: its leaf was changed")
    if suspects or root_of(leaves).hex() != entry.body["root"]:
        for suspect in suspects or [f"run {run.id}: its leaves do not make the root that was signed"]:
            found.add(suspect)


def _whose(ministry: str) -> str:
    return f"ministry {ministry}" if ministry else "the State as a whole"


def _named(records: list[Record], place: int) -> str:
    """A record as a person would look for it."""
    if place >= len(records):
        return "records that it had are gone"
    record = records[place]
    parts = (record.get(name) for name in ("kind", "what", "asset", "control", "probe", "subject"))
    return f"record {place + 1} ({' '.join(str(part) for part in parts if part)}) is not what was signed"


def _kept(note: Note, roots: list[bytes], keys: list[PublicKey | None], found: Checked) -> None:
    said = note.checkpoint
    if found.origin and said.origin != found.origin:
        found.add(f"the kept checkpoint is of another ledger, {said.origin}")
    elif said.size > len(roots):
        found.add(
            f"the kept checkpoint signs {said.size} entries, but the ledger has {len(roots)}: its end was cut off"
        )
    elif said.size and roots[said.size - 1] != said.root:
        found.add(
            f"the ledger does not go on from the kept checkpoint over {said.size} entries: older history was rewritten"
        )
    elif not said.size or not any(key and note.signed_by(key) for key in keys[: said.size]):
        found.add("the kept checkpoint is not signed by a key of this ledger")


def _reached(reached: tuple[int, str], roots: list[bytes], found: Checked) -> None:
    size, root = reached
    if size > len(roots):
        found.add(f"the audit trail saw a ledger of {size} entries, but it has {len(roots)}: its end was cut off")
    elif size and roots[size - 1].hex() != root:
        found.add(f"the audit trail saw another ledger at {size} entries: older history was rewritten")


def blobs_changed(connection: sqlite3.Connection) -> Iterator[str]:
    """Facts whose bytes are not those of their name, which the leaves sign; what retention has emptied is passed over."""
    import hashlib

    for sha256, data in connection.execute("SELECT sha256, data FROM blob WHERE length(data) > 0"):
        try:
            good = hashlib.sha256(zlib.decompress(data)).digest() == sha256
        except zlib.error:
            good = False
        if not good:
            yield sha256.hex()
