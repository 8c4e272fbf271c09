"""Checking an export where it travelled to: records, proof and checkpoint, without the database and the network.

Everything in the files is somebody else's word until it has been checked; whatever they hold, the answer is a list of
sentences, never an exception.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from posture.keys import PublicKey
from posture.ledger.canonical import canonical, digest_of
from posture.ledger.check import MOST_FAULTS
from posture.ledger.entry import Entry, EntryError
from posture.ledger.leaf import SALT_BYTES, alias, hash_of_leaf
from posture.ledger.merkle import is_included
from posture.ledger.note import Note, NoteError, open_note
from posture.ledger.proof import FORMAT

Leaves = dict[tuple[str, str], "_Leaf"]


class ProofError(ValueError):
    """Why a proof cannot even be read, as a sentence."""


@dataclass(slots=True)
class Verified:
    """What was found. ``faults`` are sentences, each of which names what fails; empty when everything holds."""

    faults: list[str] = field(default_factory=list)
    ministries: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    first_at: str = ""
    last_at: str = ""
    records: int = 0
    size: int = 0
    root: bytes = b""
    after: int = 0  # entries of the ledger that follow the range
    earlier: int = 0  # records of runs before the range: each as signed, but none is missed when it is left out
    origin: str = ""
    keys: list[PublicKey] = field(default_factory=list)

    def add(self, fault: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)
        elif len(self.faults) == MOST_FAULTS:
            self.faults.append("and more")


@dataclass(frozen=True, slots=True)
class _Leaf:
    run: str
    ministry: str
    whole: bool
    salt: bytes
    index: int
    path: list[bytes]
    records: list[bytes]


def verify_export(records: bytes, proof: bytes, note: bytes, key: bytes, *, signer: str | None = None) -> Verified:
    """Whether the records are those that the operator's key signed, none changed, dropped, added or moved.

    Args:
        records: records.jsonl, one canonical record a line.
        proof: proof.json; ``note``: checkpoint.txt; ``key``: key.pub, the OpenSSH public key that signed the checkpoint.
        signer: the fingerprint that the key, or a key before it that vouches for it, must have.
    """
    found = Verified()
    try:
        document = _read(proof)
        found.ministries = [str(each) for each in _list(document, "ministries")]
        signed, entries = _checkpoint(note), _entries(document)
        leaves = _leaves(document)
    except (ProofError, NoteError, EntryError) as fault:
        found.add(f"the proof cannot be read: {fault}")
        return found
    said = signed.checkpoint
    found.size, found.root, found.origin = said.size, said.root, said.origin
    _check_key(signed, [entry for entry, _ in entries], key, signer, found)
    _check_entries(signed, entries, found)
    _check_range(document, [entry for entry, _ in entries], leaves, found)
    _check_leaves({entry.run: entry for entry, _ in entries if entry.is_run}, leaves, found)
    _check_records(records, leaves, found)
    return found


# ---- reading


def _read(proof: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(proof)
    except (ValueError, RecursionError):
        raise ProofError("proof.json is no JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ProofError(f"proof.json is no {FORMAT}")
    return document


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise ProofError(f"proof.json has no list {name!r}")
    return found


def _checkpoint(note: bytes) -> Note:
    try:
        return open_note(note.decode("utf-8"))
    except UnicodeDecodeError:
        raise NoteError("checkpoint.txt is no text") from None


def _entries(document: Mapping[str, Any]) -> list[tuple[Entry, list[bytes]]]:
    found: dict[int, tuple[Entry, list[bytes]]] = {}
    for row in _list(document, "entries"):
        try:
            place, body = _number(row["place"]), str(row["body"]).encode("ascii")
            found[place] = Entry.read(place, body), _hashes(row["path"])
        except (KeyError, TypeError, ValueError) as fault:
            raise ProofError(
                f"an entry {fault}" if isinstance(fault, EntryError) else "an entry is not whole"
            ) from None
    return [found[place] for place in sorted(found)]


def _leaves(document: Mapping[str, Any]) -> Leaves:
    found: Leaves = {}
    for row in _list(document, "leaves"):
        try:
            leaf = _Leaf(
                run=str(row["run"]),
                ministry=str(row["ministry"]),
                whole=row["whole"] is True,
                salt=bytes.fromhex(row["salt"]),
                index=_number(row["index"]),
                path=_hashes(row["path"]),
                records=_hashes(row["records"]),
            )
        except (KeyError, TypeError, ValueError):
            raise ProofError("a leaf is not whole") from None
        if len(leaf.salt) != SALT_BYTES or (leaf.run, leaf.ministry) in found:
            raise ProofError(f"the leaf of run {leaf.run}, ministry {leaf.ministry} is not whole, or there twice")
        found[leaf.run, leaf.ministry] = leaf
    return found


def _number(value: Any) -> int:
    """Raises ValueError: no whole number (JSON also knows 1.5, 1e999 and true)."""
    if type(value) is not int:
        raise ValueError("no number")
    return value


def _hashes(rows: Any) -> list[bytes]:
    found = [bytes.fromhex(each) for each in rows]
    if any(len(each) != 32 for each in found):
        raise ValueError("no hash")
    return found


# ---- checking


def _check_key(note: Note, entries: list[Entry], key: bytes, signer: str | None, found: Verified) -> None:
    try:
        named = PublicKey.parse(key.decode("ascii", "replace"))
    except ValueError:
        found.add("key.pub holds no key")
        return
    last: PublicKey | None = None
    for entry in entries:
        try:
            for each in (
                entry.key_before,
                last := entry.key_after(last),
            ):
                if each not in found.keys:
                    found.keys.append(each)
        except ValueError as fault:
            found.add(f"entry {entry.place} ({entry.words}) {fault}")
            return
    if last is not None and last != named:
        found.add(f"the ledger goes by the key {last.fingerprint}, key.pub is {named.fingerprint}")
    if named not in found.keys:
        found.keys.append(named)
    if not note.signed_by(named):
        found.add("the checkpoint is not signed by the key of the export")
    if signer is not None and signer not in {each.fingerprint for each in found.keys}:
        signers = ", ".join(each.fingerprint for each in found.keys)
        found.add(f"signed by {signers}, not by {signer}")


def _check_entries(note: Note, entries: list[tuple[Entry, list[bytes]]], found: Verified) -> None:
    said = note.checkpoint
    for entry, path in entries:
        if not is_included(entry.hash, entry.place, said.size, path, said.root):
            found.add(f"entry {entry.place} ({entry.words}) is not in the ledger that the checkpoint signs")


def _check_range(document: Mapping[str, Any], entries: list[Entry], leaves: Leaves, found: Verified) -> None:
    """Nothing is missing between the first run and the last, and no run is shown in full beside them."""
    span = document.get("range")
    whole = {leaf.run for leaf in leaves.values() if leaf.whole}
    if span is None:
        found.add("the export claims no range of runs, so nothing is proved of what it leaves out")
        return
    if not (isinstance(span, list) and len(span) == 2 and all(type(each) is int for each in span)):
        found.add("the proof's range cannot be read")
        return
    first, last = span
    if not 0 <= first <= last < found.size:
        found.add(f"the proof's range, entries {first} to {last}, is none of a ledger of {found.size} entries")
        return
    at = {entry.place for entry in entries}
    # One by one: what a stranger claims may be a number of any size.
    for place in islice((place for place in range(first, last + 1) if place not in at), MOST_FAULTS):
        found.add(f"entry {place} of the ledger is missing from the export: a run was dropped")
    found.after = found.size - 1 - last
    if found.after and document.get("open_end") is not False:
        found.add(
            f"the export claims to reach to its checkpoint, but {found.after} entries before it are missing: cut off"
        )
    shown = [entry for entry in entries if first <= entry.place <= last and entry.is_run]
    found.runs = [entry.run for entry in shown]
    for run in sorted(whole - set(found.runs)):
        found.add(f"run {run} stands outside of the range that the export claims")
    times = sorted(str(entry.body.get("started_at", "")) for entry in shown)
    found.first_at, found.last_at = (times[0], times[-1]) if times else ("", "")


def _check_leaves(entries: Mapping[str, Entry], leaves: Leaves, found: Verified) -> None:
    for (run, ministry), leaf in leaves.items():
        entry = entries.get(run)
        members = entry.body["members"] if entry else []
        if entry is None or not isinstance(members, list):
            found.add(f"run {run}, ministry {ministry}: no entry of the ledger speaks of it")
            continue
        hashed = hash_of_leaf(leaf.salt, run, ministry, leaf.records)
        in_place = 0 <= leaf.index < len(members) and members[leaf.index] == alias(run, ministry)
        root = str(entry.body["root"])
        if not in_place or not _included(hashed, leaf, len(members), root):
            found.add(f"run {run}, ministry {ministry}: its list of records is not the one that was signed")
    for run in found.runs:
        members = entries[run].body["members"]
        for ministry in found.ministries:
            known = isinstance(members, list) and alias(run, ministry) in members
            if known and not ((run, ministry) in leaves and leaves[run, ministry].whole):
                found.add(f"run {run}, ministry {ministry}: its records were left out")


def _included(hashed: bytes, leaf: _Leaf, size: int, root: str) -> bool:
    try:
        return is_included(hashed, leaf.index, size, leaf.path, bytes.fromhex(root))
    except ValueError:
        return False


def _check_records(records: bytes, leaves: Leaves, found: Verified) -> None:
    """Line by line: of a whole leaf each record in its place, of another one that it has."""
    places: dict[tuple[str, str], int] = defaultdict(int)
    lost: set[tuple[str, str]] = set()
    earlier: set[bytes] = set()
    for number, record in _lines(records, found):
        found.records += 1
        key = (str(record.get("run")), str(record.get("ministry")))
        leaf = leaves.get(key)
        if leaf is None:
            found.add(f"line {number} ({_named(record)}) belongs to no run and ministry of the proof")
            continue
        digest, place = digest_of(record), places[key]
        places[key] += 1
        if leaf.whole:
            fits = leaf.records[place : place + 1] == [digest]
        else:
            fits = digest in leaf.records and digest not in earlier
            earlier.add(digest)
        if not fits and key not in lost:
            found.add(f"line {number} ({_named(record)}) is not what was signed")
            # When it is a line that was left out or put in, all that follow are out of place too.
            if leaf.whole and digest in leaf.records:
                found.add(f"run {key[0]}, ministry {key[1]}: a record before line {number} is missing, or one too many")
                lost.add(key)
    found.earlier = len(earlier)
    for key, leaf in leaves.items():
        if leaf.whole and places[key] < len(leaf.records) and key not in lost:
            found.add(f"run {key[0]}, ministry {key[1]}: {len(leaf.records) - places[key]} of its records are missing")


def _lines(records: bytes, found: Verified) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(records.split(b"\n"), 1):
        if not line:
            continue
        try:
            record = json.loads(line)
            written = canonical(record)
        except (ValueError, RecursionError):
            record, written = None, b""
        if isinstance(record, dict) and written == line:
            yield number, record
        elif isinstance(record, dict):
            found.add(f"line {number} of records.jsonl ({_named(record)}) is not written as it was signed")
        else:
            found.add(f"line {number} of records.jsonl is no record")


def _named(record: Mapping[str, Any]) -> str:
    """A record as a person would look for it."""
    parts = (record.get(name) for name in ("kind", "what", "asset", "control", "probe", "subject", "run"))
    return " ".join(str(part)[:200] for part in parts if part)
